//! The invariants of a table, for tests and fuzz targets.

use core::hash::{BuildHasher, Hash};

use super::LockTable;
use crate::{entry::View, waiter::Waiter};

impl<I, W, S> LockTable<I, W, S> {
    /// Asserts the invariants: for tests and fuzz targets; O(contended ids * waiters).
    ///
    /// # Panics
    ///
    /// If one is broken.
    pub fn check(&self)
    where
        I: Hash + Eq,
        S: BuildHasher,
    {
        let mut linked = self.watchers.check(&self.waiters, |waiter| {
            assert_eq!(waiter.queue, Waiter::<W>::OF_TABLE, "invariant 13");
        });
        assert!(linked == 0 || !self.entries.is_empty(), "invariant 13: the table is watched");
        let expected = if linked == 0 { self.idle_limit } else { 0 };
        assert_eq!(self.look_above, expected, "invariant 13: a release sees that it is watched");
        let mut queues = 0;
        for entry in &self.entries {
            let found = self.entries.find(self.hash(&entry.id), |other| other.id == entry.id);
            assert!(
                found.is_some_and(|found| core::ptr::eq(found, entry)),
                "one entry an id, found by its hash"
            );
            match entry.state.view() {
                View::Lone(token) => assert!(token.get() <= self.last_token, "invariant 11"),
                View::Queue(index) => {
                    queues += 1;
                    linked += self.queues[index].check(index, &self.waiters, self.last_token);
                }
            }
        }
        assert_eq!(queues, self.queues.len(), "invariant 4: each queue belongs to one entry");
        let out = self.waiters.iter().filter(|(_, waiter)| waiter.out().is_some()).count();
        assert_eq!(linked + out, self.waiters.len(), "invariant 4: no waiter is loose");
        let mut waiting = self.iter().map(|(_, status)| status.waiting);
        assert!(!self.is_closed() || waiting.all(|count| count == 0), "invariant 12");
    }
}
