//! The futures: [`Lock`] and [`LockOwned`].

use alloc::sync::Arc;
use core::{
    borrow::Borrow,
    fmt,
    future::Future,
    hash::{BuildHasher, Hash},
    pin::Pin,
    task::{Context, Poll, Waker},
};

#[cfg(feature = "std")]
use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

#[cfg(feature = "std")]
use crate::shards::DefaultRawMutex;
use crate::{
    closed::{Closed, OrClosed, PollOrClosed, expect_open},
    from_borrowed::FromBorrowed,
    guard::{Guard, OwnedGuard},
    handles::{Hold, Mode, Ticket},
    shards::{Shards, Turn},
};

/// Where a request stands.
enum State<N> {
    /// Not polled yet; not in the table; dropping it does nothing. There are two of them, and not
    /// one with a mode, because that keeps a future small.
    NewExclusive(N),
    /// As `NewExclusive`, for a shared hold.
    NewShared(N),
    /// In the table; dropping it must cancel.
    Queued(Ticket),
    /// Not in the table; the guard has the hold, if the lock was not closed.
    Done,
}

impl<N> State<N> {
    fn new(id: N, mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::NewExclusive(id),
            Mode::Shared => Self::NewShared(id),
        }
    }

    // Inlined for good, as the future's own `poll`: a guard that is returned in memory and read at once
    // by wider loads waits for its stores, which took as long as all else of an uncontended lock.
    #[inline(always)]
    fn poll<I, Q, S, R, G>(
        &mut self,
        shards: &Shards<I, S, R>,
        waker: &Waker,
        resolve: impl FnOnce(Result<Hold, Closed>) -> G,
    ) -> Poll<G>
    where
        N: Borrow<Q>,
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
        S: BuildHasher,
        R: RawMutex,
    {
        let Self::NewExclusive(id) = self else { return self.poll_again(shards, waker, resolve) };
        let place = shards.place((*id).borrow());
        match place.try_first((*id).borrow()) {
            Some(hold) => {
                let guard = resolve(Ok(hold));
                // If dropping the id panics, so is the guard, and the turn passes on.
                *self = Self::Done;
                Poll::Ready(guard)
            }
            None => self.join(shards, place.hash, Mode::Exclusive, waker, resolve),
        }
    }

    /// Polls a request that is not new and exclusive.
    #[inline(never)]
    fn poll_again<I, Q, S, R, G>(
        &mut self,
        shards: &Shards<I, S, R>,
        waker: &Waker,
        resolve: impl FnOnce(Result<Hold, Closed>) -> G,
    ) -> Poll<G>
    where
        N: Borrow<Q>,
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
        S: BuildHasher,
        R: RawMutex,
    {
        match self {
            Self::NewExclusive(id) | Self::NewShared(id) => {
                let hash = shards.place((*id).borrow()).hash;
                self.join(shards, hash, Mode::Shared, waker, resolve)
            }
            Self::Queued(_) => self.poll_turn(shards, waker, resolve),
            Self::Done => panic!("a lock future was polled after it was ready"),
        }
    }

    /// Locks the id, or queues for it with a clone of `waker`.
    #[inline(never)]
    fn join<I, Q, S, R, G>(
        &mut self,
        shards: &Shards<I, S, R>,
        hash: u64,
        mode: Mode,
        waker: &Waker,
        resolve: impl FnOnce(Result<Hold, Closed>) -> G,
    ) -> Poll<G>
    where
        N: Borrow<Q>,
        I: FromBorrowed<Q> + Hash,
        Q: Hash + Eq + ?Sized,
        S: BuildHasher,
        R: RawMutex,
    {
        let (Self::NewExclusive(id) | Self::NewShared(id)) = self else {
            unreachable!("who joins is new");
        };
        let mut waker = Some(waker.clone());
        let outcome = match shards.place_of(hash).join((*id).borrow(), mode, &mut waker) {
            Ok(hold) => Ok(hold),
            Err(None) => Err(Closed),
            Err(Some(ticket)) => {
                *self = Self::Queued(ticket);
                return Poll::Pending;
            }
        };
        let guard = resolve(outcome);
        // If dropping the id or the waker panics, so is the guard, and the turn passes on.
        *self = Self::Done;
        drop(waker);
        Poll::Ready(guard)
    }

    /// Takes the turn or the refusal, or leaves a clone of `waker` for it.
    #[inline]
    fn poll_turn<I, S, R: RawMutex, G>(
        &mut self,
        shards: &Shards<I, S, R>,
        waker: &Waker,
        resolve: impl FnOnce(Result<Hold, Closed>) -> G,
    ) -> Poll<G> {
        let Self::Queued(ticket) = self else { unreachable!("only a queued request has a turn") };
        let outcome = loop {
            match shards.poll_turn(ticket, waker) {
                Turn::Came(hold) => break Ok(hold),
                Turn::Closed => break Err(Closed),
                Turn::Waits => return Poll::Pending,
                Turn::NeedsWaker => {
                    if shards.leave_waker(ticket, waker.clone()) {
                        return Poll::Pending;
                    }
                }
            }
        };
        *self = Self::Done;
        Poll::Ready(resolve(outcome))
    }

    /// Leaves what it is in; nobody looks at it again.
    #[inline]
    fn cancel<I, S, R: RawMutex>(&mut self, shards: &Shards<I, S, R>) {
        if let Self::Queued(ticket) = self {
            shards.cancel(ticket);
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::NewExclusive(_) | Self::NewShared(_) => "not polled yet",
            Self::Queued(_) => "queued",
            Self::Done => "done",
        }
    }
}

