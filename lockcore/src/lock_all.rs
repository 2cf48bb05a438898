//! [`LockAll`]: several ids, one after the other, in the same order for everybody.

use alloc::vec::{self, Vec};
use core::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hash},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

#[cfg(feature = "std")]
use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

#[cfg(feature = "std")]
use crate::shards::DefaultRawMutex;
use crate::{
    closed::{Closed, OrClosed, PollOrClosed, expect_open},
    from_borrowed::FromBorrowed,
    guard::Guard,
    handles::Mode,
    lock::Lock,
    shards::Shards,
};

/// The future of [`KeyedMutex::lock_all`](crate::KeyedMutex::lock_all) and of `read_all` and
/// `write_all` of a [`KeyedRwLock`](crate::KeyedRwLock); resolves to a [`Guard`] for each id.
///
/// Dropping it releases what it holds so far.
///
/// # Panics
///
/// When polled after it was ready, or when the lock is closed: see [`or_closed`](Self::or_closed).
#[must_use = "a lock future does nothing unless it is polled"]
pub struct LockAll<
    'a,
    'q,
    I,
    Q: ?Sized,
    #[cfg(feature = "std")] S = DefaultHashBuilder,
    #[cfg(not(feature = "std"))] S,
    #[cfg(feature = "std")] R: RawMutex = DefaultRawMutex,
    #[cfg(not(feature = "std"))] R: RawMutex,
> {
    shards: &'a Shards<I, S, R>,
    mode: Mode,
    /// The ids that are not asked for yet.
    rest: vec::IntoIter<&'q Q>,
    /// The one that is asked for.
    lock: Option<Lock<'a, 'q, I, Q, S, R>>,
    guards: Vec<Guard<'a, I, S, R>>,
    ready: bool,
}

impl<'a, 'q, I, Q: Ord + ?Sized, S, R: RawMutex> LockAll<'a, 'q, I, Q, S, R> {
    pub(crate) fn new(
        shards: &'a Shards<I, S, R>,
        ids: impl IntoIterator<Item = &'q Q>,
        mode: Mode,
    ) -> Self {
        let ids = in_order(ids);
        let guards = Vec::with_capacity(ids.len());
        Self { shards, mode, rest: ids.into_iter(), lock: None, guards, ready: false }
    }
}

impl<I, Q: ?Sized, S, R: RawMutex> LockAll<'_, '_, I, Q, S, R> {
    /// Waits as this future does, and resolves to [`Closed`] where it would panic because of
    /// [`close`](crate::KeyedMutex::close). What it holds so far is released first.
    ///
    /// # Errors
    ///
    /// As [`Lock::or_closed`].
    pub fn or_closed(self) -> OrClosed<Self> {
        OrClosed::new(self)
    }
}

/// Returns the different ids in the order in which everybody locks them.
pub(crate) fn in_order<'a, Q: Ord + ?Sized>(ids: impl IntoIterator<Item = &'a Q>) -> Vec<&'a Q> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl<'a, I, Q, S, R> Future for LockAll<'a, '_, I, Q, S, R>
where
    I: FromBorrowed<Q> + Hash,
    Q: Hash + Eq + ?Sized,
    S: BuildHasher,
    R: RawMutex,
{
    type Output = Vec<Guard<'a, I, S, R>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_or_closed(cx).map(expect_open)
    }
}

impl<I, Q, S, R> PollOrClosed for LockAll<'_, '_, I, Q, S, R>
where
    I: FromBorrowed<Q> + Hash,
    Q: Hash + Eq + ?Sized,
    S: BuildHasher,
    R: RawMutex,
{
    fn poll_or_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Closed>> {
        let Self { shards, mode, rest, lock, guards, ready } = self;
        assert!(!*ready, "a lock future was polled after it was ready");
        loop {
            if let Some(lock) = lock {
                match ready!(lock.poll_or_closed(cx)) {
                    Ok(guard) => guards.push(guard),
                    Err(Closed) => {
                        *ready = true;
                        guards.clear();
                        return Poll::Ready(Err(Closed));
                    }
                }
            }
            *lock = rest.next().map(|id| Lock::new(shards, id, *mode));
            if lock.is_none() {
                *ready = true;
                return Poll::Ready(Ok(mem::take(guards)));
            }
        }
    }
}

impl<I, Q: ?Sized, S, R: RawMutex> fmt::Debug for LockAll<'_, '_, I, Q, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockAll")
            .field("mode", &self.mode)
            .field("held", &self.guards.len())
            .field("not_asked_for", &self.rest.len())
            .finish()
    }
}
