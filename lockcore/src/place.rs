//! [`Place`]: where the ids of one hash are, a slot and a table, and [`Inside`]: both, borrowed.

use core::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    task::Waker,
};

use lock_api::{MutexGuard, RawMutex};

use crate::{
    due::Due,
    from_borrowed::FromBorrowed,
    handles::{Hold, Mode, Status, Ticket},
    shards::{Shards, Table, Watched},
    slots::{Slot, Slots, Whereabouts},
};

/// The slot of the ids of one hash, and the table behind it.
pub(crate) struct Place<'a, I, S, R> {
    pub(crate) shards: &'a Shards<I, S, R>,
    pub(crate) slot: &'a Slot<I>,
    pub(crate) hash: u64,
}

impl<'a, I: Hash, S: BuildHasher, R: RawMutex> Place<'a, I, S, R> {
    /// Locks `id` exclusively if no id of the slot is in use.
    #[inline]
    pub(crate) fn try_slot<Q: ?Sized>(&self, id: &Q) -> Option<Hold>
    where
        I: FromBorrowed<Q>,
    {
        Some(Hold::lone(self.hash, self.slot.try_hold(self.hash, id)?))
    }

    /// Locks `id` if nobody is ahead.
    pub(crate) fn try_lock<Q>(&self, id: &Q, mode: Mode) -> Option<Hold>
    where
        I: FromBorrowed<Q>,
        Q: Eq + ?Sized,
    {
        self.divert().table.try_lock(self.hash, id, mode)
    }

    /// Locks `id`, or queues for it and takes `waker`, which is there; neither, and `None` as the error,
    /// if the table is closed.
    #[inline]
    pub(crate) fn join<Q>(
        &self,
        id: &Q,
        mode: Mode,
        waker: &mut Option<Waker>,
    ) -> Result<Hold, Option<Ticket>>
    where
        I: FromBorrowed<Q>,
        Q: Eq + ?Sized,
    {
        let waker = || waker.take().expect("it is taken once");
        self.divert().table.join(self.hash, id, mode, waker)
    }

    /// Watches `id` until it is free; `None` says that it is. It is for
    /// [`poll_watch`](Shards::poll_watch) to leave a waker that does something.
    pub(crate) fn watch<Q>(&self, id: &Q) -> Option<Watched>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let waker = Waker::noop().clone();
        let watch = self.divert().table.watch(self.hash, id, waker).ok()?;
        Some(Watched { table: self.shards.number(self.hash), watch })
    }

    pub(crate) fn status<Q>(&self, id: &Q) -> Option<Status>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.divert().table.status(self.hash, id)
    }

    /// Turns an exclusive hold into a shared one; the caller wakes who is due.
    pub(crate) fn downgrade(&self, hold: Hold) -> (Hold, Due<I, Waker>) {
        let mut inside = self.divert();
        let hold = inside.in_table(hold);
        inside.table.downgrade(hold)
    }

    /// Borrows the table, and diverts the slot to it.
    #[inline]
    fn divert(&self) -> Inside<'a, I, S, R> {
        let mut table = self.shards.table(self.hash);
        let entries = self.slot.divert(&mut table);
        Inside::new(self, table, entries)
    }
}

impl<'a, I, S, R: RawMutex> Place<'a, I, S, R> {
    /// Passes on a turn that has come.
    pub(crate) fn cancel_turn(&self, ticket: Ticket) {
        let due = self.diverted().table.cancel(ticket);
        due.wake();
    }

    #[inline]
    pub(crate) fn release_in_table(&self, hold: Hold) {
        let mut inside = self.diverted();
        let hold = inside.in_table(hold);
        let due = inside.table.release(hold);
        drop(inside);
        due.wake();
    }

    /// Returns the id of a hold.
    pub(crate) fn id(&self, hold: &Hold) -> I
    where
        I: Clone,
    {
        let table = self.shards.table(self.hash);
        match self.slot.whereabouts(hold) {
            Whereabouts::Slot(id) => id.clone(),
            Whereabouts::Queue(queue) => table.id(&hold.by_queue(queue)).clone(),
            Whereabouts::Table => table.id(hold).clone(),
        }
    }

    /// Borrows the table, which has an id of the slot, so that the slot is diverted to it.
    #[inline]
    fn diverted(&self) -> Inside<'a, I, S, R> {
        let table = self.shards.table(self.hash);
        let entries = self.slot.entries(&table);
        Inside::new(self, table, entries)
    }
}

/// A borrowed table with a slot that is diverted to it.
struct Inside<'a, I, S, R: RawMutex> {
    table: MutexGuard<'a, R, Table<I, S>>,
    slots: &'a Slots<I>,
    slot: &'a Slot<I>,
    /// How many entries of the table are of other slots.
    others: usize,
}

impl<'a, I, S, R: RawMutex> Inside<'a, I, S, R> {
    #[inline]
    fn new(
        place: &Place<'a, I, S, R>,
        table: MutexGuard<'a, R, Table<I, S>>,
        entries: usize,
    ) -> Self {
        let others = table.len() - entries;
        Self { table, slots: place.shards.slots(), slot: place.slot, others }
    }

    /// Returns a hold as the table knows it, which may have been moved to it.
    #[inline]
    fn in_table(&self, hold: Hold) -> Hold {
        match self.slot.whereabouts(&hold) {
            Whereabouts::Slot(_) => unreachable!("the slot is diverted"),
            Whereabouts::Queue(queue) => hold.by_queue(queue),
            Whereabouts::Table => hold,
        }
    }
}

impl<I, S, R: RawMutex> Drop for Inside<'_, I, S, R> {
    #[inline]
    fn drop(&mut self) {
        let entries = self.table.len() - self.others;
        self.slots.settle(self.slot, entries, &self.table);
    }
}
