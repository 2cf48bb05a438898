//! What promises of turns ask of a table: who is next to whom in a queue, and tokens in advance.

use super::{LockTable, next_token};
use crate::handles::Ticket;

impl<I, W, S> LockTable<I, W, S> {
    /// Returns what is to come back to the one directly ahead of `ticket`, which waits; `None` if it is
    /// the head.
    pub(crate) fn ahead(&self, ticket: &Ticket) -> Option<&W> {
        self.waiting_at(self.waiters[ticket.slot as usize].links.prev())
    }

    /// Returns what is to come back to the one directly behind `ticket`, which waits; `None` if it is
    /// the tail.
    pub(crate) fn behind(&self, ticket: &Ticket) -> Option<&W> {
        self.waiting_at(self.waiters[ticket.slot as usize].links.next())
    }

    /// Gives a token away that no hold of the table has then: a hold to come may go by it (invariant 11).
    pub(crate) fn reserve_token(&mut self) -> u64 {
        let token = next_token(self.last_token).expect("a closed table has no waiters");
        self.last_token = token.get();
        token.get()
    }

    fn waiting_at(&self, slot: usize) -> Option<&W> {
        self.waiters.get(slot)?.waiting()
    }
}
