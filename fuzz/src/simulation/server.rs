//! [`Server`]: the real `LockManager` behind an adapter, a disk that survives, and witnesses.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
    time::Duration,
};

use lockcore::{
    LockManager,
    manager::{
        Claim, Epoch, Event, Holder, Limits, Link, Open, Opened, Outcome, Refusal, RequestId,
        Resume, SessionId, Time, Waiter,
    },
};

use super::{
    IDS,
    wire::{Connection, ToClient, ToServer},
};

/// The lease that clients ask for.
pub(super) const LEASE: Duration = Duration::from_secs(10);

pub(super) struct Server {
    /// `None` while it is down.
    pub(super) manager: Option<LockManager>,
    /// Counts starts.
    pub(super) start: u32,
    /// When it started, by the clock of the world.
    started: u64,
    /// How many thousandths of a second its clock counts in a second.
    pace: u64,
    disk: Disk,
    /// The connection of each link, and the link of each connection.
    connections: BTreeMap<Link, usize>,
    links: BTreeMap<usize, Link>,
    witness: Witness,
}

/// What survives.
#[derive(Clone, Copy)]
struct Disk {
    epoch: Epoch,
    longest_lease: Duration,
}

/// What must have been so, noted apart from the manager.
#[derive(Default)]
struct Witness {
    /// The tokens by which each id was held, over all starts.
    tokens: BTreeSet<(&'static str, u64)>,
    /// Those of them that were known before the server heard something last.
    known_tokens: BTreeSet<(&'static str, u64)>,
    /// The place of each request that was told to wait.
    places: BTreeMap<(SessionId, RequestId), u64>,
    /// When each session was last heard, in this start, and its lease.
    heard: BTreeMap<SessionId, (Time, Duration)>,
}

impl Server {
    pub(super) fn new(pace: u64) -> Self {
        let disk = Disk { epoch: Epoch::FIRST, longest_lease: Duration::ZERO };
        let mut server = Self {
            manager: None,
            start: 0,
            started: 0,
            pace,
            disk,
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            witness: Witness::default(),
        };
        server.restart(0);
        server
    }

    pub(super) fn crash(&mut self) {
        self.manager = None;
        self.connections.clear();
        self.links.clear();
    }

    pub(super) fn restart(&mut self, now: u64) {
        self.disk.epoch = self.disk.epoch.next().expect("few restarts");
        self.start += 1;
        self.started = now;
        let Disk { epoch, longest_lease } = self.disk;
        let now = self.clock(now);
        self.manager = Some(LockManager::recover(Limits::default(), epoch, now, longest_lease));
        self.witness.heard.clear();
        self.witness.places.clear();
    }

    /// Its own clock, which begins with each start.
    fn clock(&self, now: u64) -> Time {
        Time::new(Duration::from_micros((now - self.started) * self.pace))
    }

    pub(super) fn handle_timeout(&mut self, now: u64, connections: &mut [Connection]) {
        let clock = self.clock(now);
        if let Some(manager) = &mut self.manager {
            manager.handle_timeout(clock);
            self.deliver(now, connections);
        }
    }

    /// Notices that a connection is broken.
    pub(super) fn lose(&mut self, now: u64, connection: usize, connections: &mut [Connection]) {
        connections[connection].server_gone = true;
        let clock = self.clock(now);
        if let (Some(link), Some(manager)) = (self.links.remove(&connection), &mut self.manager) {
            self.connections.remove(&link);
            // The session may be over, or attached to another connection.
            let _ = manager.detach(clock, link);
            self.deliver(now, connections);
        }
    }

    pub(super) fn hear(
        &mut self,
        now: u64,
        connection: usize,
        message: ToServer,
        connections: &mut [Connection],
    ) {
        let clock = self.clock(now);
        let Some(manager) = &mut self.manager else { return };
        let opened = match message {
            ToServer::Open { secret, runs } => {
                Some(manager.open(clock, Open { lease: LEASE, secret, runs }))
            }
            ToServer::Resume { session, secret, attempt, runs, claims } => {
                let claims: Vec<Claim<'_>> =
                    claims.iter().map(|(request, wanted)| wanted.claim(*request)).collect();
                let (lease, claims) = (LEASE, &claims[..]);
                let resume = Resume { session, secret, attempt, lease, runs, claims };
                Some(manager.resume(clock, resume))
            }
            ToServer::KeepAlive { .. }
            | ToServer::Lock { .. }
            | ToServer::Release { .. }
            | ToServer::Cancel { .. }
            | ToServer::Close => {
                let Some(&link) = self.links.get(&connection) else { return };
                self.hear_from_session(clock, link, message, &mut connections[connection]);
                None
            }
        };
        let answer = opened.map(|opened| self.attach(clock, connection, opened));
        // Claims are answered before the client counts on its lease again.
        self.deliver(now, connections);
        connections[connection].to_client.extend(answer);
    }

    fn attach(
        &mut self,
        clock: Time,
        connection: usize,
        opened: Result<Opened, Refusal>,
    ) -> ToClient {
        let manager = self.manager.as_ref().expect("it has just answered");
        self.disk.longest_lease = manager.longest_lease();
        match opened {
            Err(reason) => ToClient::Ended { reason },
            Ok(Opened { link, lease }) => {
                self.witness.heard.insert(link.session(), (clock, lease));
                self.connections.insert(link, connection);
                self.links.insert(connection, link);
                ToClient::Opened { session: link.session(), lease }
            }
        }
    }

    fn hear_from_session(
        &mut self,
        clock: Time,
        link: Link,
        message: ToServer,
        connection: &mut Connection,
    ) {
        let Some(manager) = &mut self.manager else { return };
        let result = match message {
            ToServer::Open { .. } | ToServer::Resume { .. } => unreachable!("they have no session"),
            ToServer::KeepAlive { number } => manager.keep_alive(clock, link).inspect(|()| {
                connection.to_client.push_back(ToClient::Alive { number });
            }),
            ToServer::Lock { request, wanted } => manager.lock(clock, link, request, wanted.ask()),
            ToServer::Release { request, token } => manager.release(clock, link, request, token),
            ToServer::Cancel { request } => manager.cancel(clock, link, request),
            ToServer::Close => manager.close(clock, link),
        };
        if let (Ok(()), Some((heard, _))) = (result, self.witness.heard.get_mut(&link.session())) {
            *heard = clock;
        }
    }

    /// Sends what the manager says, and compares it with what the witnesses know.
    fn deliver(&mut self, now: u64, connections: &mut [Connection]) {
        let Some(manager) = &mut self.manager else { return };
        while let Some(event) = manager.poll_event() {
            if let Event::Request { link, request, outcome } = &event {
                self.witness.hear(manager, (link.session(), *request), outcome);
            }
            if let Some(&connection) = self.connections.get(&event.link()) {
                // What is under way from there still arrives, and must do no harm.
                if let Event::Ended { link, .. } = event {
                    self.connections.remove(&link);
                }
                connections[connection].to_client.extend(to_client(event));
            }
        }
        manager.check();
        self.witness.see(manager);
        self.check(now);
    }

    /// Nothing is held by a session past its lease.
    fn check(&self, now: u64) {
        let clock = self.clock(now);
        let Some(manager) = &self.manager else { return };
        for holder in IDS.iter().flat_map(|id| manager.holders(id)) {
            let (heard, lease) = self.witness.heard[&holder.session];
            assert!(clock < heard.after(lease), "{holder:?} was last heard at {heard}");
        }
    }

    /// Nothing is left of anybody.
    pub(super) fn check_empty(&self) {
        let manager = self.manager.as_ref().expect("it is up in the end");
        assert_eq!(manager.ids().count(), 0, "ids in use");
        assert_eq!(manager.sessions().len(), 0, "sessions");
        assert_eq!(manager.waiting(), 0, "waiting requests");
    }
}

impl Witness {
    fn hear(&mut self, manager: &LockManager, key: (SessionId, RequestId), outcome: &Outcome) {
        match outcome {
            Outcome::Queued { place, .. } => {
                self.places.insert(key, *place);
            }
            Outcome::Granted { id, token, more, .. } => {
                self.hear_granted(manager, key, iter::once(&(id.clone(), *token)).chain(more));
            }
            Outcome::PromisedTurn { id, .. } => self.hear_turn(manager, key, known(id)),
            Outcome::Promised { id, token } => self.hear_promised(manager, key, known(id), *token),
            Outcome::Refused(_) | Outcome::Released { .. } | Outcome::Revoked { .. } => {
                self.places.remove(&key);
            }
        }
    }

    /// Nobody who waits came earlier, unless the hold is told again.
    fn hear_granted<'e>(
        &mut self,
        manager: &LockManager,
        key: (SessionId, RequestId),
        held: impl Iterator<Item = &'e (Arc<str>, u64)>,
    ) {
        // One that never waited overtakes whoever was told before to wait.
        let place = self.places.remove(&key).unwrap_or(u64::MAX);
        for (id, token) in held {
            let id = known(id);
            if self.note_token(id, *token) {
                assert_eq!(self.overtaken(manager, id, place), None, "{key:?} overtakes at {id}");
            }
        }
    }

    /// A turn that was promised has come.
    fn hear_turn(&mut self, manager: &LockManager, key: (SessionId, RequestId), id: &'static str) {
        let place = self.places.remove(&key).unwrap_or(u64::MAX);
        assert_eq!(self.overtaken(manager, id, place), None, "{key:?} overtakes at {id}");
    }

    /// What is held while others of the ids are waited for is not told, and in the same order.
    fn see(&mut self, manager: &LockManager) {
        for id in IDS {
            for Holder { session, request, token, .. } in manager.holders(id) {
                self.note_token(id, token);
                if let Some(place) = self.places.get(&(session, request)) {
                    let overtaken = self.overtaken(manager, id, *place);
                    assert_eq!(overtaken, None, "{request} of {session} overtakes at {id}");
                }
            }
        }
        self.known_tokens.clone_from(&self.tokens);
    }

    /// Returns whether a hold is not known; its token is greater than those of all that were known.
    fn note_token(&mut self, id: &'static str, token: u64) -> bool {
        let is_new = self.tokens.insert((id, token));
        let last = self.known_tokens.range((id, 0)..=(id, u64::MAX)).next_back();
        assert!(!is_new || last.is_none_or(|(_, last)| *last < token), "tokens of {id} rise");
        is_new
    }

    /// Returns who was told to wait for an id, and at an earlier place than this. What was told of a
    /// request of the same number, whose end nobody heard, was told of another place.
    fn overtaken(&self, manager: &LockManager, id: &str, place: u64) -> Option<Waiter> {
        manager.queue(id).find(|waiter| {
            let told = self.places.get(&(waiter.session, waiter.request));
            waiter.place < place && told == Some(&waiter.place)
        })
    }

    /// Whoever is promised a turn has only its own session ahead of it, by requests for one id.
    fn hear_promised(
        &mut self,
        manager: &LockManager,
        key: (SessionId, RequestId),
        id: &'static str,
        token: u64,
    ) {
        self.note_token(id, token);
        let queue = queue(manager, id);
        // One that has had its turn, or has left, by the same call is not there.
        if let Some(at) = queue.iter().position(|waiter| *waiter == key) {
            let ahead = [holders(manager, id), queue[..at].to_vec()].concat();
            let stranger =
                ahead.iter().find(|other| other.0 != key.0 || !is_for_one(manager, other));
            assert_eq!(stranger, None, "{key:?} is promised a turn of {id} behind a stranger");
        }
    }
}

/// An id of the world by its name.
fn known(id: &str) -> &'static str {
    IDS.into_iter().find(|known| *known == id).expect("an id of the world")
}

