//! Wakers that count.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

/// A waker that counts how often it was woken and how many clones of it there are.
pub(super) struct CountingWaker {
    count: Arc<Count>,
    pub(super) waker: Waker,
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl CountingWaker {
    pub(super) fn new() -> Self {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        Self { waker: count.clone().into(), count }
    }

    pub(super) fn woken(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }

    /// Returns how many clones are stored elsewhere.
    pub(super) fn stored(&self) -> usize {
        Arc::strong_count(&self.count) - 2
    }
}
