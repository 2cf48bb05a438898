//! [`Contract`]: what a client may be told, given what it has said and was told before.

use std::collections::{BTreeMap, BTreeSet};

use lockcore_net::proto::v1::{
    self, client_message::Message as Said, refusal::Reason, server_message::Message as Told,
};

use super::Met;

/// What the client of a session knows of it, as far as it has read.
#[derive(Debug, Default)]
pub(super) struct Contract {
    /// Whether it understands runs; `None` if this run of the server does not know its session.
    runs: Option<bool>,
    /// The ids of what was asked for last on the present stream, or claimed, by request.
    asked: BTreeMap<u64, Ids>,
    /// The ids of the live requests.
    live: BTreeMap<u64, Ids>,
    /// The greatest token that was told on the present stream, by id.
    greatest: BTreeMap<String, u64>,
    requests: BTreeMap<u64, Stage>,
    /// What is owed for what was said on the present stream, by request.
    owed: BTreeMap<u64, Owed>,
    /// It comes back: the server may know better what it is told nothing of yet.
    came_back: bool,
    /// What it has claimed and was not told of yet.
    claimed: Vec<u64>,
    /// It has claimed two things of one number, and what it is told of that means nothing.
    is_confused: bool,
}

/// How far the client knows a request to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Over,
    /// It was promised its turn, by a token, or was not.
    Waiting {
        place: u64,
        promise: Option<u64>,
    },
    Holding(u64),
    /// It comes back, and is told nothing of it yet.
    Unknown,
}

/// The different ids of a request, in the order in which they are first named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ids(Vec<String>);

impl Ids {
    fn of(lock: &v1::Lock) -> Self {
        let mut named = BTreeSet::new();
        let ids = [&lock.id].into_iter().chain(&lock.more_ids);
        Self(ids.filter(|id| named.insert(*id)).cloned().collect())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    locks: u32,
    releases: u32,
    cancels: u32,
}

impl Contract {
    /// The session was opened.
    pub(super) fn opened_for(&mut self, runs: bool) {
        self.runs = Some(runs);
    }

    /// The session has another stream, on which these were claimed. Whether its client understands runs
    /// is news to a server that has restarted alone.
    pub(super) fn resumed(&mut self, claims: Vec<v1::Lock>, runs: bool) {
        let mut claimed: Vec<u64> = claims.iter().map(|lock| lock.request).collect();
        claimed.sort_unstable();
        let is_confused = claimed.windows(2).any(|pair| pair[0] == pair[1]);
        let asked = claims.iter().map(|lock| (lock.request, Ids::of(lock))).collect();
        let runs = Some(self.runs.unwrap_or(runs));
        *self = Self { runs, asked, came_back: true, claimed, is_confused, ..Self::default() };
    }

    /// The client says something that the server hears.
    pub(super) fn says(&mut self, message: &Said) {
        match message {
            Said::Lock(lock) => {
                self.owed(lock.request).locks += 1;
                self.asked.insert(lock.request, Ids::of(lock));
            }
            Said::Release(release) => self.owed(release.request).releases += 1,
            Said::Cancel(cancel) => self.owed(cancel.request).cancels += 1,
            Said::Open(_)
            | Said::Claims(_)
            | Said::Resume(_)
            | Said::KeepAlive(_)
            | Said::Close(_) => {}
        }
    }

    /// The client is told something; returns what is met of runs and of several ids.
    ///
    /// # Panics
    ///
    /// If it may not be told that.
    pub(super) fn told(&mut self, told: &Told) -> Option<Met> {
        if self.is_confused {
            return None;
        }
        let mut met = None;
        match told {
            Told::Queued(v1::Queued { request, place }) => self.queued(*request, *place),
            Told::Granted(granted) => met = self.granted(granted),
            Told::Released(v1::Released { request }) => met = self.released(*request),
            Told::Revoked(v1::Revoked { request, .. }) => self.revoked(*request),
            Told::Refused(v1::Refused { request, reason }) => {
                let reason = reason.as_ref().and_then(|reason| reason.reason.as_ref());
                self.refused(*request, reason.expect("a refusal has a reason"));
            }
            Told::Run(run) => met = self.promised(run),
            Told::Opened(_) => self.opened(),
            Told::KeptAlive(_) | Told::Ended(_) => {}
        }
        met
    }

