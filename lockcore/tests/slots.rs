//! Does it make a difference whether a hold began in a slot, in a table, or was moved?

#![cfg(all(feature = "std", not(lockcore_no_slots)))]

mod common;

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, Hasher},
    mem,
    sync::Arc,
};

use common::{Strict, Task};
use lock_api::{GuardSend, RawMutex};
use lockcore::{Config, KeyedMutex, KeyedRwLock, Mode};

/// All ids are alike, and so have one slot.
#[derive(Default)]
struct Alike;

impl Hasher for Alike {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

type Hash = BuildHasherDefault<Alike>;

fn one_slot() -> Config<Hash> {
    Config { shards: 1, slots: 1, ..Config::default() }
}

fn mutex() -> KeyedMutex<u64, Hash, Strict> {
    KeyedMutex::with_config(one_slot())
}

#[test]
fn two_ids_of_one_slot_do_not_exclude_each_other() {
    let mutex = mutex();
    let one = mutex.try_lock(&1).unwrap();
    let two = mutex.try_lock(&2).unwrap();
    assert!(mutex.try_lock(&1).is_none());
    assert!(mutex.try_lock(&2).is_none());
    mutex.check();
    drop(one);
    let one = mutex.try_lock(&1).unwrap();
    assert!(mutex.try_lock(&2).is_none());
    drop((two, one));
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn a_holder_that_was_moved_hands_over_as_any_other() {
    let mutex = mutex();
    let first = mutex.try_lock(&1).unwrap();
    let mut second = Task::queued(mutex.lock(&1));
    let mut third = Task::queued(mutex.lock(&1));
    mutex.check();
    drop(first);
    assert_eq!((second.woken(), third.woken()), (1, 0));
    let second = second.ready();
    third.assert_waits();
    drop(second);
    drop(third.ready());
    mutex.check();
    assert!(mutex.is_empty());
}

/// Hashes an id to its own slot of two, and to the same place of the table as all others.
#[derive(Default)]
struct OwnSlot(u64);

impl Hasher for OwnSlot {
    fn write(&mut self, _: &[u8]) {
        unreachable!("ids are numbers");
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (id % 2) << 40;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Tokens are given by slot, so that a moved one may be that of a hold of another slot's.
#[test]
fn a_moved_hold_with_the_token_of_a_lone_one_releases_its_own_id() {
    let config = Config { shards: 1, slots: 2, ..Config::<BuildHasherDefault<OwnSlot>>::default() };
    let mutex = KeyedMutex::<u64, _, Strict>::with_config(config);
    let in_table = [1, 3].map(|id| mutex.try_lock(&id).unwrap());
    let lone = in_table.iter().map(lockcore::Guard::token).max().unwrap();
    (1..lone).for_each(|_| drop(mutex.try_lock(&2)));
    let moved = mutex.try_lock(&2).unwrap();
    assert_eq!(moved.token(), lone);
    assert!(mutex.try_lock(&2).is_none());
    drop(moved);
    assert!(mutex.try_lock(&2).is_some());
    assert!(mutex.try_lock(&1).is_none() && mutex.try_lock(&3).is_none());
    mutex.check();
    drop(in_table);
    assert!(mutex.is_empty());
}

#[test]
fn tokens_rise_from_slot_to_table_and_back() {
    let mutex = mutex();
    let mut last = 0;
    for _ in 0..3 {
        let in_slot = mutex.try_lock(&1).unwrap();
        assert!(in_slot.token() > last);
        let mut moves_it = Task::queued(mutex.lock(&1));
        let token = in_slot.token();
        drop(in_slot);
        let in_table = moves_it.ready();
        assert!(in_table.token() > token);
        last = in_table.token();
    }
}

#[test]
fn a_hold_keeps_its_token_and_its_id_when_it_is_moved() {
    let mutex = mutex();
    let guard = mutex.try_lock(&1).unwrap();
    let token = guard.token();
    assert_eq!(guard.id(), 1);
    let other = mutex.try_lock(&2).unwrap();
    assert_eq!((guard.id(), guard.token()), (1, token));
    assert_eq!(other.id(), 2);
    assert!(mutex.is_locked(&1));
    assert_eq!(guard.id(), 1);
}

/// The id stays in the slot where it needs no drop: it is nobody's then.
#[test]
fn what_a_slot_remembers_is_not_taken_for_a_hold() {
    let mutex = mutex();
    drop(mutex.try_lock(&1));
    assert!(!mutex.is_locked(&1));
    let waits = Task::queued(mutex.lock_owned({
        mem::forget(mutex.try_lock(&2));
        2
    }));
    let in_table = mutex.try_lock(&3).unwrap();
    assert_eq!(in_table.id(), 3);
    drop(in_table);
    drop(waits);
    assert_eq!(mutex.len(), 1, "the forgotten one");
}

#[test]
fn a_snapshot_shows_those_in_slots() {
    let mutex = KeyedMutex::<u64>::new();
    let guards: Vec<_> = (0..100).map(|id| mutex.try_lock(&id).unwrap()).collect();
    assert_eq!(mutex.len(), 100);
    let mut ids: Vec<_> = mutex.snapshot().into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    let statuses = mutex.snapshot();
    assert!(
        statuses
            .iter()
            .all(|(_, s)| (s.mode, s.holders, s.turns, s.waiting) == (Mode::Exclusive, 1, 0, 0))
    );
    mutex.check();
    drop(guards);
    assert!(mutex.is_empty());
    mutex.check();
}

#[test]
fn a_writer_that_was_moved_becomes_a_reader() {
    let lock = KeyedRwLock::<u64, Hash, Strict>::with_config(one_slot());
    let writer = lock.try_write(&1).unwrap();
    let token = writer.token();
    let mut reader = Task::queued(lock.read(&1));
    let downgraded = writer.downgrade();
    assert_eq!((downgraded.token(), downgraded.mode(), downgraded.id()), (token, Mode::Shared, 1));
    let reader = reader.ready();
    drop(downgraded);
    assert!(lock.try_write(&1).is_none(), "the reader holds on");
    drop(reader);
    lock.check();
    assert!(lock.is_empty());
}

#[test]
fn a_writer_in_a_slot_becomes_a_reader() {
    let lock = KeyedRwLock::<u64, Hash, Strict>::with_config(one_slot());
    let reader = lock.try_write(&1).unwrap().downgrade();
    assert!(lock.try_read(&1).is_some());
    assert!(lock.try_write(&1).is_none());
    drop(reader);
    lock.check();
    assert!(lock.is_empty());
}

/// Whether it was released from the slot, from the table, or never.
#[test]
fn no_id_outlives_its_lock() {
    let id: Arc<str> = "payment-123".into();
    let mutex = KeyedMutex::<Arc<str>, Hash>::with_config(one_slot());
    drop(mutex.try_lock(&id));
    assert_eq!(Arc::strong_count(&id), 1, "released from the slot");
    let in_slot = mutex.try_lock(&id);
    assert!(mutex.is_locked(&id));
    drop(in_slot);
    assert_eq!(Arc::strong_count(&id), 1, "moved and released");
    mem::forget(mutex.try_lock(&id));
    assert_eq!(Arc::strong_count(&id), 2);
    drop(mutex);
    assert_eq!(Arc::strong_count(&id), 1, "forgotten, and dropped with the lock");
}

thread_local! {
    /// How often this thread has locked a table.
    static TABLE_LOCKS: Cell<usize> = const { Cell::new(0) };
}

/// A raw lock that counts.
#[derive(Debug)]
struct Counted(Strict);

// SAFETY: `Strict` is one.
unsafe impl RawMutex for Counted {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Self(Strict::INIT);
    type GuardMarker = GuardSend;

    fn lock(&self) {
        TABLE_LOCKS.set(TABLE_LOCKS.get() + 1);
        self.0.lock();
    }

    fn try_lock(&self) -> bool {
        unreachable!("lockcore waits for its tables")
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller has locked it.
        unsafe { self.0.unlock() };
    }
}

/// Otherwise one moment of contention would cost the slot for good.
#[test]
fn a_slot_is_one_again_whatever_diverted_it() {
    type Lock = KeyedRwLock<u64, Hash, Counted>;
    let diverts: [fn(&Lock); 10] = [
        |lock| {
            let first = lock.try_write(&1);
            let waits = Task::queued(lock.write(&1));
            drop(first);
            drop(waits);
        },
        |lock| drop((lock.try_write(&1), lock.try_write(&2))),
        |lock| drop(lock.try_write(&1).unwrap().downgrade()),
        |lock| drop(lock.try_read(&1)),
        |lock| drop(Task::new(lock.read(&1)).ready()),
        |lock| {
            let _guard = lock.try_write(&1);
            assert!(lock.try_write(&1).is_none() && lock.is_locked(&1));
        },
        |lock| assert_eq!(lock.waiting(&1), 0),
        |lock| {
            let _guard = lock.try_write(&1);
            drop(lock.snapshot());
        },
        |lock| {
            let _guard = lock.try_write(&1);
            drop(Task::queued(lock.free(&1)));
            drop(Task::queued(lock.drained()));
        },
        |lock| Task::new(lock.free(&1)).ready(),
    ];
    for (number, divert) in diverts.into_iter().enumerate() {
        let lock = Lock::with_config(one_slot());
        divert(&lock);
        let before = TABLE_LOCKS.get();
        drop(lock.try_write(&1).unwrap());
        drop(Task::new(lock.write(&2)).ready());
        assert_eq!(TABLE_LOCKS.get(), before, "after number {number}");
        lock.check();
    }
}

#[test]
fn a_lock_without_slots_does_the_same() {
    let config = Config { shards: 4, slots: 0, ..Config::default() };
    let mutex = KeyedMutex::<u64>::with_config(config);
    let guards: Vec<_> = (0..100).map(|id| mutex.try_lock(&id).unwrap()).collect();
    let tasks: Vec<_> = [1, 2, 3].iter().map(|id| Task::queued(mutex.lock(id))).collect();
    mutex.check();
    assert_eq!((mutex.len(), mutex.snapshot().len()), (100, 100));
    drop(guards);
    tasks.into_iter().for_each(|mut task| drop(task.ready()));
    mutex.check();
    assert!(mutex.is_empty());
}

#[test]
fn an_id_may_lock_again_while_it_is_dropped() {
    /// An id whose drop uses the lock.
    #[derive(Clone)]
    struct Busybody(u64, std::sync::Weak<KeyedMutex<Self, Hash, Strict>>);

    impl PartialEq for Busybody {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl Eq for Busybody {}

    impl std::hash::Hash for Busybody {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    impl Drop for Busybody {
        fn drop(&mut self) {
            if let Some(mutex) = self.1.upgrade() {
                let other = Self(self.0 + 1, std::sync::Weak::new());
                drop(mutex.try_lock(&other));
                assert!(!mutex.is_locked(&other));
            }
        }
    }

    let mutex = Arc::new(KeyedMutex::with_config(one_slot()));
    let id = Busybody(1, Arc::downgrade(&mutex));
    drop(mutex.try_lock(&id));
    let in_slot = mutex.try_lock(&id);
    assert!(mutex.is_locked(&id));
    drop(in_slot);
    drop(id);
    mutex.check();
    assert!(mutex.is_empty());
}
