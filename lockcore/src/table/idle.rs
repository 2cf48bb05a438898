//! The memory of a table: it grows before it is needed, and is given back when no id is in use.

use alloc::vec::Vec;
use core::{
    hash::{BuildHasher, Hash},
    mem,
};

use hashbrown::HashTable;
use slab::Slab;

use super::{LockTable, no_rehash};
use crate::{
    due::{Due, Turns},
    waiter::Out,
};

/// Room for so many entries at least: the smallest table there is.
const MIN_CAPACITY: usize = 3;

/// A table has less than so many places for each entry that it ever had at once: seven eighths of them
/// can be used, their number is a power of two, and [`LockTable::grow`] doubles what it needs.
const ROUNDING: usize = 5;

impl<I, W, S> LockTable<I, W, S> {
    /// Sets for how many ids, and for as many waiters, memory is kept when nobody holds or waits any
    /// more. At first it is all kept.
    ///
    /// A table that never had more of them at once frees nothing. What has places for more than five
    /// times as many, which takes that there were more, is freed when the table falls empty, and the
    /// room of those who have not looked yet when the last of them has.
    pub fn set_idle_capacity(&mut self, ids: usize) {
        self.idle_limit = ids.saturating_mul(ROUNDING);
        self.look_again();
    }

    /// Sets what a release compares with.
    pub(super) fn look_again(&mut self) {
        self.look_above = if self.watchers.is_empty() { self.idle_limit } else { 0 };
    }

    /// Returns whether no id is in use and that has consequences.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.has_more_than_kept()
    }

    /// Returns whether it has consequences that no id is in use.
    #[inline]
    pub(super) fn has_more_than_kept(&self) -> bool {
        let places = self.entries.num_buckets();
        places.max(self.waiters.capacity()).max(self.queues.capacity()) > self.look_above
    }

    /// Tells who watches the table, and frees memory.
    #[cold]
    pub(super) fn fall_idle(&mut self, id: I, mut told: Turns<W>) -> Due<I, W> {
        while let Some(watching) = self.watchers.pop(&mut self.waiters, Out::Ended) {
            told.push(watching);
        }
        self.look_again();
        self.shrink();
        Due::of_id(id, told)
    }

    /// Frees memory if the last that was not given back kept it in use.
    pub(super) fn shrink_if_idle(&mut self) {
        if self.is_idle() {
            self.shrink();
        }
    }

    /// Frees the memory of what is empty, if it is more than is to be kept.
    fn shrink(&mut self) {
        if self.entries.num_buckets() > self.idle_limit {
            self.entries = HashTable::new();
        }
        if self.waiters.is_empty() && self.waiters.capacity() > self.idle_limit {
            self.waiters = Slab::new();
        }
        if self.queues.capacity() > self.idle_limit {
            self.queues = Slab::new();
        }
    }

    /// Makes room for one more entry.
    ///
    /// `hashbrown` drops entries if `Hash` panics while it moves them, and with them somebody's
    /// lock. So all hashes are computed before the first entry moves (invariant 9).
    #[inline]
    pub(crate) fn make_room(&mut self)
    where
        I: Hash,
        S: BuildHasher,
    {
        if self.entries.len() == self.entries.capacity() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self)
    where
        I: Hash,
        S: BuildHasher,
    {
        let len = self.entries.len();
        let hashes: Vec<u64> =
            self.entries.iter().map(|entry| self.hasher.hash_one(&entry.id)).collect();
        let mut roomy = HashTable::with_capacity((2 * len).max(MIN_CAPACITY));
        for (hash, entry) in hashes.into_iter().zip(mem::take(&mut self.entries)) {
            roomy.insert_unique(hash, entry, no_rehash);
        }
        self.entries = roomy;
    }
}
