//! Sessions of a `LockManager` that lock, cancel, release, come and go while time passes.

mod model;
mod op;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter, mem,
    sync::Arc,
    time::Duration,
};

use lockcore::{
    LockManager, Mode, Status,
    manager::{
        Ask, Claimed, Epoch, Event, Limits, Link, Open, Outcome, Refusal, Resume, Secret,
        SessionId, Time,
    },
};

use self::{
    model::{Key, Model, Session, Stage, Told},
    op::{Call, ID_BYTES, IDS, IDS_OF_REQUEST, LEASE, Op, REQUESTS, WAITERS},
};
use crate::events::{Events, events};

/// How many operations a run has at most.
const OPS: usize = 256;

const SECRET: Secret = Secret::new(7);

events! {
    /// Something that a session can be told, or a way in which time can pass.
    pub enum Met {
        /// A request holds.
        Granted,
        /// Several requests hold by one call.
        GrantedTogether,
        /// A request waits.
        Queued,
        /// A request is promised its turn.
        Promised,
        /// Several requests are promised their turns by one call.
        PromisedTogether,
        /// The turn of a promised request came.
        PromisedTurn,
        /// A request was promised no turn, directly behind one of its session for several ids.
        BehindSeveral,
        /// Whoever was behind a request for several ids was promised its turn when that left.
        PromisedBehindSeveral,
        /// A promised request was cancelled.
        PromisedCancelled,
        /// A client came back that had passed a lock on.
        PassedOn,
        /// One that could not have.
        NotPassedOn,
        /// One that had, after a restart.
        PassedOnAfterRestart,
        /// A hold ended as asked for.
        Released,
        /// A hold limit passed.
        HoldLimit,
        /// A wait limit passed.
        WaitLimit,
        /// Cancelled while waiting.
        Cancelled,
        /// Refused: a try met somebody ahead.
        Busy,
        /// Refused: empty id.
        IdEmpty,
        /// Refused: long id.
        IdTooLong,
        /// Refused: the request's number is in use.
        RequestInUse,
        /// Refused: too many requests.
        TooManyRequests,
        /// Refused: nothing is held.
        NotHeld,
        /// Refused: the token of another hold.
        WrongToken,
        /// Refused: too many requests wait.
        TooManyWaiters,
        /// Refused: it would wait for its own owner.
        Deadlock,
        /// Refused: a try in the recovery window.
        Recovering,
        /// A claimed hold was earlier than another.
        LaterHold,
        /// A claimed token was never given.
        TokenNotGiven,
        /// An administrator ended a request or a session.
        Administrator,
        /// A session expired.
        Expired,
        /// A connection was cut off by another.
        CutOff,
        /// A session that is over was used.
        SessionExpired,
        /// A connection that is over was used.
        Stale,
        /// It was used after the session had come back by another.
        Late,
        /// A session came back within its lease.
        Resumed,
        /// A session came back after a restart.
        ResumedAfterRestart,
        /// A request for several ids holds.
        GrantedAll,
        /// A request holds some of its ids and waits for the others.
        HalfWay,
        /// Cancelled while it held some of its ids.
        CancelledHalfWay,
        /// The wait limit of a request passed that held some of its ids.
        WaitLimitHalfWay,
        /// An administrator ended a request that held some of its ids.
        AdministratorHalfWay,
        /// A session expired with a request that held some of its ids.
        ExpiredHalfWay,
        /// A session came back with a request that held some of its ids.
        ResumedHalfWay,
        /// A session held several ids by one request, and again after a restart.
        ReclaimedAll,
        /// A claimed hold of several ids was earlier than another.
        LaterHoldOfAll,
        /// A circle went over what a request without an owner held while it waited.
        DeadlockHalfWay,
        /// Refused: too many ids for one request.
        TooManyIdsOfRequest,
        /// A session was closed that held and waited for the same id.
        CloseHoldingAndWaiting,
        /// `handle_timeout` was called after the deadline.
        LateTimeout,
        /// Another call did what was due.
        LateCall,
    }
}

