//! The queue of one id: its holders, who waits for it, and who watches it.

use core::num::NonZeroU64;

use slab::Slab;

use crate::{
    handles::{Mode, Status},
    list::{Links, List, narrow},
    table::next_token,
    waiter::{Out, Waiter},
};

/// Who holds an id. `Shared(0)` stands for nobody, and only while a hand-off is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holders {
    Exclusive(NonZeroU64),
    Shared(u32),
}

impl Holders {
    #[inline]
    fn admit(self, mode: Mode) -> bool {
        match (self, mode) {
            (Self::Shared(0), _) | (Self::Shared(_), Mode::Shared) => true,
            (Self::Shared(_), Mode::Exclusive) | (Self::Exclusive(_), _) => false,
        }
    }
}

pub(crate) struct Queue {
    holders: Holders,
    waiters: List,
    /// Length of the list: counting it would make a look at a long queue O(n).
    waiting: u32,
    /// How many holders have not looked yet: they are in the slab and in no list.
    turns: u32,
    watchers: List,
}

impl Queue {
    /// Makes the queue of an id and returns its index, which fits in 32 bits.
    #[inline]
    pub(crate) fn insert(queues: &mut Slab<Self>, holders: Holders) -> usize {
        let index = narrow(queues.vacant_key()) as usize;
        let (waiters, watchers) = (List::new(), List::new());
        queues.insert(Self { holders, waiters, waiting: 0, turns: 0, watchers });
        index
    }

