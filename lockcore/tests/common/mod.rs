//! Polling by hand, with wakers that count.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod manager;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use lock_api::{GuardSend, RawMutex};

/// Counts wake-ups.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future with a waker of its own that counts.
pub(crate) struct Task<F> {
    future: F,
    count: Arc<Count>,
    waker: Waker,
}

impl<F: Future + Unpin> Task<F> {
    /// A future that was not polled yet.
    pub(crate) fn new(future: F) -> Self {
        let count = Arc::new(Count::default());
        Self { future, waker: count.clone().into(), count }
    }

    /// A future that was polled once, and waits.
    pub(crate) fn queued(future: F) -> Self {
        let mut task = Self::new(future);
        task.assert_waits();
        task
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        poll(&mut self.future, &self.waker)
    }

    /// Polls with a waker that is not its own.
    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<F::Output> {
        poll(&mut self.future, waker)
    }

    pub(crate) fn assert_waits(&mut self) {
        assert!(self.poll().is_pending(), "it holds, and ought to wait");
    }

    /// What a ready future resolves to.
    pub(crate) fn ready(&mut self) -> F::Output {
        ready(self.poll())
    }

    pub(crate) fn woken(&self) -> usize {
        self.count.get()
    }
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

pub(crate) fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits, and ought to be ready"),
    }
}

/// A raw lock for one thread that panics where another would wait for itself: so code that ran
/// inside a borrow and locks again fails a test, and does not hang it.
#[derive(Debug)]
pub(crate) struct Strict(AtomicBool);

// SAFETY: `lock` returns only after it has set the flag, which nobody else had set, and `try_lock`
// says true only then.
unsafe impl RawMutex for Strict {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardSend;

    fn lock(&self) {
        assert!(self.try_lock(), "foreign code runs while a table is borrowed");
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
