//! [`Hub`]: the one lock manager of a server, its clock, and the way of its events to the clients.

use std::{collections::HashMap, sync::Arc, time::Instant};

use lockcore::{
    LockManager, Status,
    manager::{Ask, Event, Limits, Link, Outcome, Refusal, RequestId, Time},
};
use parking_lot::Mutex;
use tokio::sync::{
    Notify, mpsc,
    oneshot::{self, error::TryRecvError},
};
use tracing::debug;

/// How many holds and waiting calls the callers of the go-syncer protocol may have together.
const CALLS: usize = 1_000_000;

/// What a session is told, in order.
pub(crate) type Outlet = mpsc::UnboundedReceiver<(RequestId, Outcome)>;

/// A lock manager shared by the streams and calls of a server.
///
/// An outlet is not bounded by itself, and still does not grow without end: a session has a limited
/// number of requests, and a stream reads no more of them while its peer reads no answers.
#[derive(Debug)]
pub(crate) struct Hub {
    origin: Instant,
    desk: Mutex<Desk>,
    /// Told when the next timeout is earlier than it was.
    timer: Notify,
}

#[derive(Debug)]
struct Desk {
    manager: LockManager,
    requests_per_session: usize,
    outlets: HashMap<Link, mpsc::UnboundedSender<(RequestId, Outcome)>>,
    /// The session of all callers of the go-syncer protocol.
    callers: Link,
    calls: HashMap<RequestId, oneshot::Sender<Result<(), Refusal>>>,
    last_call: RequestId,
    closed: bool,
}

/// The server takes no more clients.
#[derive(Debug)]
pub(crate) struct Closed;

impl Hub {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let mut manager = LockManager::new(limits);
        let callers = manager.open_unleased(CALLS);
        let desk = Desk {
            requests_per_session: limits.requests_per_session,
            manager,
            outlets: HashMap::new(),
            callers,
            calls: HashMap::new(),
            last_call: 0,
            closed: false,
        };
        Arc::new(Self { origin: Instant::now(), desk: Mutex::new(desk), timer: Notify::new() })
    }

    /// Opens a session and returns what it is told from then on.
    pub(crate) fn open(&self) -> Result<(Link, Outlet), Closed> {
        self.act(|desk, _| {
            if desk.closed {
                return Err(Closed);
            }
            let link = desk.manager.open_unleased(desk.requests_per_session);
            let (sender, outlet) = mpsc::unbounded_channel();
            desk.outlets.insert(link, sender);
            debug!(session = %link.session(), "opened");
            Ok((link, outlet))
        })
    }

    /// Closes a session; closing it twice does no harm.
    pub(crate) fn close(&self, link: Link) {
        self.act(|desk, now| {
            desk.outlets.remove(&link);
            if desk.manager.close(now, link).is_ok() {
                debug!(session = %link.session(), "closed");
            }
        });
    }

    /// Lets an open session ask something of the manager.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut LockManager, Time) -> T) -> T {
        self.act(|desk, now| ask(&mut desk.manager, now))
    }

    /// Locks for a caller of the go-syncer protocol, until the [`Call`] is dropped or answered.
    pub(crate) fn call(self: &Arc<Self>, ask: Ask<'_>) -> Result<Call, Closed> {
        let (sender, answer) = oneshot::channel();
        self.act(|desk, now| {
            if desk.closed {
                return Err(Closed);
            }
            desk.last_call += 1;
            let request = desk.last_call;
            desk.calls.insert(request, sender);
            let asked = desk.manager.lock(now, desk.callers, request, ask);
            asked.expect("the callers' session is open for good");
            Ok(Call { hub: self.clone(), request: Some(request), answer })
        })
    }

    /// Releases an id that a caller of the go-syncer protocol holds; returns whether one did.
    pub(crate) fn unlock(&self, id: &str) -> bool {
        self.act(|desk, now| {
            let released = desk.manager.release_id(now, desk.callers, id);
            released.expect("the callers' session is open for good")
        })
    }

    /// Returns who holds an id and how many wait for it, or `None` if it is free.
    pub(crate) fn status(&self, id: &str) -> Option<Status> {
        self.desk.lock().manager.status(id)
    }

    /// Ends all sessions and calls, and takes no more.
    pub(crate) fn shut_down(&self) {
        self.act(|desk, _| {
            desk.closed = true;
            desk.outlets.clear();
            desk.calls.clear();
        });
    }

    /// Calls the manager whenever a limit passes.
    pub(crate) async fn tick(&self) {
        loop {
            let next = self.desk.lock().manager.poll_timeout();
            // A moment beyond the clock's range never comes.
            match next.and_then(|time| self.origin.checked_add(time.since_origin())) {
                None => self.timer.notified().await,
                Some(at) => drop(tokio::time::timeout_at(at.into(), self.timer.notified()).await),
            }
            self.ask(|manager, now| manager.handle_timeout(now));
        }
    }

    fn act<T>(&self, act: impl FnOnce(&mut Desk, Time) -> T) -> T {
        let mut desk = self.desk.lock();
        let before = desk.manager.poll_timeout();
        let result = act(&mut desk, Time::new(self.origin.elapsed()));
        desk.deliver();
        let after = desk.manager.poll_timeout();
        drop(desk);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.timer.notify_one();
        }
        result
    }
}

