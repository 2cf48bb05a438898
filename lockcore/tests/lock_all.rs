//! Several ids at once: no deadlock, nothing left behind.

#![cfg(feature = "std")]

mod common;

use std::{sync::Arc, thread};

use common::Task;
use lockcore::{Config, KeyedMutex, KeyedRwLock};

#[test]
fn all_ids_are_held_once_each_and_in_order() {
    let mutex = KeyedMutex::<String>::new();
    let guards = Task::new(mutex.lock_all(["c", "a", "b", "a", "c"])).ready();
    let ids: Vec<_> = guards.iter().map(|guard| guard.id()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(mutex.len(), 3);
    drop(guards);
    assert!(mutex.is_empty());
}

#[test]
fn no_ids_are_no_guards() {
    let mutex = KeyedMutex::<u64>::new();
    assert!(Task::new(mutex.lock_all([])).ready().is_empty());
    assert!(mutex.try_lock_all([]).unwrap().is_empty());
}

#[test]
#[should_panic = "polled after it was ready"]
fn it_is_ready_once() {
    let mutex = KeyedMutex::<u64>::new();
    let mut all = Task::new(mutex.lock_all(&[1, 2]));
    drop(all.ready());
    let _ = all.poll();
}

#[test]
fn it_waits_for_each_in_turn_and_holds_what_it_has() {
    let mutex = KeyedMutex::<u64>::new();
    let (second, third) = (mutex.try_lock(&2).unwrap(), mutex.try_lock(&3).unwrap());
    let mut all = Task::queued(mutex.lock_all(&[3, 2, 1]));
    assert!(mutex.is_locked(&1));
    assert_eq!((mutex.waiting(&2), mutex.waiting(&3)), (1, 0));
    drop(second);
    assert_eq!(all.woken(), 1);
    all.assert_waits();
    assert_eq!(mutex.waiting(&3), 1);
    drop(third);
    assert_eq!(all.ready().len(), 3);
    mutex.check();
    assert!(mutex.is_empty());
}

/// Scenario 12: cancelled half-way.
#[test]
fn dropping_it_at_any_step_leaves_nothing_behind() {
    for held_by_others in 0..4_u64 {
        let mutex = KeyedMutex::<u64>::new();
        let other = mutex.try_lock(&held_by_others);
        drop(Task::new(mutex.lock_all(&[0, 1, 2])));
        let mut all = Task::new(mutex.lock_all(&[0, 1, 2]));
        let ready = all.poll().is_ready();
        assert_eq!(ready, held_by_others == 3);
        drop(all);
        mutex.check();
        assert_eq!(mutex.len(), 1, "the other's");
        assert_eq!(mutex.waiting(&held_by_others), 0);
        drop(other);
        assert!(mutex.is_empty());
    }
}

/// Scenario 12: dropped between the hand-off of a middle id and the next poll.
#[test]
fn dropping_it_after_a_hand_off_passes_the_turn_on() {
    let mutex = KeyedMutex::<u64>::new();
    let holder = mutex.try_lock(&2).unwrap();
    let all = Task::queued(mutex.lock_all(&[1, 2, 3]));
    let mut next = Task::queued(mutex.lock(&2));
    drop(holder);
    assert_eq!((all.woken(), next.woken()), (1, 0));
    drop(all);
    assert_eq!(next.woken(), 1);
    let guard = next.ready();
    assert_eq!(mutex.len(), 1);
    drop(guard);
}

#[test]
fn trying_holds_all_or_none() {
    let mutex = KeyedMutex::<u64>::new();
    let holder = mutex.try_lock(&2).unwrap();
    assert!(mutex.try_lock_all(&[1, 2, 3]).is_none());
    assert_eq!(mutex.len(), 1);
    drop(holder);
    assert_eq!(mutex.try_lock_all(&[1, 2, 3, 1]).unwrap().len(), 3);
    assert!(mutex.is_empty());
}

#[test]
fn readers_of_all_share_and_a_writer_of_all_waits() {
    let lock = KeyedRwLock::<u64>::new();
    let one = Task::new(lock.read_all(&[1, 2])).ready();
    let two = Task::new(lock.read_all(&[2, 1])).ready();
    let mut writer = Task::queued(lock.write_all(&[2, 1]));
    drop((one, two));
    assert_eq!(writer.ready().len(), 2);
    lock.check();
    assert!(lock.is_empty());
}

/// Scenario 12: opposite orders, by threads that contend, over one table and many.
#[test]
fn opposite_orders_do_not_deadlock() {
    for shards in [1, 8] {
        let config = Config { shards, ..Config::default() };
        let mutex = Arc::new(KeyedMutex::<u64>::with_config(config));
        let threads: Vec<_> = [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]]
            .map(|ids| {
                let mutex = mutex.clone();
                thread::spawn(move || {
                    for _ in 0..500 {
                        futures::executor::block_on(mutex.lock_all(&ids));
                    }
                })
            })
            .into();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        mutex.check();
        assert!(mutex.is_empty());
    }
}
