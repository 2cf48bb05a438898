//! Waiting until somebody else is done: [`Free`] and [`Drained`].

use core::{
    borrow::Borrow,
    fmt,
    future::Future,
    hash::{BuildHasher, Hash},
    mem,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "std")]
use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

#[cfg(feature = "std")]
use crate::shards::DefaultRawMutex;
use crate::shards::{Shards, Watched};

/// The future of [`KeyedMutex::free`](crate::KeyedMutex::free) and of the same method of a
/// [`KeyedRwLock`](crate::KeyedRwLock): ready when an id is free, and from then on.
#[must_use = "a future does nothing unless it is polled"]
pub struct Free<
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
    state: State<'q, Q>,
}

enum State<'q, Q: ?Sized> {
    /// Not polled yet.
    New(&'q Q),
    /// Dropping it must end the watch.
    Watches(Watched),
    WasFree,
}

impl<'a, 'q, I, Q: ?Sized, S, R: RawMutex> Free<'a, 'q, I, Q, S, R> {
    pub(crate) fn new(shards: &'a Shards<I, S, R>, id: &'q Q) -> Self {
        Self { shards, state: State::New(id) }
    }
}

impl<I, Q, S, R> Future for Free<'_, '_, I, Q, S, R>
where
    I: Borrow<Q> + Hash,
    Q: Hash + Eq + ?Sized,
    S: BuildHasher,
    R: RawMutex,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shards, state } = self.get_mut();
        if let State::New(id) = state {
            *state = shards.place(*id).watch(*id).map_or(State::WasFree, State::Watches);
        }
        if let State::Watches(watched) = state {
            if !shards.poll_watch(watched, cx.waker().clone()) {
                return Poll::Pending;
            }
            state.unwatch(shards);
        }
        Poll::Ready(())
    }
}

impl<Q: ?Sized> State<'_, Q> {
    fn unwatch<I, S, R: RawMutex>(&mut self, shards: &Shards<I, S, R>) {
        if let Self::Watches(watched) = mem::replace(self, Self::WasFree) {
            shards.unwatch(watched);
        }
    }
}

impl<I, Q: ?Sized, S, R: RawMutex> Drop for Free<'_, '_, I, Q, S, R> {
    fn drop(&mut self) {
        self.state.unwatch(self.shards);
    }
}

impl<I, Q: ?Sized, S, R: RawMutex> fmt::Debug for Free<'_, '_, I, Q, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New(_) => "not polled yet",
            State::Watches(_) => "watches",
            State::WasFree => "was free",
        };
        f.debug_struct("Free").field("state", &state).finish()
    }
}

/// The future of [`KeyedMutex::drained`](crate::KeyedMutex::drained) and of the same method of a
/// [`KeyedRwLock`](crate::KeyedRwLock): ready when whoever held or waited at
/// its first poll is gone, and from then on.
#[must_use = "a future does nothing unless it is polled"]
pub struct Drained<
    'a,
    I,
    #[cfg(feature = "std")] S = DefaultHashBuilder,
    #[cfg(not(feature = "std"))] S,
    #[cfg(feature = "std")] R: RawMutex = DefaultRawMutex,
    #[cfg(not(feature = "std"))] R: RawMutex,
> {
    shards: &'a Shards<I, S, R>,
    /// How many tables were seen empty.
    seen: usize,
    /// The watch of the one after them, which dropping must end.
    watched: Option<Watched>,
}

impl<'a, I, S, R: RawMutex> Drained<'a, I, S, R> {
    pub(crate) fn new(shards: &'a Shards<I, S, R>) -> Self {
        Self { shards, seen: 0, watched: None }
    }

    fn unwatch(&mut self) {
        if let Some(watched) = self.watched.take() {
            self.shards.unwatch(watched);
        }
    }
}

impl<I: Hash, S: BuildHasher, R: RawMutex> Future for Drained<'_, I, S, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        while this.seen < this.shards.tables() {
            if this.watched.is_none() {
                this.watched = this.shards.watch_all(this.seen);
            }
            if let Some(watched) = &this.watched
                && !this.shards.poll_watch(watched, cx.waker().clone())
            {
                return Poll::Pending;
            }
            this.unwatch();
            this.seen += 1;
        }
        Poll::Ready(())
    }
}

impl<I, S, R: RawMutex> Drop for Drained<'_, I, S, R> {
    fn drop(&mut self) {
        self.unwatch();
    }
}

impl<I, S, R: RawMutex> fmt::Debug for Drained<'_, I, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("tables", &self.shards.tables())
            .field("seen_empty", &self.seen)
            .finish()
    }
}
