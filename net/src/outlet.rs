//! [`Outlet`]: what a connection is told, in order, while its peer reads it or does not.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use lockcore::manager::{Event, Outcome, Refusal, Wait};
use parking_lot::Mutex;
use tokio::task::coop::poll_proceed;

/// How many bytes wait in all outlets of a server.
pub(crate) type Unread = Arc<AtomicUsize>;

/// The hub's end. What was told before it is dropped is read first.
#[derive(Debug)]
pub(crate) struct Inlet(Arc<Pipe>);

/// The stream's end. Nothing waits once it is dropped.
#[derive(Debug)]
pub(crate) struct Outlet(Arc<Pipe>);

/// Why no more is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// There is no more.
    Over,
    /// More waited than there was room for; it was dropped.
    Full,
}

#[derive(Debug)]
struct Pipe {
    unread: Unread,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// How many bytes they take, about.
    bytes: usize,
    closed: Option<Closed>,
    /// Of the stream, while it waits for an event.
    waker: Option<Waker>,
}

/// Makes an outlet whose bytes count in `unread`.
pub(crate) fn outlet(unread: &Unread) -> (Inlet, Outlet) {
    let pipe = Arc::new(Pipe { unread: unread.clone(), queue: Mutex::default() });
    (Inlet(pipe.clone()), Outlet(pipe))
}

impl Inlet {
    /// Tells the stream something.
    pub(crate) fn tell(&self, event: Event) {
        self.0.change(|queue| queue.push(event));
    }

    /// Tells the stream how its session ended, and nothing of before that it has not read: it says what
    /// was true of a session that is over.
    pub(crate) fn end(self, event: Event) {
        self.0.change(|queue| {
            queue.clear();
            queue.push(event);
        });
    }

    /// Drops what waits and ends the stream.
    pub(crate) fn overflow(self) {
        self.0.change(|queue| {
            queue.clear();
            queue.closed = Some(Closed::Full);
        });
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.0.queue.lock().bytes
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.0.change(|queue| queue.closed = queue.closed.or(Some(Closed::Over)));
    }
}

