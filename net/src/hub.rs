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
mod tests {
    use std::time::Duration;

    use lockcore::manager::{Ask, Claim, Claimed, Open, Resume, Secret};

    use super::*;
    use crate::outlet::Closed;

    const LEASE: Duration = Duration::from_secs(10);

    const OPEN: Open = Open { lease: LEASE, secret: Secret::new(1), runs: false };

    /// A session with its connection.
    struct Opened {
        link: Link,
        lease: Duration,
        outlet: Outlet,
    }

    fn attach(
        hub: &Hub,
        attach: impl FnOnce(&mut LockManager, Time) -> Result<manager::Opened, Refusal>,
    ) -> Opened {
        hub.act(|desk, now| {
            let opened = attach(&mut desk.manager, now).unwrap();
            let outlet = desk.attach(&opened);
            Opened { link: opened.link, lease: opened.lease, outlet }
        })
    }

    fn open_for(hub: &Hub, lease: Duration) -> Opened {
        attach(hub, |manager, now| manager.open(now, Open { lease, ..OPEN }))
    }

    fn open(hub: &Hub) -> Opened {
        open_for(hub, LEASE)
    }

    #[test]
    fn a_closed_session_leaves_nothing_behind() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let opened = open(&hub);
        hub.close(opened.link);
        assert_eq!(opened.outlet.read(), Some(Err(Closed::Over)));
        assert!(hub.desk.lock().outlets.is_empty());
        assert_eq!(hub.desk.lock().manager.sessions().len(), 1, "that of the callers");
    }

    #[test]
    fn a_detached_session_waits_for_its_client_and_has_no_outlet() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let opened = open(&hub);
        hub.detach(opened.link);
        hub.detach(opened.link);
        assert!(hub.desk.lock().outlets.is_empty());
        assert_eq!(hub.desk.lock().manager.sessions().len(), 2);
    }

    #[test]
    fn a_hub_that_shut_down_takes_no_more_and_says_what_that_means() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let opened = open(&hub);
        hub.shut_down();
        assert_eq!(
            hub.hear(&mut hub.begin(), ClientMessage::default()).unwrap_err(),
            shutting_down()
        );
        let told = opened.outlet.read().unwrap().unwrap();
        assert!(matches!(told, Event::Ended { reason: Refusal::Administrator { .. }, .. }));
        assert_eq!(opened.outlet.read(), Some(Err(Closed::Over)));
        hub.close(opened.link);
        hub.close(opened.link);
    }

    #[tokio::test]
    async fn leases_are_kept_before_anybody_is_told_and_the_directory_is_free_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir.path()).unwrap()));
        let opened = open(&hub);
        hub.clone().keep_leases().await.unwrap();
        hub.shut_down();
        assert_eq!(opened.outlet.read(), Some(Err(Closed::Over)), "the session may come back");
        let (state, before) = StateDir::open(dir.path()).unwrap();
        assert_eq!(before.unwrap().longest_lease, LEASE);
        let hub = Hub::new(Limits::default(), UNREAD, Some((state, before)));
        let session = opened.link.session();
        let (secret, claims) = (Secret::new(1), &[]);
        let resume = Resume { session, secret, attempt: 1, lease: LEASE, runs: false, claims };
        assert_eq!(attach(&hub, |manager, now| manager.resume(now, resume)).lease, LEASE);
    }

    fn restart(hub: Arc<Hub>, dir: &std::path::Path) -> Arc<Hub> {
        hub.shut_down();
        drop(hub);
        Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir).unwrap()))
    }

    fn resume(hub: &Hub, link: Link, claim: Claim<'_>) -> Outlet {
        let (session, Open { lease, secret, runs }) = (link.session(), OPEN);
        let resume = Resume { session, secret, attempt: 1, lease, runs, claims: &[claim] };
        attach(hub, |manager, now| manager.resume(now, resume)).outlet
    }

    fn told(outlet: &Outlet) -> Outcome {
        let Event::Request { outcome, .. } = outlet.read().unwrap().unwrap() else {
            panic!("an end")
        };
        outcome
    }

    /// Not promised: nobody was given the id, as far as the server that is started knows.
    #[tokio::test]
    async fn what_was_revoked_and_is_claimed_after_a_restart_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir.path()).unwrap()));
        let Opened { link, outlet, .. } = open(&hub);
        hub.clone().keep_leases().await.unwrap();
        let ask = Ask::exclusive("123");
        hub.ask(|manager, now| manager.lock(now, link, 1, ask)).unwrap();
        let Outcome::Granted { token, .. } = told(&outlet) else { panic!("not granted") };
        assert_eq!(hub.ask(|manager, now| manager.revoke_id(now, "123", "maintenance")), 1);

        let hub = restart(hub, dir.path());
        let claim = Claim { request: 1, ask, state: Claimed::Held { token }, more_tokens: &[] };
        let told = told(&resume(&hub, link, claim));
        assert!(
            matches!(told, Outcome::Granted { token: again, .. } if again == token),
            "{told:?}"
        );
    }

    /// Not promised: only clients know the places, and this one had not heard of its own.
    #[tokio::test]
    async fn a_place_that_was_not_told_is_behind_those_that_were_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir.path()).unwrap()));
        let [holder, first, second] = [(); 3].map(|()| open(&hub));
        hub.clone().keep_leases().await.unwrap();
        let ask = Ask::exclusive("123");
        for opened in [&holder, &first, &second] {
            hub.ask(|manager, now| manager.lock(now, opened.link, 1, ask)).unwrap();
        }
        let Outcome::Granted { token, .. } = told(&holder.outlet) else { panic!("not granted") };
        let Outcome::Queued { place, .. } = told(&second.outlet) else { panic!("not queued") };

        let hub = restart(hub, dir.path());
        let claim = |state| Claim { request: 1, ask, state, more_tokens: &[] };
        let _held = resume(&hub, holder.link, claim(Claimed::Held { token }));
        let _first = resume(&hub, first.link, claim(Claimed::Waiting { place: None }));
        let _second = resume(&hub, second.link, claim(Claimed::Waiting { place: Some(place) }));
        let manager = &mut hub.desk.lock().manager;
        manager.handle_timeout(manager.recovers_until().unwrap());
        let queue: Vec<_> = manager.queue("123").map(|waiter| waiter.session).collect();
        assert_eq!(queue, [second.link.session(), first.link.session()]);
    }

    #[tokio::test]
    async fn a_lease_that_nobody_counts_on_any_more_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut limits = Limits::default();
        limits.shortest_lease = Duration::from_millis(10);
        let hub = Hub::new(limits, UNREAD, Some(StateDir::open(dir.path()).unwrap()));
        let _opened = open_for(&hub, limits.shortest_lease);
        hub.clone().keep_leases().await.unwrap();
        hub.clone().settle().await; // there is no window
        hub.shut_down();

        let (state, before) = StateDir::open(dir.path()).unwrap();
        assert_eq!(before.unwrap().longest_lease, limits.shortest_lease);
        let hub = Hub::new(limits, UNREAD, Some((state, before)));
        hub.clone().settle().await;
        assert_eq!(hub.look(|manager, _| manager.recovers_until()), None);
        hub.shut_down();
        let (_, before) = StateDir::open(dir.path()).unwrap();
        assert_eq!(before.unwrap().longest_lease, Duration::ZERO);
    }

    /// Lets the session of `link` ask for an id so often that it is told as often.
    fn ask_often(hub: &Hub, link: Link, requests: RequestId) -> Result<(), Refusal> {
        let ask = Ask { mode: lockcore::Mode::Shared, ..Ask::exclusive("123") };
        (1..=requests)
            .try_for_each(|request| hub.ask(|manager, now| manager.lock(now, link, request, ask)))
    }

    #[test]
    fn the_stream_that_reads_least_ends_when_too_much_waits() {
        let hub = Hub::new(Limits::default(), 40 * size_of::<Event>(), None);
        let [full, other] = [(); 2].map(|()| open(&hub));
        ask_often(&hub, other.link, 10).unwrap();
        ask_often(&hub, full.link, 20).unwrap();
        assert_eq!(full.outlet.len(), 20, "all of it finds room");
        let cut_off = ask_often(&hub, full.link, 20);
        assert!(matches!(cut_off, Err(Refusal::Stale { .. })), "{cut_off:?}");
        assert_eq!(full.outlet.read(), Some(Err(Closed::Full)));
        assert!(matches!(told(&other.outlet), Outcome::Granted { .. }));
        let attached = hub.look(|manager, _| manager.sessions().filter(|s| s.attached).count());
        assert_eq!(attached, 2, "the callers' and the other");
        let (session, secret, claims) = (full.link.session(), Secret::new(1), &[]);
        let resume = Resume { session, secret, attempt: 1, lease: LEASE, runs: false, claims };
        let resumed = hub.ask(|manager, now| manager.resume(now, resume));
        assert!(resumed.is_ok(), "it has its lease to come back");
    }

    #[test]
    fn a_session_that_expires_unread_leaves_one_word() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let opened = open(&hub);
        ask_often(&hub, opened.link, 20).unwrap();
        hub.ask(|manager, now| manager.handle_timeout(now.after(2 * LEASE)));
        assert!(hub.desk.lock().outlets.is_empty());
        assert_eq!(opened.outlet.len(), 1);
        let told = opened.outlet.read();
        let expired = Refusal::SessionExpired { session: opened.link.session() };
        assert_eq!(told, Some(Ok(Event::Ended { link: opened.link, reason: expired })));
    }
}
