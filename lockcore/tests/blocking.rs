//! Threads that block for their turn.

#![cfg(feature = "std")]

use std::{sync::mpsc, thread, time::Duration};

use lockcore::{KeyedMutex, KeyedRwLock};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1);

/// Waits until so many are queued.
fn until_waiting(mutex: &KeyedMutex<u64>, count: usize) {
    while mutex.waiting(&1) != count {
        thread::yield_now();
    }
}

#[test]
fn threads_have_their_turns_in_order_of_arrival() {
    let mutex = KeyedMutex::<u64>::new();
    let (turns, order) = mpsc::channel();
    let holder = mutex.blocking_lock(&1);
    thread::scope(|threads| {
        for thread in 0..8 {
            let (mutex, turns) = (&mutex, turns.clone());
            threads.spawn(move || {
                let _guard = mutex.blocking_lock_timeout(&1, LONG).expect("a turn in time");
                turns.send(thread).unwrap();
            });
            until_waiting(mutex, thread + 1);
        }
        drop(holder);
    });
    drop(turns);
    assert_eq!(order.iter().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    assert!(mutex.is_empty());
}

#[test]
fn a_thread_whose_time_is_over_has_left_the_queue() {
    let mutex = KeyedMutex::<u64>::new();
    let holder = mutex.blocking_lock(&1);
    thread::scope(|threads| {
        for limit in [Duration::ZERO, SHORT] {
            assert!(mutex.blocking_lock_timeout(&1, limit).is_none());
            assert_eq!(mutex.waiting(&1), 0);
        }
        let next = threads.spawn(|| mutex.blocking_lock_timeout(&1, LONG).is_some());
        until_waiting(&mutex, 1);
        assert!(mutex.blocking_lock_timeout(&1, SHORT).is_none());
        assert_eq!(mutex.waiting(&1), 1);
        drop(holder);
        assert!(next.join().unwrap());
    });
    assert!(mutex.is_empty());
}

#[test]
fn a_free_id_is_held_however_short_the_limit_and_however_long() {
    let mutex = KeyedMutex::<u64>::new();
    drop(mutex.blocking_lock_timeout(&1, Duration::ZERO).unwrap());
    drop(mutex.blocking_lock_timeout(&1, Duration::MAX).unwrap());
}

#[test]
fn a_turn_and_a_time_out_that_meet_lose_nothing() {
    let mutex = KeyedMutex::<u64>::new();
    thread::scope(|threads| {
        for thread in 0..4_u32 {
            let mutex = &mutex;
            threads.spawn(move || {
                for round in 0..500 {
                    let limit = Duration::from_micros(u64::from((thread * 37 + round) % 50));
                    drop(mutex.blocking_lock_timeout(&1, limit));
                }
            });
        }
    });
    mutex.check();
    assert!(mutex.is_empty());
    assert!(mutex.try_lock(&1).is_some());
}

#[test]
fn threads_read_together_and_write_alone() {
    let lock = KeyedRwLock::<u64>::new();
    let reader = lock.blocking_read(&1);
    assert!(lock.blocking_read_timeout(&1, Duration::ZERO).is_some());
    assert!(lock.blocking_write_timeout(&1, SHORT).is_none());
    thread::scope(|threads| {
        let writer = threads.spawn(|| drop(lock.blocking_write(&1)));
        while lock.waiting(&1) != 1 {
            thread::yield_now();
        }
        assert!(lock.blocking_read_timeout(&1, SHORT).is_none(), "the writer is not overtaken");
        drop(reader);
        writer.join().unwrap();
    });
    assert!(lock.blocking_write_timeout(&1, LONG).is_some());
    assert!(lock.is_empty());
}

#[test]
fn threads_that_wait_with_a_limit_see_the_lock_closed() {
    let lock = KeyedRwLock::<u64>::new();
    let writer = lock.blocking_write(&1);
    thread::scope(|threads| {
        let waiting = [
            threads.spawn(|| lock.blocking_read_timeout(&1, Duration::MAX).is_none()),
            threads.spawn(|| lock.blocking_write_timeout(&1, Duration::MAX).is_none()),
        ];
        while lock.waiting(&1) != 2 {
            thread::yield_now();
        }
        lock.close();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    });
    drop(writer);
    assert!(lock.is_empty());
}
