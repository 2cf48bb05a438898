//! What is left when everybody is gone?

#![cfg(feature = "std")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use common::Task;
use lockcore::{KeyedMutex, KeyedRwLock};

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static IN_USE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.set(IN_USE.get() + layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.set(IN_USE.get() - layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_idle_table_is_empty() {
    let mutex = KeyedMutex::<String>::new();
    for round in 0..3 {
        let ids: Vec<_> = (0..100).map(|id| format!("payment-{round}-{id}")).collect();
        let guards: Vec<_> = ids.iter().map(|id| mutex.try_lock(id.as_str()).unwrap()).collect();
        let tasks: Vec<_> = ids.iter().map(|id| Task::queued(mutex.lock(id.as_str()))).collect();
        assert_eq!(mutex.len(), 100);
        drop(guards);
        assert_eq!(mutex.len(), 100, "the turns were handed over");
        drop(tasks);
        mutex.check();
        assert!(mutex.is_empty());
        assert!(ids.iter().all(|id| !mutex.is_locked(id.as_str())));
    }
}

#[test]
fn ids_that_come_and_go_take_no_memory() {
    let lock = KeyedRwLock::<u64>::new();
    let round = |first: u64| {
        for id in first..first + 20_000 {
            let guard = lock.try_write(&id).unwrap();
            let mut reader = Task::queued(lock.read(&id));
            drop(guard);
            drop(reader.ready());
        }
    };
    round(0);
    let warm = IN_USE.get();
    for first in 1..5 {
        round(first * 20_000);
        assert_eq!(IN_USE.get(), warm);
    }
}

/// The tables are shared by what is owned, and go with the last of it.
#[test]
fn whoever_is_gone_has_left_nothing_of_its_own() {
    let before = IN_USE.get();
    let mutex = KeyedMutex::<Arc<str>>::new();
    let guard = mutex.try_lock_owned("payment-123").unwrap();
    let waits = Task::queued(mutex.lock_owned("payment-123".into()));
    drop(mutex);
    drop(guard);
    assert!(IN_USE.get() > before, "the turn is still in the tables");
    drop(waits);
    assert_eq!(IN_USE.get(), before);
}
