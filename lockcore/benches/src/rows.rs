//! What is measured: each row with its measures, one for each peer that it makes sense for.

use std::{
    borrow::Borrow,
    hint::black_box,
    iter,
    pin::Pin,
    sync::Barrier,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use compact_str::CompactString;
use futures_intrusive::sync::Mutex as IntrusiveMutex;
use keyed_lock::r#async::KeyedLock;
use lockable::LockPool;
use lockcore::{FromBorrowed, KeyedMutex};
use lockmap::LockMap;
use tokio::{runtime, sync::Mutex as TokioMutex, task};

use crate::{
    drive::poll_once,
    heap,
    peers::{AsyncLocks, BlockingLocks, DashMapIdiom, Id, LockedTable, Peer, WithoutSlots, Yields},
};

/// Ids held, or waiters queued, where the row is about many.
const MANY: usize = 1_000_000;
/// Tasks that hand one id round.
pub const TASKS: u64 = 64;
/// Rounds: many and short ones, so that the median is of rounds in which nobody else took the processor.
const ROUNDS: usize = 101;
/// Waiters cancelled in one round.
const CANCELLED: usize = 500;

/// A row of figures: what, in which unit, by whom, and how good we want to be.
pub struct Row {
    /// What is measured, in three short lines.
    pub title: &'static str,
    /// What our figure must not exceed.
    pub aim: Aim,
    /// Prepares the measures.
    pub measures: fn() -> Vec<Measure>,
}

/// What our figure must not exceed.
#[derive(Clone, Copy)]
pub enum Aim {
    /// This times the figure of the peer of this name.
    Ratio(f64, &'static str),
    /// This.
    Figure(f64),
}

/// Takes one round's figure of one peer.
pub struct Measure {
    /// Whose figure it is.
    pub peer: &'static str,
    /// Takes the figure, the smaller the better.
    pub figure: Box<dyn FnMut() -> f64>,
    /// How often it is taken: a figure in bytes does not vary.
    pub rounds: usize,
}

/// The measures of the listed peers.
macro_rules! each {
    ($measure:ident $args:tt: $($peer:ty),+ $(,)?) => { vec![$($measure::<$peer> $args),+] };
}

/// All rows; the aims are those of the lock with its slots.
pub static ROWS: [Row; 11] = [
    Row {
        title: "uncontended\nu64 id,\nns",
        aim: Aim::Ratio(0.40, LockedTable::<u64>::NAME),
        measures: || {
            each!(uncontended_u64(): KeyedMutex<u64>, WithoutSlots<u64>, LockedTable<u64>,
                TokioMutex<()>, async_lock::Mutex<()>, IntrusiveMutex<()>, LockPool<u64>,
                KeyedLock<u64>, DashMapIdiom<u64>, LockMap<u64, ()>)
        },
    },
    Row {
        title: "uncontended\n16-byte str,\nns",
        aim: Aim::Ratio(0.50, LockedTable::<String>::NAME),
        measures: || {
            each!(uncontended_str(): KeyedMutex<CompactString>, WithoutSlots<CompactString>,
                KeyedMutex<String>, LockedTable<String>, LockedTable<CompactString>,
                LockPool<String>, KeyedLock<String>, DashMapIdiom<String>, LockMap<String, ()>)
        },
    },
    Row {
        title: "fresh id,\n1 M others\nheld, ns",
        aim: Aim::Ratio(1.5, LockedTable::<u64>::NAME),
        measures: || {
            each!(fresh_among_many(): KeyedMutex<u64>, WithoutSlots<u64>, LockedTable<u64>, LockPool<u64>,
                KeyedLock<u64>, DashMapIdiom<u64>, LockMap<u64, ()>)
        },
    },
    Row {
        title: "hand-off,\n64 tasks,\n1 worker, ns",
        aim: Aim::Ratio(0.95, TokioMutex::<()>::NAME),
        measures: || {
            each!(hand_off(1): KeyedMutex<u64>, WithoutSlots<u64>, Yields, TokioMutex<()>, async_lock::Mutex<()>,
                IntrusiveMutex<()>, LockPool<u64>, KeyedLock<u64>, DashMapIdiom<u64>)
        },
    },
    Row {
        title: "hand-off,\n64 tasks,\n2 workers, ns",
        aim: Aim::Ratio(0.95, TokioMutex::<()>::NAME),
        measures: || {
            each!(hand_off(2): KeyedMutex<u64>, WithoutSlots<u64>, Yields, TokioMutex<()>, async_lock::Mutex<()>,
                IntrusiveMutex<()>, LockPool<u64>, KeyedLock<u64>, DashMapIdiom<u64>)
        },
    },
    Row {
        title: "2 threads\nover 1024\nids, ns",
        aim: Aim::Ratio(0.45, LockedTable::<u64>::NAME),
        measures: || {
            each!(two_threads(): KeyedMutex<u64>, WithoutSlots<u64>, LockedTable<u64>, LockPool<u64>,
                KeyedLock<u64>, DashMapIdiom<u64>, LockMap<u64, ()>)
        },
    },
    Row {
        title: "cancel one\nof 1000\nwaiters, ns",
        aim: Aim::Ratio(0.95, TokioMutex::<()>::NAME),
        measures: || {
            each!(cancel(1000): KeyedMutex<u64>, WithoutSlots<u64>, TokioMutex<()>, async_lock::Mutex<()>,
                IntrusiveMutex<()>, LockPool<u64>, KeyedLock<u64>, DashMapIdiom<u64>)
        },
    },
    Row {
        title: "the same,\nand another\njoins, ns",
        aim: Aim::Ratio(0.95, TokioMutex::<()>::NAME),
        measures: || {
            each!(cancel_and_join(1000): KeyedMutex<u64>, WithoutSlots<u64>, TokioMutex<()>, async_lock::Mutex<()>,
                IntrusiveMutex<()>, LockPool<u64>, KeyedLock<u64>, DashMapIdiom<u64>)
        },
    },
    Row {
        title: "cancel one\nof 1 M\nwaiters, ns",
        aim: Aim::Ratio(0.95, TokioMutex::<()>::NAME),
        measures: || {
            each!(cancel(MANY): KeyedMutex<u64>, TokioMutex<()>, async_lock::Mutex<()>,
                IntrusiveMutex<()>, LockPool<u64>, KeyedLock<u64>, DashMapIdiom<u64>)
        },
    },
    Row {
        title: "heap per\nheld u64 id,\nbytes",
        aim: Aim::Figure(44.0),
        measures: || {
            each!(heap_of_holds(): KeyedMutex<u64>, WithoutSlots<u64>, LockedTable<u64>, LockPool<u64>,
                KeyedLock<u64>, DashMapIdiom<u64>, LockMap<u64, ()>)
        },
    },
    Row {
        title: "waiter:\nheap + future,\nbytes",
        aim: Aim::Figure(60.0),
        measures: || {
            each!(size_of_waiters(): KeyedMutex<u64>, TokioMutex<()>, async_lock::Mutex<()>,
                IntrusiveMutex<()>, LockPool<u64>, KeyedLock<u64>, DashMapIdiom<u64>)
        },
    },
];

fn timed<L: Peer>(mut figure: impl FnMut() -> f64 + 'static) -> Measure {
    figure();
    Measure { peer: L::NAME, figure: Box::new(figure), rounds: ROUNDS }
}

fn counted<L: Peer>(bytes: f64) -> Measure {
    Measure { peer: L::NAME, figure: Box::new(move || bytes), rounds: 1 }
}

/// Makes a peer live as long as its guards and tasks may.
fn leak<L: Peer>() -> &'static L {
    Box::leak(Box::new(L::create()))
}

fn nanoseconds(time: Duration, operations: usize) -> f64 {
    time.as_nanos() as f64 / operations as f64
}

/// Ids for the rows in which few are in use.
pub fn small_ids() -> Vec<u64> {
    (0..64).collect()
}

/// Ids of 16 bytes.
pub fn names<I: FromBorrowed<str>>() -> Vec<I> {
    (0..64).map(|number| I::from_borrowed(&format!("payment-{number:08}"))).collect()
}

fn many_ids() -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(1);
    iter::repeat_with(|| random.u64(..)).take(MANY).collect()
}