    #[inline]
    pub(crate) fn holders(&self) -> Holders {
        self.holders
    }

    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.holders == Holders::Shared(0)
    }

    /// Returns whether a newcomer may hold at once: it must not overtake (invariant 10).
    #[inline]
    pub(crate) fn admits_newcomer(&self, mode: Mode) -> bool {
        self.waiters.is_empty() && self.holders.admit(mode)
    }

    /// Adds a holder that the present ones admit.
    #[inline]
    pub(crate) fn hold(&mut self, token: NonZeroU64, mode: Mode) {
        debug_assert!(self.holders.admit(mode), "invariant 2");
        self.holders = match (mode, self.holders) {
            (Mode::Shared, Holders::Shared(count)) => {
                Holders::Shared(count.checked_add(1).expect("fewer than 2^32 shared holders"))
            }
            (Mode::Exclusive | Mode::Shared, _) => Holders::Exclusive(token),
        };
    }

    /// Takes one holder of the mode away.
    #[inline]
    pub(crate) fn end_hold(&mut self, mode: Mode) {
        self.holders = match (mode, self.holders) {
            (Mode::Exclusive, Holders::Exclusive(_)) => Holders::Shared(0),
            (Mode::Shared, Holders::Shared(count @ 1..)) => Holders::Shared(count - 1),
            (_, holders) => unreachable!("invariant 2: a {mode:?} hold ends among {holders:?}"),
        };
    }

    /// Appends a waiter and returns its slot.
    #[inline]
    pub(crate) fn join<W>(
        &mut self,
        waiters: &mut Slab<Waiter<W>>,
        index: usize,
        mode: Mode,
        waiting: W,
    ) -> u32 {
        self.waiting += 1;
        self.waiters.push(waiters, |links| Waiter::request(index as u32, links, mode, waiting))
    }

    /// Removes a queued waiter from the list and the slab, and returns what it had for its turn.
    #[inline]
    pub(crate) fn leave<W>(&mut self, waiters: &mut Slab<Waiter<W>>, slot: u32) -> W {
        let waiter = waiters.remove(slot as usize);
        self.waiters.unlink(waiters, waiter.links);
        self.waiting -= 1;
        waiter.into_waiting().expect("invariant 6: it is in the list")
    }

    /// Lets an exclusive head hold in place of the exclusive holder, and returns what it had for its turn.
    #[inline(always)]
    pub(crate) fn replace_holder<W>(
        &mut self,
        waiters: &mut Slab<Waiter<W>>,
        last_token: &mut u64,
    ) -> Option<W> {
        let head = waiters.get(self.waiters.head())?;
        if head.mode != Mode::Exclusive {
            return None;
        }
        let token = next_token(*last_token).expect("invariant 12: nobody waits in a closed table");
        *last_token = token.get();
        self.holders = Holders::Exclusive(token);
        self.turns += 1;
        self.waiting -= 1;
        self.waiters.pop(waiters, Out::Turn(token))
    }

    /// Makes the head a holder if the holders admit it, and returns its mode and what it had for its turn.
    #[inline]
    pub(crate) fn hand_over<W>(
        &mut self,
        waiters: &mut Slab<Waiter<W>>,
        last_token: &mut u64,
    ) -> Option<(Mode, W)> {
        let mode = self.head_that_is_admitted(waiters)?;
        let token = next_token(*last_token).expect("invariant 12: nobody waits in a closed table");
        *last_token = token.get();
        self.hold(token, mode);
        self.turns += 1;
        self.waiting -= 1;
        Some((mode, self.waiters.pop(waiters, Out::Turn(token))?))
    }

    /// Ends the wait of the head, and returns what it had for its turn.
    pub(crate) fn end_head<W>(&mut self, waiters: &mut Slab<Waiter<W>>) -> Option<W> {
        let waiting = self.waiters.pop(waiters, Out::Ended)?;
        self.waiting -= 1;
        Some(waiting)
    }

    /// Returns the mode of the head if the holders admit it.
    #[inline]
    fn head_that_is_admitted<W>(&self, waiters: &Slab<Waiter<W>>) -> Option<Mode> {
        let head = waiters.get(self.waiters.head())?;
        self.holders.admit(head.mode).then_some(head.mode)
    }

    /// Lets somebody be told when the id is free, and returns its slot.
    pub(crate) fn watch<W>(
        &mut self,
        waiters: &mut Slab<Waiter<W>>,
        index: usize,
        watching: W,
    ) -> u32 {
        self.watchers.push(waiters, |links| Waiter::watcher(index as u32, links, watching))
    }

    pub(crate) fn unwatch<W>(&mut self, waiters: &mut Slab<Waiter<W>>, links: Links) {
        self.watchers.unlink(waiters, links);
    }

    /// Ends the watch of the first who watches, and returns what it had for that.
    #[inline]
    pub(crate) fn tell<W>(&mut self, waiters: &mut Slab<Waiter<W>>) -> Option<W> {
        self.watchers.pop(waiters, Out::Ended)
    }

    /// Iterates over what the waiters have for their turns, from head to tail.
    pub(crate) fn iter<'q, W>(
        &'q self,
        waiters: &'q Slab<Waiter<W>>,
    ) -> impl Iterator<Item = &'q W> {
        self.waiters.iter(waiters).filter_map(Waiter::waiting)
    }

    /// A holder has looked.
    #[inline]
    pub(crate) fn turn_taken(&mut self) {
        self.turns -= 1;
    }

    pub(crate) fn status(&self) -> Status {
        let (mode, holders) = match self.holders {
            Holders::Exclusive(_) => (Mode::Exclusive, 1),
            Holders::Shared(count) => (Mode::Shared, count as usize),
        };
        Status { mode, holders, turns: self.turns as usize, waiting: self.waiting as usize }
    }

    /// Asserts the invariants of this queue and returns how many are in its lists.
    pub(crate) fn check<W>(
        &self,
        index: usize,
        waiters: &Slab<Waiter<W>>,
        last_token: u64,
    ) -> usize {
        let turns = waiters.iter().filter(|(_, w)| w.queue as usize == index && w.turn().is_some());
        let turns: alloc::vec::Vec<_> = turns.map(|(_, w)| (w.mode, w.turn())).collect();
        assert_eq!(turns.len(), self.turns as usize, "invariant 4: turns are counted");
        match self.holders {
            Holders::Exclusive(token) => {
                assert!(token.get() <= last_token, "invariant 11");
                assert!(
                    turns.iter().all(|turn| *turn == (Mode::Exclusive, Some(token))),
                    "invariant 2: {turns:?}"
                );
                assert!(turns.len() <= 1, "invariant 2: one exclusive holder");
            }
            Holders::Shared(count) => {
                assert!(count > 0, "invariant 1: somebody holds");
                assert!(
                    turns.iter().all(|(mode, _)| *mode == Mode::Shared),
                    "invariant 2: {turns:?}"
                );
                assert!(turns.len() <= count as usize, "invariant 2: turns are holders");
            }
        }
        assert!(
            self.head_that_is_admitted(waiters).is_none(),
            "invariant 5: the head waits for a reason"
        );
        let is_here = |waiter: &Waiter<W>| {
            assert_eq!(waiter.queue as usize, index, "invariant 3: a waiter is in its own queue");
        };
        let length = self.waiters.check(waiters, is_here);
        assert_eq!(self.waiting as usize, length, "invariant 3: the length is counted");
        length + self.watchers.check(waiters, is_here)
    }
}
