//! Does it hold with real threads? A lost wake-up would hang, so each test has a time limit.

#![cfg(feature = "std")]

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use futures::executor::block_on;
use lockcore::{KeyedMutex, KeyedRwLock};

const IDS: u64 = 3;
const ROUNDS: u64 = 3_000;

/// Runs `work` on four threads and fails if they do not end: threads that hang are left behind.
fn on_threads(work: impl Fn(u64) + Send + Sync + 'static) {
    let (work, (done, wait)) = (Arc::new(work), mpsc::channel());
    for number in 0..4 {
        let (work, done) = (work.clone(), done.clone());
        thread::spawn(move || {
            work(number);
            done.send(()).unwrap();
        });
    }
    drop(done);
    for _ in 0..4 {
        wait.recv_timeout(Duration::from_secs(30)).expect("a thread panicked or a wake-up is lost");
    }
}

#[test]
fn one_thread_at_a_time_holds_an_id() {
    let mutex = Arc::new(KeyedMutex::<u64>::new());
    let held: [AtomicBool; IDS as usize] = Default::default();
    let counted = mutex.clone();
    on_threads(move |number| {
        for round in 0..ROUNDS {
            let id = (number + round) % IDS;
            let guard = block_on(mutex.lock(&id));
            assert!(!held[id as usize].swap(true, SeqCst), "somebody else holds {id}");
            assert!(held[id as usize].swap(false, SeqCst));
            drop(guard);
        }
    });
    counted.check();
    assert!(counted.is_empty());
}

#[test]
fn readers_and_writers_never_meet() {
    let lock = Arc::new(KeyedRwLock::<u64>::new());
    let inside: [AtomicI32; IDS as usize] = Default::default();
    let counted = lock.clone();
    on_threads(move |number| {
        for round in 0..ROUNDS {
            let id = (number + round) % IDS;
            let writes = round % 3 == 0;
            let change = if writes { -1000 } else { 1 };
            let guard = block_on(if writes { lock.write(&id) } else { lock.read(&id) });
            let before = inside[id as usize].fetch_add(change, SeqCst);
            assert!(if writes { before == 0 } else { before >= 0 }, "{before} is inside {id}");
            inside[id as usize].fetch_sub(change, SeqCst);
            drop(guard);
        }
    });
    counted.check();
    assert!(counted.is_empty());
}

/// Polls a future so many times, whether it is ready or not; then it is dropped.
fn poll_some(future: impl Future, times: u64) {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) =
            future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
        {
            return drop(output);
        }
        thread::yield_now();
    }
}

/// Scenario 1, with the race: futures are dropped while turns are handed to them.
#[test]
fn a_turn_is_not_lost_when_futures_are_dropped_in_a_race() {
    let mutex = Arc::new(KeyedMutex::<u64>::new());
    let counted = mutex.clone();
    on_threads(move |number| {
        for round in 0..ROUNDS {
            let id = round % IDS;
            if number == 0 {
                drop(block_on(mutex.lock(&id)));
            } else {
                poll_some(mutex.lock(&id), (number + round) % 4);
            }
        }
    });
    counted.check();
    assert!(counted.is_empty());
}

#[test]
fn tokens_rise_over_threads() {
    let mutex = Arc::new(KeyedMutex::<u64>::new());
    let last = AtomicU64::new(0);
    on_threads(move |_| {
        for _ in 0..ROUNDS {
            let guard = block_on(mutex.lock(&1));
            assert!(last.swap(guard.token(), SeqCst) < guard.token());
        }
    });
}

#[test]
fn tasks_of_a_runtime_take_turns_and_can_be_aborted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mutex = Arc::new(KeyedMutex::<u64>::new());
    let held = Arc::new(AtomicBool::new(false));
    let task = |aborted: bool| {
        let (mutex, held) = (mutex.clone(), held.clone());
        let task = runtime.spawn(async move {
            for _ in 0..20 {
                let guard = mutex.lock_owned(1).await;
                assert!(!held.swap(true, SeqCst), "somebody else holds");
                assert!(held.swap(false, SeqCst));
                drop(guard);
                tokio::task::yield_now().await;
            }
        });
        if aborted {
            task.abort();
        }
        task
    };
    let tasks: Vec<_> = (0..200).map(|number| (number % 3 == 0, task(number % 3 == 0))).collect();
    let (done, wait) = mpsc::channel();
    runtime.spawn(async move {
        for (aborted, task) in tasks {
            let ended = task.await;
            assert!(ended.is_ok() || aborted, "{ended:?}");
        }
        done.send(()).unwrap();
    });
    let ended = wait.recv_timeout(Duration::from_secs(30));
    runtime.shutdown_background();
    ended.expect("a task panicked or a wake-up is lost");
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn turns_come_in_the_order_of_first_polls_under_two_threads_and_64_tasks() {
    const TASKS: usize = 64;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for _ in 0..20 {
        let mutex = Arc::new(KeyedMutex::<u64>::new());
        let (arrivals, turns) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let holder = mutex.try_lock(&1).unwrap();
        let tasks = [(); TASKS].map(|()| {
            let (mutex, arrivals, turns) = (mutex.clone(), arrivals.clone(), turns.clone());
            runtime.spawn(async move {
                let mut lock = mutex.lock(&1);
                poll_fn(|cx| {
                    let mut arrivals = arrivals.lock().unwrap();
                    arrivals.push(tokio::task::id());
                    assert!(Pin::new(&mut lock).poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                let guard = lock.await;
                turns.lock().unwrap().push(tokio::task::id());
                drop(guard);
            })
        });
        while arrivals.lock().unwrap().len() < TASKS {
            thread::yield_now();
        }
        drop(holder);
        let (done, wait) = mpsc::channel();
        runtime.spawn(async move {
            for task in tasks {
                task.await.unwrap();
            }
            done.send(()).unwrap();
        });
        wait.recv_timeout(Duration::from_secs(30)).expect("a wake-up is lost");
        assert_eq!(*turns.lock().unwrap(), *arrivals.lock().unwrap());
        assert!(mutex.is_empty());
    }
}
