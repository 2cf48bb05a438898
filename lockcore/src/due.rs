//! [`Due`]: what a call on a table made due, for the caller to act on after its borrow.

use alloc::{vec, vec::Vec};
use core::{
    fmt,
    iter::{self, Chain},
    mem, option,
    task::Waker,
};

/// What became due when somebody left: whose turn came, who watched what is free, and what is to be
/// dropped. When the table was closed: whose wait ended.
///
/// The table is free of foreign code: wakers and ids are called and dropped by its caller, after
/// the borrow. Dropping a `Due` drops the id and the displaced `W`, and forgets to tell those whose
/// turn came: use [`into_turns`](Self::into_turns) or [`wake`](Due::wake).
#[must_use = "those whose turn came must be told"]
pub struct Due<I, W>(Outcome<I, W>);

enum Outcome<I, W> {
    /// Nobody uses the id any more, and nobody watched it.
    Free(I),
    /// Who is to be told, and what is to be dropped after that.
    Told(Turns<W>, Last<I, W>),
}

enum Last<I, W> {
    Nothing,
    /// What nobody uses any more.
    Id(I),
    /// What the leaver itself had stored.
    Displaced(W),
}

impl<I, W> Due<I, W> {
    /// Of an id that nobody uses any more, and of those who watched that.
    #[inline]
    pub(crate) fn of_id(id: I, told: Turns<W>) -> Self {
        match told {
            Turns::None => Self(Outcome::Free(id)),
            Turns::One(_) | Turns::More(_) => Self(Outcome::Told(told, Last::Id(id))),
        }
    }

    pub(crate) fn of_turns(turns: Turns<W>) -> Self {
        Self(Outcome::Told(turns, Last::Nothing))
    }

    pub(crate) fn of_leaver(turns: Turns<W>, displaced: W) -> Self {
        Self(Outcome::Told(turns, Last::Displaced(displaced)))
    }

    /// Returns those whose turn came, whose wait ended, or who watched what is free, in the order of
    /// their queue. What is to be dropped is dropped after the last of them.
    pub fn into_turns(self) -> impl Iterator<Item = W> {
        let (turns, last) = match self.0 {
            Outcome::Free(id) => (Turns::None, Last::Id(id)),
            Outcome::Told(turns, last) => (turns, last),
        };
        let mut last = Some(last);
        turns.into_iter().chain(iter::from_fn(move || {
            drop(last.take());
            None
        }))
    }
}

impl<I> Due<I, Waker> {
    /// Wakes those of [`into_turns`](Self::into_turns), in their order.
    ///
    /// # Panics
    ///
    /// If a waker does; the others are woken all the same. If a second one panics then, the process
    /// aborts, as for any panic while unwinding.
    #[inline]
    pub fn wake(self) {
        match self.0 {
            Outcome::Free(id) => drop(id),
            Outcome::Told(Turns::One(waker), Last::Nothing) => waker.wake(),
            Outcome::Told(turns, last) => wake(turns, last),
        }
    }
}

#[inline(never)]
fn wake<I>(turns: Turns<Waker>, last: Last<I, Waker>) {
    match turns {
        Turns::None => {}
        Turns::One(waker) => waker.wake(),
        Turns::More(turns) => wake_all(turns),
    }
    drop(last);
}

/// Wakes all, those after one that panics included.
fn wake_all(wakers: Vec<Waker>) {
    WakeRest(wakers.into_iter()).wake();
}

/// Wakes all when it is dropped, so that a panic before that loses no wake-up.
#[derive(Default)]
pub(crate) struct WakeInTheEnd(pub(crate) Vec<Waker>);

impl Drop for WakeInTheEnd {
    fn drop(&mut self) {
        wake_all(mem::take(&mut self.0));
    }
}

impl<I, W> fmt::Debug for Due<I, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = match &self.0 {
            Outcome::Free(_) => 0,
            Outcome::Told(turns, _) => turns.len(),
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
