//! The futures: [`Lock`] and [`LockOwned`].

use alloc::borrow::ToOwned;
use core::{
    borrow::Borrow,
    fmt,
    future::Future,
    hash::{BuildHasher, Hash},
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use lock_api::RawMutex;

use crate::{
    guard::{Guard, OwnedGuard},
    shards::{Shards, Turn},
    table::{Hold, Joined, Mode, Ticket},
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
    /// Not in the table; the guard has the hold.
    Done,
}

impl<N> State<N> {
    fn new(id: N, mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::NewExclusive(id),
            Mode::Shared => Self::NewShared(id),
        }
    }

    #[inline]
    fn poll<I, Q, S, R, G>(
        &mut self,
        shards: &Shards<I, S, R>,
        waker: &Waker,
        guard: impl FnOnce(Hold) -> G,
    ) -> Poll<G>
    where
        N: Borrow<Q>,
        I: Borrow<Q> + Hash,
        Q: Hash + Eq + ToOwned<Owned = I> + ?Sized,
        S: BuildHasher + Clone,
        R: RawMutex,
    {
        let (id, mode) = match self {
            Self::NewExclusive(id) => ((*id).borrow(), Mode::Exclusive),
            Self::NewShared(id) => ((*id).borrow(), Mode::Shared),
            Self::Queued(_) => return self.poll_turn(shards, waker, guard),
            Self::Done => panic!("a lock future was polled after it was ready"),
        };
        let hash = match shards.try_lock(id, mode) {
            Ok(hold) => return self.hold(guard(hold)),
            Err(hash) => hash,
        };
        match shards.lock(hash, id, mode, waker.clone()) {
            Joined::Holds(hold, unused) => {
                let guard = guard(hold);
                drop(unused);
                self.hold(guard)
            }
            Joined::Waits(ticket) => {
                *self = Self::Queued(ticket);
                Poll::Pending
            }
        }
    }

    /// If dropping the id panics, the guard is dropped, too, and the turn passes on.
    #[inline]
    fn hold<G>(&mut self, guard: G) -> Poll<G> {
        *self = Self::Done;
        Poll::Ready(guard)
    }

    fn poll_turn<I, S, R: RawMutex, G>(
        &mut self,
        shards: &Shards<I, S, R>,
        waker: &Waker,
        guard: impl FnOnce(Hold) -> G,
    ) -> Poll<G> {
        let mut spare = None;
        loop {
            let Self::Queued(ticket) = mem::replace(self, Self::Done) else {
                unreachable!("only a queued request waits for its turn");
            };
            match shards.poll_turn(ticket, waker, &mut spare) {
                Turn::Came(hold) => return Poll::Ready(guard(hold)),
                Turn::Waits(ticket) => {
                    *self = Self::Queued(ticket);
                    return Poll::Pending;
                }
                Turn::NeedsWaker(ticket) => *self = Self::Queued(ticket),
            }
            // If cloning panics, the ticket is in its place.
            spare = Some(waker.clone());
        }
    }

    #[inline]
    fn cancel<I, S, R: RawMutex>(&mut self, shards: &Shards<I, S, R>) {
        if let Self::Queued(ticket) = mem::replace(self, Self::Done) {
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
/// When polled after it was ready.
#[must_use = "a lock future does nothing unless it is polled"]
pub struct Lock<'a, 'q, I, Q: ?Sized, S, R: RawMutex> {
    shards: &'a Shards<I, S, R>,
    state: State<&'q Q>,
}

impl<'a, 'q, I, Q: ?Sized, S, R: RawMutex> Lock<'a, 'q, I, Q, S, R> {
    pub(crate) fn new(shards: &'a Shards<I, S, R>, id: &'q Q, mode: Mode) -> Self {
        Self { shards, state: State::new(id, mode) }
    }
}

impl<'a, I, Q, S, R> Future for Lock<'a, '_, I, Q, S, R>
where
    I: Borrow<Q> + Hash,
    Q: Hash + Eq + ToOwned<Owned = I> + ?Sized,
    S: BuildHasher + Clone,
    R: RawMutex,
{
    type Output = Guard<'a, I, S, R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shards, state } = self.get_mut();
        state.poll::<_, Q, _, _, _>(shards, cx.waker(), |hold| Guard::new(shards, hold))
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
/// When polled after it was ready.
#[must_use = "a lock future does nothing unless it is polled"]
pub struct LockOwned<I, S, R: RawMutex> {
    shards: Shards<I, S, R>,
    state: State<I>,
}

impl<I, S, R: RawMutex> LockOwned<I, S, R> {
    pub(crate) fn new(shards: Shards<I, S, R>, id: I, mode: Mode) -> Self {
        Self { shards, state: State::new(id, mode) }
    }
}

impl<I, S, R: RawMutex> Unpin for LockOwned<I, S, R> {}

impl<I, S, R> Future for LockOwned<I, S, R>
where
    I: Hash + Eq + Clone,
    S: BuildHasher + Clone,
    R: RawMutex,
{
    type Output = OwnedGuard<I, S, R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shards, state } = self.get_mut();
        let guard = |hold| OwnedGuard::new(shards.clone(), hold);
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
