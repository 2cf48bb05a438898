//! What a table gives to its callers: tickets, holds, and what is known of an id.

use core::num::NonZeroU64;

/// How a lock is held: alone, or together with other shared holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Alone.
    Exclusive,
    /// Together with other shared holders.
    Shared,
}

/// The place of one request in a queue: given by [`LockTable::lock`](crate::LockTable::lock), consumed by leaving.
///
/// It is valid for the table that gave it. Dropping it leaks the place, and everybody behind it
/// waits for good: give it back to [`LockTable::take_turn`](crate::LockTable::take_turn) or [`LockTable::cancel`](crate::LockTable::cancel).
#[derive(Debug)]
#[must_use = "a ticket that is dropped blocks its queue: take its turn or cancel it"]
pub struct Ticket {
    /// The hash of the id, which says in which of several tables it is.
    pub(crate) hash: u64,
    pub(crate) slot: u32,
    pub(crate) mode: Mode,
}

impl Ticket {
    /// Takes a ticket out of a place that nobody looks at again.
    pub(crate) fn copy(&self) -> Self {
        Self { hash: self.hash, slot: self.slot, mode: self.mode }
    }

    /// Returns the mode that was asked for.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// One hold of one id: given by the table, consumed by [`LockTable::release`](crate::LockTable::release).
///
/// It is valid for the table that gave it. Dropping it leaks the hold.
#[derive(Debug)]
#[must_use = "a hold that is dropped is never released"]
pub struct Hold {
    /// The hash of the id, which says in which of several tables it is.
    pub(crate) hash: u64,
    pub(crate) token: NonZeroU64,
    /// The queue and the mode, if the id had a queue when the hold began. A lone exclusive hold is found
    /// by its token.
    queue: Option<NonZeroU64>,
}

impl Hold {
    #[inline]
    pub(crate) fn lone(hash: u64, token: NonZeroU64) -> Self {
        Self { hash, token, queue: None }
    }

    #[inline]
    pub(crate) fn queued(hash: u64, token: NonZeroU64, mode: Mode, queue: usize) -> Self {
        let shared = u64::from(mode == Mode::Shared);
        Self { hash, token, queue: NonZeroU64::new((queue as u64 + 1) << 1 | shared) }
    }

    /// Takes a hold out of a place that nobody looks at again, or that gets another one then.
    #[inline]
    pub(crate) fn copy(&self) -> Self {
        Self { hash: self.hash, token: self.token, queue: self.queue }
    }

    /// This hold, which is exclusive, by the queue of its id.
    pub(crate) fn by_queue(&self, queue: usize) -> Self {
        Self::queued(self.hash, self.token, Mode::Exclusive, queue)
    }

    /// Returns the fencing token: greater than that of every earlier hold of the same id.
    pub fn token(&self) -> u64 {
        self.token.get()
    }

    /// Returns the mode in which the id is held.
    pub fn mode(&self) -> Mode {
        match self.queue {
            Some(queue) if queue.get() & 1 == 1 => Mode::Shared,
            Some(_) | None => Mode::Exclusive,
        }
    }

    #[inline]
    pub(crate) fn queue(&self) -> Option<usize> {
        self.queue.map(|queue| (queue.get() >> 1) as usize - 1)
    }
}

/// Somebody who watches an id or a table: given by [`LockTable::watch`](crate::LockTable::watch) and
/// [`watch_all`](crate::LockTable::watch_all), consumed by [`unwatch`](crate::LockTable::unwatch).
///
/// It is valid for the table that gave it. Dropping it leaks its slot, and blocks nobody.
#[derive(Debug)]
#[must_use = "a watch that is dropped is never taken off: unwatch it"]
pub struct Watch {
    pub(crate) slot: u32,
}

/// Why a ticket has no turn to take.
#[derive(Debug)]
#[must_use = "it carries the place in the queue"]
pub enum NoTurn<T = Ticket> {
    /// It waits still, and its place is given back.
    Waits(T),
    /// The table was closed while it waited. The ticket is used up.
    Closed,
}

/// What [`LockTable::lock`](crate::LockTable::lock) made of a request.
#[derive(Debug)]
#[must_use = "it carries the hold or the place in the queue"]
pub enum Joined<W> {
    /// Nobody was ahead: the request holds. What was to come back with the turn is handed back.
    Holds(Hold, W),
    /// Somebody is ahead: the request has a place in the queue.
    Waits(Ticket),
    /// The table is closed: the request is refused. What was to come back is handed back.
    Closed(W),
}

/// What is known of an id in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The mode in which it is held.
    pub mode: Mode,
    /// How many hold it: 1, or the number of shared holders.
    pub holders: usize,
    /// How many of the holders were handed the lock and have not looked yet. If this does not go
    /// away, somebody keeps a future that nobody polls, and everybody behind it waits.
    pub turns: usize,
    /// How many wait for it.
    pub waiting: usize,
}