/// Locks and releases each id in turn, `operations` times in all: a multiple of the number of ids.
#[inline]
pub fn lock_and_release<L: BlockingLocks>(locks: &L, ids: &[L::Id], operations: usize) {
    for _ in 0..operations / ids.len() {
        for id in ids {
            black_box(&locks.blocking_lock(black_box(id.borrow())));
        }
    }
}

fn uncontended_u64<L: BlockingLocks<Id = u64>>() -> Measure {
    uncontended::<L>(small_ids())
}

fn uncontended_str<L: BlockingLocks<Id: Id<Form = str>>>() -> Measure {
    uncontended::<L>(names())
}

fn uncontended<L: BlockingLocks>(ids: Vec<L::Id>) -> Measure {
    const OPERATIONS: usize = 64 * 300;
    let locks = L::create();
    timed::<L>(move || {
        let start = Instant::now();
        lock_and_release(&locks, &ids, OPERATIONS);
        nanoseconds(start.elapsed(), OPERATIONS)
    })
}

fn fresh_among_many<L: BlockingLocks<Id = u64>>() -> Measure {
    const OPERATIONS: usize = 20_000;
    let locks = leak::<L>();
    let ids: &'static [u64] = many_ids().leak();
    let held: Vec<_> = ids.iter().map(|id| locks.blocking_lock(id)).collect();
    let mut random = fastrand::Rng::with_seed(2);
    timed::<L>(move || {
        black_box(&held);
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            black_box(&locks.blocking_lock(&random.u64(..)));
        }
        nanoseconds(start.elapsed(), OPERATIONS)
    })
}

