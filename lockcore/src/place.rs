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
    slots::{Slot, Whereabouts},
};

/// The slot of the ids of one hash, and the table behind it.
pub(crate) struct Place<'a, I, S, R> {
    pub(crate) shards: &'a Shards<I, S, R>,
    /// `None` if there are no slots.
    pub(crate) slot: Option<&'a Slot<I>>,
    pub(crate) hash: u64,
}

impl<'a, I: Hash, S: BuildHasher, R: RawMutex> Place<'a, I, S, R> {
    /// Locks `id` exclusively if nobody is ahead and that is likely: by its slot, or by its table where
    /// most ids are there, since there are no slots or many ids in use.
    #[inline(always)]
    pub(crate) fn try_first<Q>(&self, id: &Q) -> Option<Hold>
    where
        I: FromBorrowed<Q>,
        Q: Eq + ?Sized,
    {
        let token = match self.slot {
            Some(slot) => match slot.try_hold(self.hash, id) {
                None if slot.is_crowded() => self.shards.try_beside_others(self.hash, id),
                token => token,
            },
            None => self.shards.try_alone(self.hash, id),
        };
        Some(Hold::lone(self.hash, token?))
    }

    /// Locks `id` if nobody is ahead.
    #[inline]
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
        let hold = inside.in_table(&hold);
        inside.table.downgrade(hold)
    }

    /// Borrows the table, and diverts the slot to it.
    #[inline]
    pub(crate) fn divert(&self) -> Inside<'a, I, S, R> {
        let mut table = self.shards.table(self.hash);
        let slot = self.slot.map(|slot| {
            let entries = slot.divert(&mut table);
            Diverted { slot, others: table.len() - entries }
        });
        Inside { table, slot }
    }
}

impl<'a, I, S, R: RawMutex> Place<'a, I, S, R> {
    /// Leaves the queue, or passes on a turn that has come.
    #[inline(never)]
    pub(crate) fn cancel(&self, ticket: &Ticket) {
        let due = self.inside(self.shards.table(self.hash)).table.cancel(ticket.copy());
        due.wake();
    }

    /// Releases a hold, which is not to be used again.
    #[inline]
    pub(crate) fn release_in_table(&self, hold: &Hold) {
        let mut table = self.shards.table(self.hash);
        if hold.queue().is_some()
            && let Some(successor) = table.hand_over_to_one(hold)
        {
            drop(table);
            return successor.wake();
        }
        let mut inside = self.inside(table);
        let hold = inside.in_table(hold);
        if hold.queue().is_none()
            && let Some(id) = inside.table.remove_lone(&hold)
        {
            drop(inside);
            return drop(id);
        }
        inside.release(hold);
    }

    /// Returns the id of a hold.
    pub(crate) fn id(&self, hold: &Hold) -> I
    where
        I: Clone,
    {
        let table = self.shards.table(self.hash);
        match whereabouts(self.slot, hold) {
            Whereabouts::Slot(id) => id.clone(),
            Whereabouts::Queue(queue) => table.id(&hold.by_queue(queue)).clone(),
            Whereabouts::Table => table.id(hold).clone(),
        }
    }

    /// Of a borrowed table which has an id of the slot, so that the slot is diverted to it.
    #[inline]
    fn inside(&self, table: MutexGuard<'a, R, Table<I, S>>) -> Inside<'a, I, S, R> {
        let slot = self.slot.map(|slot| {
            let others = table.len() - slot.entries(&table);
            Diverted { slot, others }
        });
        Inside { table, slot }
    }
}

/// A borrowed table, with the slot that is diverted to it if there are slots.
pub(crate) struct Inside<'a, I, S, R: RawMutex> {
    pub(crate) table: MutexGuard<'a, R, Table<I, S>>,
    slot: Option<Diverted<'a, I>>,
}

struct Diverted<'a, I> {
    slot: &'a Slot<I>,
    /// How many entries of the table are of other slots.
    others: usize,
}

impl<I, S, R: RawMutex> Inside<'_, I, S, R> {
    /// Returns a hold as the table knows it, which may have been moved to it.
    #[inline]
    fn in_table(&self, hold: &Hold) -> Hold {
        match whereabouts(self.slot.as_ref().map(|diverted| diverted.slot), hold) {
            Whereabouts::Slot(_) => unreachable!("the slot is diverted"),
            Whereabouts::Queue(queue) => hold.by_queue(queue),
            Whereabouts::Table => hold.copy(),
        }
    }

    /// Releases a hold that the table knows.
    #[inline(never)]
    fn release(mut self, hold: Hold) {
        let due = self.table.release(hold);
        drop(self);
        due.wake();
    }
}

#[inline]
fn whereabouts<'a, I>(slot: Option<&'a Slot<I>>, hold: &Hold) -> Whereabouts<'a, I> {
    slot.map_or(Whereabouts::Table, |slot| slot.whereabouts(hold))
}

impl<I, S, R: RawMutex> Drop for Inside<'_, I, S, R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(Diverted { slot, others }) = self.slot {
            slot.settle(self.table.len() - others, &self.table);
        }
    }
}
