//! What may the code of an id do: `Hash`, `Eq`, `Clone`, `Drop`, `Borrow`?

#![cfg(feature = "std")]

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use common::{Strict, Task};
use hashbrown::DefaultHashBuilder;
use lockcore::{Config, Hold, KeyedMutex, LockTable, Mode};

thread_local! {
    /// How many calls of an id's code succeed; the one after them panics.
    static CALLS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn call() {
    let left = CALLS_LEFT.get();
    CALLS_LEFT.set(left.wrapping_sub(1));
    assert_ne!(left, 0, "the id panics");
}

/// An id whose `Hash`, `Eq` and `Clone` can panic.
#[derive(Debug)]
struct Fragile(u64);

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        call();
        self.0.hash(state);
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        call();
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        call();
        Self(self.0)
    }
}

/// Lets the first, the second, the third … call of an id's code panic, until `run` gets through.
/// Returns the result and how many times it panicked.
fn with_every_panic<T>(mut run: impl FnMut() -> T, mut after_panic: impl FnMut()) -> (T, usize) {
    for calls in 0.. {
        CALLS_LEFT.set(calls);
        let result = catch_unwind(AssertUnwindSafe(&mut run));
        CALLS_LEFT.set(usize::MAX);
        match result {
            Ok(result) => return (result, calls),
            Err(_) => after_panic(),
        }
    }
    unreachable!("it gets through in the end")
}

type Table<S = DefaultHashBuilder> = LockTable<Fragile, (), S>;

/// Gives all ids the same hash, after having called their code.
#[derive(Default)]
struct Constant;