/// Who holds an id.
fn holders(manager: &LockManager, id: &str) -> Vec<(SessionId, RequestId)> {
    manager.holders(id).map(|holder| (holder.session, holder.request)).collect()
}

/// Who waits for an id, from head to tail.
fn queue(manager: &LockManager, id: &str) -> Vec<(SessionId, RequestId)> {
    manager.queue(id).map(|waiter| (waiter.session, waiter.request)).collect()
}

/// Returns whether a request is for one id alone.
fn is_for_one(manager: &LockManager, request: &(SessionId, RequestId)) -> bool {
    let uses = |id| [holders(manager, id), queue(manager, id)].concat().contains(request);
    IDS.into_iter().filter(|id| uses(id)).count() == 1
}

/// What a client is told, if it is told anything.
fn to_client(event: Event) -> Option<ToClient> {
    let (request, outcome) = match event {
        Event::Ended { reason, .. } => return Some(ToClient::Ended { reason }),
        Event::Request { request, outcome, .. } => (request, outcome),
    };
    match outcome {
        Outcome::Granted { token, more, .. } => {
            let more_tokens = more.iter().map(|(_, token)| *token).collect();
            Some(ToClient::Granted { request, token, more_tokens })
        }
        Outcome::Queued { place, .. } => Some(ToClient::Queued { request, place }),
        Outcome::Promised { token, .. } => Some(ToClient::Promised { request, token }),
        Outcome::PromisedTurn { .. } => None,
        Outcome::Refused(_) | Outcome::Released { .. } | Outcome::Revoked { .. } => {
            Some(ToClient::Over { request })
        }
    }
}
