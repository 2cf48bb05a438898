//! What can be seen of a manager from outside.

use core::fmt;

use super::{
    Epoch, LockManager, RequestId, SessionId, Time,
    parts::{Part, PartKey},
    request::Request,
    session::Key,
};
use crate::handles::{Mode, Status};

/// One hold of an id: by a request that was granted, or one that waits for others of its ids.
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
    /// How many requests it has, waiting and holding; one for several ids counts as often as it has an
    /// id.
    pub requests: usize,
    /// How many of them wait, counted by id, too.
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
        self.holders_of(id).map(|holder| {
            let token = self.live_part(holder).token().expect("holders hold");
            let Key { session, request } = holder.key;
            Holder { session, request, mode: self.live(holder.key).mode, token }
        })
    }

    /// Iterates over those who wait for `id`, from head to tail; in the recovery window nobody does.
    pub fn queue(&self, id: &str) -> impl Iterator<Item = Waiter> {
        self.table.queue(self.table.hash(id), id).map(|PartKey { key, .. }| {
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
            requests: state.ids(),
            waiting: state.waiting,
        })
    }

    /// Returns the number of requests that wait, for a turn or for the end of the recovery window; one
    /// for several ids counts as often as it waits for an id.
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

    /// Returns one id of a request that is known to be live.
    pub(super) fn live_part(&self, name: PartKey) -> &Part {
        self.live(name.key).parts.get(name)
    }

    /// Returns the token of a request that holds.
    pub(super) fn token(&self, key: Key) -> Option<u64> {
        self.request(key).and_then(Request::token)
    }

    /// Iterates over the requests that hold `id`.
    pub(super) fn holders_of(&self, id: &str) -> impl Iterator<Item = PartKey> {
        self.holders_between(id, SessionId(u64::MIN), SessionId(u64::MAX))
    }

    /// Returns the request by which `session` was granted `id`, the one of the lowest number if many
    /// were.
    pub(super) fn holder_of(&self, session: SessionId, id: &str) -> Option<Key> {
        let mut holders = self.holders_between(id, session, session).map(|holder| holder.key);
        holders.find(|key| self.live(*key).is_holding())
    }

    /// Iterates over the requests of the sessions from `first` to `last` that hold `id`.
    fn holders_between(
        &self,
        id: &str,
        first: SessionId,
        last: SessionId,
    ) -> impl Iterator<Item = PartKey> {
        let hash = self.table.hash(id);
        let first = Key { session: first, request: RequestId::MIN };
        let last = Key { session: last, request: RequestId::MAX };
        let first = (hash, PartKey { key: first, number: u32::MIN });
        let last = (hash, PartKey { key: last, number: u32::MAX });
        let holders = self.holders.range(first..=last).map(|(_, holder)| *holder);
        holders.filter(move |holder| *self.live_part(*holder).id == *id)
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
