//! [`Slots`] for machines without atomics of 64 bits: all locks go through the tables.

use core::{
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    num::NonZeroU64,
};

use super::Whereabouts;
use crate::{from_borrowed::FromBorrowed, handles::Hold, table::LockTable};

/// One slot that is diverted for good, and stands for that of every table.
pub(crate) struct Slots<I>([Slot<I>; 1]);

pub(crate) struct Slot<I>(PhantomData<fn(I)>);

impl<I> Slots<I> {
    pub(crate) fn new(_: usize) -> Self {
        Self([Slot(PhantomData)])
    }

    pub(crate) fn diverted(tables: usize) -> Self {
        Self::new(tables)
    }

    pub(crate) fn all(&self) -> &[Slot<I>] {
        &self.0
    }

    pub(crate) fn at(&self, _: usize) -> &Slot<I> {
        &self.0[0]
    }

    pub(crate) fn settle<W, S>(&self, _: &Slot<I>, _: usize, _: &LockTable<I, W, S>) {}
}

impl<I> Slot<I> {
    pub(crate) fn try_hold<Q: ?Sized>(&self, _: u64, _: &Q) -> Option<NonZeroU64>
    where
        I: FromBorrowed<Q>,
    {
        None
    }

    pub(crate) fn try_release(&self, _: NonZeroU64) -> bool {
        false
    }

    pub(crate) fn holds(&self) -> bool {
        false
    }

    pub(crate) fn divert<W, S: BuildHasher>(&self, table: &mut LockTable<I, W, S>) -> usize
    where
        I: Hash,
    {
        self.entries(table)
    }

    pub(crate) fn entries<W, S>(&self, table: &LockTable<I, W, S>) -> usize {
        table.len()
    }

    pub(crate) fn whereabouts(&self, _: &Hold) -> Whereabouts<'_, I> {
        Whereabouts::Table
    }

    pub(crate) fn check(&self, _: usize) {}
}
