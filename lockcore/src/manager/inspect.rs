//! What can be seen of a manager from outside.

use core::fmt;

use super::{Epoch, LockManager, RequestId, SessionId, Time, request::Request, session::Key};
use crate::handles::{Mode, Status};

/// One hold of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The session that holds.
    pub session: SessionId,
    /// By which request.
    pub request: RequestId,
    /// Alone or shared.
    pub mode: Mode,
    /// By which token.
    pub token: u64,
}

/// One request in the queue of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter {
    /// The session that waits.
    pub session: SessionId,
    /// By which request.
    pub request: RequestId,
    /// What for: alone or shared.
    pub mode: Mode,
    /// Its place, which rises from head to tail.
    pub place: u64,
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionStatus {
    /// The session.
    pub session: SessionId,
    /// Whether a connection is there.
    pub attached: bool,
    /// When it expires if its client is not heard; `None` for one without a lease.
    pub lease_end: Option<Time>,
    /// How many requests it has, waiting and holding.
    pub requests: usize,
    /// How many of them wait.
    pub waiting: usize,
}

impl LockManager {
    /// Returns who holds `id` and how many wait for it, or `None` if it is free. Who waits for the end
    /// of the recovery window is not counted.
    pub fn status(&self, id: &str) -> Option<Status> {
        self.table.status(self.table.hash(id), id)
    }

    /// Iterates over the ids in use, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = (&str, Status)> {
        self.table.iter().map(|(id, status)| (&**id, status))
    }

    /// Iterates over those who hold `id`, in no particular order.
    pub fn holders(&self, id: &str) -> impl Iterator<Item = Holder> {
        self.holders_of(id).map(|key| {
            let request = self.live(key);
            let token = request.token().expect("holders hold");
            let Key { session, request: number } = key;
            Holder { session, request: number, mode: request.mode, token }
        })
    }

    /// Iterates over those who wait for `id`, from head to tail; in the recovery window nobody does.
    pub fn queue(&self, id: &str) -> impl Iterator<Item = Waiter> {
        self.table.queue(self.table.hash(id), id).map(|key| {
            let &Request { mode, place, .. } = self.live(*key);
            Waiter { session: key.session, request: key.request, mode, place }
        })
    }

    /// Iterates over the sessions, attached or not, the oldest first.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = SessionStatus> {
        self.sessions.iter().map(|(session, state)| SessionStatus {
            session: *session,
            attached: state.attached,
            lease_end: state.lease.map(|lease| lease.end),
            requests: state.requests.len(),
            waiting: state.waiting,
        })
    }

    /// Returns the number of requests that wait, for a turn or for the end of the recovery window.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns which run this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns a live request.
    pub(super) fn request(&self, key: Key) -> Option<&Request> {
        self.sessions.get(&key.session)?.requests.get(&key.request)
    }

    /// Returns a request that is known to be live.
    pub(super) fn live(&self, key: Key) -> &Request {
        &self.sessions[&key.session].requests[&key.request]
    }

    /// Returns the token of a request that holds.
    pub(super) fn token(&self, key: Key) -> Option<u64> {
        self.request(key).and_then(Request::token)
    }

    /// Iterates over the requests that hold `id`.
    pub(super) fn holders_of(&self, id: &str) -> impl Iterator<Item = Key> {
        let hash = self.table.hash(id);
        let first = Key { session: SessionId(u64::MIN), request: RequestId::MIN };
        let last = Key { session: SessionId(u64::MAX), request: RequestId::MAX };
        let holders = self.holders.range((hash, first)..=(hash, last)).map(|(_, key)| *key);
        holders.filter(move |key| &*self.live(*key).id == id)
    }

    /// Returns the request by which `session` holds `id`, the one of the lowest number if many do.
    pub(super) fn holder_of(&self, session: SessionId, id: &str) -> Option<Key> {
        let hash = self.table.hash(id);
        let key = |request| (hash, Key { session, request });
        let holders = self.holders.range(key(RequestId::MIN)..=key(RequestId::MAX));
        let requests = &self.sessions[&session].requests;
        holders.map(|(_, key)| *key).find(|key| *requests[&key.request].id == *id)
    }
}

impl fmt::Debug for LockManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockManager")
            .field("epoch", &self.epoch)
            .field("sessions", &self.sessions.len())
            .field("ids", &self.table.len())
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}
