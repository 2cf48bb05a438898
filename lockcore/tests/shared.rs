//! Who holds together, and who waits?

#![cfg(feature = "std")]

mod common;

use common::Task;
use lockcore::{KeyedRwLock, Mode};

fn status(lock: &KeyedRwLock<u64>) -> Option<(Mode, usize, usize)> {
    lock.check();
    lock.status(&1).map(|status| (status.mode, status.holders, status.waiting))
}

#[test]
fn readers_hold_together() {
    let lock = KeyedRwLock::<u64>::new();
    let one = Task::new(lock.read(&1)).ready();
    let two = Task::new(lock.read(&1)).ready();
    let three = lock.try_read(&1).unwrap();
    assert_eq!(status(&lock), Some((Mode::Shared, 3, 0)));
    assert!(lock.try_write(&1).is_none());
    drop((one, two));
    assert_eq!(status(&lock), Some((Mode::Shared, 1, 0)));
    assert_eq!(three.mode(), Mode::Shared);
    drop(three);
    assert_eq!(status(&lock), None);
}

#[test]
fn a_writer_holds_alone() {
    let lock = KeyedRwLock::<u64>::new();
    let writer = Task::new(lock.write(&1)).ready();
    assert!(lock.try_read(&1).is_none() && lock.try_write(&1).is_none());
    let mut reader = Task::queued(lock.read(&1));
    assert_eq!(status(&lock), Some((Mode::Exclusive, 1, 1)));
    drop(writer);
    assert_eq!(status(&lock), Some((Mode::Shared, 1, 0)));
    drop(reader.ready());
}

#[test]
fn a_reader_waits_behind_a_waiting_writer() {
    let lock = KeyedRwLock::<u64>::new();
    let holder = lock.try_read(&1).unwrap();
    let mut writer = Task::queued(lock.write(&1));
    let mut reader = Task::queued(lock.read(&1));
    assert!(lock.try_read(&1).is_none(), "neither does try_read overtake");
    assert_eq!(status(&lock), Some((Mode::Shared, 1, 2)));
    drop(holder);
    assert_eq!((writer.woken(), reader.woken()), (1, 0));
    drop(writer.ready());
    assert_eq!(reader.woken(), 1);
    drop(reader.ready());
}

#[test]
fn a_run_of_readers_at_the_head_holds_together() {
    let lock = KeyedRwLock::<u64>::new();
    let holder = lock.try_write(&1).unwrap();
    let mut run: Vec<_> = (0..3).map(|_| Task::queued(lock.read(&1))).collect();
    let mut writer = Task::queued(lock.write(&1));
    let late = Task::queued(lock.read(&1));
    drop(holder);
    assert_eq!(status(&lock), Some((Mode::Shared, 3, 2)));
    assert!(run.iter().all(|reader| reader.woken() == 1));
    assert_eq!((writer.woken(), late.woken()), (0, 0));
    let mut guards: Vec<_> = run.iter_mut().map(Task::ready).collect();
    while let Some(guard) = guards.pop() {
        assert_eq!(writer.woken(), 0, "it waits for the last of the run");
        drop(guard);
    }
    assert_eq!(writer.woken(), 1);
    drop(writer.ready());
    assert_eq!(late.woken(), 1);
}

#[test]
fn dropping_a_writer_at_the_head_lets_readers_join_the_holders() {
    let lock = KeyedRwLock::<u64>::new();
    let holder = lock.try_read(&1).unwrap();
    let writer = Task::queued(lock.write(&1));
    let mut readers = [Task::queued(lock.read(&1)), Task::queued(lock.read(&1))];
    let last = Task::queued(lock.write(&1));
    drop(writer);
    assert_eq!(status(&lock), Some((Mode::Shared, 3, 1)));
    assert!(readers.iter().all(|reader| reader.woken() == 1));
    let guards = readers.each_mut().map(Task::ready);
    drop(holder);
    assert_eq!(last.woken(), 0);
    drop(guards);
    assert_eq!(last.woken(), 1);
}

