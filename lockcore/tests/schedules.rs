//! Many schedules of threads that contend, chosen by a seeded scheduler; a deadlock, a lost wake-up
//! included, fails a test and prints how to replay its schedule.
//!
//! `LOCKCORE_SCHEDULES=100000 cargo test --release -p lockcore --test schedules` runs more of them.

#![cfg(feature = "std")]

mod common;

use std::{env, future::Future, pin::pin, sync::Arc, task::Waker};

use lock_api::{GuardSend, RawMutex};
use lockcore::{Config, DefaultHashBuilder, KeyedMutex, KeyedRwLock};
use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
    thread,
};

/// A raw lock whose every step the scheduler sees.
struct Seen(AtomicBool);

// SAFETY: `lock` returns only after it has set the flag, which nobody else had set, and `try_lock`
// says true only then.
unsafe impl RawMutex for Seen {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardSend;

    fn lock(&self) {
        while !self.try_lock() {
            thread::yield_now();
        }
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

type Mutex = KeyedMutex<u64, DefaultHashBuilder, Seen>;
type RwLock = KeyedRwLock<u64, DefaultHashBuilder, Seen>;

fn one_table() -> Config {
    Config { shards: 1, ..Config::default() }
}

/// Runs `test` under schedules at random, and under those with few, badly placed preemptions.
fn under_many_schedules(test: impl Fn() + Clone + Send + Sync + 'static) {
    let schedules = env::var("LOCKCORE_SCHEDULES").map_or(1000, |count| count.parse().unwrap());
    let config = shuttle::Config::new();
    shuttle::Runner::new(RandomScheduler::new(schedules), config.clone()).run(test.clone());
    shuttle::Runner::new(PctScheduler::new(3, schedules), config).run(test);
}

fn on_threads<const N: usize>(tasks: [impl FnOnce() + Send + 'static; N]) {
    let threads = tasks.map(|task| thread::spawn(task));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Counts who is inside a section: shared ones up, an exclusive one below zero.
#[derive(Clone, Default)]
struct Section(Arc<AtomicIsize>);

impl Section {
    fn alone(&self) {
        assert_eq!(self.0.swap(-1, Ordering::SeqCst), 0, "somebody else is inside");
        thread::yield_now();
        assert_eq!(self.0.swap(0, Ordering::SeqCst), -1);
    }

    fn shared(&self) {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) >= 0, "a writer is inside");
        thread::yield_now();
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Polls a future once, and drops it.
fn give_up(future: impl Future) {
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let _ = pin!(future).poll(&mut cx);
}

#[test]
fn each_has_its_turn_alone() {
    under_many_schedules(|| {
        let (mutex, section) = (Arc::new(Mutex::with_config(one_table())), Section::default());
        on_threads([(); 3].map(|()| {
            let (mutex, section) = (mutex.clone(), section.clone());
            move || {
                for _ in 0..2 {
                    let guard = block_on(mutex.lock(&1));
                    section.alone();
                    drop(guard);
                }
            }
        }));
        mutex.check();
        assert!(mutex.is_empty());
    });
}

/// Scenario 1, at whichever moment: those who give up race the hand-off and each other.
#[test]
fn those_who_give_up_pass_the_turn_on() {
    under_many_schedules(|| {
        let (mutex, section) = (Arc::new(Mutex::with_config(one_table())), Section::default());
        on_threads([0, 1, 2, 3].map(|thread| {
            let (mutex, section) = (mutex.clone(), section.clone());
            move || {
                if thread % 2 == 0 {
                    give_up(mutex.lock(&1));
                    give_up(mutex.lock_owned(1));
                } else {
                    let guard = block_on(mutex.lock(&1));
                    section.alone();
                    drop(guard);
                }
            }
        }));
        mutex.check();
        assert!(mutex.is_empty());
    });
}

/// Scenario 2, at whichever moment: the waker is replaced while the turn comes.
#[test]
fn a_waker_replaced_while_the_turn_comes_is_not_lost() {
    under_many_schedules(|| {
        let mutex = Arc::new(Mutex::with_config(one_table()));
        on_threads([0, 1, 2].map(|_| {
            let mutex = mutex.clone();
            move || {
                let mut lock = mutex.lock(&1);
                let mut cx = std::task::Context::from_waker(Waker::noop());
                let guard = match std::pin::Pin::new(&mut lock).poll(&mut cx) {
                    std::task::Poll::Ready(guard) => guard,
                    std::task::Poll::Pending => block_on(lock),
                };
                drop(guard);
            }
        }));
        mutex.check();
        assert!(mutex.is_empty());
    });
}

#[test]
fn readers_share_and_writers_are_alone() {
    under_many_schedules(|| {
        let (lock, section) = (Arc::new(RwLock::with_config(one_table())), Section::default());
        on_threads([0, 1, 2, 3].map(|thread| {
            let (lock, section) = (lock.clone(), section.clone());
            move || match thread {
                0 | 1 => {
                    let guard = block_on(lock.read(&1));
                    section.shared();
                    drop(guard);
                }
                2 => {
                    let guard = block_on(lock.write(&1));
                    section.alone();
                    drop(guard.downgrade());
                }
                _ => give_up(lock.write(&1)),
            }
        }));
        lock.check();
        assert!(lock.is_empty());
    });
}

#[test]
fn several_ids_in_any_order_do_not_deadlock() {
    under_many_schedules(|| {
        let mutex = Arc::new(Mutex::with_config(one_table()));
        on_threads([[1, 2], [2, 1], [2, 3]].map(|ids| {
            let mutex = mutex.clone();
            move || {
                give_up(mutex.lock_all(&ids));
                drop(block_on(mutex.lock_all(&ids)));
                drop(mutex.try_lock_all(&ids));
            }
        }));
        mutex.check();
        assert!(mutex.is_empty());
    });
}

/// Any ids, in any order, some of them twice, in both modes, some given up half-way.
#[test]
fn whatever_several_ids_are_asked_for_nobody_deadlocks() {
    under_many_schedules(|| {
        let lock = Arc::new(RwLock::with_config(one_table()));
        on_threads([(); 3].map(|()| {
            let lock = lock.clone();
            move || {
                for _ in 0..2 {
                    let mut random = thread_rng();
                    let ids = [(); 3].map(|()| random.gen_range(0..4));
                    match random.gen_range(0..3) {
                        0 => drop(block_on(lock.read_all(&ids))),
                        1 => drop(block_on(lock.write_all(&ids))),
                        _ => give_up(lock.write_all(&ids)),
                    }
                }
            }
        }));
        lock.check();
        assert!(lock.is_empty());
    });
}

/// Whoever holds when the lock is closed goes on, everybody else ends, and nobody is left asleep.
#[test]
fn closing_meets_those_who_lock_give_up_and_release() {
    under_many_schedules(|| {
        let (lock, section) = (Arc::new(RwLock::with_config(one_table())), Section::default());
        on_threads([0, 1, 2, 3].map(|thread| {
            let (lock, section) = (lock.clone(), section.clone());
            move || match thread {
                0 => {
                    if let Ok(guard) = block_on(lock.write(&1).or_closed()) {
                        section.alone();
                        drop(guard);
                    }
                }
                1 => {
                    if let Ok(guard) = block_on(lock.read_owned(1).or_closed()) {
                        section.shared();
                        drop(guard);
                    }
                }
                2 => {
                    give_up(lock.write(&1).or_closed());
                    give_up(lock.write_all(&[1, 2]).or_closed());
                }
                _ => {
                    lock.close();
                    assert!(lock.try_read(&1).is_none());
                }
            }
        }));
        lock.check();
        assert!(lock.is_empty());
    });
}

/// The other threads' locks are seen to be gone, and no wake-up is lost, at whichever moment the
/// watch begins and however often it is given up.
#[test]
fn who_waits_until_an_id_is_free_or_all_are_is_told() {
    under_many_schedules(|| {
        let mutex = Arc::new(Mutex::with_config(one_table()));
        on_threads([0, 1, 2, 3].map(|thread| {
            let mutex = mutex.clone();
            move || match thread {
                0 => drop(block_on(mutex.lock(&1).or_closed())),
                1 => {
                    give_up(mutex.lock(&1).or_closed());
                    drop(mutex.try_lock(&2));
                }
                2 => {
                    give_up(mutex.free(&1));
                    block_on(mutex.free(&1));
                    give_up(mutex.drained());
                }
                _ => {
                    mutex.close();
                    block_on(mutex.drained());
                    assert!(mutex.is_empty(), "nobody can lock any more");
                }
            }
        }));
        mutex.check();
        assert!(mutex.is_empty());
    });
}
