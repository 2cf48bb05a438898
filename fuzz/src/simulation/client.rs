//! [`Client`]: one that follows the rules of a client.

use std::{collections::BTreeMap, time::Duration};

use lockcore::{
    Mode,
    manager::{Claimed, Refusal, RequestId, Secret, SessionId},
};

use super::wire::{ToClient, ToServer, Wanted};

/// Of the lease, a client uses so many hundredths: clocks may go wrong by what is left.
const USED: u32 = 95;

#[derive(Debug)]
pub(super) struct Client {
    /// How many thousandths of a second its clock counts in a second.
    pub(super) pace: u64,
    /// When it goes on, if it is paused.
    pub(super) paused_until: u64,
    pub(super) session: Option<OwnSession>,
    /// The connection, and whether the session is known to be attached to it.
    pub(super) connection: Option<(usize, bool)>,
    /// When, by its own clock, it sent what opens or resumes the session on this connection.
    asked_at: Duration,
    secret: Secret,
    /// Whether it understands runs.
    runs: bool,
    last_request: RequestId,
}

#[derive(Debug)]
pub(super) struct OwnSession {
    id: SessionId,
    attempts: u64,
    lease: Duration,
    /// When, by the client's own clock, it sent the last thing that is known to have arrived.
    heard_from: Duration,
    /// When each keep-alive that is not answered was sent.
    sent: BTreeMap<u64, Duration>,
    last_number: u64,
    pub(super) requests: BTreeMap<RequestId, Wanted>,
    /// The tokens by which requests will hold, as this connection said.
    promises: BTreeMap<RequestId, u64>,
}

impl OwnSession {
    /// When the client declares all lost.
    fn deadline(&self) -> Duration {
        self.heard_from + self.lease * USED / 100
    }

    /// Lets the first that was promised `id` hold, if nothing that is ahead of it is left. It is only
    /// called when the client has looked at the clock.
    fn pass(&mut self, id: &str) {
        let promised = self.promises.iter().filter(|(request, _)| self.requests[request].id == id);
        let Some((&request, &token)) = promised.min_by_key(|(_, token)| **token) else { return };
        let is_ahead =
            |wanted: &Wanted| wanted.held().any(|(other, held)| other == id && held < token);
        if !self.requests.values().any(is_ahead) {
            self.promises.remove(&request);
            let wanted = self.requests.get_mut(&request).expect("promises are of live requests");
            wanted.state = Claimed::Held { token };
        }
    }
}

impl Client {
    pub(super) fn new(pace: u64, secret: u64, runs: bool) -> Self {
        Self {
            pace,
            paused_until: 0,
            session: None,
            connection: None,
            asked_at: Duration::ZERO,
            secret: Secret::new(secret.into()),
            runs,
            last_request: 0,
        }
    }

    /// Its own clock at this time of the world.
    fn clock(&self, now: u64) -> Duration {
        Duration::from_micros(now * self.pace)
    }

    /// What it believes to hold: it looks at its own clock whenever it is asked.
    pub(super) fn believes(&self, now: u64) -> impl Iterator<Item = (&'static str, Mode, u64)> {
        let clock = self.clock(now);
        let session = self.session.iter().filter(move |session| clock < session.deadline());
        let wanted = session.flat_map(|session| session.requests.values());
        wanted.flat_map(|wanted| wanted.held().map(|(id, token)| (id, wanted.mode, token)))
    }

    /// Declares all lost whose time is over.
    pub(super) fn look_at_the_clock(&mut self, now: u64) {
        let clock = self.clock(now);
        if self.session.as_ref().is_some_and(|session| clock >= session.deadline()) {
            self.session = None;
            self.connection = None;
        }
    }

    /// Takes a connection, and returns what to send first.
    pub(super) fn connect(&mut self, now: u64, connection: usize) -> ToServer {
        self.asked_at = self.clock(now);
        self.connection = Some((connection, false));
        let (secret, runs) = (self.secret, self.runs);
        match &mut self.session {
            None => ToServer::Open { secret, runs },
            Some(session) => {
                session.attempts += 1;
                session.sent.clear();
                session.promises.clear();
                let claims =
                    session.requests.iter().map(|(number, wanted)| (*number, wanted.clone()));
                let (attempt, claims) = (session.attempts, claims.collect());
                ToServer::Resume { session: session.id, secret, attempt, runs, claims }
            }
        }
    }

    pub(super) fn lock(&mut self, wanted: Wanted) -> Option<ToServer> {
        self.last_request += 1;
        let request = self.last_request;
        self.session.as_mut()?.requests.insert(request, wanted.clone());
        Some(ToServer::Lock { request, wanted })
    }

