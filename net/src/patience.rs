//! [`Patient`]: a stream of answers that is not kept for good for a peer that reads none.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::{Stream, task::AtomicWaker};
use tokio::{task::JoinHandle, time::sleep};

use crate::connection::Cut;

/// Cuts the connection if the stream is due to be polled and is not, for longer than its patience and
/// not for twice as long.
///
/// HTTP/2 polls no stream whose peer makes no room for more, so a stream cannot end itself then.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    pulse: Arc<Pulse>,
    /// Wakes whoever polls, by way of the pulse.
    waker: Waker,
    watch: JoinHandle<()>,
}

/// What is known from outside of a stream.
#[derive(Debug, Default)]
struct Pulse {
    polls: AtomicU64,
    /// Whether it was not polled since it was woken or said something.
    due: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Pulse {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.due.store(true, Ordering::Relaxed);
        self.task.wake();
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, patience: Duration, cut: Cut) -> Self {
        let pulse = Arc::new(Pulse { due: AtomicBool::new(true), ..Pulse::default() });
        let watch = tokio::spawn(watch(pulse.clone(), patience, cut));
        Self { stream, waker: pulse.clone().into(), pulse, watch }
    }
}

impl<S: Stream + Unpin> Stream for Patient<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Self { stream, pulse, waker, .. } = &mut *self;
        pulse.polls.fetch_add(1, Ordering::Relaxed);
        pulse.task.register(cx.waker());
        pulse.due.store(false, Ordering::Relaxed);
        let polled = Pin::new(stream).poll_next(&mut Context::from_waker(waker));
        if polled.is_ready() {
            pulse.due.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S> Drop for Patient<S> {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn watch(pulse: Arc<Pulse>, patience: Duration, cut: Cut) {
    let mut due_since = None;
    loop {
        sleep(patience).await;
        let due = pulse.due.load(Ordering::Relaxed);
        let polls = due.then(|| pulse.polls.load(Ordering::Relaxed));
        if polls.is_some() && polls == due_since {
            tracing::debug!("a peer has read nothing for {patience:?}, and is cut off");
            return cut.cut();
        }
        due_since = polls;
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, channel::mpsc};
    use tokio::time::{advance, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    type Says = mpsc::UnboundedSender<u32>;

    fn stream() -> (Says, Patient<mpsc::UnboundedReceiver<u32>>, Cut) {
        let (says, stream) = mpsc::unbounded();
        let cut = Cut::default();
        (says, Patient::new(stream, PATIENCE, cut.clone()), cut)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_polled_when_it_is_due_is_cut_off() {
        let (says, mut stream, cut) = stream();
        assert!(stream.next().now_or_never().is_none());
        sleep(10 * PATIENCE).await;
        assert!(!cut.is_cut(), "it has nothing to say");
        says.unbounded_send(1).unwrap();
        sleep(PATIENCE / 2).await;
        assert!(!cut.is_cut());
        sleep(2 * PATIENCE).await;
        assert!(cut.is_cut());
    }

    /// It may have been due before, and been polled.
    #[tokio::test(start_paused = true)]
    async fn a_stream_is_due_from_when_it_is_woken() {
        let (says, mut stream, cut) = stream();
        assert!(stream.next().now_or_never().is_none());
        for number in 0..10 {
            sleep(PATIENCE - Duration::from_millis(1)).await;
            says.unbounded_send(number).unwrap();
            sleep(Duration::from_millis(2)).await;
            assert_eq!(stream.next().now_or_never(), Some(Some(number)));
            assert!(stream.next().now_or_never().is_none());
        }
        assert!(!cut.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_never_polled_is_cut_off() {
        let (_says, _stream, cut) = stream();
        sleep(PATIENCE + PATIENCE / 2).await;
        assert!(!cut.is_cut());
        sleep(PATIENCE).await;
        assert!(cut.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_said_something_is_to_be_polled_again() {
        let (says, mut stream, cut) = stream();
        says.unbounded_send(1).unwrap();
        assert_eq!(stream.next().await, Some(1));
        sleep(3 * PATIENCE).await;
        assert!(cut.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_read_slowly_is_kept() {
        let (says, mut stream, cut) = stream();
        for number in 0..10 {
            says.unbounded_send(number).unwrap();
            sleep(PATIENCE * 9 / 10).await;
            assert_eq!(stream.next().await, Some(number));
        }
        assert!(!cut.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_watches_a_stream_that_is_gone() {
        let (_says, stream, cut) = stream();
        drop(stream);
        advance(10 * PATIENCE).await;
        tokio::task::yield_now().await;
        assert!(!cut.is_cut());
    }
}
