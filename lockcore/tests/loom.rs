//! Every interleaving, and every order of memory accesses, of threads that meet in one slot and one
//! table. A data race, a deadlock or a lost wake-up fails a model:
//!
//! ```text
//! RUSTFLAGS="--cfg lockcore_loom" cargo test --release -p lockcore --test loom
//! ```

#![cfg(lockcore_loom)]

use std::{
    hash::{BuildHasherDefault, Hasher},
    pin::pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use lock_api::{GuardSend, RawMutex};
use lockcore::{Config, FromBorrowed, KeyedMutex, KeyedRwLock};
use loom::{
    cell::UnsafeCell,
    future::block_on,
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
    thread,
};

/// A raw lock that loom sees, and knows to block: a mutex of its own, made within the model, and the
/// guard of whoever has locked it.
struct Seen {
    mutex: OnceLock<loom::sync::Mutex<()>>,
    guard: std::cell::UnsafeCell<Option<Guard<'static>>>,
}

type Guard<'a> = loom::sync::MutexGuard<'a, ()>;

// SAFETY: the guard is touched by the one that has locked the mutex.
unsafe impl Send for Seen {}
// SAFETY: as above.
unsafe impl Sync for Seen {}

// SAFETY: it is locked from when loom's mutex is until loom's guard is dropped.
unsafe impl RawMutex for Seen {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Self { mutex: OnceLock::new(), guard: std::cell::UnsafeCell::new(None) };
    type GuardMarker = GuardSend;

    fn lock(&self) {
        let guard = self.mutex.get_or_init(Default::default).lock().expect("nobody panics");
        // SAFETY: the guard is dropped in `unlock`, before the mutex, which does not move while it is
        // locked.
        let guard = unsafe { std::mem::transmute::<Guard<'_>, Guard<'static>>(guard) };
        // SAFETY: it is this thread that has locked it.
        unsafe { *self.guard.get() = Some(guard) };
    }

    fn try_lock(&self) -> bool {
        unreachable!("lockcore waits for its tables")
    }

    unsafe fn unlock(&self) {
        // SAFETY: this thread has locked it. The guard is out of its place when others may lock.
        drop(unsafe { (*self.guard.get()).take() });
    }
}

/// One slot and one table for all ids.
#[derive(Clone, Default)]
struct Alike;

impl Hasher for Alike {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

type Hash = BuildHasherDefault<Alike>;
type Mutex<I> = KeyedMutex<I, Hash, Seen>;
type RwLock = KeyedRwLock<u64, Hash, Seen>;

fn one_slot() -> Config<Hash> {
    Config { shards: 1, slots: 1, ..Config::default() }
}

/// What a lock guards: loom fails the model if two touch it without an order between them.
struct Guarded(UnsafeCell<u64>);

// SAFETY: it is touched under a lock, or loom says that it is not.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn touch(&self) {
        // SAFETY: the caller holds the lock, or loom fails the model.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }

    fn look(&self) -> u64 {
        // SAFETY: the caller holds the lock, or loom fails the model.
        self.0.with(|count| unsafe { *count })
    }
}

struct World<L> {
    lock: L,
    guarded: [Guarded; 2],
    is_held: AtomicBool,
}

impl<L> World<L> {
    fn new(lock: L) -> Arc<Self> {
        let guarded = [0; 2].map(|count| Guarded(UnsafeCell::new(count)));
        Arc::new(Self { lock, guarded, is_held: AtomicBool::new(false) })
    }
}

/// Runs one thread for each task, the first one on the model's own.
fn run<L: Send + Sync + 'static, const N: usize>(
    preemptions: Option<usize>,
    lock: fn() -> L,
    tasks: [fn(&World<L>); N],
    at_end: fn(&World<L>),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let world = World::new(lock());
        let threads = tasks.map(|task| {
            let world = world.clone();
            thread::spawn(move || task(&world))
        });
        threads.into_iter().for_each(|thread| thread.join().expect("no task panics"));
        at_end(&world);
    });
}

