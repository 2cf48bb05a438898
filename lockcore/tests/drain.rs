//! When is somebody told who watches an id, or all of them?

#![cfg(feature = "std")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Wake, Waker},
};

use common::{Count, Strict, Task};
use lockcore::{Config, DefaultHashBuilder, KeyedMutex, KeyedRwLock};

/// It panics if foreign code runs inside.
type Mutex = KeyedMutex<u64, DefaultHashBuilder, Strict>;
type RwLock = KeyedRwLock<u64, DefaultHashBuilder, Strict>;

fn one_table() -> Mutex {
    Mutex::with_config(Config { shards: 1, ..Config::default() })
}

#[test]
fn a_free_id_is_free_at_once_and_stays_ready() {
    let mutex = Mutex::new();
    let mut free = Task::new(mutex.free(&1));
    free.ready();
    let _guard = mutex.try_lock(&1).unwrap();
    free.ready();
    Task::new(mutex.free(&2)).ready();
}

#[test]
fn a_lone_holder_can_be_watched() {
    let mutex = Mutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut free = Task::queued(mutex.free(&1));
    mutex.check();
    assert_eq!(mutex.waiting(&1), 0, "it takes no place");
    assert!(mutex.try_lock(&1).is_none());
    drop(guard);
    mutex.check();
    assert_eq!(free.woken(), 1);
    assert!(mutex.is_empty());
    free.ready();
    mutex.check();
}

#[test]
fn it_does_not_keep_the_queue_and_waits_for_all_of_it() {
    let lock = RwLock::new();
    let reader = lock.try_read(&1).unwrap();
    let mut free = Task::queued(lock.free(&1));
    let other_reader = lock.try_read(&1).expect("a watch keeps no reader out");
    let mut writer = Task::queued(lock.write(&1));
    drop((reader, other_reader));
    let writer = writer.ready();
    free.assert_waits();
    let reader = writer.downgrade();
    free.assert_waits();
    lock.check();
    assert_eq!(free.woken(), 0);
    drop(reader);
    assert_eq!(free.woken(), 1);
    free.ready();
}

#[test]
fn it_was_free_even_if_it_is_locked_again_before_the_look() {
    let mutex = Mutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let mut free = Task::queued(mutex.free(&1));
    drop(Task::queued(mutex.lock(&1)));
    free.assert_waits();
    drop(guard);
    let _guard = mutex.try_lock(&1).unwrap();
    free.ready();
    mutex.check();
    assert_eq!(free.woken(), 1);
}

#[test]
fn a_turn_that_is_dropped_untaken_frees_the_id() {
    let mutex = Mutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    let turn = Task::queued(mutex.lock(&1));
    let mut free = [Task::queued(mutex.free(&1)), Task::queued(mutex.free(&1))];
    drop(guard);
    assert_eq!(free.each_ref().map(Task::woken), [0, 0]);
    drop(turn);
    assert_eq!(free.each_ref().map(Task::woken), [1, 1]);
    free.iter_mut().for_each(Task::ready);
    mutex.check();
}

#[test]
fn one_that_is_dropped_at_any_moment_leaves_nothing_behind() {
    let mutex = Mutex::new();
    let guard = mutex.try_lock(&1).unwrap();
    drop(mutex.free(&1));
    drop(mutex.drained());
    let mut watching: Vec<_> = (0..4).map(|_| Task::queued(mutex.free(&1))).collect();
    let all = Task::queued(mutex.drained());
    for dropped in [3, 0, 1] {
        drop(watching.remove(dropped));
        mutex.check();
    }
    drop(all);
    drop(guard);
    mutex.check();
    assert_eq!(watching[0].woken(), 1);
    drop(watching);
    mutex.check();
    drop(mutex.try_lock(&1).unwrap());
    assert!(mutex.is_empty());
}

