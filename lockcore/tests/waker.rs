//! What may wakers do, and which one is woken?

#![cfg(feature = "std")]

mod common;

use std::{
    hash::{BuildHasherDefault, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    task::{RawWaker, RawWakerVTable, Waker},
};

use common::{Count, Strict, Task, poll, ready};
use lockcore::KeyedMutex;

/// All ids in one table, whose raw lock panics where foreign code runs inside.
type StrictMutex = KeyedMutex<u64, BuildHasherDefault<OneTable>, Strict>;

#[derive(Default)]
struct OneTable(u64);

impl Hasher for OneTable {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash * 31 + u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0 & 0xff_ffff
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Clone,
    Wake,
    Drop,
}

/// A waker that calls a function of the test.
struct Hook {
    function: Box<dyn Fn(Call) + Send + Sync>,
    calls: Mutex<Vec<Call>>,
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        hook(data).call(Call::Clone);
        RawWaker::new(data, &VTABLE)
    },
    |data| hook(data).call(Call::Wake),
    |data| hook(data).call(Call::Wake),
    |data| hook(data).call(Call::Drop),
);

fn hook(data: *const ()) -> &'static Hook {
    // SAFETY: the wakers of this table are made by `Hook::new`, from a `&'static Hook`.
    unsafe { &*data.cast() }
}

impl Hook {
    fn new(function: impl Fn(Call) + Send + Sync + 'static) -> (Waker, &'static Self) {
        let hook: &Self =
            Box::leak(Box::new(Self { function: Box::new(function), calls: Mutex::default() }));
        let data = std::ptr::from_ref(hook).cast();
        // SAFETY: the functions of the table expect a `&'static Hook`, and any thread may call them.
        (unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) }, hook)
    }

    fn call(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
        (self.function)(call);
    }

    fn times(&self, call: Call) -> usize {
        self.calls.lock().unwrap().iter().filter(|made| **made == call).count()
    }
}

fn leak() -> &'static StrictMutex {
    Box::leak(Box::default())
}

