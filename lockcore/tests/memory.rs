//! What is on the heap, counted by the allocator.

#![cfg(feature = "std")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use common::Task;
use lockcore::{Config, Hold, Joined, KeyedMutex, LockTable, Mode};

/// Counts the bytes that each thread has on the heap, and its allocations.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it is the system's allocator; counting needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size() as isize);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A lock that has what it keeps for good, which is its slots.
fn with_config(shards: usize, idle_capacity: usize) -> KeyedMutex<u64> {
    let mutex = KeyedMutex::with_config(Config { shards, idle_capacity, ..Config::default() });
    assert!(mutex.is_empty());
    mutex
}

#[cfg(not(lockcore_no_slots))]
#[test]
fn slots_are_small_and_there_when_they_are_needed() {
    let before = BYTES.get();
    let mutex = KeyedMutex::<u64>::new();
    let unused = BYTES.get() - before;
    assert!(unused < 16 * 1024, "{unused}");
    drop(mutex.try_lock(&1));
    let slots = BYTES.get() - before - unused;
    assert!((1..=129 * 1024).contains(&slots), "{slots}");
    drop(mutex.try_lock(&2));
    assert_eq!(BYTES.get() - before - unused, slots, "they are allocated once");
    drop(mutex);
    assert_eq!(BYTES.get(), before);
    println!("slots: {slots} bytes");
}

/// Lets ids be held and waited for, some waiters cancelled, and everything dropped.
fn use_and_drop(mutex: &KeyedMutex<u64>, ids: u64) {
    let held: Vec<u64> = (0..ids).collect();
    let guards = mutex.try_lock_all(&held).unwrap();
    let mut waiting: Vec<_> = held.iter().map(|id| Task::queued(mutex.lock(id))).collect();
    waiting.truncate(waiting.len() / 2);
    drop(guards);
    waiting.iter_mut().for_each(|task| drop(task.ready()));
    drop(waiting);
    assert!(mutex.is_empty());
}

#[test]
fn with_everything_dropped_the_heap_is_back_to_what_may_be_kept() {
    let mutex = with_config(4, 0);
    let before = BYTES.get();
    for ids in [1, 10, 10_000] {
        use_and_drop(&mutex, ids);
        assert_eq!(BYTES.get(), before, "{ids} ids leave something behind");
    }
}

#[test]
fn what_may_be_kept_is_kept_and_no_more() {
    let mutex = with_config(1, 1000);
    let before = BYTES.get();
    use_and_drop(&mutex, 400);
    let kept = BYTES.get() - before;
    assert!(kept > 0, "the next to come need not allocate");
    use_and_drop(&mutex, 100_000);
    assert_eq!(BYTES.get(), before, "far more than may be kept is freed");
    use_and_drop(&mutex, 400);
    assert_eq!(BYTES.get() - before, kept);
}

/// A table that has as many ids at a time as it may keep room for, each with a waiter, while some
/// leave and others come.
struct Churn {
    table: LockTable<u64, ()>,
    holds: Vec<Hold>,
    next_id: u64,
}

impl Churn {
    fn new(idle_capacity: usize) -> Self {
        let mut table = LockTable::new();
        table.set_idle_capacity(idle_capacity);
        Self { table, holds: Vec::with_capacity(10_000), next_id: 0 }
    }

    fn fill(&mut self, ids: usize) {
        while self.holds.len() < ids {
            let (id, hash) = (self.next_id, self.table.hash(&self.next_id));
            self.holds.push(self.table.try_lock(hash, &id, Mode::Shared).unwrap());
            self.next_id += 1;
        }
        let mut waiting = Vec::new();
        for hold in &self.holds {
            let id = *self.table.id(hold);
            let hash = self.table.hash(&id);
            waiting.push(self.table.lock(hash, &id, Mode::Exclusive, ()));
        }
        for joined in waiting {
            let Joined::Waits(ticket) = joined else { panic!("somebody holds") };
            drop(self.table.cancel(ticket));
        }
    }

