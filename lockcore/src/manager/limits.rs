//! [`Limits`]: what clients may ask for at most.

use core::time::Duration;

use super::{LockManager, Refusal, session::Key};

/// What clients may ask for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Length of an id in bytes: 1024 by default.
    pub id_bytes: usize,
    /// Sessions, attached or not: 100,000 by default. As many of earlier runs may come back after a
    /// restart, whoever has come before them.
    pub sessions: usize,
    /// Ids in use: 10,000,000 by default.
    pub ids: usize,
    /// Requests that wait, over all sessions: 1,000,000 by default.
    pub waiters: usize,
    /// Requests of a session, waiting and holding: 100,000 by default.
    pub requests_per_session: usize,
    /// Requests of a session that wait: 100,000 by default.
    pub waiters_per_session: usize,
    /// The shortest lease, to which shorter ones are raised: 1 s by default.
    pub shortest_lease: Duration,
    /// The longest lease, to which longer ones are cut: 10 min by default. After a restart nobody has a
    /// turn for as long as the longest lease given before.
    pub longest_lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            id_bytes: 1024,
            sessions: 100_000,
            ids: 10_000_000,
            waiters: 1_000_000,
            requests_per_session: 100_000,
            waiters_per_session: 100_000,
            shortest_lease: Duration::from_secs(1),
            longest_lease: Duration::from_secs(600),
        }
    }
}

impl Limits {
    /// The lease that is granted where `wanted` is asked for.
    pub(super) fn lease(&self, wanted: Duration) -> Duration {
        wanted.max(self.shortest_lease).min(self.longest_lease)
    }
}

impl LockManager {
    /// Refuses one session too many.
    pub(super) fn admit_session(&self) -> Result<(), Refusal> {
        let limit = self.limits.sessions;
        if self.sessions.len() < limit { Ok(()) } else { Err(Refusal::TooManySessions { limit }) }
    }

    /// Refuses a bad id and one request too many.
    pub(super) fn admit(&self, key: Key, id: &str) -> Result<(), Refusal> {
        let session = &self.sessions[&key.session];
        let limit = self.limits.id_bytes;
        if id.is_empty() {
            Err(Refusal::IdEmpty)
        } else if id.len() > limit {
            Err(Refusal::IdTooLong { length: id.len(), limit })
        } else if session.requests.len() >= session.limit {
            Err(Refusal::TooManyRequests { limit: session.limit })
        } else {
            Ok(())
        }
    }

    /// Refuses one id in use too many.
    pub(super) fn admit_id(&self, hash: u64, id: &str) -> Result<(), Refusal> {
        let limit = self.limits.ids;
        if self.table.len() < limit || self.table.status(hash, id).is_some() {
            Ok(())
        } else {
            Err(Refusal::TooManyIds { limit })
        }
    }

    /// Refuses one waiting request too many.
    pub(super) fn admit_waiter(&self, key: Key) -> Result<(), Refusal> {
        let session = &self.sessions[&key.session];
        let limit = self.limits.waiters_per_session;
        if self.waiting >= self.limits.waiters {
            Err(Refusal::TooManyWaiters { limit: self.limits.waiters })
        } else if session.waiting >= limit {
            Err(Refusal::TooManyWaitersOfSession { limit })
        } else {
            Ok(())
        }
    }
}
