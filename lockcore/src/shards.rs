//! [`Shards`]: tables shared between tasks and threads. What `KeyedMutex` and `KeyedRwLock` have in
//! common, which is all but the modes.

use alloc::{sync::Arc, vec::Vec};
use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    task::Waker,
};

use hashbrown::DefaultHashBuilder;
use lock_api::{Mutex, MutexGuard, RawMutex};

use crate::{
    due::{Due, wake_all},
    from_borrowed::FromBorrowed,
    handles::{Hold, Mode, NoTurn, Status, Ticket, Watch},
    table::LockTable,
};

/// The raw lock that guards a shard where none is named: `parking_lot`'s.
#[cfg(feature = "std")]
pub type DefaultRawMutex = parking_lot::RawMutex;

/// Stands where a raw lock must be named: without `std` there is no sensible default.
///
/// It does not implement [`RawMutex`]; name one that does: `KeyedMutex<u64, BuildHasher, MyRawMutex>`.
#[cfg(not(feature = "std"))]
#[derive(Debug)]
pub enum DefaultRawMutex {}

type Table<I, S> = LockTable<I, Waker, S>;
type Shard<I, S, R> = Aligned<Mutex<R, Table<I, S>>>;

/// What [`Shards::poll_turn`] found.
pub(crate) enum Turn {
    /// The ticket is used up.
    Came(Hold),
    Waits,
    NeedsWaker,
    /// The ticket is used up.
    Closed,
}

/// A watch, and in which table it is.
pub(crate) struct Watched {
    table: usize,
    watch: Watch,
}

/// Tables by hash, each behind a raw lock that is held for O(1) steps and never over foreign code
/// other than `Eq` and `Clone` of an id, and `Hash` when a table grows.
pub(crate) struct Shards<I, S, R> {
    hasher: S,
    /// Owned guards and futures share them.
    tables: Arc<[Shard<I, S, R>]>,
}

/// Keeps neighbours from sharing a cache line (or a pair of lines, which x86 fetches together).
#[repr(align(128))]
struct Aligned<T>(T);

impl<I, S: Clone, R> Clone for Shards<I, S, R> {
    fn clone(&self) -> Self {
        Self { hasher: self.hasher.clone(), tables: self.tables.clone() }
    }
}

impl<I, S: BuildHasher + Clone, R: RawMutex> Shards<I, S, R> {
    pub(crate) fn new(Config { shards, idle_capacity, hasher }: Config<S>) -> Self {
        let count = shards.next_power_of_two();
        let table = |_| {
            let mut table = LockTable::with_hasher(hasher.clone());
            table.set_idle_capacity(idle_capacity / count);
            Aligned(Mutex::new(table))
        };
        Self { tables: (0..count).map(table).collect(), hasher }
    }

    /// Locks `id` if nobody is ahead.
    #[inline]
    pub(crate) fn try_lock<Q>(&self, id: &Q, mode: Mode) -> Option<Hold>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(id);
        self.table(hash).try_lock(hash, id, mode)
    }

    /// Locks `id`, or queues for it. The place is taken with a waker that does nothing, as nobody may
    /// clone the caller's inside the borrow: [`poll_turn`](Self::poll_turn) replaces it. No ticket
    /// says that the table is closed.
    #[inline]
    pub(crate) fn join<Q>(&self, id: &Q, mode: Mode) -> Result<Hold, Option<Ticket>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(id);
        self.table(hash).join(hash, id, mode, || Waker::noop().clone())
    }

    /// Watches `id` until it is free; `None` says that it is. As with a place in a queue, it is for
    /// [`poll_watch`](Self::poll_watch) to leave a waker that does something.
    pub(crate) fn watch<Q>(&self, id: &Q) -> Option<Watched>
    where
        I: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(id);
        let watch = self.table(hash).watch(hash, id, Waker::noop().clone()).ok()?;
        Some(Watched { table: self.number(hash), watch })
    }

    pub(crate) fn status<Q>(&self, id: &Q) -> Option<Status>
    where
        I: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(id);
        self.table(hash).status(hash, id)
    }

    /// Returns what is known of each id in use; each table is borrowed in turn.
    pub(crate) fn snapshot(&self) -> Vec<(I, Status)>
    where
        I: Clone,
    {
        let mut all = Vec::new();
        for table in &*self.tables {
            all.extend(table.0.lock().iter().map(|(id, status)| (id.clone(), status)));
        }
        all
    }

    pub(crate) fn check(&self)
    where
        I: Hash + Eq,
    {
        self.tables.iter().for_each(|table| table.0.lock().check());
    }
}

impl<I, S, R: RawMutex> Shards<I, S, R> {
    /// Takes the turn of `ticket`, or sees to it that `waker` is woken when it comes.
    ///
    /// Where that takes a clone of `waker`, it is expected in `spare`, and without it the answer is
    /// [`Turn::NeedsWaker`]. A displaced waker is left in `spare`, for the caller to drop.
    #[inline]
    pub(crate) fn poll_turn(
        &self,
        ticket: &Ticket,
        waker: &Waker,
        spare: &mut Option<Waker>,
    ) -> Turn {
        let mut table = self.table(ticket.hash);
        let stored = match table.poll_turn(ticket) {
            Ok(hold) => return Turn::Came(hold),
            Err(NoTurn::Waits(stored)) => stored,
            Err(NoTurn::Closed) => return Turn::Closed,
        };
        if stored.will_wake(waker) {
            return Turn::Waits;
        }
        match spare {
            None => Turn::NeedsWaker,
            Some(fresh) => {
                core::mem::swap(stored, fresh);
                Turn::Waits
            }
        }
    }