    /// The client has read all that it was told.
    ///
    /// # Panics
    ///
    /// If it lacks an answer.
    pub(super) fn has_read_all(&self) {
        if self.is_confused {
            return;
        }
        for (request, Owed { locks, releases, .. }) in &self.owed {
            assert_eq!((*locks, *releases), (0, 0), "request {request} is not answered");
        }
    }

    /// The answers to claims have been told: of what they do not say, nothing is live.
    fn opened(&mut self) {
        assert!(self.claimed.is_empty(), "claims are answered before: {:?}", self.claimed);
        self.came_back = false;
    }

    fn queued(&mut self, request: u64, place: u64) {
        let promise = match self.stage(request) {
            Stage::Over | Stage::Unknown => None,
            Stage::Waiting { place: before, promise } => {
                assert_eq!(place, before, "request {request} has moved");
                promise
            }
            Stage::Holding(_) => panic!("request {request} holds and is queued"),
        };
        self.answer_lock(request);
        self.set(request, Stage::Waiting { place, promise });
    }

    fn granted(&mut self, granted: &v1::Granted) -> Option<Met> {
        let &v1::Granted { request, token, ref more_tokens } = granted;
        match self.stage(request) {
            Stage::Waiting { promise: None, .. } => {}
            Stage::Over | Stage::Unknown => self.answer_lock(request),
            // One that was promised its turn is told of it when it is asked for again alone.
            Stage::Waiting { promise: Some(before), .. } | Stage::Holding(before) => {
                assert_eq!(token, before, "request {request} holds twice");
                self.answer_lock(request);
            }
        }
        self.set(request, Stage::Holding(token));
        let Ids(ids) = self.live.get(&request)?.clone();
        assert_eq!(ids.len(), 1 + more_tokens.len(), "{granted:?} for {ids:?}");
        for (id, token) in ids.into_iter().zip([token].iter().chain(more_tokens)) {
            self.note_token(id, *token);
        }
        let met = if self.came_back { Met::GrantedAllAgain } else { Met::GrantedAll };
        (!more_tokens.is_empty()).then_some(met)
    }

    /// Requests for one id, which wait, are promised their turns.
    fn promised(&mut self, run: &v1::Run) -> Option<Met> {
        assert_eq!(self.runs, Some(true), "{run:?}: the client does not understand it");
        for (request, token) in run.requests.iter().zip(run.first_token..) {
            let Stage::Waiting { place, promise } = self.stage(*request) else {
                panic!("{run:?}: {:?}", self.stage(*request))
            };
            let Ids(ids) = self.live[request].clone();
            let [id] = &ids[..] else { panic!("{run:?} for {ids:?}") };
            let greatest = self.greatest.get(id).copied().unwrap_or_default();
            match promise {
                Some(before) => assert_eq!(token, before, "request {request} is promised twice"),
                // Claims are answered in no particular order.
                None if self.came_back => {}
                None => assert!(token > greatest, "{run:?} comes after {greatest} of {id}"),
            }
            self.note_token(id.clone(), token);
            self.set(*request, Stage::Waiting { place, promise: Some(token) });
        }
        self.came_back.then_some(Met::PromisedAgain)
    }

    fn note_token(&mut self, id: String, token: u64) {
        let greatest = self.greatest.entry(id).or_default();
        *greatest = token.max(*greatest);
    }

