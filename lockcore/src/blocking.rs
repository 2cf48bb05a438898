//! Locking by blocking the thread.

use core::{
    future::Future,
    hash::{BuildHasher, Hash},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    sync::Arc,
    task::Wake,
    thread::{self, Thread},
    time::Instant,
};

use lock_api::RawMutex;

use crate::{
    from_borrowed::FromBorrowed, guard::Guard, keyed_mutex::KeyedMutex, keyed_rwlock::KeyedRwLock,
};

impl<I, S: BuildHasher + Clone, R: RawMutex> KeyedMutex<I, S, R> {
    /// Locks `id` as [`lock`](Self::lock) does, and blocks the thread meanwhile.
    ///
    /// Not for async code: it keeps the executor's thread from all else. It does not exist on
    /// `wasm32-unknown-unknown`, where a thread cannot block.
    ///
    /// # Fairness, deadlocks, panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let payments = lockcore::KeyedMutex::<u64>::new();
    /// std::thread::scope(|threads| {
    ///     let guard = payments.blocking_lock(&123);
    ///     threads.spawn(|| drop(payments.blocking_lock(&123)));
    ///     drop(guard);
    /// });
    /// assert!(payments.is_empty());
    /// ```
    pub fn blocking_lock<Q>(&self, id: &Q) -> Guard<'_, I, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        block_on(self.lock(id))
    }

    /// Locks `id` as [`blocking_lock`](Self::blocking_lock) does, and returns `None` if its turn does
    /// not come within `limit`, or if the mutex is closed before. It has then left the queue. With
    /// `Duration::MAX`, closing is all that ends the wait.
    ///
    /// # Fairness, deadlocks
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq` or `Clone` of the id does; no lock is affected.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let payments = lockcore::KeyedMutex::<u64>::new();
    /// let guard = payments.blocking_lock(&123);
    /// assert!(payments.blocking_lock_timeout(&123, Duration::from_millis(1)).is_none());
    /// assert_eq!(payments.waiting(&123), 0);
    /// ```
    pub fn blocking_lock_timeout<Q>(&self, id: &Q, limit: Duration) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        block_on_for(self.lock(id).or_closed(), limit)?.ok()
    }
}

impl<I, S: BuildHasher + Clone, R: RawMutex> KeyedRwLock<I, S, R> {
    /// Locks `id` as [`read`](Self::read) does, and blocks the thread meanwhile; otherwise as
    /// [`KeyedMutex::blocking_lock`](crate::KeyedMutex::blocking_lock).
    pub fn blocking_read<Q>(&self, id: &Q) -> Guard<'_, I, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        block_on(self.read(id))
    }

    /// As [`blocking_read`](Self::blocking_read), with a limit; otherwise as
    /// [`KeyedMutex::blocking_lock_timeout`](crate::KeyedMutex::blocking_lock_timeout).
    pub fn blocking_read_timeout<Q>(&self, id: &Q, limit: Duration) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        block_on_for(self.read(id).or_closed(), limit)?.ok()
    }

    /// Locks `id` as [`write`](Self::write) does, and blocks the thread meanwhile; otherwise as
    /// [`KeyedMutex::blocking_lock`](crate::KeyedMutex::blocking_lock).
    pub fn blocking_write<Q>(&self, id: &Q) -> Guard<'_, I, S, R>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        block_on(self.write(id))
    }

    /// As [`blocking_write`](Self::blocking_write), with a limit; otherwise as
    /// [`KeyedMutex::blocking_lock_timeout`](crate::KeyedMutex::blocking_lock_timeout).
    pub fn blocking_write_timeout<Q>(&self, id: &Q, limit: Duration) -> Option<Guard<'_, I, S, R>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
    {
        block_on_for(self.write(id).or_closed(), limit)?.ok()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until `future` is ready.
fn block_on<F: Future + Unpin>(future: F) -> F::Output {
    block(future, None).expect("there is no limit")
}

/// As `block_on`, or drops the future and returns `None` when `limit` passes. A limit beyond the range
/// of the clock is none.
fn block_on_for<F: Future + Unpin>(future: F, limit: Duration) -> Option<F::Output> {
    block(future, Some(limit))
}

fn block<F: Future + Unpin>(mut future: F, limit: Option<Duration>) -> Option<F::Output> {
    // A waker is allocated only if there is something to wait for.
    if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()))
    {
        return Some(output);
    }
    let mut deadline = None;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut cx) {
            return Some(output);
        }
        let Some(limit) = limit else {
            thread::park();
            continue;
        };
        let now = Instant::now();
        match deadline.get_or_insert_with(|| now.checked_add(limit)) {
            None => thread::park(),
            Some(deadline) if *deadline <= now => return None,
            Some(deadline) => thread::park_timeout(*deadline - now),
        }
    }
}