/// Locks what it can of the id it belongs to and of others, and leaves again.
fn locks_again(mutex: &'static StrictMutex) -> impl Fn(Call) + Send + Sync + 'static {
    move |_| {
        drop((mutex.try_lock(&1), mutex.try_lock(&2)));
        let mut waits = Task::new(mutex.lock(&1));
        drop((waits.poll(), mutex.lock(&3)));
        drop(waits);
        mutex.check();
    }
}

/// Scenario 2: a waker whose clone, drop or wake locks again.
#[test]
fn a_waker_may_lock_again() {
    let mutex = leak();
    let (waker, hook) = Hook::new(locks_again(mutex));
    let (other, other_hook) = Hook::new(locks_again(mutex));
    let guard = mutex.try_lock(&1).unwrap();

    let mut first = mutex.lock(&1);
    assert!(poll(&mut first, &waker).is_pending());
    let mut second = mutex.lock(&1);
    assert!(poll(&mut second, &waker).is_pending());
    assert_eq!(hook.times(Call::Clone), 2);

    assert!(poll(&mut first, &other).is_pending());
    assert_eq!((hook.times(Call::Drop), other_hook.times(Call::Clone)), (1, 1));

    drop(second);
    assert_eq!((hook.times(Call::Drop), hook.times(Call::Wake)), (2, 0));

    drop(guard);
    assert_eq!((hook.times(Call::Wake), other_hook.times(Call::Wake)), (0, 1));
    drop(ready(poll(&mut first, &other)));
    mutex.check();
    assert!(mutex.is_empty());
}

/// Scenario 2: the waker's clone releases what the future was about to wait for.
#[test]
fn a_waker_that_releases_while_it_is_cloned_makes_the_future_ready() {
    let mutex = leak();
    let held = Mutex::new(mutex.try_lock(&1));
    let (waker, hook) = Hook::new(move |call| {
        if call == Call::Clone {
            drop(held.lock().unwrap().take());
        }
    });
    let mut future = mutex.lock(&1);
    let guard = ready(poll(&mut future, &waker));
    mutex.check();
    assert_eq!((hook.times(Call::Clone), hook.times(Call::Drop)), (1, 1), "the spare one is gone");
    drop(guard);
    assert!(mutex.is_empty());
}

/// Scenario 2: the turn comes while the waker that is to replace another is cloned.
#[test]
fn a_turn_that_comes_while_a_waker_is_cloned_is_taken() {
    let mutex = leak();
    let held = Mutex::new(mutex.try_lock(&1));
    let (waker, _) = Hook::new(move |call| {
        if call == Call::Clone {
            drop(held.lock().unwrap().take());
        }
    });
    let mut task = mutex.lock(&1);
    assert!(poll(&mut task, Waker::noop()).is_pending());
    drop(ready(poll(&mut task, &waker)));
    mutex.check();
    assert!(mutex.is_empty());
}

/// Scenario 2: a waker is replaced between polls.
#[test]
fn the_latest_waker_is_woken() {
    let mutex = KeyedMutex::<u64>::new();
    let guard = mutex.try_lock(&1).unwrap();
    let counts: [std::sync::Arc<Count>; 3] = Default::default();
    let wakers = counts.each_ref().map(|count| Waker::from(count.clone()));
    let mut future = mutex.lock(&1);
    for waker in [&wakers[0], &wakers[1], &wakers[0], &wakers[2]] {
        assert!(poll(&mut future, waker).is_pending());
        mutex.check();
    }
    let clones = counts.each_ref().map(|count| std::sync::Arc::strong_count(count) - 2);
    assert_eq!(clones, [0, 0, 1], "the latest alone is stored");
    drop(guard);
    let woken = counts.each_ref().map(|count| count.get());
    assert_eq!(woken, [0, 0, 1]);
    drop(ready(poll(&mut future, &wakers[1])));
}

#[test]
fn polling_with_the_same_waker_clones_nothing() {
    let mutex = leak();
    let (waker, hook) = Hook::new(|_| ());
    let guard = mutex.try_lock(&1).unwrap();
    let mut future = mutex.lock(&1);
    for _ in 0..3 {
        assert!(poll(&mut future, &waker).is_pending());
    }
    assert_eq!(hook.times(Call::Clone), 1);
    drop(guard);
    assert_eq!(hook.times(Call::Wake), 1);
    drop(ready(poll(&mut future, &waker)));
    assert_eq!((hook.times(Call::Clone), hook.times(Call::Drop)), (1, 0), "waking consumed it");
}

/// It needs no table; one that does clones the waker before it borrows the table.
#[cfg(not(lockcore_no_slots))]
#[test]
fn an_uncontended_lock_does_not_touch_the_waker() {
    let mutex = leak();
    let (waker, hook) = Hook::new(|_| ());
    drop(ready(poll(&mut mutex.lock(&1), &waker)));
    assert!(hook.calls.lock().unwrap().is_empty());
}

/// A waker that panics at such a call.
fn panics_at(call: Call) -> (Waker, &'static Hook) {
    Hook::new(move |made| assert_ne!(made, call, "the waker panics"))
}

fn panics(call: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(call)).expect_err("the waker's panic comes through");
}

/// Scenarios 2 and 11: a first poll that fails leaves no ghost in the queue.
#[test]
fn a_waker_that_panics_when_cloned_leaves_no_ghost() {
    let mutex = leak();
    let guard = mutex.try_lock(&1).unwrap();
    let (waker, _) = panics_at(Call::Clone);
    let mut future = mutex.lock(&1);
    panics(|| drop(poll(&mut future, &waker)));
    mutex.check();
    drop(future);
    assert_eq!(mutex.waiting(&1), 0);
    drop(guard);
    assert!(mutex.is_empty());
}