    fn released(&mut self, request: u64) -> Option<Met> {
        let stage = self.stage(request);
        match stage {
            Stage::Holding(_) | Stage::Waiting { promise: Some(_), .. } => self.answer_end(request),
            // It was not claimed, or was given up before the stream was another.
            Stage::Unknown => {}
            Stage::Over | Stage::Waiting { promise: None, .. } => {
                panic!("request {request} is released: {stage:?}")
            }
        }
        self.set(request, Stage::Over);
        matches!(stage, Stage::Waiting { .. }).then_some(Met::PassedOn)
    }

    fn revoked(&mut self, request: u64) {
        match self.stage(request) {
            Stage::Holding(_) | Stage::Unknown | Stage::Waiting { promise: Some(_), .. } => {}
            stage @ (Stage::Over | Stage::Waiting { promise: None, .. }) => {
                panic!("request {request} is revoked: {stage:?}")
            }
        }
        self.set(request, Stage::Over);
    }

    fn refused(&mut self, request: u64, reason: &Reason) {
        let stage = self.stage(request);
        match reason {
            Reason::NotHeld(_) | Reason::WrongToken(_) => {
                let owed = self.owed(request);
                assert!(owed.releases > 0, "request {request} was not to be released");
                owed.releases -= 1;
            }
            Reason::RequestInUse(_) => {
                assert_ne!(stage, Stage::Over, "request {request} is in use");
                self.answer_lock(request);
            }
            Reason::Cancelled(_) if stage == Stage::Unknown => self.set(request, Stage::Over),
            Reason::Cancelled(_) => {
                assert!(matches!(stage, Stage::Waiting { .. }), "request {request}: {stage:?}");
                self.answer_end(request);
                self.set(request, Stage::Over);
            }
            Reason::IdEmpty(_)
            | Reason::IdTooLong(_)
            | Reason::TooManyIds(_)
            | Reason::TooManyIdsOfRequest(_)
            | Reason::TooManyWaiters(_)
            | Reason::TooManyRequests(_)
            | Reason::TooManyWaitersOfSession(_)
            | Reason::Busy(_)
            | Reason::RecoveringMs(_)
            | Reason::Deadlock(_)
            | Reason::WaitLimitMs(_)
            | Reason::Administrator(_) => {
                match stage {
                    Stage::Waiting { .. } => {}
                    Stage::Over | Stage::Unknown => self.answer_lock(request),
                    Stage::Holding(_) => panic!("request {request} holds: {reason:?}"),
                }
                self.set(request, Stage::Over);
            }
            Reason::TooManySessions(_)
            | Reason::HoldLimitMs(_)
            | Reason::LaterHold(_)
            | Reason::TokenNotGiven(_)
            | Reason::SessionExpired(_)
            | Reason::Stale(_) => panic!("request {request} is refused: {reason:?}"),
        }
    }

    fn owed(&mut self, request: u64) -> &mut Owed {
        self.owed.entry(request).or_default()
    }

    /// Something is the answer to a lock, or to a claim.
    fn answer_lock(&mut self, request: u64) {
        if self.came_back {
            return;
        }
        let owed = self.owed(request);
        assert!(owed.locks > 0, "request {request} was answered before");
        owed.locks -= 1;
    }

    /// A request ends because it was asked to.
    fn answer_end(&mut self, request: u64) {
        let owed = self.owed(request);
        assert!(owed.releases + owed.cancels > 0, "nobody has ended request {request}");
        match owed.releases {
            0 => owed.cancels -= 1,
            _ => owed.releases -= 1,
        }
    }

    fn stage(&self, request: u64) -> Stage {
        let unheard = if self.came_back { Stage::Unknown } else { Stage::Over };
        self.requests.get(&request).copied().unwrap_or(unheard)
    }

    fn set(&mut self, request: u64, stage: Stage) {
        self.claimed.retain(|claimed| *claimed != request);
        match stage {
            Stage::Over => drop(self.live.remove(&request)),
            Stage::Waiting { .. } | Stage::Holding(_) | Stage::Unknown => {
                if let Some(ids) = self.asked.get(&request) {
                    self.live.entry(request).or_insert_with(|| ids.clone());
                }
            }
        }
        self.requests.insert(request, stage);
    }
}
