//! Watching a table: being told when an id, or all, is free, without a place in any queue.

use core::borrow::Borrow;

use super::LockTable;
use crate::{handles::Watch, waiter::Waiter};

impl<I, W, S> LockTable<I, W, S> {
    /// Watches `id`: `watching` comes back from the call that makes it free. O(1), one look-up.
    ///
    /// Who watches takes no place in the queue and keeps nobody waiting. It is told once, also if the
    /// id is locked again at once.
    ///
    /// # Errors
    ///
    /// If nobody holds `id` or waits for it; `watching` is then handed back.
    ///
    /// # Panics
    ///
    /// If `Eq` of an id does (the table is then unchanged), and at 2^32 - 1 waiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use lockcore::{LockTable, Mode};
    ///
    /// let mut table = LockTable::<u64, &str>::new();
    /// let hash = table.hash(&7);
    /// let hold = table.try_lock(hash, &7, Mode::Exclusive).unwrap();
    /// let watch = table.watch(hash, &7, "id 7 is free").unwrap();
    /// assert!(table.release(hold).into_turns().eq(["id 7 is free"]));
    /// assert!(table.watching_mut(&watch).is_none());
    /// assert!(table.unwatch(watch).is_none());
    /// ```
    pub fn watch<Q>(&mut self, hash: u64, id: &Q, watching: W) -> Result<Watch, W>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Some(entry) = self.entries.find_mut(hash, |entry| entry.id.borrow() == id) else {
            return Err(watching);
        };
        let index = entry.queue(&mut self.queues);
        Ok(Watch { slot: self.queues[index].watch(&mut self.waiters, index, watching) })
    }

    /// Watches the table: `watching` comes back from the call after which no id is in use. O(1).
    ///
    /// # Errors
    ///
    /// If no id is in use; `watching` is then handed back.
    ///
    /// # Panics
    ///
    /// At 2^32 - 1 waiters.
    pub fn watch_all(&mut self, watching: W) -> Result<Watch, W> {
        if self.entries.is_empty() {
            return Err(watching);
        }
        let watcher = |links| Waiter::watcher(Waiter::<W>::OF_TABLE, links, watching);
        let slot = self.watchers.push(&mut self.waiters, watcher);
        self.look_again();
        Ok(Watch { slot })
    }

    /// Returns what is to come back to `watch`, for replacement.
    ///
    /// `None` says that what it watches was free at a moment since. The caller drops what it replaces
    /// after its borrow.
    ///
    /// # Panics
    ///
    /// If the watch is another table's and fits nothing here; otherwise somebody else's is taken for
    /// it.
    pub fn watching_mut(&mut self, watch: &Watch) -> Option<&mut W> {
        self.waiters[watch.slot as usize].waiting_mut()
    }

    /// Ends a watch: O(1). Returns what was to come back, unless it has.
    ///
    /// # Panics
    ///
    /// If the watch is another table's and fits nothing here; otherwise somebody else's is taken for
    /// it.
    pub fn unwatch(&mut self, watch: Watch) -> Option<W> {
        let waiter = self.waiters.remove(watch.slot as usize);
        if waiter.out().is_some() {
            self.shrink_if_idle();
        } else if waiter.queue == Waiter::<W>::OF_TABLE {
            self.watchers.unlink(&mut self.waiters, waiter.links);
            self.look_again();
        } else {
            self.queues[waiter.queue as usize].unwatch(&mut self.waiters, waiter.links);
        }
        waiter.into_waiting()
    }
}