impl Outlet {
    /// Reads what comes next. Pending although there is something, if this task has used up its turn.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Result<Event, Closed>> {
        let turn = ready!(poll_proceed(cx));
        let mut queue = self.0.queue.lock();
        let read = match (self.pop(&mut queue), queue.closed) {
            (Some(event), _) => Ok(event),
            (None, Some(closed)) => Err(closed),
            (None, None) => {
                queue.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        turn.made_progress();
        Poll::Ready(read)
    }

    /// Reads what comes next if it is there.
    pub(crate) fn try_read(&self) -> Option<Event> {
        self.pop(&mut self.0.queue.lock())
    }

    fn pop(&self, queue: &mut Queue) -> Option<Event> {
        let event = queue.events.pop_front()?;
        let bytes = bytes(&event);
        queue.bytes -= bytes;
        self.0.unread.fetch_sub(bytes, Ordering::Relaxed);
        Some(event)
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.0.queue.lock().events.len()
    }

    /// How many events wait, unless some were dropped.
    pub(crate) fn all(&self) -> Result<usize, Closed> {
        let queue = self.0.queue.lock();
        match queue.closed {
            Some(Closed::Full) => Err(Closed::Full),
            Some(Closed::Over) | None => Ok(queue.events.len()),
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.change(|queue| {
            queue.clear();
            queue.closed = Some(Closed::Over);
        });
    }
}

impl Pipe {
    /// Changes the queue, keeps count, and wakes the stream.
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        let before = queue.bytes;
        change(&mut queue);
        self.unread.fetch_add(queue.bytes, Ordering::Relaxed);
        self.unread.fetch_sub(before, Ordering::Relaxed);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    fn push(&mut self, event: Event) {
        if self.closed.is_none() {
            self.bytes += bytes(&event);
            self.events.push_back(event);
        }
    }

    fn clear(&mut self) {
        self.bytes = 0;
        drop(mem::take(&mut self.events));
    }
}

/// How much an event takes, about; what it shares with others counts in full.
fn bytes(event: &Event) -> usize {
    let beside = match event {
        Event::Request { outcome, .. } => of_outcome(outcome),
        Event::Ended { reason, .. } => of_reason(reason),
    };
    size_of::<Event>() + beside
}

fn of_outcome(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Granted { id, more, .. } => {
            let of_each = more.iter().map(|held| size_of_val(held) + held.0.len());
            id.len() + of_each.sum::<usize>()
        }
        Outcome::Queued { id, .. }
        | Outcome::Promised { id, .. }
        | Outcome::PromisedTurn { id, .. }
        | Outcome::Released { id } => id.len(),
        Outcome::Revoked { id, reason } => id.len() + of_reason(reason),
        Outcome::Refused(reason) => of_reason(reason),
    }
}

fn of_reason(reason: &Refusal) -> usize {
    if let Refusal::Deadlock { circle } = reason {
        circle.iter().map(|wait| size_of::<Wait>() + wait.id.len()).sum()
    } else if let Refusal::Administrator { note } = reason {
        note.len()
    } else {
        0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use lockcore::manager::{Event, Limits, LockManager, Open, Secret, Time};

    use super::*;

    impl Outlet {
        /// What is there to be read, if anything is or it is closed.
        pub(crate) fn read(&self) -> Option<Result<Event, Closed>> {
            match self.poll_read(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(read) => Some(read),
                Poll::Pending => None,
            }
        }
    }

    fn event(reason: Refusal) -> Event {
        let mut manager = LockManager::new(Limits::default());
        let (lease, secret) = (std::time::Duration::ZERO, Secret::new(1));
        let opened = manager.open(Time::ZERO, Open { lease, secret, runs: false });
        Event::Ended { link: opened.expect("there is room").link, reason }
    }

    #[test]
    fn what_is_told_is_read_in_order_and_counts_while_it_waits() {
        let unread = Unread::default();
        let (inlet, outlet) = outlet(&unread);
        let note = "n".repeat(1000);
        let long = event(Refusal::Administrator { note: (*note).into() });
        inlet.tell(long.clone());
        inlet.tell(event(Refusal::Busy));
        assert_eq!((outlet.len(), inlet.bytes()), (2, unread.load(Ordering::Relaxed)));
        assert_eq!(inlet.bytes(), 2 * size_of::<Event>() + 1000);
        assert_eq!(outlet.read(), Some(Ok(long)));
        drop(inlet);
        assert_eq!(outlet.read(), Some(Ok(event(Refusal::Busy))));
        assert_eq!(outlet.read(), Some(Err(Closed::Over)));
        assert_eq!(unread.load(Ordering::Relaxed), 0);
    }

    /// A request may name so many that they are most of what waits.
    #[test]
    fn further_ids_count_with_their_tokens() {
        let (inlet, _outlet) = outlet(&Unread::default());
        let link = LockManager::default().open_unleased(1);
        let more = vec![("n".repeat(1000).into(), 7); 3];
        let outcome =
            Outcome::Granted { id: "123".into(), token: 7, waiting: 0, more: more.into() };
        inlet.tell(Event::Request { link, request: 1, outcome });
        let of_each = size_of::<(Arc<str>, u64)>() + 1000;
        assert_eq!(inlet.bytes(), size_of::<Event>() + 3 + 3 * of_each);
    }

    #[test]
    fn the_end_of_a_session_is_all_that_is_left_to_read() {
        let unread = Unread::default();
        let (inlet, outlet) = outlet(&unread);
        inlet.tell(event(Refusal::Busy));
        inlet.end(event(Refusal::Cancelled));
        assert_eq!(unread.load(Ordering::Relaxed), size_of::<Event>());
        assert_eq!(outlet.read(), Some(Ok(event(Refusal::Cancelled))));
        assert_eq!(outlet.read(), Some(Err(Closed::Over)));
    }

    #[test]
    fn what_overflows_is_dropped_and_said() {
        let unread = Unread::default();
        let (inlet, outlet) = outlet(&unread);
        inlet.tell(event(Refusal::Busy));
        inlet.overflow();
        assert_eq!(unread.load(Ordering::Relaxed), 0);
        assert_eq!(outlet.read(), Some(Err(Closed::Full)));
    }

    #[test]
    fn nothing_waits_for_a_stream_that_is_gone() {
        let unread = Unread::default();
        let (inlet, outlet) = outlet(&unread);
        inlet.tell(event(Refusal::Busy));
        drop(outlet);
        inlet.tell(event(Refusal::Busy));
        assert_eq!((inlet.bytes(), unread.load(Ordering::Relaxed)), (0, 0));
    }
}
