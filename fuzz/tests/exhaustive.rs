//! Every way in which two clients and two ids can go together with a broken connection or a restart,
//! with the real `LockManager`. Two ids with either are millions of states, so they are looked at with
//! optimisations alone, in about two minutes:
//!
//! ```text
//! cargo test --release -p lockcore-fuzz --test exhaustive -- --nocapture
//! ```
//!
//! A manager cannot be cloned, so a state is the list of what its server was told, which is told again
//! for each next state. Two states are the same if all that can be seen and will ever be said is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{Hash, Hasher},
    time::Duration,
};

use lockcore::{
    LockManager,
    manager::{
        Ask, Claim, Claimed, Epoch, Event, Holder, Limits, Link, Open, Outcome, Refusal, Resume,
        Secret, SessionId, SessionStatus, Time, Waiter,
    },
};
use stateright::{Checker, Model, Property};

const CLIENTS: usize = 2;
const IDS: [&str; 2] = ["a", "b"];
/// In ticks of the clock.
const LEASE: u64 = 2;
const SECRET: Secret = Secret::new(1);
const OPEN: Open = Open { lease: Duration::from_secs(LEASE), secret: SECRET, runs: true };

fn time(ticks: u64) -> Time {
    Time::new(Duration::from_secs(ticks))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ToServer {
    Resume { attempt: u64, claims: Vec<(u64, Known)> },
    Lock { request: u64 },
    Release { request: u64, token: u64 },
}

/// How far a request came, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Known {
    Waiting(Option<u64>),
    /// With the tokens of all its ids; the second is 0 if there is one.
    Held([u64; 2]),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ToClient {
    Opened,
    Granted { request: u64, tokens: [u64; 2] },
    Queued { request: u64, place: u64 },
    Promised { request: u64, token: u64 },
    Over { request: u64 },
    Ended,
}

#[derive(Clone, Debug)]
enum Input {
    Hear { client: usize, attempt: u64, message: ToServer },
    Detach { client: usize, attempt: u64 },
    Timeout,
    Restart,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Client {
    attempt: u64,
    connected: bool,
    /// It has declared all lost, or was told so.
    lost: bool,
    asked_at: u64,
    heard_from: u64,
    /// How many of its requests it has made.
    asked: usize,
    /// By their number, which says the ids.
    requests: BTreeMap<u64, Known>,
    /// The tokens by which requests will hold.
    promises: BTreeMap<u64, u64>,
    to_server: VecDeque<ToServer>,
    to_client: VecDeque<ToClient>,
    /// What is under way on a connection that was given up.
    late: VecDeque<(u64, ToServer)>,
}

/// All that can be seen of a manager, and what it was told and said that it remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct View {
    sessions: Vec<SessionStatus>,
    holders: Vec<BTreeSet<Holder>>,
    queues: Vec<Vec<Waiter>>,
    waiting: usize,
    timeout: Option<Time>,
    window: Option<Time>,
    longest_lease: Duration,
    places: BTreeMap<(u64, u64), u64>,
    promises: BTreeMap<(u64, u64), u64>,
    last: (u64, u64),
    claimed: BTreeSet<(u64, u64)>,
    ended: BTreeSet<u64>,
    attempts: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug)]
struct State {
    now: u64,
    clients: Vec<Client>,
    breaks: u32,
    restarts: u32,
    history: Vec<(u64, Input)>,
    view: View,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        (self.now, self.breaks, self.restarts) == (other.now, other.breaks, other.restarts)
            && self.clients == other.clients
            && self.view == other.view
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.now, self.breaks, self.restarts).hash(state);
        (&self.clients, &self.view).hash(state);
    }
}

/// The manager and what its adapter knows.
struct Server {
    manager: LockManager,
    epoch: Epoch,
    sessions: [SessionId; CLIENTS],
    links: BTreeMap<(usize, u64), Link>,
    /// The tokens of each id, over restarts.
    tokens: [BTreeSet<u64>; IDS.len()],
    view: View,
}

