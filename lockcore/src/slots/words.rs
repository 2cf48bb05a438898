//! [`Slots`] of one atomic word each.

#![expect(unsafe_code, reason = "a slot's content is guarded by its word")]

use alloc::boxed::Box;
use core::{
    hash::{BuildHasher, Hash},
    iter, mem,
    num::NonZeroU64,
};

use once_cell::race::OnceBox;

use super::{
    Whereabouts,
    sync::{
        AtomicU64, Backoff,
        Ordering::{Acquire, Relaxed, Release},
        UnsafeCell,
    },
};
use crate::{from_borrowed::FromBorrowed, handles::Hold, table::LockTable};

/// Slots in front of the tables of one lock; the hash of an id says which one is its own.
///
/// While one id of a slot is in use, and nobody contends for it, the slot says so in one word: holding
/// takes one exchange of that word, and so does releasing. Whoever meets a slot in use by somebody
/// else moves the holder to the table behind it, and diverts all ids of the slot there until none of
/// them is in use. So who waits, waits in a table, and the order of turns is the table's.
///
/// # Invariants
///
/// A slot's word is one of these, and says who may touch its content:
///
/// 1. **Free(token).** No id of the slot is in use. `token` is no less than any that was given for one.
///    Nobody touches the content, which needs no drop.
/// 2. **Held(token).** The id in the content is in use, by one exclusive holder with this token, and is
///    not in the table. Nobody touches the content.
/// 3. **Busy.** The thread that made it so has the content to itself, runs no foreign code, waits
///    for nobody and stores another word within a few instructions.
/// 4. **Diverted(entries).** The ids of the slot that are in use are in the table, so many of them. Word
///    and content are changed and read under the table's lock alone. The content says who was moved
///    here last.
///
/// The lock of a table is never taken while a slot is busy, but a busy slot is waited for under it.
pub(crate) struct Slots<I> {
    /// A power of two, or 0.
    count: usize,
    /// Allocated when it is first needed.
    array: OnceBox<Box<[Slot<I>]>>,
}

// SAFETY: a content is touched by one thread at a time (invariants 1 to 4), each after the one before
// it: whoever gets access acquires what was released with the word, or with the table's lock. So ids
// are sent from thread to thread, and never shared.
unsafe impl<I: Send> Sync for Slots<I> {}

pub(crate) struct Slot<I> {
    word: AtomicU64,
    content: UnsafeCell<Content<I>>,
}

enum Content<I> {
    Nothing,
    /// Who holds while the word is `Held`.
    Id {
        hash: u64,
        id: I,
    },
    /// A holder that has this token was moved to the table, and holds by this queue there.
    Moved {
        token: NonZeroU64,
        queue: usize,
    },
}

const TAG: u64 = 3;
const FREE: u64 = 0;
const HELD: u64 = 1;
const DIVERTED: u64 = 2;
const BUSY: u64 = 3;

fn free(token: u64) -> u64 {
    token << 2 | FREE
}

fn held(token: NonZeroU64) -> u64 {
    token.get() << 2 | HELD
}

fn diverted(entries: usize) -> u64 {
    (entries as u64) << 2 | DIVERTED
}

impl<I> Slots<I> {
    /// Creates slots, a power of two of them or none.
    pub(crate) fn new(count: usize) -> Self {
        Self { count, array: OnceBox::new() }
    }

    /// Returns all slots, the one of a place at the index of its lowest bits.
    #[inline]
    pub(crate) fn all(&self) -> &[Slot<I>] {
        match self.array.get() {
            Some(array) => array,
            None if self.count == 0 => &[],
            None => self.allocate(),
        }
    }

    #[cold]
    fn allocate(&self) -> &[Slot<I>] {
        let slots = || iter::repeat_with(Slot::new).take(self.count).collect();
        self.array.get_or_init(|| Box::new(slots()))
    }

