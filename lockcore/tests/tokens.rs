//! Do tokens rise?

#![cfg(feature = "std")]

mod common;

use common::Task;
use lockcore::{KeyedMutex, KeyedRwLock};

#[test]
fn tokens_rise_over_holds_hand_offs_and_times_of_disuse() {
    let mutex = KeyedMutex::<u64>::new();
    let mut last = 0;
    for _ in 0..10 {
        let guard = mutex.try_lock(&1).unwrap();
        let mut next = Task::queued(mutex.lock(&1));
        assert!(guard.token() > last);
        last = guard.token();
        drop(guard);
        let guard = next.ready();
        assert!(guard.token() > last);
        last = guard.token();
        drop(guard);
        assert!(mutex.is_empty(), "the id is forgotten, its last token is not");
    }
}

#[test]
fn a_turn_that_was_dropped_does_not_take_tokens_back() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let token = guard.token();
    let (first, mut second) = (Task::queued(mutex.lock(&1)), Task::queued(mutex.lock(&1)));
    drop((guard, first));
    assert!(second.ready().token() > token);
}

#[test]
fn shared_holds_have_a_token_each_in_order_of_their_turns() {
    let lock = KeyedRwLock::<u64>::new();
    let writer = lock.try_write(&1).unwrap();
    let mut last = writer.token();
    let mut readers = [Task::queued(lock.read(&1)), Task::queued(lock.read(&1))];
    drop(writer);
    let late = lock.try_read(&1).unwrap();
    readers.reverse();
    let [second, first] = readers.each_mut().map(Task::ready);
    for guard in [&first, &second, &late] {
        assert!(guard.token() > last, "whoever is polled first, the order of the turns counts");
        last = guard.token();
    }
}

#[test]
fn a_guard_keeps_its_token() {
    let lock = KeyedRwLock::<u64>::new();
    let guard = lock.try_read(&1).unwrap();
    let token = guard.token();
    let others = [lock.try_read(&1), lock.try_read(&1)];
    drop(others);
    assert_eq!(guard.token(), token);
}
