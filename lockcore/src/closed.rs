//! [`OrClosed`]: waiting for a lock that somebody may close.

use core::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The lock was closed before the turn came: see [`KeyedMutex::close`](crate::KeyedMutex::close).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is closed")
    }
}

impl Error for Closed {}

/// A future of a lock that can see it closed.
pub(crate) trait PollOrClosed: Future + Unpin {
    /// Polls; an error says that the lock was closed before the turn came.
    fn poll_or_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Closed>>;
}

/// The future of [`Lock::or_closed`](crate::Lock::or_closed), and of the same method of
/// [`LockOwned`](crate::LockOwned) and [`LockAll`](crate::LockAll): resolves to what `F` does, or to
/// [`Closed`].
///
/// Dropping it does what dropping `F` does.
///
/// # Panics
///
/// When polled after it was ready.
#[derive(Debug)]
#[must_use = "a lock future does nothing unless it is polled"]
pub struct OrClosed<F>(F);

impl<F> OrClosed<F> {
    pub(crate) fn new(lock: F) -> Self {
        Self(lock)
    }
}

impl<F: PollOrClosed> Future for OrClosed<F> {
    type Output = Result<F::Output, Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().0.poll_or_closed(cx)
    }
}

/// Returns what was locked.
///
/// # Panics
///
/// If the lock is closed.
#[inline]
pub(crate) fn expect_open<T>(locked: Result<T, Closed>) -> T {
    match locked {
        Ok(locked) => locked,
        Err(Closed) => panic_closed(),
    }
}

#[cold]
fn panic_closed() -> ! {
    panic!("the lock is closed: wait with `or_closed` where that can be")
}