/// What a client knows of a request: what it would claim, and the token that it was promised.
type Belief = (model::Claim, Option<u64>);

/// The real manager beside its model.
struct World {
    manager: LockManager,
    epoch: Epoch,
    /// The connection of each session.
    links: Vec<Link>,
    /// The connection that a session had before it came back.
    earlier_links: BTreeMap<usize, Link>,
    /// What the clients of sessions of earlier runs believe.
    believed: BTreeMap<usize, Vec<Belief>>,
    now: Time,
    model: Model,
    /// What was polled and is not compared yet.
    heard: Vec<Event>,
    /// The tokens that were told or seen by id.
    tokens: BTreeSet<(&'static str, u64)>,
    /// Those of them that were known before the present operation.
    known_tokens: BTreeSet<(&'static str, u64)>,
    /// The requests that held some of their ids before the present operation.
    half_way: BTreeSet<Key>,
    met: Events<Met>,
}

/// Does what `bytes` say, four bytes an operation, and returns what was met.
///
/// # Panics
///
/// If the manager and the model disagree, or an invariant is broken.
pub fn run(bytes: &[u8]) -> Events<Met> {
    let mut world = World {
        manager: LockManager::new(limits()),
        epoch: Epoch::FIRST,
        links: Vec::new(),
        earlier_links: BTreeMap::new(),
        believed: BTreeMap::new(),
        now: Time::ZERO,
        model: Model::default(),
        heard: Vec::new(),
        tokens: BTreeSet::new(),
        known_tokens: BTreeSet::new(),
        half_way: BTreeSet::new(),
        met: Events::default(),
    };
    for bytes in bytes.as_chunks().0.iter().take(OPS) {
        world.step(Op::decode(*bytes));
        world.compare();
    }
    world.end();
    world.met
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.id_bytes, limits.requests_per_session, limits.waiters) = (ID_BYTES, REQUESTS, WAITERS);
    limits.ids_per_request = IDS_OF_REQUEST;
    limits
}

impl World {
    fn step(&mut self, op: Op) {
        self.met.met_if(self.is_late() && matches!(op, Op::HandleTimeout), Met::LateTimeout);
        self.met.met_if(self.is_late() && matches!(op, Op::Call { .. }), Met::LateCall);
        let count = self.links.len();
        match op {
            Op::Open { leased, runs } => self.open(leased, runs),
            Op::Pass { time } => self.now = self.now.after(time),
            Op::HandleTimeout => {
                self.manager.handle_timeout(self.now);
                self.model.due(self.now);
            }
            Op::Restart => self.restart(),
            Op::RevokeId { id } => self.revoke_id(id),
            Op::Call { session, .. }
            | Op::Resume { session, .. }
            | Op::Late { session }
            | Op::Detach { session }
            | Op::Revoke { session, .. }
            | Op::Expel { session } => {
                if let Some(session) = session.checked_rem(count) {
                    self.step_of_session(session, op);
                }
            }
        }
    }

    fn step_of_session(&mut self, session: usize, op: Op) {
        let (now, link) = (self.now, self.links[session]);
        match op {
            Op::Call { call, .. } => {
                self.note_close(session, call);
                self.call(session, call);
            }
            Op::Resume { passes, lies, .. } => self.resume(session, passes, lies),
            Op::Late { .. } => self.late(session),
            Op::Detach { .. } => {
                self.model.due(now);
                let result = self.manager.detach(now, link);
                assert_eq!(result, self.result(session), "detach");
                if result.is_ok() {
                    self.model.sessions[session].attached = false;
                }
            }
            Op::Revoke { request, .. } => {
                self.model.due(now);
                let revoked = self.manager.revoke(now, link.session(), request, "note");
                assert_eq!(revoked, self.model.requests.contains_key(&(session, request)));
                self.model.revoke(now, (session, request), administrator());
            }
            Op::Expel { .. } => {
                self.model.due(now);
                let expelled = self.manager.expel(now, link.session(), "note");
                assert_eq!(expelled, self.model.sessions[session].open);
                if expelled {
                    self.model.told.push(((session, 0), Told::Ended(administrator())));
                    self.model.end_session(now, session);
                }
            }
            Op::Open { .. }
            | Op::Restart
            | Op::RevokeId { .. }
            | Op::Pass { .. }
            | Op::HandleTimeout => unreachable!("they are of no session"),
        }
    }

