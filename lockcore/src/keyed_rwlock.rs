//! [`KeyedRwLock`]: a reader-writer lock for each id.

use alloc::vec::Vec;
use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
};

use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

use crate::{
    from_borrowed::FromBorrowed,
    guard::Guard,
    handles::{Mode, Status},
    lock::{Lock, LockOwned},
    lock_all::LockAll,
    shards::{Config, DefaultRawMutex, Shards},
};

/// A fair reader-writer lock for each id: [`KeyedMutex`](crate::KeyedMutex) with a shared mode.
///
/// Strict FIFO over both modes: a reader that comes after a waiting writer waits behind it, so
/// neither starves the other. When a writer leaves, all readers at the head of the queue hold
/// together. The other promises are those of [`KeyedMutex`](crate::KeyedMutex).
///
/// # Examples
///
/// ```
/// # futures::executor::block_on(async {
/// let documents = lockcore::KeyedRwLock::<String>::new();
/// let (one, two) = (documents.read("a").await, documents.read("a").await);
/// assert!(documents.try_write("a").is_none());
/// drop((one, two));
/// assert!(documents.try_write("a").is_some());
/// # });
/// ```
pub struct KeyedRwLock<I, S = DefaultHashBuilder, R = DefaultRawMutex> {
    shards: Shards<I, S, R>,
}

impl<I, S: BuildHasher + Clone + Default, R: RawMutex> KeyedRwLock<I, S, R> {
    /// Creates a lock in which no id is held.
    pub fn new() -> Self {
        Self::with_config(Config::default())
    }
}

impl<I, S: BuildHasher + Clone, R: RawMutex> KeyedRwLock<I, S, R> {
    /// Creates a lock that is laid out as `config` says.
    pub fn with_config(config: Config<S>) -> Self {
        Self { shards: Shards::new(config) }
    }

    /// Locks `id` together with other readers, waiting until every earlier writer is gone.
    ///
    /// # Fairness, cancel safety, deadlocks, panics
    ///
    /// As [`KeyedMutex::lock`](crate::KeyedMutex::lock). A task that reads an id twice can deadlock
    /// with a writer that queued in between.
    pub fn read<'q, Q>(&self, id: &'q Q) -> Lock<'_, 'q, I, Q, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Lock::new(&self.shards, id, Mode::Shared)
    }

    /// Locks `id` alone, waiting until every earlier request for it is gone.
    ///
    /// # Fairness, cancel safety, deadlocks, panics
    ///
    /// As [`KeyedMutex::lock`](crate::KeyedMutex::lock).
    pub fn write<'q, Q>(&self, id: &'q Q) -> Lock<'_, 'q, I, Q, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Lock::new(&self.shards, id, Mode::Exclusive)
    }

    /// Locks `id` as [`read`](Self::read) does; future and guard are `'static`.
    pub fn read_owned(&self, id: I) -> LockOwned<I, S, R>
    where
        I: Hash + Eq + Clone,
    {
        LockOwned::new(self.shards.clone(), id, Mode::Shared)
    }

    /// Locks `id` as [`write`](Self::write) does; future and guard are `'static`.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let documents = lockcore::KeyedRwLock::<u64>::new();
    /// let writer = documents.write_owned(7).await;
    /// let reader = writer.downgrade(); // nobody wrote in between
    /// assert!(documents.try_read(&7).is_some());
    /// assert!(documents.try_write(&7).is_none());
    /// # drop(reader);
    /// # });
    /// ```
    pub fn write_owned(&self, id: I) -> LockOwned<I, S, R>
    where
        I: Hash + Eq + Clone,
    {
        LockOwned::new(self.shards.clone(), id, Mode::Exclusive)
    }

    /// Reads all of `ids`; otherwise as [`KeyedMutex::lock_all`](crate::KeyedMutex::lock_all).
    pub fn read_all<'q, Q>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
    ) -> LockAll<'_, 'q, I, Q, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Ord + ?Sized + 'q,
    {
        LockAll::new(&self.shards, ids, Mode::Shared)
    }

    /// Writes all of `ids`; otherwise as [`KeyedMutex::lock_all`](crate::KeyedMutex::lock_all).
    pub fn write_all<'q, Q>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
    ) -> LockAll<'_, 'q, I, Q, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Ord + ?Sized + 'q,
    {
        LockAll::new(&self.shards, ids, Mode::Exclusive)
    }

    /// Locks `id` together with other readers if no writer holds it and nobody waits for it.
    pub fn try_read<Q>(&self, id: &Q) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Some(Guard::new(&self.shards, self.shards.try_lock(id, Mode::Shared)?))
    }

    /// Locks `id` alone if nobody holds it or waits for it.
    pub fn try_write<Q>(&self, id: &Q) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Some(Guard::new(&self.shards, self.shards.try_lock(id, Mode::Exclusive)?))
    }

    /// Returns what is known of each id in use, in no particular order: O(ids). As
    /// [`KeyedMutex::snapshot`](crate::KeyedMutex::snapshot).
    pub fn snapshot(&self) -> Vec<(I, Status)>
    where
        I: Clone,
    {
        self.shards.snapshot()
    }

    /// Returns who holds `id` and how many wait for it, or `None` if it is free: O(1).
    pub fn status<Q>(&self, id: &Q) -> Option<Status>
    where
        I: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.status(id)
    }

    /// Asserts the invariants of every table, for tests and fuzz targets: O(contended ids * waiters).
    ///
    /// # Panics
    ///
    /// If one is broken.
    pub fn check(&self)
    where
        I: Hash + Eq,
    {
        self.shards.check();
    }
}

impl<I, S, R: RawMutex> KeyedRwLock<I, S, R> {
    /// Returns the number of ids in use; each of the tables is looked at in turn.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Returns whether no id is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<I, S: BuildHasher + Clone + Default, R: RawMutex> Default for KeyedRwLock<I, S, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, S, R: RawMutex> fmt::Debug for KeyedRwLock<I, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedRwLock").field(&self.shards).finish()
    }
}