    /// Stores `waker` for the turn of `ticket` and returns the one it displaces; if it does not wait
    /// any more, `waker` comes back.
    #[inline]
    pub(crate) fn place_waker(&self, ticket: &Ticket, waker: Waker) -> Result<Waker, Waker> {
        match self.table(ticket.hash).waiting_mut(ticket) {
            Some(stored) => Ok(core::mem::replace(stored, waker)),
            None => Err(waker),
        }
    }

    /// Returns the id of a hold.
    pub(crate) fn id(&self, hold: &Hold) -> I
    where
        I: Clone,
    {
        self.table(hold.hash).id(hold).clone()
    }

    #[inline]
    pub(crate) fn cancel(&self, ticket: Ticket) {
        let due = self.table(ticket.hash).cancel(ticket);
        due.wake();
    }

    #[inline]
    pub(crate) fn release(&self, hold: Hold) {
        let due = self.table(hold.hash).release(hold);
        due.wake();
    }

    /// Turns an exclusive hold into a shared one; the caller wakes who is due.
    pub(crate) fn downgrade(&self, hold: Hold) -> (Hold, Due<I, Waker>) {
        self.table(hold.hash).downgrade(hold)
    }

    /// Closes each table, and wakes those whose wait ended after the last is closed.
    pub(crate) fn close(&self) {
        let ended = self.tables.iter().flat_map(|table| {
            let due = table.0.lock().close();
            due.into_turns()
        });
        wake_all(ended.collect());
    }

    /// Returns whether [`close`](Self::close) has closed every table.
    pub(crate) fn is_closed(&self) -> bool {
        self.tables.last().is_some_and(|table| table.0.lock().is_closed())
    }

    pub(crate) fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Watches the table of this number until it is empty; `None` says that it is.
    pub(crate) fn watch_all(&self, table: usize) -> Option<Watched> {
        let watch = self.tables[table].0.lock().watch_all(Waker::noop().clone()).ok()?;
        Some(Watched { table, watch })
    }

    /// Returns whether what is watched was free, or sees to it that `waker` is woken when it is.
    pub(crate) fn poll_watch(&self, watched: &Watched, waker: Waker) -> bool {
        let unused = match self.tables[watched.table].0.lock().watching_mut(&watched.watch) {
            Some(stored) => Ok(core::mem::replace(stored, waker)),
            None => Err(waker),
        };
        unused.is_err()
    }

    pub(crate) fn unwatch(&self, Watched { table, watch }: Watched) {
        let unused = self.tables[table].0.lock().unwatch(watch);
        drop(unused);
    }

    /// Returns the number of ids in use; each table is looked at in turn.
    pub(crate) fn len(&self) -> usize {
        self.tables.iter().map(|table| table.0.lock().len()).sum()
    }

    /// Borrows the table that has the ids of this hash.
    ///
    /// The tables use the lowest bits of a hash as the place and its topmost seven, or on 32-bit
    /// machines those of the lower half, as a tag: these are others.
    #[inline]
    fn table(&self, hash: u64) -> MutexGuard<'_, R, Table<I, S>> {
        self.tables[self.number(hash)].0.lock()
    }

    #[inline]
    fn number(&self, hash: u64) -> usize {
        (hash >> 40) as usize & (self.tables.len() - 1)
    }
}

/// How a [`KeyedMutex`](crate::KeyedMutex) or [`KeyedRwLock`](crate::KeyedRwLock) is laid out.
///
/// # Examples
///
/// ```
/// use lockcore::{Config, KeyedMutex};
///
/// let config = Config { shards: 1, idle_capacity: 0, ..Config::default() };
/// let payments = KeyedMutex::<String>::with_config(config);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Config<S = DefaultHashBuilder> {
    /// Over how many tables the ids are spread, rounded up to a power of two: by default four for
    /// each processor, and one without the feature `std`. Threads that meet in a table wait for each
    /// other for the few instructions of a step.
    pub shards: usize,
    /// Up to how many ids, and as many waiters, memory is kept when nobody holds or waits any more: by
    /// default 4096. A table that falls idle, and has grown beyond its share of that, frees it.
    pub idle_capacity: usize,
    /// Hashes the ids.
    pub hasher: S,
}

impl<S: Default> Default for Config<S> {
    fn default() -> Self {
        Self { shards: default_shards(), idle_capacity: 4096, hasher: S::default() }
    }
}

fn default_shards() -> usize {
    #[cfg(feature = "std")]
    return 4 * std::thread::available_parallelism().map_or(1, Into::into);
    #[cfg(not(feature = "std"))]
    return 1;
}

impl<I, S, R: RawMutex> fmt::Debug for Shards<I, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("tables", &self.tables.len())
            .field("ids", &self.len())
            .finish()
    }
}
