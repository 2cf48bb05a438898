//! [`Shards`]: tables shared between tasks and threads. What `KeyedMutex` and `KeyedRwLock` have in
//! common, which is all but the modes.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    fmt,
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
    ptr,
    task::Waker,
};

use hashbrown::DefaultHashBuilder;
use lock_api::{Mutex, MutexGuard, RawMutex};

use crate::{
    due::{Due, WakeInTheEnd},
    from_borrowed::FromBorrowed,
    handles::{Hold, Mode, NoTurn, Status, Ticket, Watch},
    place::Place,
    slots::{Slot, Slots},
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

/// The most tables, and slots: more make nothing faster, and the bits of a hash are limited.
const MOST: usize = 1 << 16;

pub(crate) type Table<I, S> = LockTable<I, Waker, S>;
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
    pub(crate) table: usize,
    pub(crate) watch: Watch,
}

/// Tables by hash, each behind a raw lock that is held for O(1) steps and never over foreign code
/// other than `Eq` and `Clone` of an id, and `Hash` when a table grows. In front of them are
/// [`Slots`], for exclusive locks that nobody contends for.
pub(crate) struct Shards<I, S, R> {
    hasher: S,
    slots: Slots<I>,
    tables: Box<[Shard<I, S, R>]>,
}

/// Keeps neighbours from sharing a cache line (or a pair of lines, which x86 fetches together).
#[repr(align(128))]
struct Aligned<T>(T);

impl<I, S: BuildHasher + Clone, R: RawMutex> Shards<I, S, R> {
    pub(crate) fn new(Config { shards, slots, idle_capacity, hasher }: Config<S>) -> Arc<Self> {
        let count = shards.min(MOST).next_power_of_two();
        let slots = match slots {
            0 => Slots::new(0),
            slots => Slots::new(slots.min(MOST).max(count).next_power_of_two()),
        };
        let table = |_| {
            let mut table = LockTable::with_hasher(hasher.clone());
            table.set_idle_capacity(idle_capacity / count);
            Aligned(Mutex::new(table))
        };
        let tables = (0..count).map(table).collect();
        Arc::new(Self { hasher, slots, tables })
    }
}

