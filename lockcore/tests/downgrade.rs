//! From a writer to a reader, without a gap.

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;

use common::Task;
use lockcore::{KeyedRwLock, Mode};

#[test]
fn a_downgraded_writer_lets_the_readers_at_the_head_in_and_no_further() {
    let lock = KeyedRwLock::<u64>::new();
    let writer = lock.try_write(&1).unwrap();
    let token = writer.token();
    let mut readers = [(); 2].map(|()| Task::queued(lock.read(&1)));
    let mut next_writer = Task::queued(lock.write(&1));
    let mut late_reader = Task::queued(lock.read(&1));

    let reader = writer.downgrade();
    assert_eq!((reader.mode(), reader.token(), reader.id()), (Mode::Shared, token, 1));
    lock.check();
    let guards = readers.each_mut().map(Task::ready);
    assert!(guards.iter().all(|guard| guard.token() > token));
    next_writer.assert_waits();
    late_reader.assert_waits();
    assert_eq!(lock.status(&1).unwrap().holders, 3);

    drop(reader);
    drop(guards);
    let writer = next_writer.ready();
    late_reader.assert_waits();
    drop(writer);
    drop(late_reader.ready());
    assert!(lock.is_empty());
}

#[test]
fn no_writer_comes_in_between() {
    let lock = KeyedRwLock::<u64>::new();
    let writer = lock.try_write(&1).unwrap();
    let mut next_writer = Task::queued(lock.write(&1));
    let reader = writer.downgrade();
    assert_eq!(next_writer.woken(), 0);
    assert!(lock.try_read(&1).is_none(), "the writer in the queue is not overtaken");
    drop(reader);
    drop(next_writer.ready());
    assert!(lock.is_empty());
}

#[test]
fn a_lone_writer_and_a_reader_can_be_downgraded() {
    let lock = KeyedRwLock::<u64>::new();
    let reader = lock.try_write(&1).unwrap().downgrade().downgrade();
    drop(lock.try_read(&1).unwrap());
    lock.check();
    drop(reader);
    assert!(lock.is_empty());
}

#[test]
fn a_waker_that_panics_in_a_downgrade_loses_no_hold() {
    struct Panic;
    impl std::task::Wake for Panic {
        fn wake(self: Arc<Self>) {
            panic!("this waker panics");
        }
    }
    let lock = KeyedRwLock::<u64>::new();
    let writer = lock.try_write(&1).unwrap();
    let mut reader = Task::new(lock.read(&1));
    assert!(reader.poll_with(&Arc::new(Panic).into()).is_pending());
    let downgrade = std::panic::AssertUnwindSafe(|| drop(writer.downgrade()));
    assert!(std::panic::catch_unwind(downgrade).is_err());
    drop(reader.ready());
    lock.check();
    assert!(lock.is_empty());
}

#[test]
fn an_owned_writer_can_be_downgraded() {
    let lock = KeyedRwLock::<u64>::new();
    let reader = Task::new(lock.write_owned(1)).ready().downgrade();
    let other = Task::new(lock.read_owned(1)).ready();
    drop((reader, other));
    assert!(lock.is_empty());
}