fn hand_off<L: AsyncLocks<Id = u64>>(workers: usize) -> Measure {
    const TURNS: u64 = 100;
    let locks = leak::<L>();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(workers).build();
    let runtime = runtime.expect("a runtime of a few threads starts");
    timed::<L>(move || {
        let start = Instant::now();
        runtime.block_on(take_turns(locks, TURNS));
        nanoseconds(start.elapsed(), (TASKS * TURNS) as usize)
    })
}

/// Lets 64 tasks hold one id in turn, `turns` times each. A holder lets the others run, so that they
/// queue.
pub async fn take_turns<L: AsyncLocks<Id = u64>>(locks: &'static L, turns: u64) {
    let task = || {
        tokio::spawn(async move {
            for _ in 0..turns {
                let guard = locks.lock(&7).await;
                task::yield_now().await;
                drop(guard);
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| task()).collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
}

fn two_threads<L: BlockingLocks<Id = u64>>() -> Measure {
    const OPERATIONS: usize = 20_000;
    let locks = L::create();
    let work = move |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..OPERATIONS {
            black_box(&locks.blocking_lock(&random.u64(..1024)));
        }
    };
    timed::<L>(move || {
        let ready = Barrier::new(2);
        let timed_work = |seed| {
            ready.wait();
            let start = Instant::now();
            work(seed);
            start.elapsed()
        };
        let time = thread::scope(|scope| {
            let other = scope.spawn(|| timed_work(1));
            timed_work(2).max(other.join().expect("no thread panics"))
        });
        nanoseconds(time, OPERATIONS)
    })
}

/// Futures that wait for one id, each at its place; `None` is one that was cancelled.
pub struct Waiters<F>(Vec<Pin<Box<Option<F>>>>);

impl<F: Future> Waiters<F> {
    /// Makes so many futures, which are to be polled.
    pub fn prepare(count: usize, future: impl Fn() -> F) -> Self {
        Self((0..count).map(|_| Box::pin(Some(future()))).collect())
    }

    /// Lets one join the queue.
    pub fn poll(&mut self, waiter: usize) {
        let future = self.0[waiter].as_mut().as_pin_mut().expect("the place has a future");
        assert!(matches!(poll_once(future), Poll::Pending), "somebody holds the id");
    }

    /// Drops one.
    #[inline]
    pub fn cancel(&mut self, waiter: usize) {
        self.0[waiter].set(None);
    }
}

fn cancel<L: AsyncLocks<Id = u64>>(count: usize) -> Measure {
    leave_and_join::<L>(count, |leaving, _| leaving)
}

fn cancel_and_join<L: AsyncLocks<Id = u64>>(count: usize) -> Measure {
    leave_and_join::<L>(count, |leaving, joining| leaving + joining)
}

/// Cancels random ones of many waiters, and lets as many join.
fn leave_and_join<L: AsyncLocks<Id = u64>>(
    count: usize,
    time: fn(Duration, Duration) -> Duration,
) -> Measure {
    let locks = leak::<L>();
    let holder = locks.blocking_lock(&7);
    let mut waiters = Waiters::prepare(count, || locks.lock(&7));
    (0..count).for_each(|waiter| waiters.poll(waiter));
    let mut random = fastrand::Rng::with_seed(3);
    timed::<L>(move || {
        black_box(&holder);
        let chosen = random.choose_multiple(0..count, CANCELLED);
        let start = Instant::now();
        chosen.iter().for_each(|waiter| waiters.cancel(*waiter));
        let left = Instant::now();
        for waiter in chosen {
            waiters.0[waiter].set(Some(locks.lock(&7)));
            waiters.poll(waiter);
        }
        nanoseconds(time(left - start, left.elapsed()), CANCELLED)
    })
}

fn heap_of_holds<L: BlockingLocks<Id = u64>>() -> Measure {
    let ids = many_ids();
    let locks = L::create();
    let mut held = Vec::with_capacity(MANY);
    let ((), bytes) = heap::during(|| held.extend(ids.iter().map(|id| locks.blocking_lock(id))));
    counted::<L>(bytes as f64 / MANY as f64)
}

fn size_of_waiters<L: AsyncLocks<Id = u64>>() -> Measure {
    let locks = L::create();
    let _holder = locks.blocking_lock(&7);
    let mut waiters = Waiters::prepare(MANY, || locks.lock(&7));
    let ((), bytes) = heap::during(|| (0..MANY).for_each(|waiter| waiters.poll(waiter)));
    counted::<L>(bytes as f64 / MANY as f64 + size_of_val(&locks.lock(&7)) as f64)
}
