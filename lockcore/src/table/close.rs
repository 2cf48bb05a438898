//! Closing a table: every wait ends, and nothing is locked any more.

use super::{CLOSED, LockTable};
use crate::due::{Due, Turns};

impl<I, W, S> LockTable<I, W, S> {
    /// Ends every wait and refuses what is asked for from here on: O(contended ids and waiters).
    ///
    /// Those who waited are in the result, in the order of the queue of each id; their tickets stay
    /// good for [`take_turn`](Self::take_turn), which says that the table is closed, and for
    /// [`cancel`](Self::cancel). Holds stay, and turns that were handed over may be taken. A closed
    /// table stays closed; closing it again does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use lockcore::{Joined, LockTable, Mode, NoTurn};
    ///
    /// let mut table = LockTable::<u64, &str>::new();
    /// let hash = table.hash(&7);
    /// let hold = table.try_lock(hash, &7, Mode::Exclusive).unwrap();
    /// let Joined::Waits(ticket) = table.lock(hash, &7, Mode::Exclusive, "bob") else { panic!() };
    ///
    /// assert!(table.close().into_turns().eq(["bob"]));
    /// assert!(matches!(table.take_turn(ticket), Err(NoTurn::Closed)));
    /// assert!(table.try_lock(table.hash(&8), &8, Mode::Shared).is_none());
    /// let _ = table.release(hold);
    /// ```
    pub fn close(&mut self) -> Due<I, W> {
        self.last_token = CLOSED;
        let mut ended = Turns::default();
        for (_, queue) in &mut self.queues {
            while let Some(waiting) = queue.end_head(&mut self.waiters) {
                ended.push(waiting);
            }
        }
        Due::of_turns(ended)
    }

    /// Returns whether the table is closed.
    pub fn is_closed(&self) -> bool {
        self.last_token == CLOSED
    }
}