    /// Returns the slot of a place, if there are slots.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> Option<&Slot<I>> {
        let array = match self.array.get() {
            Some(array) => &**array,
            None if self.count == 0 => return None,
            None => self.allocate(),
        };
        Some(&array[place & (array.len() - 1)])
    }
}

impl<I> Slot<I> {
    fn new() -> Self {
        Self { word: AtomicU64::new(free(0)), content: UnsafeCell::new(Content::Nothing) }
    }

    /// Holds `id` if no id of the slot is in use.
    #[inline]
    pub(crate) fn try_hold<Q: ?Sized>(&self, hash: u64, id: &Q) -> Option<NonZeroU64>
    where
        I: FromBorrowed<Q>,
    {
        let seen = self.word.load(Relaxed);
        if seen & TAG != FREE {
            return None;
        }
        let token = NonZeroU64::MIN.saturating_add(seen >> 2);
        let content = Content::Id { hash, id: I::from_borrowed(id) };
        // Acquire: what earlier holders did, and touched, is before this.
        self.word.compare_exchange(seen, BUSY, Acquire, Relaxed).ok()?;
        // SAFETY: this thread made the slot busy (invariant 3). What is overwritten needs no drop
        // (invariant 1).
        self.content.with_mut(|place| unsafe { place.write(content) });
        // Release: for whoever moves the id.
        self.word.store(held(token), Release);
        Some(token)
    }

    /// Releases the hold of this token, unless it was moved to the table.
    #[inline]
    pub(crate) fn try_release(&self, token: NonZeroU64) -> bool {
        // A look costs less than an exchange that fails.
        if self.word.load(Relaxed) != held(token) {
            return false;
        }
        if mem::needs_drop::<I>() {
            return self.try_release_and_drop(token);
        }
        // Release: for the next holder. The id stays, as it needs no drop.
        self.word.compare_exchange(held(token), free(token.get()), Release, Relaxed).is_ok()
    }

    #[inline]
    fn try_release_and_drop(&self, token: NonZeroU64) -> bool {
        // Relaxed: the id is the holder's own, and whoever sent the hold here has ordered it.
        if self.word.compare_exchange(held(token), BUSY, Relaxed, Relaxed).is_err() {
            return false;
        }
        // SAFETY: this thread made the slot busy (invariant 3).
        let content = self.content.with_mut(|content| unsafe { content.replace(Content::Nothing) });
        // Release: for the next holder.
        self.word.store(free(token.get()), Release);
        drop(content);
        true
    }

    /// Returns whether an id of the slot is held without a table, or is taken or released right now.
    pub(crate) fn holds(&self) -> bool {
        // Acquire: if not, what earlier holders did is before what the caller does. A busy slot says
        // nothing of what they did, so it is no free one.
        matches!(self.word.load(Acquire) & TAG, HELD | BUSY)
    }