/// A look lets the lock allocate what it allocates but once, in a way that loom does not see.
fn numbers() -> Mutex<u64> {
    let lock = Mutex::with_config(one_slot());
    assert!(lock.is_empty());
    lock
}

fn names() -> Mutex<Box<str>> {
    let lock = Mutex::with_config(one_slot());
    assert!(lock.is_empty());
    lock
}

fn idle<I: Eq + std::hash::Hash>(world: &World<Mutex<I>>) {
    world.lock.check();
    assert!(world.lock.is_empty(), "nobody is left");
}

fn lock<I, Q>(world: &World<Mutex<I>>, id: &Q, guarded: usize)
where
    I: FromBorrowed<Q> + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    let guard = block_on(world.lock.lock(id));
    world.guarded[guarded].touch();
    drop(guard);
}

/// Polls once and drops the future, or the guard.
fn give_up(world: &World<Mutex<u64>>, id: u64) {
    let future = pin!(world.lock.lock(&id));
    if let Poll::Ready(_guard) = future.poll(&mut Context::from_waker(Waker::noop())) {
        world.guarded[0].touch();
    }
}

#[test]
fn two_lock_one_id() {
    run(None, numbers, [|w| lock(w, &1, 0), |w| lock(w, &1, 0)], |w| {
        idle(w);
        assert_eq!(w.guarded[0].look(), 2);
    });
}

#[test]
fn two_lock_one_id_that_needs_drop() {
    run(None, names, [|w| lock(w, "a", 0), |w| lock(w, "a", 0)], idle);
}

#[test]
fn two_ids_of_one_slot() {
    run(None, numbers, [|w| lock(w, &1, 0), |w| lock(w, &2, 1)], idle);
    run(None, names, [|w| lock(w, "a", 0), |w| lock(w, "b", 1)], idle);
}

#[test]
fn three_lock_one_id() {
    run(Some(2), numbers, [|w| lock(w, &1, 0), |w| lock(w, &1, 0), |w| lock(w, &1, 0)], |w| {
        idle(w);
        assert_eq!(w.guarded[0].look(), 3);
    });
}

#[test]
fn two_lock_one_id_and_one_another_of_the_slot() {
    run(Some(2), numbers, [|w| lock(w, &1, 0), |w| lock(w, &1, 0), |w| lock(w, &2, 1)], idle);
}

/// The slot is diverted and free again while others lock through it.
#[test]
fn one_locks_twice_beside_another() {
    let twice = |w: &World<_>| {
        lock(w, &1, 0);
        lock(w, &1, 0);
    };
    run(Some(3), numbers, [twice, |w| lock(w, &1, 0)], idle);
}

#[test]
fn one_gives_up_while_two_lock() {
    run(Some(2), numbers, [|w| lock(w, &1, 0), |w| give_up(w, 1), |w| lock(w, &1, 0)], idle);
}

#[test]
fn two_give_up() {
    run(None, numbers, [|w| give_up(w, 1), |w| give_up(w, 1)], idle);
}

#[test]
fn a_try_never_holds_beside_a_holder() {
    let attempt = |w: &World<Mutex<u64>>| {
        if let Some(guard) = w.lock.try_lock(&1) {
            w.guarded[0].touch();
            drop(guard);
        }
    };
    run(None, numbers, [|w| lock(w, &1, 0), attempt], idle);
}

/// Whoever looks moves holders to their table, while they release.
#[test]
fn looking_disturbs_nobody() {
    let look = |w: &World<Mutex<u64>>| {
        let seen = w.lock.snapshot().len();
        assert!(seen <= 1);
        assert!(w.lock.len() <= 1);
        assert_eq!(w.lock.waiting(&1), 0);
    };
    run(None, numbers, [|w| lock(w, &1, 0), look], idle);
}

