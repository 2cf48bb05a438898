//! Who is next?

#![cfg(feature = "std")]

mod common;

use common::Task;
use lockcore::KeyedMutex;

#[test]
fn a_free_id_is_held_at_once() {
    let mutex = KeyedMutex::<u64>::new();
    let mut task = Task::new(mutex.lock(&1));
    let guard = task.ready();
    mutex.check();
    assert_eq!((task.woken(), mutex.is_locked(&1), mutex.waiting(&1)), (0, true, 0));
    drop(guard);
    mutex.check();
    assert!(!mutex.is_locked(&1));
}

#[test]
fn turns_come_in_order_of_arrival() {
    let mutex = KeyedMutex::<u64>::new();
    let mut guard = mutex.try_lock(&1);
    let mut tasks: Vec<_> = (0..10).map(|_| Task::queued(mutex.lock(&1))).collect();
    assert_eq!(mutex.waiting(&1), 10);
    for next in 0..tasks.len() {
        guard = None;
        mutex.check();
        for (place, task) in tasks.iter_mut().enumerate().skip(next) {
            assert_eq!(task.woken(), usize::from(place == next), "the head alone is woken");
            if place == next {
                guard = Some(task.ready());
            } else {
                task.assert_waits();
            }
        }
    }
    drop(guard);
    assert!(mutex.is_empty());
}

#[test]
fn the_first_poll_takes_the_place() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut made_first = Task::new(mutex.lock(&1));
    let mut polled_first = Task::queued(mutex.lock(&1));
    made_first.assert_waits();
    drop(guard);
    mutex.check();
    made_first.assert_waits();
    drop(polled_first.ready());
}

#[test]
fn polling_again_keeps_the_place() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut first = Task::queued(mutex.lock(&1));
    let mut second = Task::queued(mutex.lock(&1));
    for _ in 0..3 {
        first.assert_waits();
        mutex.check();
    }
    assert_eq!(mutex.waiting(&1), 2);
    drop(guard);
    second.assert_waits();
    drop(first.ready());
}

#[test]
fn try_lock_never_overtakes() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut first = Task::queued(mutex.lock(&1));
    assert!(mutex.try_lock(&1).is_none());
    drop(guard);
    assert!(mutex.try_lock(&1).is_none(), "the turn was handed over, though nobody has looked yet");
    mutex.check();
    drop(first.ready());
    assert!(mutex.try_lock(&1).is_some());
}

#[test]
fn a_new_request_never_overtakes_a_turn_that_was_not_taken() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut first = Task::queued(mutex.lock(&1));
    drop(guard);
    let mut late = Task::queued(mutex.lock(&1));
    mutex.check();
    drop(first.ready());
    assert_eq!(late.woken(), 1);
    drop(late.ready());
}

#[test]
fn other_ids_are_not_affected() {
    let mutex = KeyedMutex::<u64>::new();
    let guards: Vec<_> = (0..100).map(|id| mutex.try_lock(&id).unwrap()).collect();
    let mut waits = Task::queued(mutex.lock(&7));
    assert_eq!(mutex.len(), 100);
    for (id, guard) in guards.into_iter().enumerate() {
        assert_eq!(waits.woken(), usize::from(id > 7));
        drop(guard);
        mutex.check();
    }
    drop(waits.ready());
    assert!(mutex.is_empty());
}

/// Scenario 12: the same id twice waits for good, and can be left.
#[test]
fn the_same_id_twice_waits_and_can_be_dropped() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = Task::new(mutex.lock(&1)).ready();
    let mut again = Task::queued(mutex.lock(&1));
    again.assert_waits();
    drop(again);
    mutex.check();
    assert_eq!(mutex.waiting(&1), 0);
    drop(guard);
    assert!(mutex.is_empty());
}

/// Scenario 12: two ids in two orders wait for good; dropping one wait lets the other on.
#[test]
fn a_deadlock_ends_when_one_of_its_futures_is_dropped() {
    let mutex = KeyedMutex::<u64>::new();
    let (one, two) = (mutex.try_lock(&1).unwrap(), mutex.try_lock(&2).unwrap());
    let mut first = Task::queued(mutex.lock(&2));
    let second = Task::queued(mutex.lock(&1));
    first.assert_waits();
    drop((second, two));
    mutex.check();
    assert_eq!(first.woken(), 1);
    drop((first.ready(), one));
    assert!(mutex.is_empty());
}
