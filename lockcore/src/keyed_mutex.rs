//! [`KeyedMutex`]: a mutex for each id.

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

/// A fair mutex for each id: whoever locks the same id takes turns, other ids are not affected.
///
/// * Strict FIFO by id: the lock goes to requests in the order in which their futures were first
///   polled, and nobody overtakes, [`try_lock`](Self::try_lock) included.
/// * Any future and any guard may be dropped at any time: the turn passes on, nothing is left behind.
/// * Ids need no registration. One that nobody holds or waits for takes no memory.
/// * [`close`](Self::close) ends every wait and takes nothing from who holds.
/// * The futures belong to no runtime; the mutex is `Sync` if its id is `Send`.
///
/// `S` hashes the ids. `R` guards the tables within; it is held for a few instructions at a time, for
/// some for each id where a table grows, in `snapshot` and in `close`, and never across an await. With the feature `std` (default) it is `parking_lot`'s; without it, name
/// your own. [`KeyedRwLock`](crate::KeyedRwLock) adds a shared mode;
/// [`LockTable`](crate::LockTable) is what lies beneath.
///
/// # Examples
///
/// ```
/// # futures::executor::block_on(async {
/// use lockcore::KeyedMutex;
///
/// let payments = KeyedMutex::<String>::new();
/// let guard = payments.lock("payment-123").await;
/// assert!(payments.try_lock("payment-123").is_none());
/// assert!(payments.try_lock("payment-456").is_some());
/// drop(guard);
/// assert!(payments.is_empty());
/// # });
/// ```
pub struct KeyedMutex<I, S = DefaultHashBuilder, R = DefaultRawMutex> {
    shards: Arc<Shards<I, S, R>>,
}

impl<I, S: BuildHasher, R: RawMutex> KeyedMutex<I, S, R> {
    /// Locks `id`, waiting until every earlier request for it is gone.
    ///
    /// Takes any borrowed form of the id, such as `&str` for `String`, and clones it only if it is
    /// not in use yet. Ready at once if nobody is ahead. Dropping the [`Guard`] releases the id.
    ///
    /// # Fairness
    ///
    /// The place in the queue is taken at the first poll. Nobody overtakes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future costs its place in the queue and nothing else. A turn that was already
    /// handed to it passes on.
    ///
    /// # Deadlocks
    ///
    /// Locking an id again while holding it waits for good, as does locking two ids in two orders.
    /// A future that is polled once and then neither polled nor dropped keeps its place, and the
    /// lock when its turn comes.
    ///
    /// # Panics
    ///
    /// Polling panics if `Hash`, `Eq` or `Clone` of the id does; no lock is affected. It panics, too,
    /// if the mutex is closed before the turn comes: where somebody may [`close`](Self::close) it,
    /// wait with [`or_closed`](Lock::or_closed).
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let accounts = lockcore::KeyedMutex::<u64>::new();
    /// let first = accounts.lock(&7).await;
    /// let token = first.token();
    /// drop(first);
    /// assert!(accounts.lock(&7).await.token() > token);
    /// # });
    /// ```
    pub fn lock<'q, Q>(&self, id: &'q Q) -> Lock<'_, 'q, I, Q, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Lock::new(&self.shards, id, Mode::Exclusive)
    }

    /// Locks `id` as [`lock`](Self::lock) does; future and guard are `'static` and may outlive the
    /// mutex.
    ///
    /// # Fairness, cancel safety, deadlocks, panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let payments = lockcore::KeyedMutex::<String>::new();
    /// let guard = payments.lock_owned("payment-123".to_owned()).await;
    /// std::thread::spawn(move || drop(guard)).join().unwrap();
    /// assert!(!payments.is_locked("payment-123"));
    /// # });
    /// ```
    pub fn lock_owned(&self, id: I) -> LockOwned<I, S, R>
    where
        I: Hash + Eq + Clone,
    {
        LockOwned::new(self.shards.clone(), id, Mode::Exclusive)
    }

    /// Locks all of `ids`, one after the other, waiting for each as [`lock`](Self::lock) does.
    ///
    /// Resolves to a guard for each different id, in order of the ids. An id that is named twice is
    /// locked once.
    ///
    /// # Fairness
    ///
    /// The place in the queue of the smallest id is taken at the first poll, that of each other one
    /// when the one before it is held.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases what it holds so far, and costs its place in the queue.
    ///
    /// # Deadlocks
    ///
    /// None among those who lock several ids by this method and hold nothing else: all go through
    /// the ids in the same order, that of [`Ord`].
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock); this method itself panics if `Ord` of an id does.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let accounts = lockcore::KeyedMutex::<String>::new();
    /// let guards = accounts.lock_all(["to", "from", "to"]).await;
    /// assert_eq!(guards.iter().map(|guard| guard.id()).collect::<Vec<_>>(), ["from", "to"]);
    /// drop(guards);
    /// assert!(accounts.is_empty());
    /// # });
    /// ```
    pub fn lock_all<'q, Q>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
    ) -> LockAll<'_, 'q, I, Q, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Ord + ?Sized + 'q,
    {
        LockAll::new(&self.shards, ids, Mode::Exclusive)
    }

    /// Locks all of `ids`, one after the other, and returns `None` if somebody holds or waits for one
    /// of them. Never waits.
    ///
    /// What it had locked till then is released. Others may meet such a short hold: of two that try at
    /// once, both can be refused.
    ///
    /// The guards are in order of the ids; an id that is named twice is locked once.
    ///
    /// # Fairness, panics
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_all<'q, Q>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
    ) -> Option<Vec<Guard<'_, I, S, R>>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Ord + ?Sized + 'q,
    {
        in_order(ids).into_iter().map(|id| self.try_lock(id)).collect()
    }

    /// Locks `id` if nobody holds it or waits for it and the mutex is open, and returns `None`
    /// otherwise. Never waits.
    ///
    /// # Fairness
    ///
    /// It never overtakes: while anybody is queued, even for a turn that was just handed over, it
    /// returns `None`.
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq` or `Clone` of the id does; no lock is affected.
    ///
    /// # Examples
    ///
    /// ```
    /// let payments = lockcore::KeyedMutex::<String>::new();
    /// let guard = payments.try_lock("payment-123").unwrap();
    /// assert!(payments.try_lock("payment-123").is_none());
    /// assert_eq!(guard.id(), "payment-123");
    /// ```
    pub fn try_lock<Q>(&self, id: &Q) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        Some(Guard::new(&self.shards, self.shards.try_lock(id, Mode::Exclusive)?))
    }

    /// Locks `id` as [`try_lock`](Self::try_lock) does; the guard is `'static`.
    ///
    /// # Fairness, panics
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_owned<Q>(&self, id: &Q) -> Option<OwnedGuard<I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        let hold = self.shards.try_lock(id, Mode::Exclusive)?;
        Some(OwnedGuard::new(self.shards.clone(), hold))
    }
}

keyed_lock!(KeyedMutex);
