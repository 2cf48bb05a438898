//! The shorter ways of what happens most: each does part of what another call does, or nothing, without
//! a [`Due`](crate::Due), which is returned in memory.

use core::{
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
};

use hashbrown::hash_table::Entry as Place;

use super::{LockTable, next_token, no_rehash};
use crate::{
    entry::{Entry, State},
    from_borrowed::FromBorrowed,
    handles::{Hold, Mode, Ticket},
};

impl<I, W, S> LockTable<I, W, S> {
    /// Of [`try_lock`](Self::try_lock): locks `id` exclusively if nobody is ahead; returns the token of the
    /// hold, which is a lone one.
    #[inline(always)]
    pub(crate) fn try_lone<Q>(&mut self, hash: u64, id: &Q) -> Option<NonZeroU64>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Eq + ?Sized,
        S: BuildHasher,
    {
        self.make_room();
        let entry = self.entries.entry(hash, |entry| entry.id.borrow() == id, no_rehash);
        let Place::Vacant(vacant) = entry else { return None };
        let token = next_token(self.last_token)?;
        let id = I::from_borrowed(id);
        self.last_token = token.get();
        vacant.insert(Entry { id, state: State::lone(token) });
        Some(token)
    }

    /// Of [`release`](Self::release): hands over from one exclusive holder by a queue to another; returns
    /// what that one had for its turn.
    #[inline]
    pub(crate) fn hand_over_to_one(&mut self, hold: &Hold) -> Option<W> {
        let queue = &mut self.queues[hold.queue().filter(|_| hold.mode() == Mode::Exclusive)?];
        queue.replace_holder(&mut self.waiters, &mut self.last_token)
    }

    /// Of [`release`](Self::release): removes the id of a lone holder, which knows no queue, if that has no
    /// consequences for the table.
    #[inline]
    pub(crate) fn remove_lone(&mut self, hold: &Hold) -> Option<I> {
        if self.entries.len() == 1 && self.has_more_than_kept() {
            return None;
        }
        debug_assert!(
            hold.queue().is_none(),
            "a moved hold may have the token of another's lone one"
        );
        let state = State::lone(hold.token);
        let entry = self.entries.find_entry(hold.hash, |entry| entry.state == state).ok()?;
        Some(entry.remove().0.id)
    }

    /// Of [`cancel`](Self::cancel): leaves the queue if the ticket waits behind another, which uses it up;
    /// returns what it had for its turn.
    #[inline]
    pub(crate) fn leave_from_behind(&mut self, ticket: &Ticket) -> Option<W> {
        let waiter = &self.waiters[ticket.slot as usize];
        if waiter.out().is_some() || waiter.links.is_head() {
            return None;
        }
        Some(self.queues[waiter.queue as usize].leave(&mut self.waiters, ticket.slot))
    }
}
