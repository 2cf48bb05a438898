//! Sessions of a `LockManager` that lock, cancel, release and close while time passes.

mod model;
mod op;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use lockcore::{
    LockManager, Status,
    manager::{Event, Limits, Link, Outcome, Refusal, Time},
};

use self::{
    model::{Key, Model, Told},
    op::{Call, ID_BYTES, IDS, Op, REQUESTS},
};
use crate::events::{Events, events};

/// How many operations a run has at most.
const OPS: usize = 256;

events! {
    /// Something that a session can be told, or a way in which time can pass.
    pub enum Met {
        /// A request holds.
        Granted,
        /// Several requests hold by one call.
        GrantedTogether,
        /// A request waits.
        Queued,
        /// A hold ended as asked for.
        Released,
        /// A hold limit passed.
        Revoked,
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
        /// A closed session was used.
        UnknownSession,
        /// A session was closed that held and waited for the same id.
        CloseHoldingAndWaiting,
        /// `handle_timeout` was called after the deadline.
        LateTimeout,
        /// Another call did what was due.
        LateCall,
    }
}

/// The real manager beside its model.
struct World {
    manager: LockManager,
    sessions: Vec<Link>,
    now: Time,
    model: Model,
    /// What was polled and is not compared yet.
    heard: Vec<Event>,
    /// The token of each request that was granted.
    tokens: BTreeMap<Key, u64>,
    /// The last token of each id.
    last_tokens: BTreeMap<Arc<str>, u64>,
    met: Events<Met>,
}

/// Does what `bytes` say, four bytes an operation, and returns what was met.
///
/// # Panics
///
/// If the manager and the model disagree, or an invariant is broken.
pub fn run(bytes: &[u8]) -> Events<Met> {
    let mut limits = Limits::default();
    (limits.id_bytes, limits.requests_per_session) = (ID_BYTES, REQUESTS);
    let mut world = World {
        manager: LockManager::new(limits),
        sessions: Vec::new(),
        now: Time::ZERO,
        model: Model::default(),
        heard: Vec::new(),
        tokens: BTreeMap::new(),
        last_tokens: BTreeMap::new(),
        met: Events::default(),
    };
    for bytes in bytes.as_chunks().0.iter().take(OPS) {
        world.step(Op::decode(*bytes));
        world.compare();
    }
    for session in 0..world.sessions.len() {
        world.step(Op::Call { session, call: Call::Close });
        world.compare();
    }
    assert_eq!(world.manager.ids().count(), 0, "nothing is left behind");
    world.met
}

impl World {
    fn step(&mut self, op: Op) {
        match op {
            Op::Open => {
                self.sessions.push(self.manager.open_unleased(REQUESTS));
                self.model.sessions.push(true);
            }
            Op::Pass { time } => self.now = self.now.after(time),
            Op::HandleTimeout => {
                self.met.met_if(self.is_late(), Met::LateTimeout);
                self.manager.handle_timeout(self.now);
                self.model.due(self.now);
            }
            Op::Call { session, call } => {
                if let Some(session) = session.checked_rem(self.sessions.len()) {
                    self.met.met_if(self.is_late(), Met::LateCall);
                    self.note_close(session, call);
                    self.call(session, call);
                }
            }
        }
    }

    fn call(&mut self, number: usize, call: Call) {
        let (now, session) = (self.now, self.sessions[number]);
        let token = self.token_for(number, call);
        self.model.due(now);
        let result = match call {
            Call::Close => self.manager.close(now, session),
            Call::Lock { request, ask } => self.manager.lock(now, session, request, ask),
            Call::Cancel { request } => self.manager.cancel(now, session, request),
            Call::Release { request, .. } => self.manager.release(now, session, request, token),
            Call::ReleaseId { id } => self.manager.release_id(now, session, id).map(|released| {
                let held = self.model.holders(id).iter().any(|holder| holder.0 == number);
                assert_eq!(released, held, "release_id {id}");
            }),
        };
        self.listen();
        if self.model.sessions[number] {
            assert_eq!(result, Ok(()), "{call:?}");
            self.call_model(number, call, token);
        } else {
            assert_eq!(
                result,
                Err(Refusal::SessionExpired { session: session.session() }),
                "{call:?}"
            );
            self.met.met(Met::UnknownSession);
        }
    }

    fn call_model(&mut self, session: usize, call: Call, token: u64) {
        let now = self.now;
        match call {
            Call::Close => self.model.close(now, session),
            Call::Lock { request, ask } => self.model.lock(now, (session, request), ask),
            Call::Cancel { request } => self.model.end(now, (session, request)),
            Call::Release { request, .. } => {
                let key = (session, request);
                self.model.release(now, key, token, self.tokens.get(&key).copied());
            }
            Call::ReleaseId { id } => {
                if let Some(key) = self.released(session) {
                    assert!(self.model.holders(id).contains(&key), "it released a holder of {id}");
                    self.model.end(now, key);
                }
            }
        }
    }

    /// The request of this session that was just released: of several shared holds, any may be.
    fn released(&self, session: usize) -> Option<Key> {
        let id = self.sessions[session];
        let mut heard = self.heard.iter();
        heard.find_map(|event| match event {
            Event::Request { link, request, outcome: Outcome::Released { .. } } if *link == id => {
                Some((session, *request))
            }
            Event::Request { .. } | Event::Ended { .. } => None,
        })
    }