    /// Releases all but so many.
    fn drain(&mut self, left: usize) {
        while self.holds.len() > left {
            let at = self.next_id as usize % self.holds.len();
            drop(self.table.release(self.holds.swap_remove(at)));
        }
    }
}

#[test]
fn a_table_that_never_had_more_than_may_be_kept_frees_nothing() {
    for ids in (1..130).chain([500, 1000]) {
        let mut churn = Churn::new(ids);
        for round in 0..30 {
            churn.fill(ids);
            churn.drain(round * ids / 30);
            churn.fill(ids);
            churn.drain(1);
            let used = BYTES.get();
            churn.drain(0);
            assert_eq!(BYTES.get(), used, "{ids} ids in round {round}");
        }
    }
}

#[test]
fn a_table_that_had_more_than_five_times_what_may_be_kept_frees_it_all() {
    for ids in 0..130 {
        let mut churn = Churn::new(ids);
        let before = BYTES.get();
        churn.fill(5 * ids + 1);
        assert!(BYTES.get() > before);
        churn.drain(0);
        assert_eq!(BYTES.get(), before, "{ids} ids");
    }
}

#[test]
fn a_steady_state_allocates_nothing() {
    let mutex = with_config(1, 1000);
    let waker = std::task::Waker::noop();
    let turns = |rounds: u64| {
        for round in 0..rounds {
            let id = round % 100;
            let holder = mutex.try_lock(&id).unwrap();
            let mut next = mutex.lock(&id);
            assert!(common::poll(&mut next, waker).is_pending());
            drop(holder);
            drop(common::ready(common::poll(&mut next, waker)));
        }
    };
    turns(1000);
    let before = ALLOCATIONS.get();
    turns(10_000);
    assert_eq!(ALLOCATIONS.get(), before);
}

/// The aims: 44 bytes for a held id, 60 for a waiter with its future.
#[test]
fn ids_and_waiters_are_small() {
    const COUNT: u64 = 1_000_000;
    let mutex = with_config(1, 0);
    let ids: Vec<u64> = (0..COUNT).collect();
    let mut guards = Vec::with_capacity(ids.len());
    let before = BYTES.get();
    guards.extend(ids.iter().map(|id| mutex.try_lock(id).unwrap()));
    let bytes = (BYTES.get() - before) as f64 / COUNT as f64;
    println!("heap for a held u64 id: {bytes:.1} bytes");
    assert!(bytes <= 44.0, "{bytes}");
    drop(guards);

    let waker = std::task::Waker::noop();
    let holder = mutex.try_lock(&0).unwrap();
    let futures = 1 << 20;
    let mut waiting = Vec::with_capacity(futures);
    let before = BYTES.get();
    for _ in 0..futures {
        let mut lock = mutex.lock(&0);
        assert!(common::poll(&mut lock, waker).is_pending());
        waiting.push(lock);
    }
    let heap = (BYTES.get() - before) as usize / futures;
    let bytes = heap + size_of_val(&waiting[0]);
    println!("waiter with its future: {bytes} bytes");
    assert!(bytes <= 60, "{bytes}");
    drop(holder);
}

#[test]
fn one_that_ended_and_one_that_watches_keep_no_memory_once_they_are_dropped() {
    let ids: Vec<u64> = (0..1000).collect();
    for waiters_look_last in [true, false] {
        let mutex = with_config(1, 0);
        let before = BYTES.get();
        let guards = mutex.try_lock_all(&ids).unwrap();
        let mut watching: Vec<_> = ids.iter().map(|id| Task::queued(mutex.free(id))).collect();
        let all = Task::queued(mutex.drained());
        let waiting: Vec<_> = ids.iter().map(|id| Task::queued(mutex.lock(id))).collect();
        mutex.close();
        watching.truncate(500);
        drop(guards);
        assert!(mutex.is_empty());
        if waiters_look_last {
            drop((all, watching));
            assert!(BYTES.get() > before, "those who ended have not looked yet");
            drop(waiting);
        } else {
            drop(waiting);
            assert!(BYTES.get() > before, "those who were told have not looked yet");
            drop((watching, all));
        }
        mutex.check();
        assert_eq!(BYTES.get(), before);
    }
}
