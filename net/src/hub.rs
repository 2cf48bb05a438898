//! [`Hub`]: the one lock manager of a server, its clock, and the way of its events to the clients.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use lockcore::manager::{
    self, Event, Limits, Link, LockManager, Outcome, Refusal, RequestId, Time,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, warn};

use crate::{
    dialogue::{Dialogue, Dialogues, Fault, Heard, Parting, SECRET_BYTES},
    outlet::{self, Inlet, Outlet, Unread},
    proto::v1::ClientMessage,
    state::{State, StateDir},
};

/// How many holds and waiting calls the callers of the go-syncer protocol may have together.
const CALLS: usize = 1_000_000;

/// How many bytes may wait to be read, over all streams.
pub(crate) const UNREAD: usize = 256 << 20;

/// A lock manager shared by the streams and calls of a server.
///
/// What a session has asked for bounds what waits for its stream, which reads no more requests while
/// its peer reads no answers. What all streams do not read is bounded beside that: see
/// [`Desk::relieve`].
#[derive(Debug)]
pub(crate) struct Hub {
    origin: Instant,
    dialogues: Dialogues,
    desk: Mutex<Desk>,
    /// Told when the next timeout is earlier than it was.
    timer: Notify,
}

#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) manager: LockManager,
    outlets: HashMap<Link, Inlet>,
    unread: Unread,
    /// How many bytes may be unread.
    unread_limit: usize,
    /// `None` if nothing is to survive a restart, and once shut down.
    state: Option<Arc<StateDir>>,
    /// When the clock ticks next, at the latest; `None` for the end of time.
    next_tick: Option<Time>,
    /// The session of all callers of the go-syncer protocol.
    pub(crate) callers: Link,
    pub(crate) calls: HashMap<RequestId, oneshot::Sender<Result<(), Refusal>>>,
    pub(crate) last_call: RequestId,
    pub(crate) closed: bool,
}

/// The server takes no more clients.
#[derive(Debug)]
pub(crate) struct Closed;

impl Hub {
    /// Begins a run, after those that left a state.
    pub(crate) fn new(
        limits: Limits,
        unread_limit: usize,
        state: Option<(StateDir, Option<State>)>,
    ) -> Arc<Self> {
        let mut manager = match &state {
            Some((dir, Some(before))) => {
                LockManager::recover(limits, dir.epoch(), Time::ZERO, before.longest_lease)
            }
            Some((_, None)) | None => LockManager::new(limits),
        };
        let callers = manager.open_unleased(CALLS);
        let desk = Desk {
            manager,
            outlets: HashMap::new(),
            unread: Unread::default(),
            unread_limit,
            state: state.map(|(dir, _)| Arc::new(dir)),
            next_tick: None,
            callers,
            calls: HashMap::new(),
            last_call: 0,
            closed: false,
        };
        Arc::new(Self {
            origin: Instant::now(),
            dialogues: Dialogues::new(limits),
            desk: Mutex::new(desk),
            timer: Notify::new(),
        })
    }

    /// Begins the dialogue of a stream.
    pub(crate) fn begin(&self) -> Dialogue {
        self.dialogues.begin()
    }

    /// Lets a stream's client say something, and returns the outlet of a session that it attaches, whose
    /// client is told after [`keep_leases`](Self::keep_leases).
    pub(crate) fn hear(
        &self,
        dialogue: &mut Dialogue,
        message: ClientMessage,
    ) -> Result<(Heard, Option<Outlet>), Fault> {
        self.act(|desk, now| {
            if desk.closed {
                return Err(shutting_down());
            }
            let heard = dialogue.hear(&mut desk.manager, now, draw_secret, message)?;
            let outlet = match &heard {
                Heard::Attached(opened) => Some(desk.attach(opened)),
                Heard::Nothing | Heard::Say(_) | Heard::Last(_) | Heard::Close(_) => None,
            };
            Ok((heard, outlet))
        })
    }

    /// Lets a stream that has ended leave its session. Late ones do no harm.
    pub(crate) fn part(&self, parting: Parting) {
        match parting {
            Parting::Nothing => {}
            Parting::Detach(link) => self.detach(link),
            Parting::Close(link) => self.close(link),
        }
    }

    /// Sees to it that a restart finds the longest lease.
    pub(crate) async fn keep_leases(self: Arc<Self>) -> io::Result<()> {
        let (state, closed) = self.act(|desk, _| (desk.state.clone(), desk.closed));
        let Some(state) = state else {
            return if closed { Err(io::Error::other("the server has stopped")) } else { Ok(()) };
        };
        let keep = move || state.keep(|| self.desk.lock().manager.longest_lease());
        tokio::task::spawn_blocking(keep).await.map_err(io::Error::other)?
    }

    /// Once the recovery window is over, sees to it that the next restart waits only for leases that
    /// anybody still counts on.
    pub(crate) async fn settle(self: Arc<Self>) {
        let end = self.look(|manager, _| manager.recovers_until());
        let end = end.and_then(|end| self.origin.checked_add(end.since_origin()));
        let Some(end) = end else { return };
        tokio::time::sleep_until(end.into()).await;
        self.ask(|manager, now| manager.handle_timeout(now));
        if let Err(error) = self.keep_leases().await {
            warn!("the next restart waits longer than it must: {error}");
        }
    }

