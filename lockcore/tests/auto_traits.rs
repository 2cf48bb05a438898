//! What can be sent, shared, moved, printed, and how big is it?

#![cfg(feature = "std")]

use std::fmt::Debug;

use lockcore::{
    Closed, Config, DefaultRawMutex, Drained, Due, Free, Guard, Hold, Joined, KeyedMutex,
    KeyedRwLock, Lock, LockAll, LockManager, LockOwned, LockTable, Mode, NoTurn, OrClosed,
    OwnedGuard, Status, Ticket, Watch,
    manager::{
        Ask, Claim, Claimed, Epoch, Event, Holder, Limits, Link, Opened, Outcome, Refusal, Resume,
        Secret, SessionId, SessionStatus, Time, Wait, Waiter,
    },
};

type Hasher = hashbrown::DefaultHashBuilder;
type Raw = DefaultRawMutex;

const fn everything<T: Send + Sync + Unpin + Debug>() {}
const fn send_and_unpin<T: Send + Unpin>() {}
const fn is_static<T: 'static>() {}

#[test]
fn everything_is_send_sync_unpin_and_debug() {
    everything::<KeyedMutex<String>>();
    everything::<KeyedRwLock<String>>();
    everything::<Lock<'_, '_, String, str>>();
    everything::<LockOwned<String>>();
    everything::<LockAll<'_, '_, String, str>>();
    everything::<OrClosed<LockAll<'_, '_, String, str>>>();
    everything::<Free<'_, '_, String, str>>();
    everything::<Drained<'_, String>>();
    everything::<Guard<'_, String>>();
    everything::<OwnedGuard<String>>();
    everything::<(Config, Closed, Watch, NoTurn)>();
    everything::<LockTable<String, u64>>();
    everything::<(Ticket, Hold, Joined<u64>, Due<String, u64>, Mode, Status)>();
    everything::<LockManager>();
    everything::<(Claim<'_>, Claimed, Epoch, Link, Opened, Resume<'_>, Secret, Wait)>();
    everything::<(Holder, Waiter, SessionStatus)>();
    everything::<(Ask<'_>, Event, Limits, Outcome, Refusal, SessionId, Time)>();
}

#[test]
fn an_id_that_is_only_send_is_enough() {
    type Id = std::cell::Cell<u64>;
    everything::<KeyedMutex<Id>>();
    everything::<Drained<'_, Id>>();
    everything::<LockOwned<u64, Hasher, Raw>>();
    everything::<Guard<'_, Id, Hasher, Raw>>();
    everything::<OwnedGuard<Id, Hasher, Raw>>();
    send_and_unpin::<LockOwned<Id, Hasher, Raw>>();
    send_and_unpin::<LockTable<Id, Id>>();
}

#[test]
fn owned_futures_and_guards_are_static() {
    is_static::<LockOwned<String, Hasher, Raw>>();
    is_static::<OwnedGuard<String, Hasher, Raw>>();
}

/// Whoever names no hasher and no raw lock gets those of a `KeyedMutex` that names none.
#[test]
fn the_defaults_of_all_types_go_together() {
    let mutex = KeyedMutex::<u64>::new();
    let _lock: Lock<'_, '_, u64, u64> = mutex.lock(&1);
    let _all: LockAll<'_, '_, u64, u64> = mutex.lock_all(&[1]);
    let _owned: LockOwned<u64> = mutex.lock_owned(1);
    let _free: Free<'_, '_, u64, u64> = mutex.free(&1);
    let _drained: Drained<'_, u64> = mutex.drained();
    let _guard: Option<Guard<'_, u64>> = mutex.try_lock(&1);
    let _owned_guard: Option<OwnedGuard<u64>> = mutex.try_lock_owned(&1);
}

#[cfg(target_pointer_width = "64")]
#[test]
fn futures_and_guards_are_small() {
    assert_eq!(size_of::<Lock<'_, '_, u64, u64, Hasher, Raw>>(), 24);
    assert_eq!(size_of::<LockOwned<u64, Hasher, Raw>>(), 24);
    assert_eq!(size_of::<Free<'_, '_, u64, u64>>(), 32);
    assert_eq!(size_of::<Drained<'_, u64>>(), 40);
    assert_eq!(size_of::<Guard<'_, u64, Hasher, Raw>>(), 32);
    assert_eq!(size_of::<Option<Guard<'_, u64, Hasher, Raw>>>(), 32);
}