#[test]
fn the_latest_waker_is_woken_and_no_other_is_kept() {
    let mutex = one_table();
    let guard = mutex.try_lock(&1).unwrap();
    let latest = Arc::new(Count::default());
    let waker: Waker = latest.clone().into();
    let (mut free, mut all) = (Task::queued(mutex.free(&1)), Task::queued(mutex.drained()));
    assert!(free.poll_with(&waker).is_pending() && all.poll_with(&waker).is_pending());
    drop(guard);
    assert_eq!((free.woken(), all.woken(), latest.get()), (0, 0, 2));
    drop((free, all, waker));
    assert_eq!(Arc::strong_count(&latest), 1);
}

#[test]
fn an_unused_lock_is_drained_and_a_used_one_when_the_last_is_gone() {
    for shards in [1, 8] {
        let mutex = Mutex::with_config(Config { shards, ..Config::default() });
        Task::new(mutex.drained()).ready();
        let ids: Vec<u64> = (0..64).collect();
        let mut guards = mutex.try_lock_all(&ids).unwrap();
        let mut waits = Task::queued(mutex.lock(&0).or_closed());
        let mut all = Task::queued(mutex.drained());
        mutex.close();
        let last = guards.pop();
        drop(guards);
        mutex.check();
        all.assert_waits();
        drop(last);
        all.ready();
        assert!(all.woken() > 0 && mutex.is_empty());
        all.ready();
        assert!(waits.ready().is_err());
        mutex.check();
    }
}

#[test]
fn an_open_lock_is_drained_of_those_who_were_there() {
    let mutex = one_table();
    let guard = mutex.try_lock(&1).unwrap();
    let mut all = Task::queued(mutex.drained());
    drop(guard);
    let _guard = mutex.try_lock(&2).unwrap();
    assert_eq!(all.woken(), 1);
    all.ready();
    mutex.check();
}

#[test]
fn those_who_are_told_may_lock_again() {
    struct LocksAgain(Arc<Mutex>);
    impl Wake for LocksAgain {
        fn wake(self: Arc<Self>) {
            drop(self.0.try_lock(&1).expect("it is free"));
        }
    }
    let mutex = Arc::new(one_table());
    let guard = mutex.try_lock(&1).unwrap();
    let waker = Arc::new(LocksAgain(mutex.clone())).into();
    let (mut free, mut all) = (mutex.free(&1), mutex.drained());
    assert!(common::poll(&mut free, &waker).is_pending());
    assert!(common::poll(&mut all, &waker).is_pending());
    drop(guard);
    mutex.check();
    common::ready(common::poll(&mut free, &waker));
    common::ready(common::poll(&mut all, &waker));
}

#[test]
fn a_waker_that_panics_does_not_keep_others_asleep() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("this waker panics");
        }
    }
    let mutex = one_table();
    let guard = mutex.try_lock(&1).unwrap();
    let mut free = Task::new(mutex.free(&1));
    assert!(free.poll_with(&Arc::new(Panics).into()).is_pending());
    let behind = [Task::queued(mutex.free(&1)), Task::queued(mutex.free(&1))];
    let all = Task::queued(mutex.drained());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(guard))).is_err());
    assert_eq!((behind.each_ref().map(Task::woken), all.woken()), ([1, 1], 1));
    mutex.check();
    free.ready();
}

#[test]
fn a_thousand_who_watch_are_told_in_order_of_their_first_polls() {
    struct Says(usize, Arc<std::sync::Mutex<Vec<usize>>>);
    impl Wake for Says {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let mutex = one_table();
    let guard = mutex.try_lock(&1).unwrap();
    let told = Arc::<std::sync::Mutex<Vec<_>>>::default();
    let mut watching: Vec<_> = (0..1000).map(|_| mutex.free(&1)).collect();
    for (number, free) in watching.iter_mut().enumerate() {
        let waker = Arc::new(Says(number, told.clone())).into();
        assert!(common::poll(free, &waker).is_pending());
    }
    drop(guard);
    assert!(told.lock().unwrap().iter().copied().eq(0..1000));
}