    /// Gives a request up: from then on it does not believe to hold, and passes the lock on if it may.
    pub(super) fn give_up(&mut self, request: RequestId) -> Option<ToServer> {
        let wanted = self.remove(request)?;
        Some(match wanted.state {
            Claimed::Held { token } => ToServer::Release { request, token },
            Claimed::Waiting { .. } => ToServer::Cancel { request },
        })
    }

    fn remove(&mut self, request: RequestId) -> Option<Wanted> {
        let session = self.session.as_mut()?;
        session.promises.remove(&request);
        let wanted = session.requests.remove(&request)?;
        wanted.ids().for_each(|id| session.pass(id));
        Some(wanted)
    }

    pub(super) fn keep_alive(&mut self, now: u64) -> Option<ToServer> {
        let clock = self.clock(now);
        let session = self.session.as_mut()?;
        session.last_number += 1;
        session.sent.insert(session.last_number, clock);
        Some(ToServer::KeepAlive { number: session.last_number })
    }

    /// Whether anything that it wants is open.
    pub(super) fn is_busy(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.requests.is_empty())
    }

    /// Releases what it holds, and keeps its session alive.
    pub(super) fn release_all(&mut self, now: u64) -> Vec<ToServer> {
        let requests = self.session.iter().flat_map(|session| &session.requests);
        let held = requests.filter(|(_, wanted)| matches!(wanted.state, Claimed::Held { .. }));
        let held: Vec<_> = held.map(|(request, _)| *request).collect();
        let mut messages: Vec<_> =
            held.into_iter().filter_map(|request| self.give_up(request)).collect();
        messages.extend(self.keep_alive(now));
        messages
    }

    /// Hears what arrives on its connection, and returns what it says to that: what it does not know,
    /// or has given up, it gives up. A repeated request may have been made anew after its end.
    pub(super) fn hear(&mut self, message: ToClient) -> Option<ToServer> {
        match message {
            ToClient::Opened { session, lease } => self.opened(session, lease),
            ToClient::Ended { reason } => self.ended(&reason),
            ToClient::Alive { number } => self.alive(number),
            ToClient::Granted { request, token, more_tokens } => {
                let known = self.set(request, Claimed::Held { token }, more_tokens);
                return (!known).then_some(ToServer::Release { request, token });
            }
            ToClient::Queued { request, place } => {
                let known = self.set(request, Claimed::Waiting { place: Some(place) }, Vec::new());
                return (!known).then_some(ToServer::Cancel { request });
            }
            ToClient::Promised { request, token } => self.promised(request, token),
            ToClient::Over { request } => drop(self.remove(request)),
        }
        None
    }

    fn alive(&mut self, number: u64) {
        let Some(session) = &mut self.session else { return };
        if let Some(sent) = session.sent.remove(&number) {
            session.heard_from = session.heard_from.max(sent);
        }
    }

    fn opened(&mut self, id: SessionId, lease: Duration) {
        if let Some((_, attached)) = &mut self.connection {
            *attached = true;
        }
        let heard_from = self.asked_at;
        match &mut self.session {
            Some(session) => session.heard_from = session.heard_from.max(heard_from),
            None => {
                self.session = Some(OwnSession {
                    id,
                    attempts: 0,
                    lease,
                    heard_from,
                    sent: BTreeMap::new(),
                    last_number: 0,
                    requests: BTreeMap::new(),
                    promises: BTreeMap::new(),
                });
            }
        }
    }

    fn ended(&mut self, reason: &Refusal) {
        self.connection = None;
        if matches!(reason, Refusal::SessionExpired { .. } | Refusal::Administrator { .. }) {
            self.session = None;
        }
    }

    /// Notes how far a request came, if it is live. That it waits is old if a lock was passed on to it.
    fn set(&mut self, request: RequestId, state: Claimed, more_tokens: Vec<u64>) -> bool {
        let Some(session) = &mut self.session else { return false };
        let Some(wanted) = session.requests.get_mut(&request) else { return false };
        match (state, wanted.state) {
            (Claimed::Waiting { .. }, Claimed::Held { .. }) => {}
            (Claimed::Waiting { .. }, Claimed::Waiting { .. }) => wanted.state = state,
            (Claimed::Held { .. }, _) => {
                session.promises.remove(&request);
                (wanted.state, wanted.more_tokens) = (state, more_tokens);
            }
        }
        true
    }

    /// Notes a promise, unless its request is over or has had its turn.
    fn promised(&mut self, request: RequestId, token: u64) {
        let Some(session) = &mut self.session else { return };
        let Some(wanted) = session.requests.get(&request) else { return };
        if matches!(wanted.state, Claimed::Waiting { .. }) {
            let id = wanted.id;
            session.promises.insert(request, token);
            session.pass(id);
        }
    }
}