    fn open(&mut self, leased: bool, runs: bool) {
        let link = if leased {
            self.model.due(self.now);
            let open = Open { lease: LEASE, secret: SECRET, runs };
            self.manager.open(self.now, open).expect("there is room").link
        } else {
            self.manager.open_unleased(REQUESTS)
        };
        self.links.push(link);
        self.model.sessions.push(Session {
            id: link.session(),
            open: true,
            attached: true,
            attempt: 0,
            lease_end: leased.then(|| self.now.after(LEASE)),
            runs,
            may_return: false,
        });
    }

    /// What any call of a session by its present connection returns.
    fn result(&self, session: usize) -> Result<(), Refusal> {
        let Session { id, open, attached, .. } = self.model.sessions[session];
        match (open, attached) {
            (false, _) => Err(Refusal::SessionExpired { session: id }),
            (true, false) => Err(Refusal::Stale { session: id }),
            (true, true) => Ok(()),
        }
    }

    fn call(&mut self, number: usize, call: Call) {
        let (now, link) = (self.now, self.links[number]);
        self.model.due(now);
        let token = self.token_for(number, call);
        let result = match call {
            Call::Close => self.manager.close(now, link),
            Call::KeepAlive => self.manager.keep_alive(now, link),
            Call::Lock { request, ask } => self.manager.lock(now, link, request, ask),
            Call::Cancel { request } => self.manager.cancel(now, link, request),
            Call::Release { request, .. } => self.manager.release(now, link, request, token),
            Call::ReleaseId { id } => self.manager.release_id(now, link, id).map(|released| {
                let held = self.model.granted(id).iter().any(|holder| holder.0 == number);
                assert_eq!(released, held, "release_id {id}");
            }),
        };
        self.listen();
        assert_eq!(result, self.result(number), "{call:?}");
        self.met.met_if(matches!(result, Err(Refusal::Stale { .. })), Met::Stale);
        self.met.met_if(matches!(result, Err(Refusal::SessionExpired { .. })), Met::SessionExpired);
        let session = &mut self.model.sessions[number];
        if result.is_ok() {
            session.lease_end = session.lease_end.map(|_| now.after(LEASE));
            self.call_model(number, call, token);
        }
    }

    fn call_model(&mut self, session: usize, call: Call, token: u64) {
        let now = self.now;
        match call {
            Call::KeepAlive => {}
            Call::Close => {
                self.model.hush(session);
                self.model.end_session(now, session);
            }
            Call::Lock { request, ask } => self.model.lock(now, (session, request), ask),
            Call::Cancel { request } => {
                let key = (session, request);
                let promised = self.model.requests.get(&key).is_some_and(|own| own.promised);
                self.met.met_if(promised && !self.model.holds(key), Met::PromisedCancelled);
                self.model.end(now, key);
            }
            Call::Release { request, .. } => {
                let key = (session, request);
                self.model.release(now, key, token, self.first_token(key));
            }
            Call::ReleaseId { id } => {
                let holders = self.model.granted(id);
                if let Some(key) = holders.into_iter().find(|holder| holder.0 == session) {
                    self.model.end(now, key);
                }
            }
        }
    }

