//! [`KeyedRwLock`]: a reader-writer lock for each id.

use alloc::{sync::Arc, vec::Vec};
use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
};

use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

use crate::{
    drain::{Drained, Free},
    from_borrowed::FromBorrowed,
    guard::{Guard, OwnedGuard},
    handles::{Mode, Status},
    keyed::keyed_lock,
    lock::{Lock, LockOwned},
    lock_all::{LockAll, in_order},
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
    shards: Arc<Shards<I, S, R>>,
}

impl<I, S: BuildHasher, R: RawMutex> KeyedRwLock<I, S, R> {
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

    /// Locks `id` together with other readers if no writer holds it, nobody waits for it and the lock
    /// is open.
    ///
    /// # Fairness, panics
    ///
    /// As [`KeyedMutex::try_lock`](crate::KeyedMutex::try_lock).
    pub fn try_read<Q>(&self, id: &Q) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Some(Guard::new(&self.shards, self.shards.try_lock(id, Mode::Shared)?))
    }

    /// Locks `id` as [`try_read`](Self::try_read) does; the guard is `'static`.
    pub fn try_read_owned<Q>(&self, id: &Q) -> Option<OwnedGuard<I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        let hold = self.shards.try_lock(id, Mode::Shared)?;
        Some(OwnedGuard::new(self.shards.clone(), hold))
    }

    /// Locks `id` alone if nobody holds it or waits for it and the lock is open.
    ///
    /// # Fairness, panics
    ///
    /// As [`KeyedMutex::try_lock`](crate::KeyedMutex::try_lock).
    pub fn try_write<Q>(&self, id: &Q) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Some(Guard::new(&self.shards, self.shards.try_lock(id, Mode::Exclusive)?))
    }

    /// Locks `id` as [`try_write`](Self::try_write) does; the guard is `'static`.
    pub fn try_write_owned<Q>(&self, id: &Q) -> Option<OwnedGuard<I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        let hold = self.shards.try_lock(id, Mode::Exclusive)?;
        Some(OwnedGuard::new(self.shards.clone(), hold))
    }

    /// Locks all of `ids` as [`try_read`](Self::try_read) does, or none; otherwise as
    /// [`KeyedMutex::try_lock_all`](crate::KeyedMutex::try_lock_all).
    pub fn try_read_all<'q, Q>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
    ) -> Option<Vec<Guard<'_, I, S, R>>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Ord + ?Sized + 'q,
    {
        in_order(ids).into_iter().map(|id| self.try_read(id)).collect()
    }

    /// Locks all of `ids` as [`try_write`](Self::try_write) does, or none; otherwise as
    /// [`KeyedMutex::try_lock_all`](crate::KeyedMutex::try_lock_all).
    pub fn try_write_all<'q, Q>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
    ) -> Option<Vec<Guard<'_, I, S, R>>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Ord + ?Sized + 'q,
    {
        in_order(ids).into_iter().map(|id| self.try_write(id)).collect()
    }
}

keyed_lock!(KeyedRwLock);
