//! What the manager has to say: [`Event`], [`Outcome`], and [`Refusal`] with its reasons.

use alloc::sync::Arc;
use core::{fmt, time::Duration};

use super::{RequestId, SessionId};

/// Something that happened to a request.
///
/// A request has one [`Granted`](Outcome::Granted) or one [`Refused`](Outcome::Refused); after
/// `Granted` comes one [`Released`](Outcome::Released) or one [`Revoked`](Outcome::Revoked).
///
/// Three refusals answer a call and leave a live request of that number as it is:
/// [`RequestInUse`](Refusal::RequestInUse), [`NotHeld`](Refusal::NotHeld) and
/// [`WrongToken`](Refusal::WrongToken).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The session that is told.
    pub session: SessionId,
    /// Its request.
    pub request: RequestId,
    /// What happened.
    pub outcome: Outcome,
}

/// What happened to a request.
///
/// Exhaustive: an adapter that does not know an outcome would leave a client waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds its id.
    Granted {
        /// The id.
        id: Arc<str>,
        /// The fencing token of this hold.
        token: u64,
        /// How many wait for the id.
        waiting: usize,
    },
    /// It has to wait; its turn comes later.
    Queued {
        /// The id.
        id: Arc<str>,
        /// How many wait for the id, this request included.
        waiting: usize,
    },
    /// It does not hold its id, or what was asked of it cannot be done.
    Refused(Refusal),
    /// Its hold ended as asked for.
    Released {
        /// The id.
        id: Arc<str>,
    },
    /// Its hold ended because its hold limit passed.
    Revoked {
        /// The id.
        id: Arc<str>,
        /// The hold limit.
        limit: Duration,
    },
}

/// Why a request is refused.
///
/// Exhaustive, so that an adapter says each reason in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The id is empty.
    IdEmpty,
    /// The id is longer than the limit.
    IdTooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The session already has a request of this number.
    RequestInUse {
        /// The number.
        request: RequestId,
    },
    /// The session has as many requests, waiting and holding, as it may have.
    TooManyRequests {
        /// The limit.
        limit: usize,
    },
    /// Somebody is ahead, and the wait limit is zero.
    Busy,
    /// The wait limit passed.
    WaitLimit {
        /// The limit.
        limit: Duration,
    },
    /// It was cancelled while it waited.
    Cancelled,
    /// The session has no hold by this request.
    NotHeld {
        /// The request's number.
        request: RequestId,
    },
    /// The token is not that of the request's hold.
    WrongToken {
        /// The token that was given.
        given: u64,
        /// The token of the hold.
        held: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdEmpty => f.write_str("id must be specified"),
            Self::IdTooLong { length, limit } => {
                write!(f, "id is {length} bytes long; the limit is {limit}")
            }
            Self::RequestInUse { request } => {
                write!(f, "the session already has a request {request}")
            }
            Self::TooManyRequests { limit } => {
                write!(f, "there are {limit} requests already, which is the limit")
            }
            Self::Busy => f.write_str("somebody holds the id or waits for it"),
            Self::WaitLimit { limit } => write!(f, "the turn did not come within {limit:?}"),
            Self::Cancelled => f.write_str("cancelled while waiting"),
            Self::NotHeld { request } => write!(f, "nothing is held by request {request}"),
            Self::WrongToken { given, held } => {
                write!(f, "token {given} is not that of the hold, which is {held}")
            }
        }
    }
}

impl core::error::Error for Refusal {}

/// The session does not exist, or was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSession(pub SessionId);

impl fmt::Display for UnknownSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} is unknown or closed", self.0)
    }
}

impl core::error::Error for UnknownSession {}
