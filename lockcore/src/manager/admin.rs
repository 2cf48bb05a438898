//! What an administrator may end.

use alloc::{sync::Arc, vec::Vec};

use super::{
    Event, LockManager, Refusal, RequestId, SessionId, Time, parts::PartKey, request::Left,
    session::Key,
};

impl LockManager {
    /// Ends a request of somebody's, whether it waits or holds, and returns whether there was one.
    /// Its session is told [`Administrator`](Refusal::Administrator) with the note.
    ///
    /// The next one has the lock at once, whatever the holder still believes: only what checks
    /// tokens is safe from it.
    pub fn revoke(
        &mut self,
        now: Time,
        session: SessionId,
        request: RequestId,
        note: &str,
    ) -> bool {
        self.handle_timeout(now);
        let key = Key { session, request };
        let is_live = self.request(key).is_some();
        if is_live {
            self.revoke_live(now, key, note);
        }
        is_live
    }

    /// Ends all present holds of `id` as [`revoke`](Self::revoke) does, and returns how many there
    /// were. Who waited then holds. A request for several ids ends with all of them, also one that holds
    /// `id` and waits for others.
    pub fn revoke_id(&mut self, now: Time, id: &str, note: &str) -> usize {
        self.handle_timeout(now);
        let holders: Vec<PartKey> = self.holders_of(id).collect();
        for PartKey { key, .. } in &holders {
            self.revoke_live(now, *key, note);
        }
        holders.len()
    }

    fn revoke_live(&mut self, now: Time, key: Key, note: &str) {
        let reason = Refusal::Administrator { note: note.into() };
        self.leave(now, key, Some(&|left: Left| left.revoked(reason.clone())));
    }

    /// Ends a session with all that it holds and waits for, and returns whether there was one. Its
    /// client is told by [`Event::Ended`], and that it has expired if it comes back.
    pub fn expel(&mut self, now: Time, session: SessionId, note: &str) -> bool {
        self.handle_timeout(now);
        let Some(found) = self.sessions.get(&session) else { return false };
        let (link, note) = (found.link, Arc::from(note));
        self.events.push_back(Event::Ended { link, reason: Refusal::Administrator { note } });
        self.end_session(now, session);
        true
    }
}