    /// The token that the session knows for what it releases, or a wrong one.
    fn token_for(&self, session: usize, call: Call) -> u64 {
        let Call::Release { request, wrong } = call else { return 0 };
        self.tokens.get(&(session, request)).map_or(0, |token| token ^ wrong)
    }

    fn is_late(&self) -> bool {
        self.model.next_deadline().is_some_and(|(deadline, _)| deadline < self.now)
    }

    fn note_close(&mut self, session: usize, call: Call) {
        let own = |holds: bool| {
            let requests = self.model.requests.iter();
            let own = requests.filter(|(key, request)| key.0 == session && request.holds == holds);
            own.map(|(_, request)| request.ask.id).collect::<BTreeSet<_>>()
        };
        let both = !own(true).is_disjoint(&own(false));
        self.met.met_if(call == Call::Close && both, Met::CloseHoldingAndWaiting);
    }

    /// Compares all that can be seen from outside with the model.
    fn compare(&mut self) {
        self.manager.check();
        self.compare_events();
        for id in (0..IDS).map(op::id) {
            let seen =
                self.manager.status(id).map(|Status { holders, waiting, .. }| (holders, waiting));
            let holders = self.model.holders(id).len();
            let expected = (holders > 0).then(|| (holders, self.model.waiting(id)));
            assert_eq!(seen, expected, "holders and waiting of {id}");
        }
        let deadline = self.model.next_deadline().map(|(deadline, _)| deadline);
        assert_eq!(self.manager.poll_timeout(), deadline, "the next deadline");
        let open = self.model.sessions.iter().filter(|open| **open).count();
        assert_eq!(self.manager.sessions().len(), open, "open sessions");
    }

    /// Polls what the sessions are told, and remembers the tokens.
    fn listen(&mut self) {
        while let Some(event) = self.manager.poll_event() {
            let Event::Request { link, request, outcome } = &event else { unreachable!() };
            if let Outcome::Granted { id, token, .. } = outcome {
                let key = (self.number(*link), *request);
                if self.tokens.get(&key) != Some(token) {
                    let last = self.last_tokens.insert(id.clone(), *token);
                    assert!(last.is_none_or(|last| last < *token), "tokens rise");
                    self.tokens.insert(key, *token);
                }
            }
            self.met.met(Met::of(outcome));
            self.heard.push(event);
        }
    }

    fn number(&self, session: Link) -> usize {
        let number = self.sessions.iter().position(|known| *known == session);
        number.expect("a session that was opened")
    }

    fn compare_events(&mut self) {
        self.listen();
        let events = mem::take(&mut self.heard);
        let told: Vec<_> = events.into_iter().map(|event| self.as_told(event)).collect();
        let granted = told.iter().filter(|(_, told)| matches!(told, Told::Granted { .. }));
        self.met.met_if(granted.count() > 1, Met::GrantedTogether);
        assert_eq!(told, mem::take(&mut self.model.told), "what the sessions are told");
        self.tokens.retain(|key, _| self.model.requests.contains_key(key));
    }

    /// Puts what a session is told as the model does.
    fn as_told(&self, event: Event) -> (Key, Told) {
        let Event::Request { link: session, request, outcome } = event else { unreachable!() };
        let told = match outcome {
            Outcome::Granted { waiting, .. } => Told::Granted { waiting },
            Outcome::Queued { waiting, .. } => Told::Queued { waiting },
            Outcome::Released { .. } => Told::Released,
            Outcome::Revoked { .. } => Told::Revoked,
            Outcome::Refused(refusal) => Told::Refused(refusal),
        };
        ((self.number(session), request), told)
    }
}

impl Met {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Granted { .. } => Self::Granted,
            Outcome::Queued { .. } => Self::Queued,
            Outcome::Released { .. } => Self::Released,
            Outcome::Revoked { .. } => Self::Revoked,
            Outcome::Refused(refusal) => match refusal {
                Refusal::IdEmpty => Self::IdEmpty,
                Refusal::IdTooLong { .. } => Self::IdTooLong,
                Refusal::RequestInUse { .. } => Self::RequestInUse,
                Refusal::TooManyRequests { .. } => Self::TooManyRequests,
                Refusal::Busy => Self::Busy,
                Refusal::WaitLimit { .. } => Self::WaitLimit,
                Refusal::Cancelled => Self::Cancelled,
                Refusal::NotHeld { .. } => Self::NotHeld,
                Refusal::WrongToken { .. } => Self::WrongToken,
                Refusal::TooManySessions { .. }
                | Refusal::TooManyIds { .. }
                | Refusal::TooManyWaiters { .. }
                | Refusal::TooManyWaitersOfSession { .. }
                | Refusal::Recovering { .. }
                | Refusal::HoldLimit { .. }
                | Refusal::LaterHold { .. }
                | Refusal::TokenNotGiven { .. }
                | Refusal::SessionExpired { .. }
                | Refusal::Stale { .. }
                | Refusal::Administrator { .. }
                | Refusal::Deadlock { .. } => unreachable!("{refusal}"),
            },
        }
    }
}