/// The future of [`KeyedMutex::lock`](crate::KeyedMutex::lock) and of `read` and `write` of a
/// [`KeyedRwLock`](crate::KeyedRwLock); resolves to a [`Guard`].
///
/// It takes its place in the queue when it is polled for the first time and is `Unpin`.
///
/// # Panics
///
/// When polled after it was ready, or when the lock is closed: see [`or_closed`](Self::or_closed).
#[must_use = "a lock future does nothing unless it is polled"]
pub struct Lock<
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
    state: State<&'q Q>,
}

impl<'a, 'q, I, Q: ?Sized, S, R: RawMutex> Lock<'a, 'q, I, Q, S, R> {
    pub(crate) fn new(shards: &'a Shards<I, S, R>, id: &'q Q, mode: Mode) -> Self {
        Self { shards, state: State::new(id, mode) }
    }

    /// Waits as this future does, and resolves to [`Closed`] where it would panic because of
    /// [`close`](crate::KeyedMutex::close).
    ///
    /// # Errors
    ///
    /// [`Closed`] if the lock was closed before the turn came.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use lockcore::{Closed, KeyedMutex};
    ///
    /// let payments = KeyedMutex::<u64>::new();
    /// let guard = payments.lock(&123).or_closed().await.expect("it is open");
    /// payments.close();
    /// assert!(matches!(payments.lock(&123).or_closed().await, Err(Closed)));
    /// # drop(guard);
    /// # });
    /// ```
    pub fn or_closed(self) -> OrClosed<Self> {
        OrClosed::new(self)
    }
}

impl<'a, I, Q, S, R> Future for Lock<'a, '_, I, Q, S, R>
where
    I: FromBorrowed<Q> + Hash,
    Q: Hash + Eq + ?Sized,
    S: BuildHasher,
    R: RawMutex,
{
    type Output = Guard<'a, I, S, R>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shards, state } = self.get_mut();
        let guard = |hold| Guard::new(shards, expect_open(hold));
        state.poll::<_, Q, _, _, _>(shards, cx.waker(), guard)
    }
}

impl<I, Q, S, R> PollOrClosed for Lock<'_, '_, I, Q, S, R>
where
    I: FromBorrowed<Q> + Hash,
    Q: Hash + Eq + ?Sized,
    S: BuildHasher,
    R: RawMutex,
{
    fn poll_or_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Closed>> {
        let Self { shards, state } = self;
        let guard = |hold: Result<_, _>| hold.map(|hold| Guard::new(shards, hold));
        state.poll::<_, Q, _, _, _>(shards, cx.waker(), guard)
    }
}

impl<I, Q: ?Sized, S, R: RawMutex> Drop for Lock<'_, '_, I, Q, S, R> {
    #[inline]
    fn drop(&mut self) {
        self.state.cancel(self.shards);
    }
}

impl<I, Q: ?Sized, S, R: RawMutex> fmt::Debug for Lock<'_, '_, I, Q, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("state", &self.state.name()).finish()
    }
}

/// The future of [`KeyedMutex::lock_owned`](crate::KeyedMutex::lock_owned) and of `read_owned` and
/// `write_owned` of a [`KeyedRwLock`](crate::KeyedRwLock); resolves to an [`OwnedGuard`].
///
/// It takes its place in the queue when it is polled for the first time and is `Unpin`.
///
/// # Panics
///
/// When polled after it was ready, or when the lock is closed: see [`or_closed`](Self::or_closed).
#[must_use = "a lock future does nothing unless it is polled"]
pub struct LockOwned<
    I,
    #[cfg(feature = "std")] S = DefaultHashBuilder,
    #[cfg(not(feature = "std"))] S,
    #[cfg(feature = "std")] R: RawMutex = DefaultRawMutex,
    #[cfg(not(feature = "std"))] R: RawMutex,
> {
    shards: Arc<Shards<I, S, R>>,
    state: State<I>,
}

impl<I, S, R: RawMutex> LockOwned<I, S, R> {
    pub(crate) fn new(shards: Arc<Shards<I, S, R>>, id: I, mode: Mode) -> Self {
        Self { shards, state: State::new(id, mode) }
    }

    /// Waits as this future does, and resolves to [`Closed`] where it would panic because of
    /// [`close`](crate::KeyedMutex::close).
    ///
    /// # Errors
    ///
    /// As [`Lock::or_closed`].
    pub fn or_closed(self) -> OrClosed<Self> {
        OrClosed::new(self)
    }
}

impl<I, S, R: RawMutex> Unpin for LockOwned<I, S, R> {}

impl<I, S, R> Future for LockOwned<I, S, R>
where
    I: Hash + Eq + Clone,
    S: BuildHasher,
    R: RawMutex,
{
    type Output = OwnedGuard<I, S, R>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shards, state } = self.get_mut();
        let guard = |hold| OwnedGuard::new(shards.clone(), expect_open(hold));
        state.poll::<_, I, _, _, _>(shards, cx.waker(), guard)
    }
}

impl<I, S, R> PollOrClosed for LockOwned<I, S, R>
where
    I: Hash + Eq + Clone,
    S: BuildHasher,
    R: RawMutex,
{
    fn poll_or_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Closed>> {
        let Self { shards, state } = self;
        let guard = |hold: Result<_, _>| hold.map(|hold| OwnedGuard::new(shards.clone(), hold));
        state.poll::<_, I, _, _, _>(shards, cx.waker(), guard)
    }
}

impl<I, S, R: RawMutex> Drop for LockOwned<I, S, R> {
    #[inline]
    fn drop(&mut self) {
        self.state.cancel(&self.shards);
    }
}

impl<I, S, R: RawMutex> fmt::Debug for LockOwned<I, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockOwned").field("state", &self.state.name()).finish()
    }
}