    fn resume(&mut self, session: usize, passes: bool, lies: u8) {
        let now = self.now;
        // What is due by now, the client is not told yet.
        let beliefs = if self.model.sessions[session].open {
            self.beliefs(session)
        } else {
            self.believed.get(&session).cloned().unwrap_or_default()
        };
        let (mut claims, has_passed) = claims(beliefs, passes, lies);
        self.model.due(now);
        let Session { id, open, attempt, runs, .. } = self.model.sessions[session];
        lie(&mut claims, lies);
        let attempt = if lies & 3 == 3 { attempt } else { attempt + 1 };
        let known: Vec<_> = claims.iter().map(model::Claim::of_manager).collect();
        let (lease, secret) = (LEASE, SECRET);
        let resume = Resume { session: id, secret, attempt, lease, runs, claims: &known };
        let passed = claims.iter().filter(|claim| self.model.is_pass(session, claim));
        let passed: Vec<u64> = passed.map(|claim| claim.request).collect();
        let result = self.manager.resume(now, resume);
        // The model judges claims by the tokens that were told before.
        let expected = self.model.resume(now, session, attempt, &claims);
        self.listen();
        assert_eq!(result.clone().map(|_| ()), expected, "resume");
        if let Ok(opened) = result {
            let before = mem::replace(&mut self.links[session], opened.link);
            // After a restart, an attempt that is repeated is the first, and makes the same link.
            if before != opened.link {
                self.earlier_links.insert(session, before);
            }
            self.met.met(if open { Met::Resumed } else { Met::ResumedAfterRestart });
            let had_half_way = self.half_way.iter().any(|key| key.0 == session);
            self.met.met_if(open && had_half_way, Met::ResumedHalfWay);
            let of_all = claims.iter().filter(|claim| !claim.more_tokens.is_empty());
            of_all.for_each(|claim| self.note_claim_of_all((session, claim.request), open));
            let had_turn = |request: &u64| self.model.holds((session, *request));
            self.met.met_if(passed.iter().any(had_turn), Met::PassedOn);
            self.met.met_if(!passed.iter().all(had_turn), Met::NotPassedOn);
            self.met.met_if(!open && has_passed, Met::PassedOnAfterRestart);
        }
    }

    fn note_claim_of_all(&mut self, key: Key, was_open: bool) {
        let holds = self.model.requests.get(&key).is_some_and(|known| known.held.len() > 1);
        self.met.met_if(holds && !was_open, Met::ReclaimedAll);
        let later = |told: &Told| matches!(told, Told::Revoked(Refusal::LaterHold { .. }));
        let ended = self.model.told.iter().any(|(other, told)| *other == key && later(told));
        self.met.met_if(ended, Met::LaterHoldOfAll);
    }

    /// What arrives late changes nothing, and does not count as having been heard.
    fn late(&mut self, number: usize) {
        let Some(&link) = self.earlier_links.get(&number) else { return };
        self.model.due(self.now);
        let result = self.manager.keep_alive(self.now, link);
        self.listen();
        let Session { id: session, open, .. } = self.model.sessions[number];
        let expected =
            if open { Refusal::Stale { session } } else { Refusal::SessionExpired { session } };
        assert_eq!(result, Err(expected), "a late frame");
        self.met.met_if(open, Met::Late);
    }

    /// What the client of a live session believes.
    fn beliefs(&self, session: usize) -> Vec<Belief> {
        let own = self.model.requests.iter().filter(|(key, _)| key.0 == session);
        own.map(|(key, request)| {
            let waits = Claimed::Waiting { place: Some(request.place) };
            let mut tokens = self.model.tokens_of(*key);
            let (state, more_tokens, promise) = match request.stage {
                Stage::Holding => (Claimed::Held { token: tokens.remove(0) }, tokens, None),
                Stage::Waiting if request.promised => (waits, Vec::new(), Some(tokens[0])),
                Stage::Waiting | Stage::Deferred => (waits, Vec::new(), None),
            };
            (model::Claim { request: key.1, ask: request.ask, state, more_tokens }, promise)
        })
        .collect()
    }