impl Hasher for Constant {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

/// Locks an id after every panic on the way has changed nothing; returns how many there were.
fn lock_with_every_panic<S: BuildHasher>(
    table: &mut Table<S>,
    holds: &mut Vec<Hold>,
    id: u64,
) -> usize {
    let (id, table) = (Fragile(id), RefCell::new(table));
    let lock = || {
        let mut table = table.borrow_mut();
        let hash = table.hash(&id);
        table.try_lock(hash, &id, Mode::Exclusive).unwrap()
    };
    let (hold, panics) = with_every_panic(lock, || assert_holds(&table.borrow(), holds));
    holds.push(hold);
    assert_holds(&table.borrow(), holds);
    panics
}

/// Every hold has its entry, and there are no others.
fn assert_holds<S: BuildHasher>(table: &Table<S>, holds: &[Hold]) {
    table.check();
    let held: BTreeSet<_> = holds.iter().map(|hold| table.id(hold).0).collect();
    let listed: BTreeSet<_> = table.iter().map(|(id, _)| id.0).collect();
    assert_eq!((held.len(), held), (holds.len(), listed));
}

/// The table grows on the way, which hashes every id in it again.
#[test]
fn a_panicking_hash_changes_nothing() {
    let (mut table, mut holds) = (<Table>::new(), Vec::new());
    let panics = (0..60).map(|id| lock_with_every_panic(&mut table, &mut holds, id)).max();
    assert!(panics > Some(50), "the table grew while its ids panicked");
}

/// The places of ids that have left are cleaned up in the end, and the other ids hashed again. That
/// all hashes are the same makes such places certain.
#[test]
fn a_panicking_hash_changes_nothing_where_many_have_left() {
    let mut table = Table::with_hasher(BuildHasherDefault::<Constant>::default());
    let mut lock = |id| table.try_lock(0, &Fragile(id), Mode::Exclusive).unwrap();
    let mut holds: Vec<_> = (0..112).map(&mut lock).collect();
    for hold in holds.drain(20..) {
        drop(table.release(hold));
    }
    let panics = lock_with_every_panic(&mut table, &mut holds, 112);
    assert!(panics > 20, "the table was cleaned up while its ids panicked");
}

#[test]
fn a_panicking_eq_or_clone_changes_no_lock() {
    let mutex = KeyedMutex::<Fragile>::new();
    let (one, two) = (Fragile(1), Fragile(2));
    let (guard, panics) = with_every_panic(
        || mutex.try_lock(&one).unwrap(),
        || {
            mutex.check();
            assert!(mutex.is_empty());
        },
    );
    assert!(panics >= 2, "Hash and Clone");
    let (refused, panics) = with_every_panic(|| mutex.try_lock(&one).is_none(), || mutex.check());
    assert!(refused && panics >= 2, "Hash and Eq");
    with_every_panic(|| drop(mutex.try_lock(&two)), || mutex.check());
    assert_eq!(mutex.len(), 1);
    drop(guard);
    assert!(mutex.is_empty());
}

/// Scenario 11: a failed request leaves no ghost waiter.
#[test]
fn a_first_poll_that_panics_leaves_no_ghost() {
    let mutex = KeyedMutex::<Fragile>::new();
    let id = Fragile(1);
    let guard = mutex.try_lock(&id).unwrap();
    let (task, panics) = with_every_panic(
        || Task::queued(mutex.lock(&id)),
        || {
            mutex.check();
            assert_eq!(mutex.waiting(&id), 0);
        },
    );
    assert!(panics >= 2, "Hash and Eq");
    assert_eq!(mutex.waiting(&id), 1);
    drop((task, guard));
    assert!(mutex.is_empty());
}

/// Gives ids of two tables with eight slots the slot of their number.
#[cfg(not(lockcore_no_slots))]
#[derive(Default)]
struct Numbered(u64);

#[cfg(not(lockcore_no_slots))]
impl Hasher for Numbered {
    fn write(&mut self, _: &[u8]) {
        unreachable!("ids are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number << 40 | number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The first table is closed when the second grows, as it takes over an id that is held in a slot.
#[cfg(not(lockcore_no_slots))]
#[test]
fn a_hash_that_panics_while_a_lock_is_closed_keeps_nobody_asleep() {
    type Hash = BuildHasherDefault<Numbered>;
    let config = Config { shards: 2, slots: 8, ..Config::<Hash>::default() };
    let mutex = KeyedMutex::<Fragile, Hash, Strict>::with_config(config);
    let ids = [0, 1, 3, 5, 7].map(Fragile);
    let guards = ids.each_ref().map(|id| mutex.try_lock(id).unwrap());
    assert!(ids[1..4].iter().all(|id| mutex.is_locked(id)), "they are moved to the second table");
    let mut waits = Task::queued(mutex.lock(&ids[0]).or_closed());
    let ((), panics) = with_every_panic(|| mutex.close(), || assert!(!mutex.is_closed()));
    assert!(panics > 0, "the second table grew");
    assert_eq!(waits.woken(), 1);
    assert!(waits.ready().is_err());
    mutex.check();
    assert!(mutex.is_closed());
    drop(guards);
    assert!(mutex.is_empty());
}

#[test]
fn releasing_and_leaving_run_no_code_of_the_id() {
    let mutex = KeyedMutex::<Fragile>::new();
    let id = Fragile(1);
    let guard = mutex.try_lock(&id).unwrap();
    let (mut first, leaves) = (Task::queued(mutex.lock(&id)), Task::queued(mutex.lock(&id)));
    CALLS_LEFT.set(0);
    drop((leaves, guard));
    drop(first.ready());
    CALLS_LEFT.set(usize::MAX);
    mutex.check();
    assert!(mutex.is_empty());
}

thread_local! {
    static ON_DROP: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// An id that runs code of the test when it is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LocksWhenDropped(u64);

impl Drop for LocksWhenDropped {
    fn drop(&mut self) {
        if let Some(on_drop) = ON_DROP.take() {
            on_drop();
        }
    }
}

#[test]
fn an_id_may_lock_again_when_it_is_dropped() {
    type Mutex = KeyedMutex<LocksWhenDropped, DefaultHashBuilder, Strict>;
    let mutex = Arc::new(Mutex::new());
    let id = LocksWhenDropped(1);
    let locked = Rc::new(Cell::new(false));
    let lock_again = || -> Box<dyn Fn()> {
        let (mutex, locked) = (mutex.clone(), locked.clone());
        Box::new(move || {
            let id = std::mem::ManuallyDrop::new(LocksWhenDropped(1));
            locked.set(mutex.try_lock(&*id).is_some());
        })
    };

    let guard = mutex.try_lock(&id).unwrap();
    ON_DROP.set(Some(lock_again()));
    drop(guard);
    assert!(locked.take(), "the last release dropped the table's id after its borrow");

    let guard = mutex.try_lock(&id).unwrap();
    let mut owned = mutex.lock_owned(id.clone());
    ON_DROP.set(Some(lock_again()));
    assert!(common::poll(&mut owned, std::task::Waker::noop()).is_pending());
    assert!(ON_DROP.take().is_none(), "the future's own id was dropped");
    assert!(!locked.get(), "somebody holds it");
    drop((guard, owned));
    mutex.check();
    assert!(mutex.is_empty());
}

/// The id of the future, which is dropped when it is ready or queued; the lock has one of its own.
#[test]
fn an_id_that_panics_when_it_is_dropped_passes_the_turn_on_and_leaves_no_ghost() {
    type Mutex = KeyedMutex<LocksWhenDropped, DefaultHashBuilder, Strict>;
    for slots in [0, 1] {
        let mutex = Mutex::with_config(Config { shards: 1, slots, ..Config::default() });
        let poll_and_panic = || {
            let mut future = mutex.lock_owned(LocksWhenDropped(1));
            ON_DROP.set(Some(Box::new(|| panic!("the id panics"))));
            let poll = || drop(common::poll(&mut future, std::task::Waker::noop()));
            assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
            mutex.check();
        };
        poll_and_panic();
        assert!(mutex.is_empty(), "nobody got the guard, so nobody holds");
        let guard = mutex.try_lock(&LocksWhenDropped(1)).unwrap();
        poll_and_panic();
        assert_eq!(mutex.waiting(&LocksWhenDropped(1)), 0);
        drop(guard);
        assert!(mutex.is_empty());
    }
}

#[test]
fn a_borrowed_form_locks_the_same_id() {
    let names = KeyedMutex::<String>::new();
    let guard = names.try_lock("payment-123").unwrap();
    assert!(names.try_lock(&"payment-123".to_owned()).is_none());
    assert_eq!(guard.id(), "payment-123");
    let paths = KeyedMutex::<PathBuf>::new();
    let _guard = paths.try_lock(Path::new("a/b")).unwrap();
    assert!(paths.is_locked(Path::new("a/b")) && !paths.is_locked(Path::new("a")));
    let bytes = KeyedMutex::<Vec<u8>>::new();
    let _guard = bytes.try_lock(&[1, 2][..]).unwrap();
    assert_eq!(bytes.waiting(&[1, 2][..]), 0);
}

#[test]
fn any_small_type_can_be_an_id() {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Account {
        Giro(u32),
        Savings { branch: u16, number: u16 },
    }
    let accounts = KeyedMutex::<Account>::new();
    let savings = Account::Savings { branch: 1, number: 2 };
    let guards = [accounts.try_lock(&Account::Giro(1)), accounts.try_lock(&savings)];
    assert_eq!(guards[1].as_ref().unwrap().id(), savings);
    assert!(accounts.try_lock(&savings).is_none());
    accounts.check();
    drop(guards);
    assert!(accounts.is_empty());
}

/// All ids meet in one chain, so only `Eq` tells them apart, and a release finds its own by token.
#[test]
fn ids_of_the_same_hash_are_locked_apart() {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Same(u64);
    impl Hash for Same {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }
    let mutex = KeyedMutex::<Same>::new();
    let ids: Vec<_> = (0..50).map(Same).collect();
    let guards: Vec<_> = ids.iter().map(|id| mutex.try_lock(id).unwrap()).collect();
    let mut tasks: Vec<_> = ids.iter().map(|id| Task::queued(mutex.lock(id))).collect();
    mutex.check();
    for (number, guard) in guards.into_iter().enumerate() {
        drop(guard);
        mutex.check();
        assert_eq!(tasks[number].woken(), 1);
        assert_eq!(tasks[number].ready().id(), ids[number]);
    }
    assert!(mutex.is_empty());
}
