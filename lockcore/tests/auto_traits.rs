//! What can be sent, shared, moved, printed, and how big is it?

#![cfg(feature = "std")]

use std::fmt::Debug;

use lockcore::{
    DefaultRawMutex, Due, Guard, Hold, Joined, KeyedMutex, KeyedRwLock, Lock, LockManager,
    LockOwned, LockTable, Mode, OwnedGuard, Status, Ticket,
    manager::{Ask, Event, Limits, Outcome, Refusal, SessionId, Time, UnknownSession},
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
    everything::<Lock<'_, '_, String, str, Hasher, Raw>>();
    everything::<LockOwned<String, Hasher, Raw>>();
    everything::<Guard<'_, String, Hasher, Raw>>();
    everything::<OwnedGuard<String, Hasher, Raw>>();
    everything::<LockTable<String, u64>>();
    everything::<(Ticket, Hold, Joined<u64>, Due<String, u64>, Mode, Status)>();
    everything::<LockManager>();
    everything::<(Ask<'_>, Event, Limits, Outcome, Refusal, SessionId, Time, UnknownSession)>();
}

#[test]
fn an_id_that_is_only_send_is_enough() {
    type Id = std::cell::Cell<u64>;
    everything::<KeyedMutex<Id>>();
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

#[cfg(target_pointer_width = "64")]
#[test]
fn futures_and_guards_are_small() {
    assert_eq!(size_of::<Lock<'_, '_, u64, u64, Hasher, Raw>>(), 24);
    assert_eq!(size_of::<LockOwned<u64, Hasher, Raw>>(), 24);
    assert_eq!(size_of::<Guard<'_, u64, Hasher, Raw>>(), 32);
    assert_eq!(size_of::<Option<Guard<'_, u64, Hasher, Raw>>>(), 32);
}
