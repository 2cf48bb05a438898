//! [`Slots`] for machines without atomics of 64 bits: there are none.

use core::{
    convert::Infallible,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    num::NonZeroU64,
};

use super::Whereabouts;
use crate::{from_borrowed::FromBorrowed, handles::Hold, table::LockTable};

pub(crate) struct Slots<I>(PhantomData<fn(I)>);

/// Never made.
pub(crate) struct Slot<I>(Infallible, PhantomData<fn(I)>);

impl<I> Slots<I> {
    pub(crate) fn new(_: usize) -> Self {
        Self(PhantomData)
    }

    pub(crate) fn all(&self) -> &[Slot<I>] {
        &[]
    }

    pub(crate) fn at(&self, _: usize) -> Option<&Slot<I>> {
        None
    }
}

impl<I> Slot<I> {
    pub(crate) fn try_hold<Q: ?Sized>(&self, _: u64, _: &Q) -> Option<NonZeroU64>
    where
        I: FromBorrowed<Q>,
    {
        match self.0 {}
    }

    pub(crate) fn try_release(&self, _: NonZeroU64) -> bool {
        match self.0 {}
    }

    pub(crate) fn holds(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn is_crowded(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn divert<W, S: BuildHasher>(&self, _: &mut LockTable<I, W, S>) -> usize
    where
        I: Hash,
    {
        match self.0 {}
    }

    pub(crate) fn entries<W, S>(&self, _: &LockTable<I, W, S>) -> usize {
        match self.0 {}
    }

    pub(crate) fn settle<W, S>(&self, _: usize, _: &LockTable<I, W, S>) {
        match self.0 {}
    }

    pub(crate) fn whereabouts(&self, _: &Hold) -> Whereabouts<'_, I> {
        match self.0 {}
    }

    pub(crate) fn check(&self, _: usize) {
        match self.0 {}
    }
}
