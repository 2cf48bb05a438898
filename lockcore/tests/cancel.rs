//! What does a future leave behind that is dropped?

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;

use common::Task;
use lockcore::KeyedMutex;

/// Scenario 1: a future dropped before its first poll.
#[test]
fn dropping_before_the_first_poll_leaves_nothing() {
    let mutex = KeyedMutex::<u64>::new();
    drop(mutex.lock(&1));
    assert!(mutex.is_empty());
    let _guard = mutex.try_lock(&1).unwrap();
    drop(mutex.lock(&1));
    mutex.check();
    assert_eq!(mutex.waiting(&1), 0);
}

#[test]
fn dropping_a_queued_future_wakes_nobody_and_keeps_the_order() {
    for dropped in 0..4 {
        let mutex = KeyedMutex::<u64>::new();
        let guard = mutex.try_lock(&1).unwrap();
        let mut tasks: Vec<_> = (0..4).map(|_| Task::queued(mutex.lock(&1))).collect();
        drop(tasks.remove(dropped));
        mutex.check();
        assert_eq!(mutex.waiting(&1), 3);
        assert!(tasks.iter().all(|task| task.woken() == 0));
        drop(guard);
        for mut task in tasks {
            assert_eq!(task.woken(), 1);
            drop(task.ready());
            mutex.check();
        }
        assert!(mutex.is_empty());
    }
}

/// Scenario 1: a waiter cancelled between hand-off and its next poll.
#[test]
fn dropping_after_hand_off_passes_the_turn_on() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let first = Task::queued(mutex.lock(&1));
    let mut second = Task::queued(mutex.lock(&1));
    drop(guard);
    assert_eq!((first.woken(), second.woken()), (1, 0));
    drop(first);
    mutex.check();
    assert_eq!(second.woken(), 1);
    drop(second.ready());
}

/// Scenario 1: the second and then the third cancelled.
#[test]
fn the_second_and_the_third_pass_the_turn_on_as_well() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut tasks: Vec<_> = (0..4).map(|_| Task::queued(mutex.lock(&1))).collect();
    drop(guard);
    while tasks.len() > 1 {
        assert_eq!((tasks[0].woken(), tasks[1].woken()), (1, 0));
        drop(tasks.remove(0));
        mutex.check();
    }
    assert_eq!(tasks[0].woken(), 1);
    drop(tasks[0].ready());
    assert!(mutex.is_empty());
}

#[test]
fn dropping_the_last_turn_frees_the_id() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let last = Task::queued(mutex.lock(&1));
    drop(guard);
    assert!(mutex.is_locked(&1));
    drop(last);
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn dropping_a_future_that_was_ready_keeps_the_guard() {
    let mutex = KeyedMutex::<u64>::new();
    let mut task = Task::new(mutex.lock(&1));
    let guard = task.ready();
    drop(task);
    mutex.check();
    assert!(mutex.is_locked(&1));
    drop(guard);
    assert!(mutex.is_empty());
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn polling_after_it_was_ready_panics() {
    let mutex = KeyedMutex::<u64>::new();
    let mut task = Task::new(mutex.lock(&1));
    drop(task.ready());
    let _ = task.poll();
}

#[test]
fn owned_futures_and_guards_can_be_dropped_at_any_time() {
    let mutex = Arc::new(KeyedMutex::<String>::new());
    let id = || "payment-123".to_owned();
    let guard = Task::new(mutex.lock_owned(id())).ready();
    let (first, second) =
        (Task::queued(mutex.lock_owned(id())), Task::queued(mutex.lock_owned(id())));
    let mut third = Task::queued(mutex.lock_owned(id()));
    drop(second);
    drop(guard);
    mutex.check();
    assert_eq!((first.woken(), third.woken()), (1, 0));
    drop(first);
    assert_eq!(third.woken(), 1);
    drop(third.ready());
    assert!(mutex.is_empty());
    drop(third);
    assert_eq!(Arc::strong_count(&mutex), 1, "nobody keeps the mutex alive");
}

/// Every order in which a holder and four waiters can leave: nobody is lost, nobody is woken twice.
#[test]
fn every_order_of_leaving_ends_with_an_empty_table() {
    for order in permutations(5) {
        let mutex = KeyedMutex::<u64>::new();
        let mut guard = mutex.try_lock(&1);
        let mut tasks: Vec<_> = (0..4).map(|_| Some(Task::queued(mutex.lock(&1)))).collect();
        for leaves in order {
            match leaves {
                0 => guard = None,
                waiter => tasks[waiter - 1] = None,
            }
            mutex.check();
            let mut present = tasks.iter().flatten();
            let head = present.next().map(Task::woken);
            let turn_came = usize::from(guard.is_none());
            assert!(head.is_none_or(|woken| woken == turn_came), "the head alone has the turn");
            assert!(present.all(|task| task.woken() == 0));
        }
        assert!(mutex.is_empty());
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let shorter = permutations(last).into_iter();
    let insert = |order: Vec<usize>| {
        (0..count).map(move |place| {
            let mut order = order.clone();
            order.insert(place, last);
            order
        })
    };
    shorter.flat_map(insert).collect()
}

/// Scenario 12: 100,000 waiters cancelled at once while slots are reused.
#[test]
fn a_hundred_thousand_waiters_leave_while_others_join() {
    const WAITERS: usize = 100_000;
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let leaving: Vec<_> = (0..WAITERS).map(|_| Task::queued(mutex.lock(&1))).collect();
    assert_eq!(mutex.waiting(&1), WAITERS);
    let mut staying = Vec::new();
    for (number, task) in leaving.into_iter().enumerate() {
        drop(task);
        if number % 1000 == 0 {
            staying.push(Task::queued(mutex.lock(&1)));
        }
    }
    mutex.check();
    assert_eq!(mutex.waiting(&1), staying.len());
    drop(guard);
    for mut task in staying {
        assert_eq!(task.woken(), 1);
        drop(task.ready());
    }
    assert!(mutex.is_empty());
}