#[test]
fn a_holder_asks_for_its_id_while_another_waits() {
    let ask = |w: &World<Mutex<Box<str>>>| {
        let guard = block_on(w.lock.lock("a"));
        w.guarded[0].touch();
        assert_eq!(&*guard.id(), "a");
        drop(guard);
    };
    run(None, names, [ask, |w| lock(w, "a", 0)], idle);
}

/// One closes while another locks: that one holds before, waits and ends, or comes too late.
#[test]
fn closing_ends_what_waits_and_leaves_who_holds() {
    let lock = |w: &World<Mutex<u64>>| {
        if let Ok(guard) = block_on(w.lock.lock(&1).or_closed()) {
            w.guarded[0].touch();
            drop(guard);
        }
    };
    let close = |w: &World<Mutex<u64>>| {
        w.lock.close();
        assert!(w.lock.try_lock(&1).is_none());
        block_on(w.lock.drained());
        assert!(w.lock.is_empty());
        w.guarded[0].look();
    };
    run(None, numbers, [lock, close], idle);
    run(Some(2), numbers, [lock, lock, close], idle);
}

#[test]
fn whoever_waits_until_an_id_is_free_is_woken() {
    let wait = |w: &World<Mutex<u64>>| block_on(w.lock.free(&1));
    run(None, numbers, [|w| lock(w, &1, 0), wait], idle);
    run(Some(2), numbers, [|w| lock(w, &1, 0), |w| lock(w, &2, 1), wait], idle);
}

/// Whoever learns that a holder is gone sees what it did, on an open lock, too.
#[test]
fn what_a_holder_did_is_seen_when_it_is_gone() {
    fn hold<I: FromBorrowed<I> + std::hash::Hash + Eq>(world: &World<Mutex<I>>, id: &I) {
        let guard = block_on(world.lock.lock(id));
        world.is_held.store(true, Release);
        world.guarded[0].touch();
        drop(guard);
    }
    fn wait<I: std::hash::Hash>(world: &World<Mutex<I>>) {
        if world.is_held.load(Acquire) {
            block_on(world.lock.drained());
            world.guarded[0].look();
        }
    }
    fn look<I>(world: &World<Mutex<I>>) {
        if world.is_held.load(Acquire) && world.lock.is_empty() {
            world.guarded[0].look();
        }
    }
    run(None, numbers, [|w| hold(w, &1), wait], idle);
    run(None, numbers, [|w| hold(w, &1), look], idle);
    run(None, names, [|w| hold(w, &"a".into()), wait], idle);
    run(None, names, [|w| hold(w, &"a".into()), look], idle);
}

/// Tokens of one id rise whether a hold began in the slot or in the table.
#[test]
fn tokens_rise_over_slot_and_table() {
    let hold = |w: &World<Mutex<u64>>| {
        for _ in 0..2 {
            let guard = block_on(w.lock.lock(&1));
            // SAFETY: the guard is held, or loom fails the model.
            w.guarded[0].0.with_mut(|last| unsafe {
                assert!(guard.token() > *last, "tokens rise");
                *last = guard.token();
            });
        }
    };
    run(Some(2), numbers, [hold, hold], idle);
}

#[test]
fn a_writer_becomes_a_reader_beside_readers() {
    let write = |w: &World<RwLock>| {
        let guard = block_on(w.lock.write(&1));
        w.guarded[0].touch();
        let guard = guard.downgrade();
        w.guarded[0].look();
        drop(guard);
    };
    let read = |w: &World<RwLock>| {
        let guard = block_on(w.lock.read(&1));
        w.guarded[0].look();
        drop(guard);
    };
    let lock = || {
        let lock = RwLock::with_config(one_slot());
        assert!(lock.is_empty());
        lock
    };
    let at_end = |w: &World<RwLock>| {
        w.lock.check();
        assert!(w.lock.is_empty());
    };
    run(Some(2), lock, [write, read], at_end);
    run(Some(2), lock, [write, write, read], at_end);
}