impl Server {
    fn new() -> Self {
        let epoch = Epoch::FIRST.next().expect("there are more");
        let mut limits = Limits::default();
        limits.shortest_lease = Duration::from_secs(1);
        let mut manager = LockManager::recover(limits, epoch, time(0), Duration::ZERO);
        let mut open = || manager.open(time(0), OPEN).unwrap().link;
        let opened = [open(), open()];
        let links = opened.iter().enumerate().map(|(client, link)| ((client, 0), *link));
        Self {
            epoch,
            sessions: opened.map(Link::session),
            links: links.collect(),
            manager,
            tokens: Default::default(),
            view: View::default(),
        }
    }

    fn restart(&mut self, now: u64) {
        let longest = self.manager.longest_lease();
        self.epoch = self.epoch.next().expect("there are more");
        self.manager = LockManager::recover(Limits::default(), self.epoch, time(now), longest);
        self.links.clear();
        self.view = View::default();
    }

    /// Takes an input, and returns what it says to whom.
    fn take(&mut self, now: u64, input: &Input) -> Vec<(usize, u64, ToClient)> {
        let mut said = Vec::new();
        match input {
            Input::Restart => self.restart(now),
            Input::Timeout => self.manager.handle_timeout(time(now)),
            Input::Detach { client, attempt } => {
                if let Some(link) = self.links.get(&(*client, *attempt)) {
                    let _ = self.manager.detach(time(now), *link);
                }
            }
            Input::Hear { client, attempt, message } => {
                self.hear(now, *client, *attempt, message, &mut said);
            }
        }
        while let Some(event) = self.manager.poll_event() {
            let link = event.link();
            let (client, attempt) =
                *self.links.iter().find(|(_, known)| **known == link).unwrap().0;
            said.extend(self.note(event).map(|told| (client, attempt, told)));
        }
        self.manager.check();
        self.look();
        said
    }

    fn hear(
        &mut self,
        now: u64,
        client: usize,
        attempt: u64,
        message: &ToServer,
        said: &mut Vec<(usize, u64, ToClient)>,
    ) {
        let now = time(now);
        if let ToServer::Resume { claims, .. } = message {
            let claims: Vec<_> =
                claims.iter().map(|(request, state)| claim(*request, state)).collect();
            for claim in &claims {
                if let Claimed::Held { token } = claim.state {
                    self.view.claimed.insert((claim.request, token));
                }
            }
            let Open { lease, secret, runs } = OPEN;
            let session = self.sessions[client];
            let resume = Resume { session, secret, attempt, lease, runs, claims: &claims };
            match self.manager.resume(now, resume) {
                Err(Refusal::Stale { .. }) => {}
                Err(_) => said.push((client, attempt, ToClient::Ended)),
                Ok(opened) => {
                    self.links.insert((client, attempt), opened.link);
                    self.view.attempts.insert(client as u64, attempt);
                    said.push((client, attempt, ToClient::Opened));
                }
            }
            return;
        }
        let Some(&link) = self.links.get(&(client, attempt)) else { return };
        let _ = match message {
            ToServer::Resume { .. } => unreachable!("it was handled"),
            ToServer::Lock { request } => self.manager.lock(now, link, *request, ask(*request)),
            ToServer::Release { request, token } => {
                self.manager.release(now, link, *request, *token)
            }
        };
    }

    /// Notes what is said, and returns what the client is told of it.
    fn note(&mut self, event: Event) -> Option<ToClient> {
        let (link, request, outcome) = match event {
            Event::Ended { link, reason } => {
                if matches!(reason, Refusal::SessionExpired { .. }) {
                    self.view.ended.insert(link.session().get());
                }
                return Some(ToClient::Ended);
            }
            Event::Request { link, request, outcome } => (link, request, outcome),
        };
        let key = (link.session().get(), request);
        Some(match outcome {
            Outcome::Granted { token, more, .. } => {
                let more = more.first().map_or(0, |(_, token)| *token);
                let tokens = [token, more];
                for (id, token) in ids(request).zip(tokens) {
                    self.note_token(id, token);
                }
                self.view.places.remove(&key);
                self.view.promises.remove(&key);
                ToClient::Granted { request, tokens }
            }
            Outcome::Queued { place, .. } => {
                self.view.places.insert(key, place);
                self.view.last.1 = self.view.last.1.max(place);
                ToClient::Queued { request, place }
            }
            Outcome::Promised { token, .. } => {
                ids(request).for_each(|id| self.note_token(id, token));
                self.view.promises.insert(key, token);
                ToClient::Promised { request, token }
            }
            Outcome::PromisedTurn { .. } => {
                self.view.places.remove(&key);
                self.view.promises.remove(&key);
                return None;
            }
            Outcome::Refused(_) | Outcome::Released { .. } | Outcome::Revoked { .. } => {
                self.view.promises.remove(&key);
                ToClient::Over { request }
            }
        })
    }