#[test]
fn a_waker_that_panics_when_cloned_later_costs_no_place() {
    let mutex = leak();
    let guard = mutex.try_lock(&1).unwrap();
    let mut task = Task::queued(mutex.lock(&1));
    let (waker, _) = panics_at(Call::Clone);
    panics(|| drop(task.poll_with(&waker)));
    mutex.check();
    assert_eq!(mutex.waiting(&1), 1);
    drop(guard);
    assert_eq!(task.woken(), 1, "the waker it had is still there");
    drop(task.ready());
}

#[test]
fn a_waker_that_panics_when_dropped_costs_no_place() {
    let mutex = leak();
    let guard = mutex.try_lock(&1).unwrap();
    let (waker, _) = panics_at(Call::Drop);
    let mut task = Task::new(mutex.lock(&1));
    assert!(task.poll_with(&waker).is_pending());
    panics(|| drop(task.poll()));
    mutex.check();
    drop(guard);
    assert_eq!(task.woken(), 1);
    drop(task.ready());
    assert!(mutex.is_empty());
    std::mem::forget(waker);
}

#[test]
fn a_spare_waker_that_panics_when_dropped_passes_the_turn_on() {
    let mutex = leak();
    let held = Mutex::new(mutex.try_lock(&1));
    let (waker, _) = Hook::new(move |call| match call {
        Call::Clone => drop(held.lock().unwrap().take()),
        Call::Wake => (),
        Call::Drop => panic!("the waker panics"),
    });
    let mut future = mutex.lock(&1);
    panics(|| drop(poll(&mut future, &waker)));
    mutex.check();
    assert!(mutex.is_empty(), "nobody got the guard, so nobody holds");
    std::mem::forget(waker);
}

#[test]
fn a_spare_waker_that_panics_when_dropped_leaves_the_turn_to_the_next_poll() {
    let mutex = leak();
    let held = Mutex::new(mutex.try_lock(&1));
    let (waker, _) = Hook::new(move |call| match call {
        Call::Clone => drop(held.lock().unwrap().take()),
        Call::Wake => (),
        Call::Drop => panic!("the waker panics"),
    });
    let mut task = Task::queued(mutex.lock(&1));
    panics(|| drop(task.poll_with(&waker)));
    mutex.check();
    assert_eq!(mutex.status(&1).unwrap().turns, 1, "nobody got the guard yet");
    drop(task.ready());
    assert!(mutex.is_empty());
    std::mem::forget(waker);
}

#[test]
fn a_leaver_whose_waker_panics_when_dropped_is_gone() {
    let mutex = leak();
    let guard = mutex.try_lock(&1).unwrap();
    let (waker, _) = panics_at(Call::Drop);
    let mut future = mutex.lock(&1);
    assert!(poll(&mut future, &waker).is_pending());
    panics(|| drop(future));
    mutex.check();
    assert_eq!(mutex.waiting(&1), 0);
    drop(guard);
    assert!(mutex.is_empty());
    std::mem::forget(waker);
}

#[test]
fn a_waker_that_panics_when_woken_has_its_turn_all_the_same() {
    let mutex = leak();
    let guard = mutex.try_lock(&1).unwrap();
    let (waker, _) = panics_at(Call::Wake);
    let mut future = mutex.lock(&1);
    assert!(poll(&mut future, &waker).is_pending());
    let behind = Task::queued(mutex.lock(&1));
    panics(|| drop(guard));
    mutex.check();
    assert_eq!(behind.woken(), 0);
    drop(future);
    assert_eq!(behind.woken(), 1);
}

#[test]
fn a_waker_that_panics_when_woken_does_not_keep_others_asleep() {
    let lock = lockcore::KeyedRwLock::<u64>::new();
    let guard = lock.try_write(&1).unwrap();
    let (waker, _) = panics_at(Call::Wake);
    let before = Task::queued(lock.read(&1));
    let mut panicking = lock.read(&1);
    assert!(poll(&mut panicking, &waker).is_pending());
    let behind = [Task::queued(lock.read(&1)), Task::queued(lock.read(&1))];
    panics(|| drop(guard));
    lock.check();
    assert_eq!((before.woken(), behind.each_ref().map(Task::woken)), (1, [1, 1]));
}
