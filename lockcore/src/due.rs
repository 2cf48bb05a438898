//! [`Due`]: what a call on a table made due, for the caller to act on after its borrow.

use alloc::{vec, vec::Vec};
use core::{
    fmt,
    iter::{self, Chain},
    mem, option,
    task::Waker,
};

/// What became due when somebody left: whose turn came, and what is to be dropped.
///
/// The table is free of foreign code: wakers and ids are called and dropped by its caller, after
/// the borrow. Dropping a `Due` drops the id and the displaced `W`, and forgets to tell those whose
/// turn came: use [`into_turns`](Self::into_turns) or [`wake`](Due::wake).
#[must_use = "those whose turn came must be told"]
pub struct Due<I, W>(Outcome<I, W>);

enum Outcome<I, W> {
    /// Nobody uses the id any more.
    Free(I),
    /// Whose turn came, if any, and what the leaver itself had stored.
    InUse(Turns<W>, Option<W>),
}

impl<I, W> Due<I, W> {
    pub(crate) fn of_id(id: I) -> Self {
        Self(Outcome::Free(id))
    }

    pub(crate) fn of_turns(turns: Turns<W>) -> Self {
        Self(Outcome::InUse(turns, None))
    }

    pub(crate) fn of_leaver(turns: Turns<W>, displaced: W) -> Self {
        Self(Outcome::InUse(turns, Some(displaced)))
    }

    /// Returns those whose turn came, in the order of their queue. What is to be dropped is dropped
    /// after the last of them.
    pub fn into_turns(self) -> impl Iterator<Item = W> {
        let (turns, dropped_last) = match self.0 {
            Outcome::Free(id) => (Turns::None, (Some(id), None)),
            Outcome::InUse(turns, displaced) => (turns, (None, displaced)),
        };
        let mut dropped_last = Some(dropped_last);
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
    #[inline]
    pub fn wake(self) {
        match self.0 {
            Outcome::Free(id) => drop(id),
            Outcome::InUse(turns, displaced) => wake(turns, displaced),
        }
    }
}

#[inline(never)]
fn wake(turns: Turns<Waker>, displaced: Option<Waker>) {
    match turns {
        Turns::None => {}
        Turns::One(waker) => waker.wake(),
        Turns::More(turns) => WakeRest(turns.into_iter()).wake(),
    }
    drop(displaced);
}

impl<I, W> fmt::Debug for Due<I, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = match &self.0 {
            Outcome::Free(_) => 0,
            Outcome::InUse(turns, _) => turns.len(),
        };
        f.debug_struct("Due").field("turns", &turns).finish_non_exhaustive()
    }
}

/// A list that allocates from the second element on: a hand-off mostly has one successor.
#[derive(Default)]
pub(crate) enum Turns<W> {
    #[default]
    None,
    One(W),
    More(Vec<W>),
}

type IntoIter<W> = Chain<option::IntoIter<W>, vec::IntoIter<W>>;

impl<W> Turns<W> {
    #[inline]
    pub(crate) fn push(&mut self, waiting: W) {
        match self {
            Self::None => *self = Self::One(waiting),
            Self::One(_) | Self::More(_) => self.push_more(waiting),
        }
    }

    #[cold]
    fn push_more(&mut self, waiting: W) {
        *self = match mem::take(self) {
            Self::None => Self::One(waiting),
            Self::One(first) => Self::More(vec![first, waiting]),
            Self::More(mut turns) => {
                turns.push(waiting);
                Self::More(turns)
            }
        };
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::More(turns) => turns.len(),
        }
    }

    fn into_iter(self) -> IntoIter<W> {
        let (first, more) = match self {
            Self::None => (None, Vec::new()),
            Self::One(first) => (Some(first), Vec::new()),
            Self::More(turns) => (None, turns),
        };
        first.into_iter().chain(more)
    }
}

/// Wakes what is left when one waker panics, so that no wake-up is lost.
struct WakeRest(vec::IntoIter<Waker>);

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