    /// A token that was not told before is greater than all that were.
    fn note_token(&mut self, id: usize, token: u64) {
        let tokens = &mut self.tokens[id];
        let rises = tokens.last().is_none_or(|last| *last < token);
        assert!(tokens.contains(&token) || rises, "tokens rise");
        tokens.insert(token);
        self.view.last.0 = self.view.last.0.max(token);
    }

    fn look(&mut self) {
        let manager = &self.manager;
        self.view.sessions = manager.sessions().collect();
        self.view.holders = IDS.iter().map(|id| manager.holders(id).collect()).collect();
        let held = self.view.holders.iter().flatten().map(|holder| holder.token).max();
        self.view.last.0 = self.view.last.0.max(held.unwrap_or_default());
        self.view.queues = IDS.iter().map(|id| manager.queue(id).collect()).collect();
        self.view.waiting = manager.waiting();
        self.view.timeout = manager.poll_timeout();
        self.view.window = manager.recovers_until();
        self.view.longest_lease = manager.longest_lease();
    }
}

/// The request for both ids; of the others, there are two for each.
const BOTH: u64 = 2 * IDS.len() as u64;

/// The numbers of the ids of a request.
fn ids(request: u64) -> std::ops::Range<usize> {
    let id = request as usize % IDS.len();
    if request == BOTH { 0..IDS.len() } else { id..id + 1 }
}

/// Requests of a client for several ids have one owner; another one for the same id would wait for it.
fn ask(request: u64) -> Ask<'static> {
    let [id, more_ids @ ..] = &IDS[ids(request)] else { unreachable!("it is for an id") };
    Ask { owner: Some(request / IDS.len() as u64), more_ids, ..Ask::exclusive(id) }
}

fn claim(request: u64, state: &Known) -> Claim<'_> {
    let (state, more_tokens) = match state {
        Known::Waiting(place) => (Claimed::Waiting { place: *place }, &[][..]),
        Known::Held(tokens) => {
            let [token, more @ ..] = &tokens[..ids(request).len()] else {
                unreachable!("it is for an id")
            };
            (Claimed::Held { token: *token }, more)
        }
    };
    Claim { request, ask: ask(request), state, more_tokens }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Lock(usize, u64),
    Release(usize, u64),
    ReachServer(usize),
    ReachServerLate(usize),
    ReachClient(usize),
    Break(usize),
    Reconnect(usize),
    Restart,
}

struct Exhaustive {
    ticks: u64,
    breaks: u32,
    restarts: u32,
    /// What each client asks for, in this order.
    asks: [&'static [u64]; CLIENTS],
}

const ONE_ID: [&[u64]; CLIENTS] = [&[0], &[0]];
/// In two orders.
const TWO_IDS: [&[u64]; CLIENTS] = [&[0, 1], &[1, 0]];
/// The second one asks for both ids at once.
const TOGETHER: [&[u64]; CLIENTS] = [&[0], &[BOTH]];
/// One client asks twice for an id, and for both in between.
const RUN_AND_BOTH: [&[u64]; CLIENTS] = [&[0, BOTH, 2], &[0]];
/// One client asks twice for an id, and passes it on.
const A_RUN: [&[u64]; CLIENTS] = [&[0, 2], &[0]];

impl State {
    fn tell_server(&mut self, input: Input) {
        let mut server = Server::new();
        for (at, input) in &self.history {
            server.take(*at, input);
        }
        for (client, attempt, message) in server.take(self.now, &input) {
            let client = &mut self.clients[client];
            if client.connected && client.attempt == attempt {
                client.to_client.push_back(message);
            }
        }
        self.history.push((self.now, input));
        self.view = server.view;
    }

