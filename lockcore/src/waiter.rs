//! [`Waiter`]: what a table stores for a request that does not hold yet, and for one who watches.

use core::{mem, num::NonZeroU64};

use crate::{handles::Mode, list::Links};

/// A queued request or one that watches, until its ticket is given back.
pub(crate) struct Waiter<W> {
    /// The queue it is in or was in; [`OF_TABLE`](Self::OF_TABLE) for one that watches a table.
    pub(crate) queue: u32,
    pub(crate) links: Links,
    /// What a request asked for.
    pub(crate) mode: Mode,
    state: WaiterState<W>,
}

enum WaiterState<W> {
    /// In a list; has what is to come back; leaving unlinks it.
    Linked(W),
    /// In no list. It has an enum of its own because that keeps a waiter small.
    Out(Out),
}

/// Why a waiter is in no list any more.
#[derive(Clone, Copy)]
pub(crate) enum Out {
    /// Its turn came, and it holds by this token; leaving releases the hold.
    Turn(NonZeroU64),
    /// The table was closed, or what it watched is free; leaving does nothing else.
    Ended,
}

impl<W> Waiter<W> {
    /// No queue has this index.
    pub(crate) const OF_TABLE: u32 = u32::MAX;

    #[inline]
    pub(crate) fn request(queue: u32, links: Links, mode: Mode, waiting: W) -> Self {
        Self { queue, links, mode, state: WaiterState::Linked(waiting) }
    }

    /// One that takes no place, so that its mode says nothing.
    pub(crate) fn watcher(queue: u32, links: Links, watching: W) -> Self {
        Self::request(queue, links, Mode::Shared, watching)
    }

    /// Returns why it is in no list, if so.
    #[inline]
    pub(crate) fn out(&self) -> Option<Out> {
        match self.state {
            WaiterState::Linked(_) => None,
            WaiterState::Out(out) => Some(out),
        }
    }

    /// Returns the token if the turn has come.
    #[inline]
    pub(crate) fn turn(&self) -> Option<NonZeroU64> {
        match self.state {
            WaiterState::Out(Out::Turn(token)) => Some(token),
            WaiterState::Out(Out::Ended) | WaiterState::Linked(_) => None,
        }
    }

    /// Returns what is to come back, if it is in a list.
    pub(crate) fn waiting(&self) -> Option<&W> {
        match &self.state {
            WaiterState::Linked(waiting) => Some(waiting),
            WaiterState::Out(_) => None,
        }
    }

    /// As [`waiting`](Self::waiting), for replacement.
    #[inline]
    pub(crate) fn waiting_mut(&mut self) -> Option<&mut W> {
        match &mut self.state {
            WaiterState::Linked(waiting) => Some(waiting),
            WaiterState::Out(_) => None,
        }
    }

    /// As [`waiting_mut`](Self::waiting_mut), by value.
    #[inline]
    pub(crate) fn into_waiting(self) -> Option<W> {
        match self.state {
            WaiterState::Linked(waiting) => Some(waiting),
            WaiterState::Out(_) => None,
        }
    }

    /// Notes that it left its list, and returns what was to come back.
    #[inline]
    pub(crate) fn end(&mut self, out: Out) -> Option<W> {
        match mem::replace(&mut self.state, WaiterState::Out(out)) {
            WaiterState::Linked(waiting) => Some(waiting),
            WaiterState::Out(_) => None,
        }
    }
}