    fn restart(&mut self) {
        let open = (0..self.links.len()).filter(|session| self.model.sessions[*session].open);
        for session in open.collect::<Vec<_>>() {
            self.believed.insert(session, self.beliefs(session));
        }
        self.earlier_links.clear();
        let longest = self.manager.longest_lease();
        self.epoch = self.epoch.next().expect("a run has few operations");
        self.manager = LockManager::recover(limits(), self.epoch, self.now, longest);
        let window = (longest > Duration::ZERO).then(|| self.now.after(longest));
        self.model.restart(self.epoch.get().into(), window);
    }

    fn revoke_id(&mut self, id: &'static str) {
        self.model.due(self.now);
        let holders = self.model.holders(id);
        assert_eq!(self.manager.revoke_id(self.now, id, "note"), holders.len(), "holders of {id}");
        for key in holders {
            self.model.revoke(self.now, key, administrator());
        }
    }

    /// Closes all sessions, after which nothing may be left.
    fn end(&mut self) {
        for session in 0..self.links.len() {
            self.step(Op::Call { session, call: Call::Close });
            self.compare();
            if self.model.sessions[session].open {
                self.step(Op::Expel { session });
                self.compare();
            }
        }
        assert_eq!(self.manager.ids().count(), 0, "nothing is left behind");
    }

    /// The token that the session knows for what it releases, or a wrong one.
    fn token_for(&self, session: usize, call: Call) -> u64 {
        let Call::Release { request, wrong } = call else { return 0 };
        self.first_token((session, request)).map_or(0, |token| token ^ wrong)
    }

    /// The token by which a request holds its first id.
    fn first_token(&self, key: Key) -> Option<u64> {
        let id = self.model.requests.get(&key)?.ask.id;
        self.model.tokens.get(&(key, id)).copied()
    }

    fn is_late(&self) -> bool {
        self.model.next_deadline().is_some_and(|(deadline, ..)| deadline < self.now)
    }

    fn note_close(&mut self, session: usize, call: Call) {
        let requests = self.model.requests.iter().filter(|(key, _)| key.0 == session);
        let own: Vec<_> = requests.map(|(_, request)| request).collect();
        let held: BTreeSet<_> = own.iter().flat_map(|request| &request.held).copied().collect();
        let both = own.iter().any(|request| request.pending().any(|id| held.contains(id)));
        self.met.met_if(call == Call::Close && both, Met::CloseHoldingAndWaiting);
    }

    /// Compares all that can be seen from outside with the model.
    fn compare(&mut self) {
        self.manager.check();
        self.compare_events();
        for id in (0..IDS).map(op::id) {
            self.compare_id(id);
        }
        let deadline = self.model.next_deadline().map(|(deadline, ..)| deadline);
        let timeout = self.manager.poll_timeout();
        assert_eq!(timeout.is_some(), deadline.is_some(), "something is to come");
        assert!(timeout <= deadline, "the next deadline is looked at in time");
        let open = self.model.sessions.iter().filter(|session| session.open);
        let open: Vec<_> =
            open.map(|session| (session.id, session.attached, session.lease_end)).collect();
        let seen = self.manager.sessions();
        let seen: Vec<_> = seen.map(|seen| (seen.session, seen.attached, seen.lease_end)).collect();
        assert_eq!(seen, open, "open sessions");
        assert_eq!(self.manager.recovers_until(), self.model.window);
        let requests = &self.model.requests;
        let pending: usize = requests.values().map(|request| request.pending().count()).sum();
        assert_eq!(self.manager.waiting(), pending, "waiting requests");
        self.model.tokens.retain(|(key, _), _| requests.contains_key(key));
        let half_way = requests.iter().filter(|(_, request)| request.is_half_way());
        self.half_way = half_way.map(|(key, _)| *key).collect();
        self.met.met_if(!self.half_way.is_empty(), Met::HalfWay);
        let behind_several = (0..IDS).map(op::id).any(|id| self.model.is_behind_several(id));
        self.met.met_if(behind_several, Met::BehindSeveral);
        self.known_tokens.clone_from(&self.tokens);
    }

