//! [`Contract`]: what a client may be told, given what it has said and was told before.

use std::collections::BTreeMap;

use lockcore_net::proto::v1::{
    self, client_message::Message as Said, refusal::Reason, server_message::Message as Told,
};

/// What the client of a session knows of it, as far as it has read.
#[derive(Debug, Default)]
pub(super) struct Contract {
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
    Waiting(u64),
    Holding(u64),
    /// It comes back, and is told nothing of it yet.
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    locks: u32,
    releases: u32,
    cancels: u32,
}

impl Contract {
    /// The session has another stream, on which these were claimed.
    pub(super) fn resumed(&mut self, claims: impl IntoIterator<Item = u64>) {
        let mut claimed: Vec<u64> = claims.into_iter().collect();
        claimed.sort_unstable();
        let is_confused = claimed.windows(2).any(|pair| pair[0] == pair[1]);
        *self = Self { came_back: true, claimed, is_confused, ..Self::default() };
    }

    /// The client says something that the server hears.
    pub(super) fn says(&mut self, message: &Said) {
        match message {
            Said::Lock(lock) => self.owed(lock.request).locks += 1,
            Said::Release(release) => self.owed(release.request).releases += 1,
            Said::Cancel(cancel) => self.owed(cancel.request).cancels += 1,
            Said::Open(_)
            | Said::Claims(_)
            | Said::Resume(_)
            | Said::KeepAlive(_)
            | Said::Close(_) => {}
        }
    }

    /// The client is told something.
    ///
    /// # Panics
    ///
    /// If it may not be told that.
    pub(super) fn told(&mut self, told: &Told) {
        if self.is_confused {
            return;
        }
        match told {
            Told::Queued(v1::Queued { request, place }) => self.queued(*request, *place),
            Told::Granted(v1::Granted { request, token, .. }) => self.granted(*request, *token),
            Told::Released(v1::Released { request }) => self.released(*request),
            Told::Revoked(v1::Revoked { request, .. }) => {
                let stage = self.stage(*request);
                assert!(matches!(stage, Stage::Holding(_) | Stage::Unknown), "{told:?}: {stage:?}");
                self.set(*request, Stage::Over);
            }
            Told::Refused(v1::Refused { request, reason }) => {
                let reason = reason.as_ref().and_then(|reason| reason.reason.as_ref());
                self.refused(*request, reason.expect("a refusal has a reason"));
            }
            Told::Run(_) => panic!("no client here understands runs"),
            Told::Opened(_) => self.opened(),
            Told::KeptAlive(_) | Told::Ended(_) => {}
        }
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
        match self.stage(request) {
            Stage::Over | Stage::Unknown => {}
            Stage::Waiting(before) => assert_eq!(place, before, "request {request} has moved"),
            Stage::Holding(_) => panic!("request {request} holds and is queued"),
        }
        self.answer_lock(request);
        self.set(request, Stage::Waiting(place));
    }

    fn granted(&mut self, request: u64, token: u64) {
        match self.stage(request) {
            Stage::Waiting(_) => {}
            Stage::Over | Stage::Unknown => self.answer_lock(request),
            Stage::Holding(before) => {
                assert_eq!(token, before, "request {request} holds twice");
                self.answer_lock(request);
            }
        }
        self.set(request, Stage::Holding(token));
    }

    fn released(&mut self, request: u64) {
        let stage = self.stage(request);
        match stage {
            Stage::Holding(_) => self.answer_end(request),
            // It was not claimed, or was given up before the stream was another.
            Stage::Unknown => {}
            Stage::Over | Stage::Waiting(_) => panic!("request {request} is released: {stage:?}"),
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
                assert!(matches!(stage, Stage::Waiting(_)), "request {request}: {stage:?}");
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
                    Stage::Waiting(_) => {}
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
        self.requests.insert(request, stage);
    }
}
