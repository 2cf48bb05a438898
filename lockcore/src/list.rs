//! [`List`]: waiters in order of arrival, linked by slab index.

use core::iter;

use slab::Slab;

use crate::waiter::{Out, Waiter};

/// Stands for "no waiter" in a link.
const NONE: u32 = u32::MAX;

/// Head and tail of waiters that are linked both ways.
pub(crate) struct List {
    head: u32,
    tail: u32,
}

/// The neighbours of a waiter in its list.
#[derive(Clone, Copy)]
pub(crate) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    /// Returns whether nobody is ahead.
    #[inline]
    pub(crate) fn is_head(self) -> bool {
        self.prev == NONE
    }

    /// Returns the slot of the one ahead, or one that is nobody's.
    pub(crate) fn prev(self) -> usize {
        self.prev as usize
    }

    /// Returns the slot of the one behind, or one that is nobody's.
    pub(crate) fn next(self) -> usize {
        self.next as usize
    }
}

impl List {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { head: NONE, tail: NONE }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Returns the slot of the first, or one that is nobody's.
    #[inline]
    pub(crate) fn head(&self) -> usize {
        self.head as usize
    }

    /// Puts what `waiter` makes of its links into the slab and at the tail, and returns its slot.
    #[inline]
    pub(crate) fn push<W>(
        &mut self,
        waiters: &mut Slab<Waiter<W>>,
        waiter: impl FnOnce(Links) -> Waiter<W>,
    ) -> u32 {
        let slot = narrow(waiters.vacant_key());
        let links = Links { prev: self.tail, next: NONE };
        waiters.insert(waiter(links));
        self.relink(waiters, links, slot, slot);
        slot
    }

    /// Iterates from head to tail.
    pub(crate) fn iter<'w, W>(
        &self,
        waiters: &'w Slab<Waiter<W>>,
    ) -> impl Iterator<Item = &'w Waiter<W>> + use<'w, W> {
        let at = |slot: u32| waiters.get(slot as usize);
        iter::successors(at(self.head), move |waiter| at(waiter.links.next))
    }

    /// Takes the head out, for this reason, and returns what was to come back to it.
    #[inline]
    pub(crate) fn pop<W>(&mut self, waiters: &mut Slab<Waiter<W>>, out: Out) -> Option<W> {
        let head = waiters.get_mut(self.head as usize)?;
        let (links, waiting) = (head.links, head.end(out));
        self.unlink(waiters, links);
        waiting
    }

    /// Takes out the waiter that has these links.
    #[inline]
    pub(crate) fn unlink<W>(&mut self, waiters: &mut Slab<Waiter<W>>, links: Links) {
        self.relink(waiters, links, links.next, links.prev);
    }

    /// Lets the neighbours point at `after` and `before`.
    #[inline]
    fn relink<W>(&mut self, waiters: &mut Slab<Waiter<W>>, links: Links, after: u32, before: u32) {
        match links.prev {
            NONE => self.head = after,
            prev => waiters[prev as usize].links.next = after,
        }
        match links.next {
            NONE => self.tail = before,
            next => waiters[next as usize].links.prev = before,
        }
    }

    /// Asserts that links match both ways, shows each waiter, and returns how many there are.
    pub(crate) fn check<W>(
        &self,
        waiters: &Slab<Waiter<W>>,
        mut each: impl FnMut(&Waiter<W>),
    ) -> usize {
        let (mut prev, mut slot, mut length) = (NONE, self.head, 0);
        while slot != NONE {
            let waiter = &waiters[slot as usize];
            assert_eq!(waiter.links.prev, prev, "invariant 3: links match both ways");
            assert!(waiter.out().is_none(), "invariant 6");
            each(waiter);
            (prev, slot, length) = (slot, waiter.links.next, length + 1);
        }
        assert_eq!(self.tail, prev, "invariant 3: the tail is the last");
        length
    }
}

/// Shortens a slab index to the 32 bits of a link.
#[inline]
pub(crate) fn narrow(index: usize) -> u32 {
    u32::try_from(index)
        .ok()
        .filter(|index| *index != NONE)
        .expect("fewer than 2^32 - 1 waiters and queues")
}
