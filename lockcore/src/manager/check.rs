//! The invariants of a manager, beyond those of its table.

use super::{Key, LockManager, Stage};

impl LockManager {
    /// Asserts that sessions, table, holders and timers tell the same story: for tests and fuzz
    /// targets; O(ids + requests).
    ///
    /// # Panics
    ///
    /// If they do not.
    pub fn check(&self) {
        self.table.check();
        let (mut holding, mut waiting, mut timed) = (0, 0, 0);
        for (&session, requests) in &self.sessions {
            for (&request, state) in &requests.requests {
                let key = Key { session, request };
                assert_eq!(
                    state.hash,
                    self.table.hash(&*state.id),
                    "{key:?} has the hash of its id"
                );
                let held_by = self.holders.contains(&(state.hash, key));
                match &state.stage {
                    Stage::Waiting(_) => {
                        waiting += 1;
                        assert!(!held_by, "{key:?} waits and is no holder");
                        assert!(self.status(&state.id).is_some(), "{key:?} waits for a used id");
                    }
                    Stage::Holding(hold) => {
                        holding += 1;
                        assert!(held_by, "{key:?} holds and is among the holders");
                        assert_eq!(self.table.id(hold), &state.id, "{key:?} holds its id");
                    }
                }
                timed += usize::from(state.deadline.is_some());
                let timer = state.deadline.map(|deadline| self.timers.contains(&(deadline, key)));
                assert_ne!(timer, Some(false), "{key:?} has its timer");
            }
        }
        assert_eq!(holding, self.holders.len(), "each holder is a live request");
        assert_eq!(timed, self.timers.len(), "each timer is of a live request");
        let (held, queued) = self.table.iter().fold((0, 0), |(held, queued), (_, status)| {
            (held + status.holders, queued + status.waiting)
        });
        assert_eq!((held, queued), (holding, waiting), "the table knows the same requests");
    }
}
