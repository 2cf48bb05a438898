//! [`KeyedMutex`]: a mutex for each id.

use alloc::{borrow::ToOwned, sync::Arc};
use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
};

use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

use crate::{
    guard::{Guard, OwnedGuard},
    lock::{Lock, LockOwned},
    shards::{DefaultRawMutex, Shards, default_count},
    table::Mode,
};

/// A fair mutex for each id: whoever locks the same id takes turns, other ids are not affected.
///
/// * Strict FIFO by id: the lock goes to requests in the order in which their futures were first
///   polled, and nobody overtakes, [`try_lock`](Self::try_lock) included.
/// * Any future and any guard may be dropped at any time: the turn passes on, nothing is left behind.
/// * Ids need no registration. One that nobody holds or waits for takes no memory.
/// * The futures belong to no runtime; the mutex is `Sync` if its id is `Send`.
///
/// `S` hashes the ids. `R` guards the tables within; it is held for a few instructions at a time and
/// never across an await. With the feature `std` (default) it is `parking_lot`'s; without it, name
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
    shards: Shards<I, S, R>,
}

impl<I, S: BuildHasher + Clone + Default, R: RawMutex> KeyedMutex<I, S, R> {
    /// Creates a mutex in which no id is locked.
    ///
    /// The ids are spread over four tables for each processor, one without the feature `std`.
    pub fn new() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<I, S: BuildHasher + Clone, R: RawMutex> KeyedMutex<I, S, R> {
    /// Creates a mutex that hashes ids with `hasher`.
    pub fn with_hasher(hasher: S) -> Self {
        Self { shards: Shards::new(default_count(), hasher) }
    }

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
    /// Polling panics if `Hash`, `Eq` or `Clone` of the id does; no lock is affected.
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
    pub fn lock<'a, Q>(&'a self, id: &'a Q) -> Lock<'a, I, Q, S, R>
    where
        I: Borrow<Q> + Hash,
        Q: Hash + Eq + ToOwned<Owned = I> + ?Sized,
    {
        Lock::new(&self.shards, id, Mode::Exclusive)
    }

    /// Locks `id` as [`lock`](Self::lock) does; future and guard are `'static`.
    ///
    /// # Fairness, cancel safety, deadlocks, panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use std::sync::Arc;
    ///
    /// let payments = Arc::new(lockcore::KeyedMutex::<String>::new());
    /// let guard = payments.lock_owned("payment-123".to_owned()).await;
    /// std::thread::spawn(move || drop(guard)).join().unwrap();
    /// assert!(!payments.is_locked("payment-123"));
    /// # });
    /// ```
    pub fn lock_owned(self: &Arc<Self>, id: I) -> LockOwned<I, S, R>
    where
        I: Hash + Eq + Clone,
    {
        LockOwned::new(self.clone(), id)
    }

    /// Locks `id` if nobody holds it or waits for it, and returns `None` otherwise. Never waits.
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
        I: Borrow<Q> + Hash,
        Q: Hash + Eq + ToOwned<Owned = I> + ?Sized,
    {
        Some(Guard::new(&self.shards, self.shards.try_lock(id, Mode::Exclusive)?))
    }

    /// Locks `id` as [`try_lock`](Self::try_lock) does; the guard is `'static`.
    ///
    /// # Fairness, panics
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_owned<Q>(self: &Arc<Self>, id: &Q) -> Option<OwnedGuard<I, S, R>>
    where
        I: Borrow<Q> + Hash,
        Q: Hash + Eq + ToOwned<Owned = I> + ?Sized,
    {
        Some(OwnedGuard::new(self.clone(), self.shards.try_lock(id, Mode::Exclusive)?))
    }

    /// Returns whether somebody holds `id`. The answer may be out of date when it arrives.
    pub fn is_locked<Q>(&self, id: &Q) -> bool
    where
        I: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.status(id).is_some()
    }

    /// Returns how many requests wait for `id`, its holder not counted: O(1).
    pub fn waiting<Q>(&self, id: &Q) -> usize
    where
        I: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.status(id).map_or(0, |status| status.waiting)
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

impl<I, S, R: RawMutex> KeyedMutex<I, S, R> {
    /// Returns the number of ids in use; each of the tables is looked at in turn.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Returns whether no id is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn shards(&self) -> &Shards<I, S, R> {
        &self.shards
    }
}

impl<I, S: BuildHasher + Clone + Default, R: RawMutex> Default for KeyedMutex<I, S, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, S, R: RawMutex> fmt::Debug for KeyedMutex<I, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedMutex").field(&self.shards).finish()
    }
}
