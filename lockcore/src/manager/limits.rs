//! [`Limits`]: what clients may ask for at most.

use core::time::Duration;

use super::{Ask, LockManager, Refusal, parts::Part, request::Request, session::Key};

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
    /// Ids that one request may name, each as often as it is named: 1000 by default.
    pub ids_per_request: usize,
    /// Requests that wait, over all sessions: 1,000,000 by default. One for several ids counts as often
    /// as it has to wait for an id. As many that were told so in earlier runs may come back after a
    /// restart, whoever has asked before them.
    pub waiters: usize,
    /// Requests of a session, waiting and holding: 100,000 by default. One for several ids counts as
    /// often as it has an id.
    pub requests_per_session: usize,
    /// Requests of a session that wait, counted as in `waiters`: 100,000 by default.
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
            ids_per_request: 1000,
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

    /// Refuses bad ids, too many of them, and one request too many.
    pub(super) fn admit(&self, key: Key, ask: &Ask<'_>) -> Result<(), Refusal> {
        self.admit_name(ask.id)?;
        let (count, limit) = (1 + ask.more_ids.len(), self.limits.ids_per_request);
        if count > limit {
            return Err(Refusal::TooManyIdsOfRequest { count, limit });
        }
        ask.more_ids.iter().try_for_each(|id| self.admit_name(id))?;
        let session = &self.sessions[&key.session];
        if has_room(session.ids(), ask.ids(), session.limit) {
            Ok(())
        } else {
            Err(Refusal::TooManyRequests { limit: session.limit })
        }
    }

    fn admit_name(&self, id: &str) -> Result<(), Refusal> {
        let (length, limit) = (id.len(), self.limits.id_bytes);
        if id.is_empty() {
            Err(Refusal::IdEmpty)
        } else if length > limit {
            Err(Refusal::IdTooLong { length, limit })
        } else {
            Ok(())
        }
    }

    /// Refuses ids in use that are too many.
    pub(super) fn admit_ids(&self, request: &Request) -> Result<(), Refusal> {
        let (limit, used) = (self.limits.ids, self.table.len());
        if has_room(used, request.parts.len(), limit) {
            return Ok(());
        }
        let is_free = |part: &&Part| self.table.status(part.hash, &part.id).is_none();
        let free = request.parts.iter().filter(is_free).count();
        if free == 0 || has_room(used, free, limit) {
            Ok(())
        } else {
            Err(Refusal::TooManyIds { limit })
        }
    }

    /// Refuses a request that would wait for so many ids, if that is too many. Newcomers take no room from
    /// those who waited before a restart, whose places are of an earlier run.
    pub(super) fn admit_waiters(
        &mut self,
        key: Key,
        place: u64,
        ids: usize,
    ) -> Result<(), Refusal> {
        let session = &self.sessions[&key.session];
        let Limits { waiters, waiters_per_session, .. } = self.limits;
        let returns = self.epoch.is_after(place);
        let returned = self.recovery.as_mut().map(|recovery| &mut recovery.waiters_returned);
        let mut returned = returned.filter(|_| returns);
        if !has_room(returned.as_deref().copied().unwrap_or(self.waiting), ids, waiters) {
            return Err(Refusal::TooManyWaiters { limit: waiters });
        }
        if !has_room(session.waiting, ids, waiters_per_session) {
            return Err(Refusal::TooManyWaitersOfSession { limit: waiters_per_session });
        }
        if let Some(returned) = &mut returned {
            **returned += ids;
        }
        Ok(())
    }
}

/// Returns whether so many more are within the limit.
fn has_room(present: usize, more: usize, limit: usize) -> bool {
    limit.checked_sub(present).is_some_and(|room| more <= room)
}