    /// The client's connection is gone; what it sent may still arrive.
    fn lose_connection(&mut self, client: usize, late: bool) {
        let client = &mut self.clients[client];
        client.connected = false;
        client.to_client.clear();
        let sent = std::mem::take(&mut client.to_server);
        if late {
            client.late.extend(sent.into_iter().map(|message| (client.attempt, message)));
        } else {
            client.late.clear();
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        for client in &mut self.clients {
            if self.now >= client.heard_from + LEASE {
                client.lose();
            }
        }
        self.tell_server(Input::Timeout);
    }
}

impl Client {
    fn reconnect(&mut self, now: u64) {
        (self.connected, self.asked_at) = (true, now);
        self.attempt += 1;
        self.promises.clear();
        let claims = self.requests.iter().map(|(request, state)| (*request, *state)).collect();
        self.to_server.push_back(ToServer::Resume { attempt: self.attempt, claims });
    }

    fn lose(&mut self) {
        self.lost = true;
        self.requests.clear();
        self.promises.clear();
    }

    fn hear(&mut self, message: ToClient) {
        match message {
            ToClient::Opened => self.heard_from = self.asked_at,
            ToClient::Ended => self.lose(),
            ToClient::Granted { request, tokens } => {
                self.promises.remove(&request);
                if let Some(state) = self.requests.get_mut(&request) {
                    *state = Known::Held(tokens);
                }
            }
            ToClient::Queued { request, place } => {
                if let Some(state @ Known::Waiting(_)) = self.requests.get_mut(&request) {
                    *state = Known::Waiting(Some(place));
                }
            }
            ToClient::Promised { request, token } => {
                if let Some(Known::Waiting(_)) = self.requests.get(&request) {
                    self.promises.insert(request, token);
                    ids(request).for_each(|id| self.pass(id));
                }
            }
            ToClient::Over { request } => drop(self.remove(request)),
        }
    }

    fn remove(&mut self, request: u64) -> Option<Known> {
        self.promises.remove(&request);
        let state = self.requests.remove(&request)?;
        ids(request).for_each(|id| self.pass(id));
        Some(state)
    }

