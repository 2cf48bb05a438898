//! Waiting for a future by blocking the thread.

use core::{
    future::Future,
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

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until `future` is ready, or drops it and returns `None` when `limit` passes. A
/// limit beyond the range of the clock is none.
pub(crate) fn block_on<F: Future + Unpin>(
    mut future: F,
    limit: Option<Duration>,
) -> Option<F::Output> {
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
