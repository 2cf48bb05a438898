//! What can be seen of a manager from outside.

use core::fmt;

use super::{Epoch, LockManager, RequestId, SessionId, request::Request, session::Key};
use crate::handles::Status;

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

    /// Returns the number of sessions, attached or not.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
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
