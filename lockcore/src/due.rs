//! [`Due`]: what a call on a table made due, for the caller to act on after its borrow.

use alloc::vec::{self, Vec};
use core::{
    fmt,
    iter::{self, Chain},
    option,
    task::Waker,
};

/// What became due when somebody left: whose turn came, and what is to be dropped.
///
/// The table is free of foreign code: wakers and ids are called and dropped by its caller, after
/// the borrow. Dropping a `Due` drops the id and the displaced `W`, and forgets to tell those whose
/// turn came: use [`into_turns`](Self::into_turns) or [`wake`](Due::wake).
#[must_use = "those whose turn came must be told"]
pub struct Due<I, W> {
    turns: Turns<W>,
    /// What the leaver itself had stored.
    pub(crate) displaced: Option<W>,
    /// An id that nobody uses any more.
    id: Option<I>,
}

impl<I, W> Due<I, W> {
    pub(crate) fn of_id(id: I) -> Self {
        Self { turns: Turns::default(), displaced: None, id: Some(id) }
    }

    pub(crate) fn of_turns(turns: Turns<W>) -> Self {
        Self { turns, displaced: None, id: None }
    }

    /// Returns those whose turn came, in the order of their queue. What is to be dropped is dropped
    /// after the last of them.
    pub fn into_turns(self) -> impl Iterator<Item = W> {
        let Self { turns, displaced, id } = self;
        let mut dropped_last = Some((displaced, id));
        turns.into_iter().chain(iter::from_fn(move || {
            drop(dropped_last.take());
            None
        }))
    }
}

impl<I> Due<I, Waker> {
    /// Wakes those whose turn came, in the order of their queue.
    ///
    /// # Panics
    ///
    /// If a waker does; the others are woken all the same. If a second one panics then, the process
    /// aborts, as for any panic while unwinding.
    pub fn wake(self) {
        let mut rest = WakeRest(self.turns.into_iter());
        rest.wake();
    }
}

/// Wakes what is left when one waker panics, so that no wake-up is lost.
struct WakeRest(IntoIter<Waker>);

impl WakeRest {
    fn wake(&mut self) {
        for waker in &mut self.0 {
            waker.wake();
        }
    }
}

impl Drop for WakeRest {
    fn drop(&mut self) {
        self.wake();
    }
}

impl<I, W> fmt::Debug for Due<I, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Due").field("turns", &self.turns.len()).finish_non_exhaustive()
    }
}

/// A list that allocates from the second element on: a hand-off mostly has one successor.
pub(crate) struct Turns<W> {
    first: Option<W>,
    rest: Vec<W>,
}

type IntoIter<W> = Chain<option::IntoIter<W>, vec::IntoIter<W>>;

impl<W> Turns<W> {
    pub(crate) fn push(&mut self, waiting: W) {
        match self.first {
            None => self.first = Some(waiting),
            Some(_) => self.rest.push(waiting),
        }
    }

    fn len(&self) -> usize {
        self.first.iter().len() + self.rest.len()
    }

    fn into_iter(self) -> IntoIter<W> {
        self.first.into_iter().chain(self.rest)
    }
}

impl<W> Default for Turns<W> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}
