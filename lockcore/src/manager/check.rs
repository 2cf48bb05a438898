//! The invariants of a manager, beyond those of its table.

use alloc::collections::BTreeMap;

use super::{
    LockManager,
    parts::{Part, PartKey},
    request::{Request, Stage},
    session::{Key, Session},
};

/// What is counted over all sessions.
#[derive(Default)]
struct Sum {
    holding: usize,
    queued: usize,
    deferred: usize,
    deferred_requests: usize,
    timed: usize,
}

impl LockManager {
    /// Asserts that sessions, table, holders and timers tell the same story: for tests and fuzz
    /// targets; O(ids + requests).
    ///
    /// # Panics
    ///
    /// If they do not.
    pub fn check(&self) {
        self.table.check();
        let mut sum = Sum::default();
        for (id, session) in &self.sessions {
            assert_eq!(session.link.session, *id, "a session has its own link");
            self.check_session(session, &mut sum);
        }
        assert_eq!(sum.holding, self.holders.len(), "each holder is a live request");
        assert_eq!(sum.timed, self.timers.len(), "each timer is of a live request");
        assert_eq!(sum.queued + sum.deferred, self.waiting, "those who wait are counted");
        let deferred = self.recovery.as_ref().map_or(0, |recovery| recovery.deferred.len());
        assert_eq!(sum.deferred_requests, deferred, "who is deferred waits for the window's end");
        let leased = self.sessions.values().filter(|session| session.lease.is_some());
        assert_eq!(leased.count(), self.leases.len(), "each lease has one timer");
        let (held, queued) = self.table.iter().fold((0, 0), |(held, queued), (_, status)| {
            (held + status.holders, queued + status.waiting)
        });
        assert_eq!((held, queued), (sum.holding, sum.queued), "the table knows the same requests");
        assert!(self.recovery.is_none() || queued == 0, "nobody queues in the recovery window");
        self.check_tokens();
        self.check_places();
        self.check_promises();
    }

    fn check_session(&self, session: &Session, sum: &mut Sum) {
        let id = session.link.session;
        if let Some(lease) = session.lease {
            assert!(self.leases.contains(&(lease.timer, id)), "session {id} has its timer");
            assert!(lease.timer <= lease.end, "session {id} is looked at in time");
        }
        let (mut waiting, mut ids) = (0, 0);
        for (&request, state) in &session.requests {
            let key = Key { session: id, request };
            waiting += state.parts.iter().filter(|part| part.token().is_none()).count();
            ids += state.parts.len();
            if let Some(owner) = state.owner {
                assert!(session.owned.contains(&(owner, request)), "{key:?} is filed by its owner");
            }
            self.check_request(key, state, sum);
        }
        assert_eq!(waiting, session.waiting, "those of session {id} who wait are counted");
        assert_eq!(ids, session.ids(), "the ids of session {id} are counted");
        let owned = session.requests.values().filter(|request| request.owner.is_some());
        assert_eq!(owned.count(), session.owned.len(), "each owned request is live");
    }

    fn check_request(&self, key: Key, state: &Request, sum: &mut Sum) {
        for (name, part) in state.parts.named(key) {
            self.check_part(name, state, part, sum);
        }
        if state.is_deferred() {
            sum.deferred_requests += 1;
            let recovery = self.recovery.as_ref();
            let listed = recovery.map(|recovery| recovery.deferred.contains(&(state.place, key)));
            assert_eq!(listed, Some(true), "{key:?} waits for the window's end");
        }
        let waits = matches!(state.parts.first.stage, Stage::Waiting(_));
        assert!(waits || state.promise.is_none(), "{key:?} is promised its turn while it waits");
        sum.timed += usize::from(state.deadline.is_some());
        let timer = state.deadline.map(|deadline| self.timers.contains(&(deadline, key)));
        assert_ne!(timer, Some(false), "{key:?} has its timer");
    }

    fn check_part(&self, name: PartKey, request: &Request, part: &Part, sum: &mut Sum) {
        assert_eq!(part.hash, self.table.hash(&*part.id), "{name:?} has the hash of its id");
        let held_by = self.holders.contains(&(part.hash, name));
        assert_eq!(held_by, part.token().is_some(), "{name:?} is a holder if it holds");
        match &part.stage {
            Stage::Deferred => {
                sum.deferred += 1;
                assert!(request.is_deferred(), "{name:?} is deferred with all ids of its request");
            }
            Stage::Waiting(_) => {
                sum.queued += 1;
                assert!(self.status(&part.id).is_some(), "{name:?} waits for a used id");
            }
            Stage::Holding(hold, _) => {
                sum.holding += 1;
                assert_eq!(self.table.id(hold), &part.id, "{name:?} holds its id");
                assert_eq!(hold.mode(), request.mode, "{name:?} holds in its mode");
            }
        }
    }

    /// Of one id, no two holders have the same token.
    fn check_tokens(&self) {
        let mut tokens = BTreeMap::new();
        for (_, name) in &self.holders {
            let part = self.live_part(*name);
            let other = tokens.insert((&*part.id, part.token()), *name);
            assert_eq!(other, None, "{name:?} has a token of its own");
        }
    }

    /// Who is promised a turn is behind its own session, all the way to the holder, by a greater token
    /// each; and each request of which that is true is promised its turn.
    fn check_promises(&self) {
        for (id, _) in self.table.iter() {
            let alone = self.holders_of(id).map(|holder| holder.key).next().filter(|key| {
                self.live(*key).is_for_one_alone() && self.sessions[&key.session].runs
            });
            let mut ahead = alone.map(|key| (key.session, self.token(key)));
            for PartKey { key, .. } in self.table.queue(self.table.hash(&**id), &**id) {
                let request = self.live(*key);
                ahead = ahead
                    .filter(|(session, _)| *session == key.session && request.may_be_promised())
                    .map(|(session, token)| {
                        assert!(request.promise > token, "{key:?} is promised a greater token");
                        (session, request.promise)
                    });
                let follows = ahead.is_some();
                assert_eq!(request.promise.is_some(), follows, "{key:?} follows its own session");
            }
        }
    }

    /// Each queue is in order of places, on which the search for deadlocks relies.
    fn check_places(&self) {
        for (id, _) in self.table.iter() {
            let queue = self.table.queue(self.table.hash(&**id), &**id);
            let places = queue.map(|name| (self.live(name.key).place, name.key));
            assert!(places.is_sorted(), "the queue of {id} is in order of places");
        }
    }
}
