//! What becomes of holders, waiters and latecomers when a lock is closed?

#![cfg(feature = "std")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::{Wake, Waker},
    thread,
    time::Duration,
};

use common::{Count, Strict, Task};
use lockcore::{Closed, Config, DefaultHashBuilder, KeyedMutex, KeyedRwLock};

/// It panics if foreign code runs inside.
type StrictMutex = KeyedMutex<u64, DefaultHashBuilder, Strict>;
type StrictRwLock = KeyedRwLock<u64, DefaultHashBuilder, Strict>;

/// Does something when it is woken.
struct OnWake<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn on_wake(does: impl Fn() + Send + Sync + 'static) -> Waker {
    Arc::new(OnWake(does)).into()
}

#[test]
fn those_who_wait_are_woken_and_end() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut waiting = [(); 3].map(|()| Task::queued(mutex.lock(&1).or_closed()));
    assert!(!mutex.is_closed());
    mutex.close();
    mutex.check();
    assert!(mutex.is_closed());
    assert_eq!(mutex.waiting(&1), 0);
    for task in &mut waiting {
        assert_eq!(task.woken(), 1);
        assert!(matches!(task.ready(), Err(Closed)));
        mutex.check();
    }
    assert!(mutex.is_locked(&1), "the holder is left alone");
    drop(guard);
    assert!(mutex.is_empty());
}

#[test]
fn latecomers_end_at_once_whether_the_id_is_held_or_free() {
    let lock = StrictRwLock::new();
    let reader = lock.try_read(&1).unwrap();
    let mut early = Task::new(lock.read(&1).or_closed());
    lock.close();
    assert!(early.ready().is_err(), "its place was not taken yet");
    for id in [1, 2] {
        assert!(Task::new(lock.read(&id).or_closed()).ready().is_err());
        assert!(Task::new(lock.write(&id).or_closed()).ready().is_err());
        assert!(Task::new(lock.read_owned(id).or_closed()).ready().is_err());
        assert!(lock.try_read(&id).is_none() && lock.try_write(&id).is_none());
    }
    lock.check();
    assert_eq!(lock.len(), 1);
    drop(reader.downgrade());
    assert!(lock.is_empty());
}

#[test]
fn a_turn_that_was_handed_over_may_still_be_taken() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut next = Task::queued(mutex.lock(&1).or_closed());
    let behind = Task::queued(mutex.lock(&1).or_closed());
    drop(guard);
    mutex.close();
    assert_eq!((next.woken(), behind.woken()), (1, 1));
    let guard = next.ready().expect("it held before the lock was closed");
    assert_eq!(guard.id(), 1);
    drop((guard, behind));
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn a_turn_that_is_dropped_after_closing_frees_the_id() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let next = Task::queued(mutex.lock(&1));
    let behind = Task::queued(mutex.lock(&1));
    drop(guard);
    mutex.close();
    drop(next);
    mutex.check();
    assert!(mutex.is_empty(), "the turn passes on to nobody");
    assert_eq!(behind.woken(), 1);
}

#[test]
fn one_that_ended_and_is_dropped_leaves_nothing_behind() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let first = Task::queued(mutex.lock(&1));
    let second = Task::queued(mutex.lock_owned(1));
    mutex.close();
    drop(first);
    mutex.check();
    drop(guard);
    mutex.check();
    drop(second);
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn closing_twice_does_nothing() {
    let mutex = StrictMutex::new();
    let _guard = mutex.try_lock(&1).unwrap();
    let mut waits = Task::queued(mutex.lock(&1).or_closed());
    mutex.close();
    mutex.close();
    assert_eq!(waits.woken(), 1);
    assert!(waits.ready().is_err());
    mutex.close();
    mutex.check();
}

#[test]
fn the_latest_waker_is_woken() {
    let mutex = StrictMutex::new();
    let _guard = mutex.try_lock(&1).unwrap();
    let latest = Arc::new(Count::default());
    let mut waits = Task::queued(mutex.lock(&1));
    assert!(waits.poll_with(&latest.clone().into()).is_pending());
    mutex.close();
    assert_eq!((waits.woken(), latest.get()), (0, 1));
}

#[test]
#[should_panic = "or_closed"]
fn a_plain_future_panics_and_says_what_to_do() {
    let mutex = StrictMutex::new();
    mutex.close();
    let _ = Task::new(mutex.lock(&1)).poll();
}