    fn compare_id(&mut self, id: &'static str) {
        let seen =
            self.manager.status(id).map(|Status { holders, waiting, .. }| (holders, waiting));
        let holders = self.model.holders(id);
        let expected = (!holders.is_empty()).then(|| (holders.len(), self.model.waiting(id)));
        assert_eq!(seen, expected, "holders and waiting of {id}");
        let seen = self.manager.holders(id);
        let seen: BTreeMap<Key, u64> = seen
            .map(|holder| ((self.number(holder.session), holder.request), holder.token))
            .collect();
        assert!(seen.keys().eq(&holders), "{seen:?} hold {id}, and ought to: {holders:?}");
        let last = seen.values().copied().max();
        for (key, token) in seen {
            // One that holds some of its ids is told so when it holds all.
            let known = *self.model.tokens.entry((key, id)).or_insert(token);
            assert_eq!(known, token, "the token of {key:?} for {id}");
            self.note_token(id, token);
        }
        let places: Vec<_> = self.manager.queue(id).map(|waiter| waiter.place).collect();
        let mut queue: Vec<_> = self.model.queue(id).collect();
        queue.sort_unstable();
        assert!(places.iter().eq(queue.iter().map(|(place, _)| place)), "the queue of {id}");
        let promised = queue.iter().filter(|(_, key)| self.model.requests[key].promised);
        let tokens = promised.map(|(_, key)| self.model.tokens[&(*key, id)]);
        let turns = last.into_iter().chain(tokens);
        assert!(turns.is_sorted_by(|one, next| one < next), "promised tokens of {id} rise");
    }

    /// Polls what the sessions are told, and remembers the tokens.
    fn listen(&mut self) {
        while let Some(event) = self.manager.poll_event() {
            if let Event::Request { link, request, outcome } = &event {
                let key = (self.number(link.session()), *request);
                for (id, token) in tokens(outcome) {
                    let id = (0..IDS).map(op::id).find(|known| **known == *id);
                    let id = id.expect("an id that may be locked");
                    let before = self.model.tokens.insert((key, id), token);
                    if matches!(outcome, Outcome::PromisedTurn { .. }) {
                        assert_eq!(before, Some(token), "a turn comes by the promised token");
                    }
                    self.note_token(id, token);
                }
            }
            self.heard.push(event);
        }
    }

    /// A token of this run that was not known is greater than all that were before.
    fn note_token(&mut self, id: &'static str, token: u64) {
        let base = u64::from(self.epoch.get()) << 43;
        if self.tokens.insert((id, token)) && token > base {
            let before = self.known_tokens.range((id, 0)..=(id, u64::MAX)).next_back();
            assert!(before.is_none_or(|(_, before)| *before < token), "tokens rise");
        }
    }

    fn number(&self, session: SessionId) -> usize {
        let number = self.links.iter().position(|known| known.session() == session);
        number.expect("a session that was opened")
    }

    fn compare_events(&mut self) {
        self.listen();
        let told: Vec<_> =
            mem::take(&mut self.heard).into_iter().map(|event| self.as_told(event)).collect();
        let granted = told.iter().filter(|(_, told)| matches!(told, Told::Granted { .. }));
        self.met.met_if(granted.count() > 1, Met::GrantedTogether);
        let promised = told.iter().filter(|(_, told)| *told == Told::Promised);
        self.met.met_if(promised.count() > 1, Met::PromisedTogether);
        for (key, told) in &told {
            self.met.met(Met::of(told));
            self.note_several(*key, told);
        }
        let behind_several = mem::take(&mut self.model.promised_behind_several);
        self.met.met_if(behind_several, Met::PromisedBehindSeveral);
        assert_eq!(told, mem::take(&mut self.model.told), "what the sessions are told");
        let requests = &self.model.requests;
        let has_token = |key: &Key| {
            requests.get(key).is_some_and(|own| own.stage == Stage::Holding || own.promised)
        };
        for (key, _) in told.iter().filter(|(key, _)| !has_token(key)) {
            // What was told before it ended is not of a request of the same number that came after.
            self.model.tokens.retain(|(other, _), _| other != key);
        }
        let circles = mem::take(&mut self.model.circles_half_way);
        self.met.met_if(circles > 0, Met::DeadlockHalfWay);
    }