impl<I: Hash, S: BuildHasher, R: RawMutex> Shards<I, S, R> {
    /// Locks `id` if nobody is ahead.
    #[inline]
    pub(crate) fn try_lock<Q>(&self, id: &Q, mode: Mode) -> Option<Hold>
    where
        I: FromBorrowed<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let place = self.place(id);
        if mode == Mode::Exclusive
            && let Some(slot) = place.slot
            && let Some(token) = slot.try_hold(place.hash, id)
        {
            return Some(Hold::lone(place.hash, token));
        }
        place.try_lock(id, mode)
    }

    /// Locks `id` exclusively by its table if nobody is ahead, where there are no slots.
    ///
    /// It returns the token because a whole hold would be returned in memory: see [`Lock`](crate::Lock).
    #[inline(never)]
    pub(crate) fn try_alone<Q>(&self, hash: u64, id: &Q) -> Option<NonZeroU64>
    where
        I: FromBorrowed<Q>,
        Q: Eq + ?Sized,
    {
        self.table(hash).try_lone(hash, id)
    }

    /// As [`try_alone`](Self::try_alone), where there are slots.
    #[inline(never)]
    pub(crate) fn try_beside_others<Q>(&self, hash: u64, id: &Q) -> Option<NonZeroU64>
    where
        I: FromBorrowed<Q>,
        Q: Eq + ?Sized,
    {
        self.place_of(hash).divert().table.try_lone(hash, id)
    }

    /// Returns where `id` belongs.
    #[inline]
    pub(crate) fn place<Q: Hash + ?Sized>(&self, id: &Q) -> Place<'_, I, S, R> {
        self.place_of(self.hasher.hash_one(id))
    }

    /// Returns what is known of each id in use; each table is borrowed in turn.
    pub(crate) fn snapshot(&self) -> Vec<(I, Status)>
    where
        I: Clone,
    {
        let mut all = Vec::new();
        for index in 0..self.tables.len() {
            let table = self.enter_whole(index);
            all.extend(table.iter().map(|(id, status)| (id.clone(), status)));
        }
        all
    }

    /// Closes each table, and wakes those whose wait ended after the last is closed.
    pub(crate) fn close(&self) {
        // `Hash` of an id may panic on the way: those of the tables before are woken all the same.
        let mut ended = WakeInTheEnd::default();
        for index in 0..self.tables.len() {
            ended.0.extend(self.close_table(index).into_turns());
        }
    }

    fn close_table(&self, index: usize) -> Due<I, Waker> {
        let mut table = self.tables[index].0.lock();
        for slot in self.slots_of(index) {
            // It is not settled: a closed table takes all requests, and refuses them.
            slot.divert(&mut table);
        }
        table.close()
    }

    /// Watches the table of this number until it is empty; `None` says that it is. It is for
    /// [`poll_watch`](Self::poll_watch) to leave a waker that does something.
    pub(crate) fn watch_all(&self, table: usize) -> Option<Watched> {
        let watch = self.enter_whole(table).watch_all(Waker::noop().clone()).ok()?;
        Some(Watched { table, watch })
    }

    /// Borrows a table, and moves to it all ids that are held without one.
    fn enter_whole(&self, index: usize) -> MutexGuard<'_, R, Table<I, S>> {
        let mut table = self.tables[index].0.lock();
        for slot in self.slots_of(index).filter(|slot| slot.holds()) {
            // It is settled if it is free by now.
            let entries = slot.divert(&mut table);
            slot.settle(entries, &table);
        }
        table
    }

    pub(crate) fn check(&self)
    where
        I: Eq,
    {
        for (index, table) in self.tables.iter().enumerate() {
            let table = table.0.lock();
            table.check();
            let of_ids: Vec<_> = table.iter().filter_map(|(id, _)| self.place(id).slot).collect();
            for slot in self.slots_of(index) {
                slot.check(of_ids.iter().filter(|of_id| ptr::eq(**of_id, slot)).count());
            }
        }
    }
}

impl<I, S, R: RawMutex> Shards<I, S, R> {
    /// Takes the turn of `ticket`, or says whether `waker` will be woken when it comes.
    #[inline]
    pub(crate) fn poll_turn(&self, ticket: &Ticket, waker: &Waker) -> Turn {
        match self.table(ticket.hash).poll_turn(ticket) {
            Ok(hold) => Turn::Came(hold),
            Err(NoTurn::Waits(stored)) if stored.will_wake(waker) => Turn::Waits,
            Err(NoTurn::Waits(_)) => Turn::NeedsWaker,
            Err(NoTurn::Closed) => Turn::Closed,
        }
    }

    /// Sees to it that `waker` is woken when the turn of `ticket` comes; false if its wait is over.
    pub(crate) fn leave_waker(&self, ticket: &Ticket, waker: Waker) -> bool {
        let unused = match self.table(ticket.hash).waiting_mut(ticket) {
            Some(stored) => Ok(core::mem::replace(stored, waker)),
            None => Err(waker),
        };
        unused.is_ok()
    }

    /// Returns whether [`close`](Self::close) has closed every table.
    pub(crate) fn is_closed(&self) -> bool {
        self.tables.last().is_some_and(|table| table.0.lock().is_closed())
    }