    /// Returns whether several ids of the slot are in use, so that one that is asked for is likely to be
    /// another.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        let word = self.word.load(Relaxed);
        word & TAG == DIVERTED && word >> 2 > 1
    }

    /// Diverts the slot to its table, moves a holder there, and returns the number of its entries. The
    /// caller has locked the table, and gives the number back to [`settle`](Self::settle).
    #[inline]
    pub(crate) fn divert<W, S: BuildHasher>(&self, table: &mut LockTable<I, W, S>) -> usize
    where
        I: Hash,
    {
        let seen = self.word.load(Relaxed);
        if seen & TAG == DIVERTED { (seen >> 2) as usize } else { self.divert_now(table) }
    }

    #[inline(never)]
    fn divert_now<W, S: BuildHasher>(&self, table: &mut LockTable<I, W, S>) -> usize
    where
        I: Hash,
    {
        let mut backoff = Backoff::default();
        loop {
            // Acquire is in the exchanges.
            let seen = self.word.load(Relaxed);
            match seen & TAG {
                DIVERTED => return (seen >> 2) as usize,
                FREE => {
                    // Acquire: what the last holder did is before what the table's next one does.
                    if self.word.compare_exchange(seen, diverted(0), Acquire, Relaxed).is_ok() {
                        table.give_greater_tokens(seen >> 2);
                        return 0;
                    }
                }
                HELD => {
                    // It may run `Hash`, so it is done before the slot is busy.
                    table.make_room();
                    // Acquire: the holder put the id there before.
                    if self.word.compare_exchange(seen, BUSY, Acquire, Relaxed).is_ok() {
                        self.move_to(table, NonZeroU64::new(seen >> 2));
                        return 1;
                    }
                }
                _ => backoff.snooze(),
            }
        }
    }

    /// Moves the holder of a busy slot to the table, which has room for it.
    fn move_to<W, S>(&self, table: &mut LockTable<I, W, S>, token: Option<NonZeroU64>) {
        let token = token.expect("a holder has a token");
        table.give_greater_tokens(token.get());
        // SAFETY: the caller made the slot busy (invariant 3).
        self.content.with_mut(|content| unsafe {
            let Content::Id { hash, id } = content.replace(Content::Nothing) else {
                unreachable!("invariant 2: a held slot has an id");
            };
            content.write(Content::Moved { token, queue: table.adopt(hash, id) });
        });
        // The table's lock orders it for whoever reads it.
        self.word.store(diverted(1), Relaxed);
    }

    /// Returns how many entries of the table are of this slot, which is diverted to it. The caller has
    /// locked the table.
    #[inline]
    pub(crate) fn entries<W, S>(&self, table: &LockTable<I, W, S>) -> usize {
        let word = self.word.load(Relaxed);
        debug_assert_eq!(word & TAG, DIVERTED, "an id of the slot is in the table");
        debug_assert!(word >> 2 <= table.len() as u64, "invariant 4 of slots");
        (word >> 2) as usize
    }

    /// Says how many entries of the table are of this slot, which is diverted to it; without any, it is
    /// free again, unless the table is closed. The caller has locked the table.
    #[inline]
    pub(crate) fn settle<W, S>(&self, entries: usize, table: &LockTable<I, W, S>) {
        let is_free = entries == 0 && !table.is_closed();
        let word = if is_free { free(table.last_token()) } else { diverted(entries) };
        // Release: for the next holder, of what was done under the table's lock.
        self.word.store(word, Release);
    }

    /// Returns where a hold of this slot is to be found. The caller has locked the table; until it unlocks
    /// it, the hold stays there.
    pub(crate) fn whereabouts(&self, hold: &Hold) -> Whereabouts<'_, I> {
        if hold.queue().is_some() {
            return Whereabouts::Table;
        }
        // Relaxed: the hold is the caller's, so its id was put there before.
        let word = self.word.load(Relaxed);
        debug_assert!(matches!(word & TAG, HELD | DIVERTED), "an id of the slot is in use");
        // SAFETY: if it is held, then by the caller, who does not release meanwhile; to move it takes
        // the table's lock. Otherwise it is diverted, and the table's lock keeps others off.
        self.content.with(|content| match unsafe { &*content } {
            Content::Id { id, .. } if word & TAG == HELD => Whereabouts::Slot(id),
            Content::Moved { token, queue } if *token == hold.token => Whereabouts::Queue(*queue),
            Content::Moved { .. } | Content::Nothing | Content::Id { .. } => Whereabouts::Table,
        })
    }

    /// Asserts that the slot goes with a table that has so many entries of it.
    pub(crate) fn check(&self, entries: usize) {
        let word = self.word.load(Relaxed);
        match word & TAG {
            DIVERTED => assert_eq!((word >> 2) as usize, entries, "invariant 4 of slots"),
            _ => assert_eq!(entries, 0, "invariants 1 and 2 of slots: no id is in the table"),
        }
    }
}