#[test]
fn a_plain_future_that_waits_panics_and_leaves_nothing_behind() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut waits = Task::queued(mutex.lock(&1));
    let mut owned = Task::queued(mutex.lock_owned(1));
    mutex.close();
    assert!(catch_unwind(AssertUnwindSafe(|| waits.poll().is_ready())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| owned.poll().is_ready())).is_err());
    mutex.check();
    drop(guard);
    assert!(mutex.is_empty());
}

#[test]
#[should_panic = "polled after it was ready"]
fn it_says_once_that_the_lock_is_closed() {
    let mutex = StrictMutex::new();
    mutex.close();
    let mut late = Task::new(mutex.lock(&1).or_closed());
    assert!(late.ready().is_err());
    let _ = late.poll();
}

#[test]
fn several_ids_half_way_release_what_they_have() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&2).unwrap();
    let mut all = Task::queued(mutex.lock_all(&[1, 2, 3]).or_closed());
    assert!(mutex.is_locked(&1));
    mutex.close();
    assert_eq!((all.woken(), mutex.len()), (1, 2), "nothing is released behind its back");
    assert!(all.ready().is_err());
    assert_eq!(mutex.len(), 1);
    mutex.check();
    drop(guard);
    assert!(mutex.try_lock_all(&[1, 2]).is_none());
    assert!(mutex.is_empty());
}

#[test]
fn several_ids_that_are_closed_between_two_turns_release_the_turn_too() {
    let mutex = StrictMutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut all = Task::queued(mutex.lock_all(&[1, 2]).or_closed());
    drop(guard);
    mutex.close();
    assert!(all.ready().is_err(), "the second is refused");
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn a_waker_may_lock_and_close_again() {
    let mutex = Arc::new(StrictMutex::new());
    let guard = mutex.try_lock(&1).unwrap();
    let (again, seen) = (mutex.clone(), Arc::<Mutex<Vec<_>>>::default());
    let sees = seen.clone();
    let waker = on_wake(move || {
        again.close();
        sees.lock().unwrap().push((again.is_closed(), again.try_lock(&2).is_none()));
    });
    let mut waits = Task::new(mutex.lock(&1).or_closed());
    assert!(waits.poll_with(&waker).is_pending());
    mutex.close();
    assert_eq!(*seen.lock().unwrap(), [(true, true)]);
    assert!(waits.ready().is_err());
    drop(guard);
}

/// Every table is closed when the first waker is called.
#[test]
fn a_waker_that_panics_keeps_no_table_open_and_nobody_asleep() {
    let config = Config { shards: 8, ..Config::default() };
    let mutex = StrictMutex::with_config(config);
    let ids: Vec<u64> = (0..64).collect();
    let guards = mutex.try_lock_all(&ids).unwrap();
    let mut waiting: Vec<_> = ids.iter().map(|id| Task::new(mutex.lock(id).or_closed())).collect();
    let panics = on_wake(|| panic!("this waker panics"));
    let mut first = mutex.lock(&0).or_closed();
    assert!(common::poll(&mut first, &panics).is_pending());
    waiting.iter_mut().for_each(Task::assert_waits);
    assert!(catch_unwind(AssertUnwindSafe(|| mutex.close())).is_err());
    mutex.check();
    assert!(mutex.is_closed());
    for task in &mut waiting {
        assert_eq!(task.woken(), 1);
        assert!(task.ready().is_err());
    }
    drop(guards);
    assert!(mutex.is_empty());
}

#[test]
fn readers_and_writers_end_and_readers_who_hold_go_on() {
    let lock = StrictRwLock::new();
    let readers = [lock.try_read(&1).unwrap(), lock.try_read(&1).unwrap()];
    let mut writer = Task::queued(lock.write(&1).or_closed());
    let mut reader = Task::queued(lock.read(&1).or_closed());
    lock.close();
    assert!(writer.ready().is_err() && reader.ready().is_err());
    assert_eq!(lock.status(&1).unwrap().holders, 2);
    lock.check();
    drop(readers);
    assert!(lock.is_empty());
}

#[test]
fn a_thread_that_waits_with_a_limit_gets_none() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    thread::scope(|threads| {
        let waits = threads.spawn(|| mutex.blocking_lock_timeout(&1, Duration::MAX).is_none());
        while mutex.waiting(&1) == 0 {
            thread::yield_now();
        }
        mutex.close();
        assert!(waits.join().unwrap());
    });
    drop(guard);
    assert!(mutex.blocking_lock_timeout(&1, Duration::MAX).is_none());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(mutex.blocking_lock(&1)))).is_err());
    assert!(mutex.is_empty());
}