    /// Lets a session go on without a connection until its lease ends. Late ones do no harm.
    fn detach(&self, link: Link) {
        self.act(|desk, now| {
            desk.outlets.remove(&link);
            if desk.manager.detach(now, link).is_ok() {
                debug!(session = %link.session(), "{link} is gone");
            }
        });
    }

    /// Closes a session. Late ones do no harm.
    fn close(&self, link: Link) {
        self.act(|desk, now| {
            desk.outlets.remove(&link);
            if desk.manager.close(now, link).is_ok() {
                debug!(session = %link.session(), "closed");
            }
        });
    }

    /// Asks something of the manager, and sends on what follows.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut LockManager, Time) -> T) -> T {
        self.act(|desk, now| ask(&mut desk.manager, now))
    }

    /// Looks at the manager.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&LockManager, Time) -> T) -> T {
        look(&self.desk.lock().manager, self.now())
    }

    /// Ends all connections and calls, and takes no more. Without a state directory, that is the end
    /// of their sessions.
    pub(crate) fn shut_down(&self) {
        self.act(|desk, _| {
            desk.closed = true;
            if desk.state.take().is_none() {
                desk.end_sessions();
            }
            desk.outlets.clear();
            desk.calls.clear();
        });
    }

    /// Calls the manager whenever a limit passes.
    pub(crate) async fn tick(&self) {
        loop {
            let next = {
                let mut desk = self.desk.lock();
                desk.next_tick = desk.manager.poll_timeout();
                desk.next_tick
            };
            // A moment beyond the clock's range never comes.
            match next.and_then(|time| self.origin.checked_add(time.since_origin())) {
                None => self.timer.notified().await,
                Some(at) => drop(tokio::time::timeout_at(at.into(), self.timer.notified()).await),
            }
            self.ask(|manager, now| manager.handle_timeout(now));
        }
    }

    fn now(&self) -> Time {
        Time::new(self.origin.elapsed())
    }

    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Desk, Time) -> T) -> T {
        let mut desk = self.desk.lock();
        let now = self.now();
        let result = act(&mut desk, now);
        desk.deliver(now);
        let next = desk.manager.poll_timeout();
        let is_earlier =
            next.is_some_and(|next| desk.next_tick.is_none_or(|planned| next < planned));
        if is_earlier {
            desk.next_tick = next;
        }
        drop(desk);
        if is_earlier {
            self.timer.notify_one();
        }
        result
    }
}

impl Desk {
    /// Lets a connection hear of its session.
    fn attach(&mut self, opened: &manager::Opened) -> Outlet {
        let manager::Opened { link, lease } = *opened;
        let (inlet, outlet) = outlet::outlet(&self.unread);
        self.outlets.insert(link, inlet);
        debug!(session = %link.session(), "connected as {link}, for {lease:?} of silence");
        outlet
    }

    fn deliver(&mut self, now: Time) {
        while let Some(event) = self.manager.poll_event() {
            log(&event);
            match event {
                Event::Request { link, request, outcome } if link == self.callers => {
                    self.answer(request, outcome);
                }
                // Its client knows.
                Event::Request { outcome: Outcome::PromisedTurn { .. }, .. } => {}
                Event::Request { link, .. } => {
                    if let Some(outlet) = self.outlets.get(&link) {
                        outlet.tell(event);
                        self.relieve(now);
                    }
                }
                Event::Ended { link, .. } => {
                    if let Some(outlet) = self.outlets.remove(&link) {
                        outlet.end(event);
                    }
                }
            }
        }
    }

    /// Ends streams for which most waits until what is unread finds room. Their clients may come back: the
    /// sessions have what is left of their leases.
    fn relieve(&mut self, now: Time) {
        while self.unread.load(Ordering::Relaxed) > self.unread_limit {
            let fullest = self.outlets.iter().max_by_key(|(_, outlet)| outlet.bytes());
            let Some(link) = fullest.map(|(link, _)| *link) else { return };
            let Some(outlet) = self.outlets.remove(&link) else { return };
            warn!(session = %link.session(), "{} bytes for {link} are not read", outlet.bytes());
            outlet.overflow();
            // If it is no connection any more, it is detached.
            let _ = self.manager.detach(now, link);
        }
    }

    /// Tells all clients that what they hold does not survive this server.
    fn end_sessions(&mut self) {
        let note: Arc<str> = "the server stops, and keeps no state".into();
        for (link, outlet) in self.outlets.drain() {
            let reason = Refusal::Administrator { note: note.clone() };
            outlet.end(Event::Ended { link, reason });
        }
    }
}

fn draw_secret() -> Result<[u8; SECRET_BYTES], Fault> {
    let mut secret = [0; SECRET_BYTES];
    let drawn = getrandom::fill(&mut secret);
    drawn.map_err(|error| Fault::Unavailable(format!("no secret can be drawn: {error}")))?;
    Ok(secret)
}

pub(crate) fn shutting_down() -> Fault {
    Fault::Unavailable("the server is shutting down".to_owned())
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
        Outcome::Granted { id, token, waiting, more } => {
            debug!(%session, request, token, "locking {} buffer: {waiting}", id.escape_debug());
            for (id, token) in more {
                debug!(%session, request, token, "locking {} with it", id.escape_debug());
            }
        }
        Outcome::PromisedTurn { id, token, waiting } => {
            debug!(%session, request, token, "locking {} buffer: {waiting}", id.escape_debug());
        }
        Outcome::Promised { id, token } => {
            debug!(%session, request, token, "promising {}", id.escape_debug());
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
mod tests;
