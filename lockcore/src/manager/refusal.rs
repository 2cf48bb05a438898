//! [`Refusal`]: every reason why a client does not get what it wants.

use alloc::sync::Arc;
use core::{fmt, time::Duration};

use super::{RequestId, SessionId, Wait};

/// Why a call, a request or a hold is refused.
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
    /// The request names more ids than the limit.
    TooManyIdsOfRequest {
        /// How many it names.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// There are as many sessions as there may be.
    TooManySessions {
        /// The limit.
        limit: usize,
    },
    /// More ids would be in use than may be.
    TooManyIds {
        /// The limit.
        limit: usize,
    },
    /// More requests would wait, over all sessions, than may wait.
    TooManyWaiters {
        /// The limit.
        limit: usize,
    },
    /// The session would have more requests, waiting and holding, than it may have.
    TooManyRequests {
        /// The limit.
        limit: usize,
    },
    /// More requests of the session would wait than may wait.
    TooManyWaitersOfSession {
        /// The limit.
        limit: usize,
    },
    /// The session has a live request of this number that asks for something else.
    RequestInUse {
        /// The number.
        request: RequestId,
    },
    /// Somebody is ahead, and the wait limit is zero.
    Busy,
    /// The wait limit is zero, and the server has restarted: who holds what is not known for sure yet.
    Recovering {
        /// How long that lasts.
        remaining: Duration,
    },
    /// It would wait for its own owner.
    Deadlock {
        /// Who would wait for what, from the request itself on; the last would wait for its owner.
        circle: Arc<[Wait]>,
    },
    /// The wait limit passed.
    WaitLimit {
        /// The limit.
        limit: Duration,
    },
    /// The hold limit passed.
    HoldLimit {
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
    /// The claimed hold ended before: somebody claims a later one that does not go with it.
    LaterHold {
        /// The token of the later hold.
        token: u64,
    },
    /// The claimed token was not given before the server's start.
    TokenNotGiven {
        /// The token.
        token: u64,
    },
    /// The session has expired, was closed, or never was, or the secret is not its own.
    SessionExpired {
        /// The session.
        session: SessionId,
    },
    /// The connection is not the session's any more: it was detached, or another took its place.
    Stale {
        /// The session.
        session: SessionId,
    },
    /// An administrator ended it.
    Administrator {
        /// What the administrator says.
        note: Arc<str>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdEmpty => f.write_str("id must be specified"),
            Self::IdTooLong { length, limit } => {
                write!(f, "id is {length} bytes long; the limit is {limit}")
            }
            Self::TooManyIdsOfRequest { count, limit } => {
                write!(f, "the request is for {count} ids; the limit is {limit}")
            }
            Self::TooManySessions { limit } => too_many(f, *limit, "sessions"),
            Self::TooManyIds { limit } => too_many(f, *limit, "ids in use"),
            Self::TooManyWaiters { limit } => too_many(f, *limit, "waiting requests"),
            Self::TooManyRequests { limit } => too_many(f, *limit, "requests"),
            Self::TooManyWaitersOfSession { limit } => {
                too_many(f, *limit, "waiting requests of this session")
            }
            Self::RequestInUse { request } => {
                write!(f, "the session already has a request {request} for something else")
            }
            Self::Busy => f.write_str("somebody holds the id or waits for it"),
            Self::Recovering { remaining } => {
                write!(f, "the server has restarted and gives no turns for {remaining:?}")
            }
            Self::Deadlock { circle } => {
                f.write_str("deadlock")?;
                let mut word = ":";
                for Wait { session, id } in circle.iter() {
                    write!(f, "{word} session {session} would wait for {id:?}")?;
                    word = ",";
                }
                Ok(())
            }
            Self::WaitLimit { limit } => write!(f, "the turn did not come within {limit:?}"),
            Self::HoldLimit { limit } => write!(f, "held for its limit of {limit:?}"),
            Self::Cancelled => f.write_str("cancelled while waiting"),
            Self::NotHeld { request } => write!(f, "nothing is held by request {request}"),
            Self::WrongToken { given, held } => {
                write!(f, "token {given} is not that of the hold, which is {held}")
            }
            Self::LaterHold { token } => write!(f, "somebody held later, by token {token}"),
            Self::TokenNotGiven { token } => {
                write!(f, "token {token} was not given before the server's start")
            }
            Self::SessionExpired { session } => write!(f, "session {session} is unknown or over"),
            Self::Stale { session } => {
                write!(f, "this connection to session {session} is over")
            }
            Self::Administrator { note } => write!(f, "ended by an administrator: {note}"),
        }
    }
}

fn too_many(f: &mut fmt::Formatter<'_>, limit: usize, what: &str) -> fmt::Result {
    write!(f, "there may be {limit} {what} at most")
}

impl core::error::Error for Refusal {}
