//! What a session asks for, and what the manager knows of each request.

use alloc::sync::Arc;
use core::time::Duration;

use super::{Outcome, Refusal, Time, parts::Parts};
use crate::handles::{Hold, Mode, Ticket};

/// A request's number, chosen by the client: unique among the live requests of its session.
pub type RequestId = u64;

/// Whom a deadlock is searched for, chosen by the client: unique in its session.
pub type OwnerId = u64;

/// What a session asks for with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The id to lock.
    pub id: &'a str,
    /// Further ids to lock together with it: all or none are held, and in the same mode. One that is
    /// named twice counts once.
    pub more_ids: &'a [&'a str],
    /// Alone or shared.
    pub mode: Mode,
    /// How long to wait at most: `None` for as long as it takes, zero to try.
    pub wait_limit: Option<Duration>,
    /// How long to hold at most, counted from the turn; then the hold is revoked, whatever its holder
    /// believes.
    pub hold_limit: Option<Duration>,
    /// Requests of one owner hold together: one that would wait for another of its own, over whatever
    /// detours, is refused. A request without an owner is its own owner.
    pub owner: Option<OwnerId>,
}

impl<'a> Ask<'a> {
    /// Asks for `id` alone, without limits and owner.
    pub const fn exclusive(id: &'a str) -> Self {
        let (mode, more_ids) = (Mode::Exclusive, &[] as &[&str]);
        Self { id, more_ids, mode, wait_limit: None, hold_limit: None, owner: None }
    }
}

/// What a client that resumes knows of one of its live requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The request.
    pub request: RequestId,
    /// What it asked for. Limits count anew if the manager does not know the request: what is left of
    /// them is to be given then.
    pub ask: Ask<'a>,
    /// How far it came.
    pub state: Claimed,
    /// If it holds several ids, the tokens of those that follow the first, in the order of
    /// [`Granted`](Outcome::Granted).
    pub more_tokens: &'a [u64],
}

/// How far a request came, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It waits, also if it holds some of its ids, at the place that [`Queued`](Outcome::Queued) said, if it did.
    Waiting {
        /// The place.
        place: Option<u64>,
    },
    /// It holds.
    Held {
        /// The token that [`Granted`](Outcome::Granted) said.
        token: u64,
    },
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) parts: Parts,
    pub(super) mode: Mode,
    pub(super) owner: Option<OwnerId>,
    /// Rises in order of arrival, over restarts; so does it in each queue.
    pub(super) place: u64,
    pub(super) wait_limit: Option<Duration>,
    pub(super) hold_limit: Option<Duration>,
    /// When the present stage ends by itself; the manager's timers have the same.
    pub(super) deadline: Option<Time>,
    /// The token by which it will hold, if it waits and was promised its turn.
    pub(super) promise: Option<u64>,
}

/// How far a request came at one of its ids.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for the end of the recovery window, which has it in its list; in no queue.
    Deferred,
    /// Waits in the queue of its id.
    Waiting(Ticket),
    /// Holds by this token, which is another than the table's.
    Holding(Hold, u64),
}

impl Request {
    pub(super) fn is_try(&self) -> bool {
        self.wait_limit.is_some_and(|limit| limit.is_zero())
    }

    pub(super) fn is_holding(&self) -> bool {
        self.token().is_some()
    }

    pub(super) fn is_deferred(&self) -> bool {
        matches!(self.parts.first.stage, Stage::Deferred)
    }

    /// Returns the token if the request holds; the first one if it holds several ids.
    pub(super) fn token(&self) -> Option<u64> {
        self.parts.slowest().token()
    }

    /// Returns whether `ask` asks for the same. Limits may differ: the first ones count.
    pub(super) fn is_for(&self, ask: &Ask<'_>) -> bool {
        (self.mode, self.owner) == (ask.mode, ask.owner) && self.parts.are_of(ask)
    }

    /// Returns whether a client may believe `claim` of this request.
    pub(super) fn fits(&self, claim: &Claim<'_>) -> bool {
        self.is_for(&claim.ask)
            && match claim.state {
                Claimed::Waiting { .. } => true,
                Claimed::Held { token } => {
                    let more = self.parts.more();
                    let more = more.iter().map(|(_, token)| token);
                    self.token() == Some(token) && more.eq(claim.more_tokens)
                }
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
    /// What is left of a request whose stage ends.
    pub(super) fn of(request: &Request) -> Self {
        if request.is_holding() {
            let id = request.parts.first.id.clone();
            return Self::Held { id, limit: request.hold_limit };
        }
        Self::Waited { limit: request.wait_limit }
    }

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
            Self::Held { id, limit } => {
                Outcome::Revoked { id, reason: Refusal::HoldLimit { limit: limit.expect(LIMIT) } }
            }
        }
    }

    /// What is said when somebody else ends it.
    pub(super) fn revoked(self, reason: Refusal) -> Outcome {
        match self {
            Self::Waited { .. } => Outcome::Refused(reason),
            Self::Held { id, .. } => Outcome::Revoked { id, reason },
        }
    }
}
