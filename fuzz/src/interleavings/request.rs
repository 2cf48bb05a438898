//! [`Request`]: what is asked for, from its future to the end of its guards.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use lockcore::{Closed, Guard, KeyedRwLock, Lock, LockAll, LockOwned, Mode, OrClosed, OwnedGuard};

use super::Hash;

/// One id or several, that are locked one after the other.
pub(super) struct Request<'a> {
    /// In the order in which they are locked.
    pub(super) ids: Vec<usize>,
    /// How many of them it holds.
    pub(super) held: usize,
    pub(super) mode: Mode,
    pub(super) stage: Stage<'a>,
}

pub(super) enum Stage<'a> {
    Unpolled(Locking<'a>),
    /// With the waker of its last poll. It has asked for the first id that it does not hold.
    Polled(Locking<'a>, usize),
    Holding(Vec<Held<'a>>),
}

impl Stage<'_> {
    pub(super) fn is_unpolled(&self) -> bool {
        matches!(self, Self::Unpolled(_))
    }

    pub(super) fn is_polled(&self) -> bool {
        matches!(self, Self::Polled(..))
    }

    pub(super) fn is_holding(&self) -> bool {
        matches!(self, Self::Holding(_))
    }
}

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Borrowed,
    Owned,
    All,
}

pub(super) enum Locking<'a> {
    Borrowed(OrClosed<Lock<'a, 'a, u64, u64, Hash>>),
    Owned(OrClosed<LockOwned<u64, Hash>>),
    All(OrClosed<LockAll<'a, 'a, u64, u64, Hash>>),
}

impl<'a> Locking<'a> {
    /// Asks for `ids`, which are one if not [`How::All`].
    pub(super) fn new(
        lock: &'a KeyedRwLock<u64, Hash>,
        ids: &[&'a u64],
        mode: Mode,
        how: How,
    ) -> Self {
        let id = ids[0];
        match (how, mode) {
            (How::Borrowed, Mode::Exclusive) => Self::Borrowed(lock.write(id).or_closed()),
            (How::Borrowed, Mode::Shared) => Self::Borrowed(lock.read(id).or_closed()),
            (How::Owned, Mode::Exclusive) => Self::Owned(lock.write_owned(*id).or_closed()),
            (How::Owned, Mode::Shared) => Self::Owned(lock.read_owned(*id).or_closed()),
            (How::All, Mode::Exclusive) => Self::All(lock.write_all(jumble(ids)).or_closed()),
            (How::All, Mode::Shared) => Self::All(lock.read_all(jumble(ids)).or_closed()),
        }
    }

    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<Result<Vec<Held<'a>>, Closed>> {
        let cx = &mut Context::from_waker(waker);
        match self {
            Self::Borrowed(lock) => Pin::new(lock).poll(cx).map_ok(|held| vec![held.into()]),
            Self::Owned(lock) => Pin::new(lock).poll(cx).map_ok(|held| vec![held.into()]),
            Self::All(lock) => {
                Pin::new(lock).poll(cx).map_ok(|held| held.into_iter().map(Held::from).collect())
            }
        }
    }
}

/// The ids in another order and one of them twice, which changes nothing.
pub(super) fn jumble<'a>(ids: &[&'a u64]) -> Vec<&'a u64> {
    ids.iter().rev().chain(ids.last()).copied().collect()
}

pub(super) enum Held<'a> {
    Borrowed(Guard<'a, u64, Hash>),
    Owned(OwnedGuard<u64, Hash>),
}

impl Held<'_> {
    /// Returns id, mode and token.
    pub(super) fn seen(&self) -> (u64, Mode, u64) {
        match self {
            Self::Borrowed(guard) => (guard.id(), guard.mode(), guard.token()),
            Self::Owned(guard) => (guard.id(), guard.mode(), guard.token()),
        }
    }

    pub(super) fn downgrade(self) -> Self {
        match self {
            Self::Borrowed(guard) => guard.downgrade().into(),
            Self::Owned(guard) => guard.downgrade().into(),
        }
    }
}

impl<'a> From<Guard<'a, u64, Hash>> for Held<'a> {
    fn from(guard: Guard<'a, u64, Hash>) -> Self {
        Self::Borrowed(guard)
    }
}

impl From<OwnedGuard<u64, Hash>> for Held<'_> {
    fn from(guard: OwnedGuard<u64, Hash>) -> Self {
        Self::Owned(guard)
    }
}