    /// Notes what is special where it is told to a request for several ids.
    fn note_several(&mut self, key: Key, told: &Told) {
        let was_half_way = self.half_way.contains(&key);
        let had_half_way = self.half_way.iter().any(|other| other.0 == key.0);
        let is_granted = self.model.requests.get(&key).is_some_and(|known| known.held.len() > 1);
        for (met, is_met, special) in [
            (Met::Granted, is_granted, Met::GrantedAll),
            (Met::Cancelled, was_half_way, Met::CancelledHalfWay),
            (Met::WaitLimit, was_half_way, Met::WaitLimitHalfWay),
            (Met::Administrator, was_half_way, Met::AdministratorHalfWay),
            (Met::Expired, had_half_way, Met::ExpiredHalfWay),
        ] {
            self.met.met_if(is_met && Met::of(told) == met, special);
        }
    }

    /// Puts what a session is told as the model does.
    fn as_told(&self, event: Event) -> (Key, Told) {
        let session = self.number(event.link().session());
        match event {
            Event::Ended { reason, .. } => ((session, 0), Told::Ended(reason)),
            Event::Request { request, outcome, .. } => {
                ((session, request), told(outcome, self.links[session].session()))
            }
        }
    }
}

/// The tokens that an outcome tells, with their ids.
fn tokens(outcome: &Outcome) -> Vec<(Arc<str>, u64)> {
    match outcome {
        Outcome::Granted { id, token, more, .. } => {
            iter::once((id.clone(), *token)).chain(more.iter().cloned()).collect()
        }
        Outcome::Promised { id, token } => vec![(id.clone(), *token)],
        Outcome::Queued { .. }
        | Outcome::PromisedTurn { .. }
        | Outcome::Released { .. }
        | Outcome::Revoked { .. }
        | Outcome::Refused(_) => Vec::new(),
    }
}

/// Puts an outcome as the model does, which does not say how a circle goes.
fn told(outcome: Outcome, session: SessionId) -> Told {
    match outcome {
        Outcome::Granted { waiting, .. } => Told::Granted { waiting },
        Outcome::Queued { place, waiting, .. } => Told::Queued { place, waiting },
        Outcome::Promised { .. } => Told::Promised,
        Outcome::PromisedTurn { waiting, .. } => Told::PromisedTurn { waiting },
        Outcome::Released { .. } => Told::Released,
        Outcome::Revoked { reason, .. } => Told::Revoked(reason),
        Outcome::Refused(Refusal::Deadlock { circle }) => {
            assert_eq!(circle[0].session, session, "a circle begins with the refused request");
            Told::Refused(Refusal::Deadlock { circle: [].into() })
        }
        Outcome::Refused(refusal) => Told::Refused(refusal),
    }
}

fn administrator() -> Refusal {
    Refusal::Administrator { note: "note".into() }
}

/// What a client claims, and whether it has passed a lock on: to the first or the last that was promised
/// it. Now and then it claims all the same what it would have released before.
fn claims(beliefs: Vec<Belief>, passes: bool, lies: u8) -> (Vec<model::Claim>, bool) {
    let mut promised =
        beliefs.iter().filter_map(|(claim, promise)| Some((claim.request, (*promise)?)));
    let passed = if lies & 2 == 0 { promised.next() } else { promised.next_back() };
    let passed = passed.filter(|_| passes);
    let mut claims: Vec<model::Claim> = beliefs.into_iter().map(|(claim, _)| claim).collect();
    if let Some((request, token)) = passed {
        let to = claims.iter_mut().find(|claim| claim.request == request).expect("it is claimed");
        to.state = Claimed::Held { token };
        let id = to.ask.id;
        let before = |claim: &model::Claim| matches!(claim.state, Claimed::Held { token: own } if own < token);
        claims.retain(|claim| lies & 32 != 0 || claim.ask.id != id || !before(claim));
    }
    (claims, passed.is_some())
}

/// Makes claims wrong: one is left out, one has another token, one another mode, one is made up.
fn lie(claims: &mut Vec<model::Claim>, lies: u8) {
    if lies & 4 != 0 {
        claims.pop();
    }
    if let Some(model::Claim { ask, state, more_tokens, .. }) = claims.first_mut() {
        if lies & 128 != 0 {
            match more_tokens.last_mut() {
                Some(token) if lies & 1 == 0 => *token += 1,
                Some(_) => drop(more_tokens.pop()),
                None => more_tokens.push(1),
            }
        }
        if let (Claimed::Held { token }, true) = (state, lies & 8 != 0) {
            *token = token.wrapping_add_signed(if lies & 1 == 0 { 1 } else { 1 << 50 });
        }
        if lies & 16 != 0 {
            ask.mode = Mode::Shared;
        }
    }
    if lies & 32 != 0 {
        let state = Claimed::Waiting { place: Some(u64::from(lies)) };
        let (request, ask) = (u64::from(lies & 3), Ask::exclusive("b"));
        claims.push(model::Claim { request, ask, state, more_tokens: Vec::new() });
    }
    if lies & 64 != 0 {
        let token = u64::from(lies) << if lies & 1 == 0 { 0 } else { 50 };
        let (ask, state) =
            (Ask { more_ids: &["b"], ..Ask::exclusive("c") }, Claimed::Held { token });
        claims.push(model::Claim { request: 5, ask, state, more_tokens: vec![token] });
    }
}

impl Met {
    fn of(told: &Told) -> Self {
        match told {
            Told::Granted { .. } => Self::Granted,
            Told::Queued { .. } => Self::Queued,
            Told::Promised => Self::Promised,
            Told::PromisedTurn { .. } => Self::PromisedTurn,
            Told::Released => Self::Released,
            Told::Revoked(refusal) | Told::Refused(refusal) | Told::Ended(refusal) => {
                Self::of_refusal(refusal)
            }
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::IdEmpty => Self::IdEmpty,
            Refusal::IdTooLong { .. } => Self::IdTooLong,
            Refusal::RequestInUse { .. } => Self::RequestInUse,
            Refusal::TooManyRequests { .. } => Self::TooManyRequests,
            Refusal::TooManyWaiters { .. } => Self::TooManyWaiters,
            Refusal::TooManyIdsOfRequest { .. } => Self::TooManyIdsOfRequest,
            Refusal::Busy => Self::Busy,
            Refusal::Recovering { .. } => Self::Recovering,
            Refusal::Deadlock { .. } => Self::Deadlock,
            Refusal::WaitLimit { .. } => Self::WaitLimit,
            Refusal::HoldLimit { .. } => Self::HoldLimit,
            Refusal::Cancelled => Self::Cancelled,
            Refusal::NotHeld { .. } => Self::NotHeld,
            Refusal::WrongToken { .. } => Self::WrongToken,
            Refusal::LaterHold { .. } => Self::LaterHold,
            Refusal::TokenNotGiven { .. } => Self::TokenNotGiven,
            Refusal::Administrator { .. } => Self::Administrator,
            Refusal::SessionExpired { .. } => Self::Expired,
            Refusal::Stale { .. } => Self::CutOff,
            Refusal::TooManySessions { .. }
            | Refusal::TooManyIds { .. }
            | Refusal::TooManyWaitersOfSession { .. } => unreachable!("{refusal}"),
        }
    }
}
