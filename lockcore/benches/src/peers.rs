//! What is compared: one face for all, over an id or, where a peer knows none, over one lock.

use std::{fmt, hash::Hash, sync::Arc};

use compact_str::CompactString;
use dashmap::DashMap;
use futures_intrusive::sync::Mutex as IntrusiveMutex;
use hashbrown::HashSet;
use keyed_lock::r#async::KeyedLock;
use lockable::LockPool;
use lockcore::{Config, FromBorrowed, KeyedMutex};
use lockmap::LockMap;
use tokio::sync::{Mutex as TokioMutex, OwnedMutexGuard};

use crate::drive::block_on;

/// An id as a table stores it, and the form it is looked up by: `u64`, or a string by `str`.
pub trait Id:
    FromBorrowed<Self::Form> + Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static
{
    /// What it is looked up by.
    type Form: Hash + Eq + Sync + ?Sized + 'static;

    /// How the table calls our lock of such ids, our lock without its slots, and a mere table.
    const NAMES: [&'static str; 3];
}

impl Id for u64 {
    type Form = Self;
    const NAMES: [&'static str; 3] = ["lockcore", "lockcore, no slots", "locked table"];
}

impl Id for CompactString {
    type Form = str;
    const NAMES: [&'static str; 3] = ["lockcore", "lockcore, no slots", "locked table, in place"];
}

impl Id for String {
    type Form = str;
    const NAMES: [&'static str; 3] = ["lockcore, String", "", "locked table"];
}

/// What all peers have in common.
pub trait Peer: Sync + 'static {
    /// How the table calls it.
    const NAME: &'static str;

    /// What it locks; `u64` for those that know no ids.
    type Id: Id;

    /// Creates one in which nothing is locked.
    fn create() -> Self;
}

/// What ids of a peer are looked up by.
pub type Form<L> = <<L as Peer>::Id as Id>::Form;

/// Locks that a future waits for.
pub trait AsyncLocks: Peer {
    /// Locks `id`; dropping the output releases it.
    fn lock<'a>(&'a self, id: &'a Form<Self>) -> impl Future<Output = impl Send> + Send;
}

/// Locks that a thread waits for.
pub trait BlockingLocks: Peer {
    /// Locks `id`; dropping the result releases it.
    fn blocking_lock<'a>(&'a self, id: &'a Form<Self>) -> impl Sized;
}

impl<L: AsyncLocks> BlockingLocks for L {
    #[inline]
    fn blocking_lock<'a>(&'a self, id: &'a Form<Self>) -> impl Sized {
        block_on(self.lock(id))
    }
}

impl<I: Id> Peer for KeyedMutex<I> {
    const NAME: &'static str = I::NAMES[0];
    type Id = I;

    fn create() -> Self {
        Self::new()
    }
}

impl<I: Id> AsyncLocks for KeyedMutex<I> {
    #[inline]
    fn lock<'a>(&'a self, id: &'a Form<Self>) -> impl Future<Output = impl Send> + Send {
        self.lock(id)
    }
}

/// Our tables alone.
pub struct WithoutSlots<I>(KeyedMutex<I>);

impl<I: Id> Peer for WithoutSlots<I> {
    const NAME: &'static str = I::NAMES[1];
    type Id = I;

    fn create() -> Self {
        Self(KeyedMutex::with_config(Config { slots: 0, ..Config::default() }))
    }
}

impl<I: Id> AsyncLocks for WithoutSlots<I> {
    #[inline]
    fn lock<'a>(&'a self, id: &'a Form<Self>) -> impl Future<Output = impl Send> + Send {
        self.0.lock(id)
    }
}

/// A hash table behind a lock: an id is in it while it is held. It cannot wait, so it is the least
/// that a table of locks costs, and no lock itself.
pub struct LockedTable<I>(parking_lot::Mutex<HashSet<I>>);

impl<I: Id> Peer for LockedTable<I> {
    const NAME: &'static str = I::NAMES[2];
    type Id = I;

    fn create() -> Self {
        Self(Default::default())
    }
}

impl<I: Id> BlockingLocks for LockedTable<I> {
    #[inline]
    fn blocking_lock<'a>(&'a self, id: &'a Form<Self>) -> impl Sized {
        self.0.lock().insert(I::from_borrowed(id));
        InTable { table: self, id }
    }
}

struct InTable<'a, I: Id> {
    table: &'a LockedTable<I>,
    id: &'a I::Form,
}