impl Desk {
    fn deliver(&mut self) {
        while let Some(event) = self.manager.poll_event() {
            log(&event);
            match event {
                Event::Request { link, request, outcome } if link == self.callers => {
                    self.answer(request, outcome);
                }
                Event::Request { link, request, outcome } => {
                    if let Some(outlet) = self.outlets.get(&link) {
                        // An outlet that nobody reads belongs to a stream that is about to close its
                        // session.
                        let _ = outlet.send((request, outcome));
                    }
                }
                Event::Ended { link, .. } => drop(self.outlets.remove(&link)),
            }
        }
    }

    /// Answers a call, if this is what it waits for. One who is gone cancels, so nobody is lost.
    fn answer(&mut self, request: RequestId, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Granted { .. } => Ok(()),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Queued { .. } | Outcome::Released { .. } | Outcome::Revoked { .. } => return,
        };
        if let Some(call) = self.calls.remove(&request) {
            let _ = call.send(answer);
        }
    }
}

/// A lock request of a caller of the go-syncer protocol.
///
/// Dropping it before it was answered cancels it, and passes on a turn that has just come.
#[derive(Debug)]
pub(crate) struct Call {
    hub: Arc<Hub>,
    /// `None` once answered.
    request: Option<RequestId>,
    answer: oneshot::Receiver<Result<(), Refusal>>,
}

impl Call {
    /// Waits for the turn.
    pub(crate) async fn granted(mut self) -> Result<Result<(), Refusal>, Closed> {
        let answer = match self.answer.try_recv() {
            Err(TryRecvError::Empty) => {
                let answer = (&mut self.answer).await;
                // The caller may have gone in the same moment, which the transport sees only while
                // the call is pending: it is then dropped here, and the turn passes on.
                tokio::task::yield_now().await;
                answer.map_err(|_| Closed)
            }
            answer => answer.map_err(|_| Closed),
        };
        self.request = None;
        answer
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(request) = self.request else { return };
        self.hub.act(|desk, now| {
            desk.calls.remove(&request);
            let cancelled = desk.manager.cancel(now, desk.callers, request);
            cancelled.expect("the callers' session is open for good");
        });
    }
}

/// Logs hand-offs and queue lengths, which go-syncer calls the buffer.
fn log(event: &Event) {
    let session = event.link().session();
    let (request, outcome) = match event {
        Event::Request { request, outcome, .. } => (*request, outcome),
        Event::Ended { reason, .. } => return debug!(%session, "ended: {reason}"),
    };
    match outcome {
        Outcome::Queued { id, waiting, .. } => {
            debug!(%session, request, "suspending {} buffer: {waiting}", id.escape_debug());
        }
        Outcome::Granted { id, token, waiting } => {
            debug!(%session, request, token, "locking {} buffer: {waiting}", id.escape_debug());
        }
        Outcome::Released { id } => debug!(%session, request, "unlocking {}", id.escape_debug()),
        Outcome::Revoked { id, reason } => {
            let id = id.escape_debug();
            debug!(%session, request, "unlocking {id}: {reason}");
        }
        Outcome::Refused(refusal) => debug!(%session, request, "refusing: {refusal}"),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn call(hub: &Arc<Hub>) -> Call {
        hub.call(Ask::exclusive("123")).unwrap()
    }

    fn waiting(hub: &Hub) -> Option<usize> {
        hub.status("123").map(|status| status.waiting)
    }

    /// Scenario 1 for callers of the go-syncer protocol, whose futures tonic drops as they go away.
    #[test]
    fn a_call_dropped_as_its_turn_came_passes_the_turn_on() {
        let hub = Hub::new(Limits::default());
        let holder = call(&hub).granted().now_or_never();
        assert!(holder.unwrap().unwrap().is_ok());
        let [second, third, fourth] = [(); 3].map(|()| call(&hub));
        assert!(hub.unlock("123"));
        assert_eq!(waiting(&hub), Some(2));
        // Its turn has come, and it goes away without a look; so does the one behind it.
        drop(second);
        assert_eq!(waiting(&hub), Some(1));
        drop(third);
        assert!(fourth.granted().now_or_never().unwrap().unwrap().is_ok());
        assert!(hub.unlock("123"));
        assert_eq!(hub.status("123"), None);
        assert!(hub.desk.lock().calls.is_empty());
    }

    #[test]
    fn a_call_dropped_while_it_waits_leaves_the_queue() {
        let hub = Hub::new(Limits::default());
        let _holder = call(&hub).granted().now_or_never();
        assert!(call(&hub).granted().now_or_never().is_none());
        drop(call(&hub));
        assert_eq!(waiting(&hub), Some(0));
        assert!(hub.desk.lock().calls.is_empty());
    }

    #[test]
    fn a_call_that_was_answered_keeps_its_hold_when_dropped() {
        let hub = Hub::new(Limits::default());
        let _answered = call(&hub).granted().now_or_never();
        assert_eq!(waiting(&hub), Some(0));
    }

    #[test]
    fn a_closed_session_leaves_nothing_behind() {
        let hub = Hub::new(Limits::default());
        let (link, outlet) = hub.open().unwrap();
        hub.close(link);
        assert!(outlet.is_closed());
        assert!(hub.desk.lock().outlets.is_empty());
        assert_eq!(hub.desk.lock().manager.sessions().len(), 1, "that of the callers");
    }

    #[test]
    fn a_hub_that_shut_down_takes_no_more() {
        let hub = Hub::new(Limits::default());
        let (link, mut outlet) = hub.open().unwrap();
        hub.shut_down();
        assert!(hub.open().is_err());
        assert!(hub.call(Ask::exclusive("123")).is_err());
        assert_eq!(outlet.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        hub.close(link);
        hub.close(link);
    }
}