    pub(crate) fn tables(&self) -> usize {
        self.tables.len()
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

    /// Leaves the queue, or passes on a turn that has come.
    #[inline(never)]
    pub(crate) fn cancel(&self, ticket: &Ticket) {
        let left = self.table(ticket.hash).leave_from_behind(ticket);
        match left {
            Some(own) => drop(own),
            None => self.place_of(ticket.hash).cancel(ticket),
        }
    }

    /// Releases a hold, which is not to be used again.
    #[inline]
    pub(crate) fn release(&self, hold: &Hold) {
        if hold.queue().is_some() {
            return self.release_in_table(hold);
        }
        match self.place_of(hold.hash).slot {
            Some(slot) if slot.try_release(hold.token) => {}
            Some(_) => self.release_in_table(hold),
            None => self.release_alone(hold),
        }
    }

    /// Releases a hold that was a lone one, where there are no slots.
    #[inline(never)]
    fn release_alone(&self, hold: &Hold) {
        let removed = self.table(hold.hash).remove_lone(hold);
        match removed {
            Some(id) => drop(id),
            None => self.release_in_table(hold),
        }
    }

    #[inline(never)]
    fn release_in_table(&self, hold: &Hold) {
        self.place_of(hold.hash).release_in_table(hold);
    }

    /// Returns where the ids of this hash belong.
    #[inline]
    pub(crate) fn place_of(&self, hash: u64) -> Place<'_, I, S, R> {
        Place { shards: self, slot: self.slots.at(bits(hash)), hash }
    }

    /// Returns the number of ids in use; each table is looked at in turn.
    pub(crate) fn len(&self) -> usize {
        let len = |(index, table): (usize, &Shard<I, S, R>)| {
            let table = table.0.lock();
            table.len() + self.slots_of(index).filter(|slot| slot.holds()).count()
        };
        self.tables.iter().enumerate().map(len).sum()
    }

    /// Borrows the table that has the ids of this hash.
    #[inline]
    pub(crate) fn table(&self, hash: u64) -> MutexGuard<'_, R, Table<I, S>> {
        self.tables[self.number(hash)].0.lock()
    }

    /// Returns the number of the table that has the ids of this hash.
    #[inline]
    pub(crate) fn number(&self, hash: u64) -> usize {
        bits(hash) & (self.tables.len() - 1)
    }

    /// Returns the slots that are diverted to a table.
    fn slots_of(&self, table: usize) -> impl Iterator<Item = &Slot<I>> {
        self.slots.all().iter().skip(table).step_by(self.tables.len())
    }
}

/// Returns the bits of a hash that say which slot and which table an id belongs to: ids of one slot
/// have one table.
///
/// The tables use the lowest bits of a hash as the place and its topmost seven, or on 32-bit machines
/// those of the lower half, as a tag: these are others.
#[inline]
fn bits(hash: u64) -> usize {
    (hash >> 40) as usize
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
    /// Over how many tables the ids are spread, rounded up to a power of two, from 1 to 65,536; what
    /// is beyond counts as the nearest of them. By default four for each processor, and one without
    /// the feature `std`. Threads that meet in a table wait for each other for the few instructions
    /// of a step.
    pub shards: usize,
    /// How many slots there are for locks that nobody contends for, rounded up to a power of two that is
    /// no less than the number of tables, and at most 65,536; 0 for none. By default 4096, and none
    /// without the feature `std`.
    ///
    /// An exclusive lock of an id that is alone in its slot needs no table, and less than half the time.
    /// Slots are allocated by the first use and kept: 32 bytes each for an id of 8 bytes. A thread may
    /// have to spin until another is done with the few instructions of taking or leaving a slot, so
    /// they are not for interrupt handlers, nor where one thread can keep another from running for
    /// good, as strict priorities on one processor do.
    pub slots: usize,
    /// For how many ids, and for as many waiters, memory is kept when nobody holds or waits any more:
    /// by default 4096. Each table has an equal share of it, rounded down, and keeps what
    /// [`LockTable::set_idle_capacity`] says.
    pub idle_capacity: usize,
    /// Hashes the ids. Bits 40 to 55 say which slot and which table an id belongs to: ids whose hashes
    /// have the same there, as small numbers that are their own hash do, all share one.
    pub hasher: S,
}

impl<S: Default> Default for Config<S> {
    fn default() -> Self {
        let slots = if cfg!(feature = "std") { 4096 } else { 0 };
        Self { shards: default_shards(), slots, idle_capacity: 4096, hasher: S::default() }
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
