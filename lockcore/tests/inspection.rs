//! What can be seen from outside, and what is kept when nobody locks.

#![cfg(feature = "std")]

mod common;

use common::Task;
use lockcore::{Config, KeyedMutex, KeyedRwLock, Mode, Status};

fn seen(status: Status) -> (Mode, usize, usize, usize) {
    (status.mode, status.holders, status.turns, status.waiting)
}

#[test]
fn a_snapshot_says_each_id_with_holders_turns_and_queue() {
    let lock = KeyedRwLock::<String>::new();
    let _lone = lock.try_write("lone").unwrap();
    let _shared = [lock.try_read("shared").unwrap(), lock.try_read("shared").unwrap()];
    let _waits = Task::queued(lock.write("shared"));
    let mut all = lock.snapshot();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let [(lone, one), (shared, two)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((lone.as_str(), seen(*one)), ("lone", (Mode::Exclusive, 1, 0, 0)));
    assert_eq!((shared.as_str(), seen(*two)), ("shared", (Mode::Shared, 2, 0, 1)));
}

/// The "futurelock": the turn is that of a future nobody polls, and the status shows it.
#[test]
fn a_turn_that_nobody_takes_can_be_seen() {
    let mutex = KeyedMutex::<u64>::new();
    let holder = mutex.try_lock(&1).unwrap();
    let mut forgotten = Task::queued(mutex.lock(&1));
    let _behind = Task::queued(mutex.lock(&1));
    drop(holder);
    assert_eq!(seen(mutex.status(&1).unwrap()), (Mode::Exclusive, 1, 1, 1));
    let taken = forgotten.ready();
    assert_eq!(seen(mutex.status(&1).unwrap()), (Mode::Exclusive, 1, 0, 1));
    drop(taken);
    assert_eq!(seen(mutex.snapshot()[0].1), (Mode::Exclusive, 1, 1, 0));
}

#[test]
fn a_guard_outlives_the_string_it_was_locked_by() {
    let mutex = KeyedMutex::<String>::new();
    let guard = Task::new(mutex.lock(&format!("payment-{}", 123))).ready();
    let guards = Task::new(mutex.lock_all([&*format!("payment-{}", 456)])).ready();
    assert_eq!(guard.id(), "payment-123");
    assert_eq!(guards[0].id(), "payment-456");
}

#[test]
fn owned_guards_and_futures_outlive_the_mutex() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock_owned(&1).unwrap();
    assert!(mutex.try_lock_owned(&1).is_none());
    let mut next = Task::queued(mutex.lock_owned(1));
    drop(mutex);
    drop(guard);
    assert_eq!(next.ready().id(), 1);
}

#[test]
fn every_number_of_shards_and_slots_works() {
    for shards in [0, 1, 3, 64, 1 << 20, usize::MAX] {
        for (slots, idle_capacity) in [(0, usize::MAX), (1, 0), (5, 1), (usize::MAX, usize::MAX)] {
            let config = Config { shards, slots, idle_capacity, ..Config::default() };
            let mutex = KeyedMutex::<u64>::with_config(config);
            let ids: Vec<u64> = (0..200).collect();
            let guards = mutex.try_lock_all(&ids).unwrap();
            assert_eq!(mutex.len(), 200);
            mutex.check();
            drop(guards);
            assert!(mutex.is_empty());
        }
    }
}

#[test]
fn the_number_of_shards_is_rounded_up_to_a_power_of_two_within_limits() {
    for (shards, tables) in [(0, 1), (1, 1), (3, 4), (65_536, 65_536), (usize::MAX, 65_536)] {
        let config = Config { shards, ..Config::default() };
        let mutex = KeyedMutex::<u64>::with_config(config);
        assert!(format!("{mutex:?}").contains(&format!("tables: {tables},")), "{shards}");
    }
}