    /// Lets the next one that was promised an id hold, if none is ahead.
    fn pass(&mut self, id: usize) {
        let promised = self.promises.iter().filter(|(other, _)| ids(**other).contains(&id));
        let Some((&next, &token)) = promised.min_by_key(|(_, token)| **token) else { return };
        let is_ahead = |(other, state): (&u64, &Known)| {
            let Known::Held(held) = state else { return false };
            ids(*other).zip(held).any(|(other, held)| other == id && *held < token)
        };
        if !self.requests.iter().any(is_ahead) {
            self.promises.remove(&next);
            self.requests.insert(next, Known::Held([token, 0]));
        }
    }
}

impl Model for Exhaustive {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let client = Client { connected: true, ..Client::default() };
        let mut server = Server::new();
        server.look();
        vec![State {
            now: 0,
            clients: vec![client; CLIENTS],
            breaks: 0,
            restarts: 0,
            history: Vec::new(),
            view: server.view,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        if state.restarts < self.restarts {
            actions.push(Action::Restart);
        }
        for (number, client) in state.clients.iter().enumerate() {
            if !client.late.is_empty() {
                actions.push(Action::ReachServerLate(number));
            }
            if !client.to_server.is_empty() {
                actions.push(Action::ReachServer(number));
            }
            if !client.to_client.is_empty() {
                actions.push(Action::ReachClient(number));
            }
            if client.lost {
                continue;
            }
            if !client.connected {
                actions.push(Action::Reconnect(number));
                continue;
            }
            if state.breaks < self.breaks {
                actions.push(Action::Break(number));
            }
            let next = self.asks[number].get(client.asked);
            actions.extend(next.map(|request| Action::Lock(number, *request)));
            let held = client.requests.iter();
            let held = held.filter(|(_, state)| matches!(state, Known::Held(_)));
            actions.extend(held.map(|(request, _)| Action::Release(number, *request)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Tick => next.tick(),
            Action::Restart => {
                next.restarts += 1;
                (0..CLIENTS).for_each(|client| next.lose_connection(client, false));
                next.tell_server(Input::Restart);
            }
            Action::Lock(number, request) => {
                let client = &mut next.clients[number];
                client.asked += 1;
                client.requests.insert(request, Known::Waiting(None));
                client.to_server.push_back(ToServer::Lock { request });
            }
            Action::Release(number, request) => {
                let client = &mut next.clients[number];
                if let Some(Known::Held([token, _])) = client.remove(request) {
                    client.to_server.push_back(ToServer::Release { request, token });
                }
            }
            Action::ReachServer(client) => {
                let message = next.clients[client].to_server.pop_front()?;
                let attempt = next.clients[client].attempt;
                next.tell_server(Input::Hear { client, attempt, message });
            }
            Action::ReachServerLate(client) => {
                let (attempt, message) = next.clients[client].late.pop_front()?;
                next.tell_server(Input::Hear { client, attempt, message });
            }
            Action::ReachClient(client) => {
                let message = next.clients[client].to_client.pop_front()?;
                next.clients[client].hear(message);
            }
            Action::Break(client) => {
                next.breaks += 1;
                let attempt = next.clients[client].attempt;
                next.lose_connection(client, true);
                next.tell_server(Input::Detach { client, attempt });
            }
            Action::Reconnect(client) => next.clients[client].reconnect(next.now),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one believes to hold", |_, state: &State| {
                (0..IDS.len()).all(|id| believers(state, id) <= 1)
            }),
            Property::sometimes(
                "somebody holds after all that breaks",
                |model: &Self, state: &State| {
                    let broken = (state.breaks, state.restarts) == (model.breaks, model.restarts);
                    broken && (0..2).any(|id| believers(state, id) == 1)
                },
            ),
        ]
    }
}

fn believers(state: &State, id: usize) -> usize {
    let requests = state.clients.iter().flat_map(|client| &client.requests);
    let held = requests.filter(|(_, known)| matches!(known, Known::Held(_)));
    held.filter(|(request, _)| ids(**request).contains(&id)).count()
}

fn explore(model: Exhaustive) {
    let Exhaustive { ticks, breaks, restarts, asks } = model;
    let checker = model.checker().spawn_bfs().join();
    checker.assert_properties();
    println!(
        "requests {asks:?}, {ticks} ticks, {breaks} breaks, {restarts} restarts: {} states, {} of them \
         different",
        checker.state_count(),
        checker.unique_state_count()
    );
}

#[test]
fn two_clients_and_two_ids_keep_all_promises() {
    explore(Exhaustive { ticks: 1, breaks: 0, restarts: 0, asks: TWO_IDS });
}

#[test]
fn a_broken_connection_breaks_no_promise() {
    explore(Exhaustive { ticks: 2, breaks: 1, restarts: 0, asks: ONE_ID });
}

#[test]
fn a_restart_breaks_no_promise() {
    explore(Exhaustive { ticks: 3, breaks: 0, restarts: 1, asks: ONE_ID });
}

#[test]
fn a_lock_that_is_passed_on_breaks_no_promise() {
    explore(Exhaustive { ticks: 0, breaks: 1, restarts: 0, asks: A_RUN });
}

#[test]
#[cfg(not(debug_assertions))]
fn a_restart_while_a_lock_is_passed_on_breaks_no_promise() {
    explore(Exhaustive { ticks: 2, breaks: 0, restarts: 1, asks: A_RUN });
}

/// The second client holds `b` while it waits for `a`.
#[test]
fn a_broken_connection_breaks_no_promise_of_who_locks_both_ids_at_once() {
    explore(Exhaustive { ticks: 2, breaks: 1, restarts: 0, asks: TOGETHER });
}

#[test]
fn a_restart_breaks_no_promise_of_who_locks_both_ids_at_once() {
    explore(Exhaustive { ticks: 3, breaks: 0, restarts: 1, asks: TOGETHER });
}

/// Nothing is passed on over the request for both.
#[test]
fn a_run_that_is_broken_by_who_locks_both_ids_breaks_no_promise() {
    explore(Exhaustive { ticks: 0, breaks: 1, restarts: 0, asks: RUN_AND_BOTH });
}

#[test]
#[cfg(not(debug_assertions))]
fn a_broken_connection_breaks_no_promise_of_two_ids() {
    explore(Exhaustive { ticks: 2, breaks: 1, restarts: 0, asks: TWO_IDS });
}

#[test]
#[cfg(not(debug_assertions))]
fn a_restart_breaks_no_promise_of_two_ids() {
    explore(Exhaustive { ticks: 2, breaks: 0, restarts: 1, asks: TWO_IDS });
}