#[test]
fn dropping_a_writer_behind_a_writer_lets_nobody_on() {
    let lock = KeyedRwLock::<u64>::new();
    let _holder = lock.try_write(&1).unwrap();
    let writer = Task::queued(lock.write(&1));
    let reader = Task::queued(lock.read(&1));
    drop(writer);
    assert_eq!(status(&lock), Some((Mode::Exclusive, 1, 1)));
    assert_eq!(reader.woken(), 0);
}

#[test]
fn dropping_one_of_several_shared_turns_keeps_the_others() {
    let lock = KeyedRwLock::<u64>::new();
    let holder = lock.try_write(&1).unwrap();
    let (dropped, mut kept) = (Task::queued(lock.read(&1)), Task::queued(lock.read(&1)));
    let mut writer = Task::queued(lock.write(&1));
    drop(holder);
    drop(dropped);
    assert_eq!(status(&lock), Some((Mode::Shared, 1, 1)));
    assert_eq!(writer.woken(), 0);
    drop(kept.ready());
    assert_eq!(status(&lock), Some((Mode::Exclusive, 1, 0)));
    drop(writer.ready());
}

#[test]
fn the_last_shared_turn_that_is_dropped_passes_on() {
    let lock = KeyedRwLock::<u64>::new();
    let holder = lock.try_write(&1).unwrap();
    let readers = [Task::queued(lock.read(&1)), Task::queued(lock.read(&1))];
    let writer = Task::queued(lock.write(&1));
    drop(holder);
    drop(readers);
    assert_eq!(writer.woken(), 1);
    assert_eq!(status(&lock), Some((Mode::Exclusive, 1, 0)));
}

#[test]
fn a_reader_joins_readers_whose_turn_was_not_taken() {
    let lock = KeyedRwLock::<u64>::new();
    let holder = lock.try_write(&1).unwrap();
    let mut first = Task::queued(lock.read(&1));
    drop(holder);
    let late = lock.try_read(&1).expect("nobody is queued, and the holders are shared");
    assert_eq!(status(&lock), Some((Mode::Shared, 2, 0)));
    assert!(late.token() > first.ready().token(), "it was handed over first");
}

/// Scenario 12: reading twice deadlocks with a writer in between, and can be left.
#[test]
fn a_second_read_waits_behind_a_writer_that_waits_for_the_first() {
    let lock = KeyedRwLock::<u64>::new();
    let first = lock.try_read(&1).unwrap();
    let mut writer = Task::queued(lock.write(&1));
    let second = Task::queued(lock.read(&1));
    drop((second, first));
    drop(writer.ready());
    assert!(lock.is_empty());
}

#[test]
fn trying_with_owned_guards_is_trying() {
    let lock = KeyedRwLock::<String>::new();
    let readers = [lock.try_read_owned("a").unwrap(), lock.try_read_owned("a").unwrap()];
    assert!(lock.try_write_owned("a").is_none());
    assert!(lock.is_locked("a") && !lock.is_locked("b"));
    drop(readers);
    let writer = lock.try_write_owned("a").unwrap();
    assert!(lock.try_read_owned("a").is_none());
    let _waits = Task::queued(lock.read("a"));
    assert_eq!((lock.waiting("a"), lock.waiting("b")), (1, 0));
    drop(lock.try_write("b").unwrap());
    let reader = writer.downgrade();
    assert_eq!((lock.waiting("a"), reader.id().as_str()), (0, "a"));
}

#[test]
fn trying_several_ids_holds_all_or_none_of_them_in_either_mode() {
    let lock = KeyedRwLock::<u64>::new();
    let reader = lock.try_read(&2).unwrap();
    let all = lock.try_read_all(&[3, 1, 2, 1]).unwrap();
    assert_eq!(all.iter().map(|guard| guard.id()).collect::<Vec<_>>(), [1, 2, 3]);
    drop(all);
    assert!(lock.try_write_all(&[1, 2, 3]).is_none());
    assert_eq!(lock.len(), 1);
    drop(reader);
    let all = lock.try_write_all(&[1, 2, 3]).unwrap();
    assert!(lock.try_read_all(&[4, 3]).is_none());
    assert_eq!(lock.len(), all.len());
}
