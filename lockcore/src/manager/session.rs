//! What the manager knows of a session and of each of its requests.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use super::{Outcome, Refusal, Time};
use crate::handles::{Hold, Ticket};

/// A session of a manager; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

impl SessionId {
    /// Returns the number of the session.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request's number, chosen by the client: unique among the live requests of its session.
pub type RequestId = u64;

/// A request, seen from outside its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) session: SessionId,
    pub(super) request: RequestId,
}

#[derive(Debug)]
pub(super) struct Session {
    /// How many requests it may have.
    pub(super) limit: usize,
    /// Ordered, so that what is done to all of them is done in the same order each time.
    pub(super) requests: BTreeMap<RequestId, Request>,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Arc<str>,
    pub(super) hash: u64,
    pub(super) stage: Stage,
    pub(super) wait_limit: Option<Duration>,
    pub(super) hold_limit: Option<Duration>,
    /// When the present stage ends by itself; the manager's timers have the same.
    pub(super) deadline: Option<Time>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Waiting(Ticket),
    Holding(Hold),
}

impl Request {
    /// Returns the token if the request holds.
    pub(super) fn token(&self) -> Option<u64> {
        match &self.stage {
            Stage::Waiting(_) => None,
            Stage::Holding(hold) => Some(hold.token()),
        }
    }
}

/// A request that has left its stage, with the limit of that stage.
#[derive(Debug)]
pub(super) enum Left {
    Waited { limit: Option<Duration> },
    Held { id: Arc<str>, limit: Option<Duration> },
}

impl Left {
    /// What is said when the session asked for it.
    pub(super) fn ended(self) -> Outcome {
        match self {
            Self::Waited { .. } => Outcome::Refused(Refusal::Cancelled),
            Self::Held { id, .. } => Outcome::Released { id },
        }
    }

    /// What is said when the limit has passed.
    pub(super) fn timed_out(self) -> Outcome {
        const LIMIT: &str = "a timer is set by a limit";
        match self {
            Self::Waited { limit } => {
                Outcome::Refused(Refusal::WaitLimit { limit: limit.expect(LIMIT) })
            }
            Self::Held { id, limit } => Outcome::Revoked { id, limit: limit.expect(LIMIT) },
        }
    }
}

impl Session {
    /// Returns the requests, those that wait first: who leaves them in this order hands a session its
    /// own lock only where a shared one waits behind another of its own.
    pub(super) fn waiting_first(&self) -> Vec<RequestId> {
        let holds = |request: &Request| matches!(request.stage, Stage::Holding(_));
        let numbers = |holding| {
            let of_stage = move |(_, request): &(&RequestId, &Request)| holds(request) == holding;
            self.requests.iter().filter(of_stage).map(|(number, _)| *number)
        };
        numbers(false).chain(numbers(true)).collect()
    }
}