impl<I: Id> Drop for InTable<'_, I> {
    #[inline]
    fn drop(&mut self) {
        self.table.0.lock().remove(self.id);
    }
}

/// Two rounds through tokio's scheduler, which a hand-off takes at least.
pub struct Yields;

impl Peer for Yields {
    const NAME: &'static str = "two yields";
    type Id = u64;

    fn create() -> Self {
        Self
    }
}

impl AsyncLocks for Yields {
    fn lock<'a>(&'a self, _: &'a u64) -> impl Future<Output = impl Send> + Send {
        tokio::task::yield_now()
    }
}

impl Peer for TokioMutex<()> {
    const NAME: &'static str = "tokio, no ids";
    type Id = u64;

    fn create() -> Self {
        Self::new(())
    }
}

impl AsyncLocks for TokioMutex<()> {
    #[inline]
    fn lock<'a>(&'a self, _: &'a u64) -> impl Future<Output = impl Send> + Send {
        self.lock()
    }
}

impl Peer for async_lock::Mutex<()> {
    const NAME: &'static str = "async-lock, no ids";
    type Id = u64;

    fn create() -> Self {
        Self::new(())
    }
}

impl AsyncLocks for async_lock::Mutex<()> {
    #[inline]
    fn lock<'a>(&'a self, _: &'a u64) -> impl Future<Output = impl Send> + Send {
        self.lock()
    }
}

impl Peer for IntrusiveMutex<()> {
    const NAME: &'static str = "futures-intrusive, no ids";
    type Id = u64;

    fn create() -> Self {
        Self::new((), true)
    }
}

impl AsyncLocks for IntrusiveMutex<()> {
    #[inline]
    fn lock<'a>(&'a self, _: &'a u64) -> impl Future<Output = impl Send> + Send {
        self.lock()
    }
}

impl<I: Id> Peer for LockPool<I> {
    const NAME: &'static str = "lockable";
    type Id = I;

    fn create() -> Self {
        Self::new()
    }
}

impl<I: Id> AsyncLocks for LockPool<I> {
    #[inline]
    fn lock<'a>(&'a self, id: &'a Form<Self>) -> impl Future<Output = impl Send> + Send {
        self.async_lock(I::from_borrowed(id))
    }
}

impl<I: Id> Peer for KeyedLock<I> {
    const NAME: &'static str = "keyed-lock";
    type Id = I;

    fn create() -> Self {
        Self::new()
    }
}

impl<I: Id> AsyncLocks for KeyedLock<I> {
    #[inline]
    fn lock<'a>(&'a self, id: &'a Form<Self>) -> impl Future<Output = impl Send> + Send {
        self.lock(I::from_borrowed(id))
    }
}

/// The common idiom: a shared mutex for each id in a concurrent map, removed by its last user.
pub struct DashMapIdiom<I>(DashMap<I, Arc<TokioMutex<()>>>);

impl<I: Id> Peer for DashMapIdiom<I> {
    const NAME: &'static str = "DashMap<Arc<tokio>>";
    type Id = I;

    fn create() -> Self {
        Self(DashMap::new())
    }
}

impl<I: Id> AsyncLocks for DashMapIdiom<I> {
    #[inline]
    async fn lock<'a>(&'a self, id: &'a Form<Self>) -> impl Send {
        let mutex = self.0.entry(I::from_borrowed(id)).or_default().clone();
        let guard = Some(mutex.lock_owned().await);
        InDashMap { map: self, id, guard }
    }
}

struct InDashMap<'a, I: Id> {
    map: &'a DashMapIdiom<I>,
    id: &'a I::Form,
    /// `None` only inside `drop`: the map's own reference must be the last.
    guard: Option<OwnedMutexGuard<()>>,
}

impl<I: Id> Drop for InDashMap<'_, I> {
    #[inline]
    fn drop(&mut self) {
        drop(self.guard.take());
        self.map.0.remove_if(self.id, |_, mutex| Arc::strong_count(mutex) == 1);
    }
}

impl<I: Id> Peer for LockMap<I, ()> {
    const NAME: &'static str = "lockmap, blocking";
    type Id = I;

    fn create() -> Self {
        Self::new()
    }
}

impl<I: Id> BlockingLocks for LockMap<I, ()> {
    #[inline]
    fn blocking_lock<'a>(&'a self, id: &'a Form<Self>) -> impl Sized {
        self.entry(I::from_borrowed(id))
    }
}
