//! What slots ask of the table behind them.

use super::{LockTable, next_token, no_rehash};
use crate::{
    entry::{Entry, State},
    queue::{Holders, Queue},
};

impl<I, W, S> LockTable<I, W, S> {
    /// Returns the token given last.
    #[inline]
    pub(crate) fn last_token(&self) -> u64 {
        self.last_token
    }

    /// Gives no token from now on that is not greater than `token`.
    pub(crate) fn give_greater_tokens(&mut self, token: u64) {
        self.last_token = self.last_token.max(token);
    }

    /// Takes over an exclusive hold of an id that is not in use here, and returns the queue by which it
    /// is held. There is room for one more entry.
    pub(crate) fn adopt(&mut self, hash: u64, id: I) -> usize {
        let token = next_token(self.last_token).expect("slots of a closed table are diverted");
        self.last_token = token.get();
        let queue = Queue::insert(&mut self.queues, Holders::Exclusive(token));
        self.entries.insert_unique(hash, Entry { id, state: State::queue(queue) }, no_rehash);
        queue
    }
}
