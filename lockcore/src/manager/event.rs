//! What the manager has to say: [`Event`] and [`Outcome`].

use alloc::{boxed::Box, sync::Arc};

use super::{Link, Refusal, RequestId};

/// Something to tell a client, by the connection that its session had last.
///
/// A request has one [`Granted`](Outcome::Granted) or one [`Refused`](Outcome::Refused); after
/// `Granted` comes one [`Released`](Outcome::Released) or one [`Revoked`](Outcome::Revoked). An
/// answer that is asked for again, by a repeated request or by resuming, is the same answer.
///
/// In a session that understands runs, [`Promised`](Outcome::Promised) may come after
/// [`Queued`](Outcome::Queued), once on each connection. Then [`PromisedTurn`](Outcome::PromisedTurn)
/// or `Refused` follows, and `Granted` only where the request holds already when the client resumes or
/// repeats it, by the token that was promised.
///
/// Two refusals answer a call and leave a live request of that number as it is:
/// [`RequestInUse`](Refusal::RequestInUse) and [`WrongToken`](Refusal::WrongToken); so does
/// [`NotHeld`](Refusal::NotHeld) for a request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a request.
    Request {
        /// Who is told. Nobody listens if the session is detached: it hears the same when it resumes.
        link: Link,
        /// The request.
        request: RequestId,
        /// What happened.
        outcome: Outcome,
    },
    /// The session is over for this connection, which is to be cut off.
    Ended {
        /// The connection that was attached last.
        link: Link,
        /// [`SessionExpired`](Refusal::SessionExpired) or [`Administrator`](Refusal::Administrator):
        /// everything it held is released, everything it waited for is cancelled.
        /// [`Stale`](Refusal::Stale): another connection has taken the session over.
        reason: Refusal,
    },
}

impl Event {
    /// Returns the connection that is told.
    pub const fn link(&self) -> Link {
        match self {
            Self::Request { link, .. } | Self::Ended { link, .. } => *link,
        }
    }
}

/// What happened to a request.
///
/// Exhaustive: an adapter that does not know an outcome would leave a client waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds its id, or all of its ids.
    Granted {
        /// The id; of several, the first.
        id: Arc<str>,
        /// The fencing token of this hold.
        token: u64,
        /// How many wait for the id.
        waiting: usize,
        /// Its further ids, each once and in the order of the request, and their fencing tokens.
        more: Box<[(Arc<str>, u64)]>,
    },
    /// It has to wait; its turn comes later. Of several ids, it may hold some.
    Queued {
        /// The id; of several, the first for which it waits.
        id: Arc<str>,
        /// Its place: rises with each request, over restarts, too. To be claimed after a restart.
        place: u64,
        /// How many wait for the id, this request included; in the recovery window, how many wait for
        /// its end.
        waiting: usize,
    },
    /// It has to wait only for requests of its own session, which are all that is ahead of it: once
    /// they are over, it holds by this token. Its client lets it hold without being told.
    ///
    /// Each of those ahead holds or was promised its turn before, by a lesser token. The promise goes
    /// for the connection that it is told on; it ends with the request, and with the session. Requests
    /// for several ids are promised nothing, nor is anybody behind one.
    Promised {
        /// The id.
        id: Arc<str>,
        /// The fencing token that it will hold by.
        token: u64,
    },
    /// The turn that it was promised has come: to be logged, for its client knows. What ended ahead of it
    /// was ended by the client, or the client is told before.
    PromisedTurn {
        /// The id.
        id: Arc<str>,
        /// The token that was promised.
        token: u64,
        /// How many wait for the id.
        waiting: usize,
    },
    /// It holds none of its ids, or what was asked of it cannot be done.
    Refused(Refusal),
    /// Its hold ended as asked for.
    Released {
        /// The id; of several, all of which are released, the first.
        id: Arc<str>,
    },
    /// Its hold ended otherwise, or a hold that was claimed is none.
    Revoked {
        /// The id; of several, all of which are released, the first.
        id: Arc<str>,
        /// Why.
        reason: Refusal,
    },
}
