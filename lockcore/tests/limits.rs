//! `LockManager`: how much, how long, and what time does.

mod common;

use std::time::Duration;

use common::manager::{LEASE, Manager, OPEN, Said::*, exclusive, second, seconds, waiting};
use lockcore::{
    LockManager, Mode,
    manager::{Ask, Epoch, Limits, Refusal, SessionId},
};

#[test]
fn an_id_has_one_to_so_many_bytes() {
    let mut manager = Manager::with(|limits| limits.id_bytes = 8);
    let session = manager.open();
    manager.lock(0, session, 1, Ask::exclusive(""));
    manager.lock(0, session, 2, Ask::exclusive("12345678"));
    manager.lock(0, session, 3, Ask::exclusive("123456789"));
    manager.lock(0, session, 4, Ask::exclusive("ääää"));
    manager.lock(0, session, 5, Ask::exclusive("äääää"));
    let too_long = |length| Refusal::IdTooLong { length, limit: 8 };
    assert_eq!(
        manager.said(),
        [
            Refused(1, 1, Refusal::IdEmpty),
            Granted(1, 2),
            Refused(1, 3, too_long(9)),
            Granted(1, 4),
            Refused(1, 5, too_long(10)),
        ]
    );
    assert_eq!(too_long(9).to_string(), "id is 9 bytes long; the limit is 8");
}

#[test]
fn an_id_may_have_a_kibibyte_by_default() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(0, session, 1, Ask::exclusive(&"x".repeat(1024)));
    manager.lock(0, session, 2, Ask::exclusive(&"x".repeat(1025)));
    let too_long = Refusal::IdTooLong { length: 1025, limit: 1024 };
    assert_eq!(manager.said(), [Granted(1, 1), Refused(1, 2, too_long)]);
}

#[test]
fn a_session_has_so_many_requests_waiting_and_holding() {
    let mut manager = Manager::with(|limits| limits.requests_per_session = 2);
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    for request in [1, 2, 3] {
        manager.lock(0, one, request, exclusive());
    }
    let refused = Refused(1, 3, Refusal::TooManyRequests { limit: 2 });
    assert_eq!(manager.said(), [Granted(1, 1), Queued(1, 2, 1), refused]);
    manager.lock(0, two, 1, Ask::exclusive("other"));
    manager.cancel(0, one, 2);
    manager.lock(0, one, 3, exclusive());
    let cancelled = Refused(1, 2, Refusal::Cancelled);
    assert_eq!(manager.said(), [Granted(2, 1), cancelled, Queued(1, 3, 1)]);
}

#[test]
fn a_wait_limit_of_zero_tries() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    let try_lock = Ask { wait_limit: seconds(0), ..exclusive() };
    manager.lock(0, one, 1, try_lock);
    manager.lock(0, two, 1, try_lock);
    manager.lock(0, two, 2, Ask { mode: Mode::Shared, ..try_lock });
    let busy = |request| Refused(2, request, Refusal::Busy);
    assert_eq!(manager.said(), [Granted(1, 1), busy(1), busy(2)]);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)), "nobody waits");
    assert_eq!(manager.0.poll_timeout(), None);
}

#[test]
fn a_wait_ends_with_its_limit() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    manager.lock(1, two, 1, Ask { wait_limit: seconds(5), ..exclusive() });
    manager.lock(1, three, 1, exclusive());
    manager.said();
    assert_eq!(manager.0.poll_timeout(), Some(second(6)));
    manager.timeout(5);
    assert!(manager.said().is_empty());
    manager.timeout(6);
    let refusal = Refusal::WaitLimit { limit: Duration::from_secs(5) };
    assert_eq!(manager.said(), [Refused(2, 1, refusal)]);
    assert_eq!((manager.0.poll_timeout(), manager.status()), (None, Some((Mode::Exclusive, 1, 1))));
}

#[test]
fn a_turn_ends_the_wait_limit() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    manager.lock(0, two, 1, Ask { wait_limit: seconds(5), ..exclusive() });
    manager.close(4, one);
    manager.said();
    assert_eq!(manager.0.poll_timeout(), None);
    manager.timeout(100);
    assert_eq!((manager.said(), manager.status()), (vec![], Some((Mode::Exclusive, 1, 0))));
}

/// The reason of a hold that lasted for its limit.
fn held_for(limit: u64) -> Refusal {
    Refusal::HoldLimit { limit: Duration::from_secs(limit) }
}

#[test]
fn a_hold_limit_counts_from_the_turn() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    let limited = Ask { hold_limit: seconds(10), ..exclusive() };
    manager.lock(0, one, 1, exclusive());
    manager.lock(0, two, 1, limited);
    manager.lock(0, three, 1, exclusive());
    assert_eq!(manager.0.poll_timeout(), None, "it does not run while the request waits");
    manager.close(7, one);
    let (_, token) = manager.said_with_token();
    assert_eq!(manager.0.poll_timeout(), Some(second(17)));
    manager.timeout(17);
    assert_eq!(manager.said(), [Revoked(2, 1, held_for(10)), Granted(3, 1)]);
    manager.release(18, two, 1, token);
    assert_eq!(
        manager.said(),
        [Refused(2, 1, Refusal::NotHeld { request: 1 })],
        "a late release does no harm"
    );
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)));
}

#[test]
fn a_release_ends_the_hold_limit() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(0, session, 1, Ask { hold_limit: seconds(10), ..exclusive() });
    let (_, token) = manager.said_with_token();
    manager.release(1, session, 1, token);
    manager.lock(1, session, 1, exclusive());
    manager.said();
    assert_eq!(manager.0.poll_timeout(), None);
    manager.timeout(100);
    assert!(manager.said().is_empty(), "the limit was the earlier hold's");
}

#[test]
fn a_late_timeout_does_what_was_due_in_its_order() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, Ask { hold_limit: seconds(10), ..exclusive() });
    manager.lock(0, two, 1, Ask { wait_limit: seconds(20), ..exclusive() });
    manager.said();
    manager.timeout(100);
    assert_eq!(manager.said(), [Revoked(1, 1, held_for(10)), Granted(2, 1)]);
}

#[test]
fn any_call_first_does_what_is_due() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, Ask { hold_limit: seconds(20), ..exclusive() });
    manager.lock(0, two, 1, Ask { wait_limit: seconds(10), ..exclusive() });
    manager.said();
    manager.lock(100, three, 1, exclusive());
    let refusal = Refusal::WaitLimit { limit: Duration::from_secs(10) };
    assert_eq!(
        manager.said(),
        [Refused(2, 1, refusal), Revoked(1, 1, held_for(20)), Granted(3, 1)]
    );
}

#[test]
fn a_limit_beyond_the_end_of_time_never_passes() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(5, session, 1, Ask { hold_limit: Some(Duration::MAX), ..exclusive() });
    manager.said();
    manager.timeout(1 << 40);
    assert!(manager.said().is_empty());
}

#[test]
fn there_are_so_many_sessions() {
    let mut manager = Manager::with(|limits| limits.sessions = 2);
    let [one, _] = [(); 2].map(|()| manager.open_leased(0));
    let refused = manager.0.open(second(1), OPEN);
    let too_many = Refusal::TooManySessions { limit: 2 };
    assert_eq!(too_many.to_string(), "there may be 2 sessions at most");
    assert_eq!(refused, Err(too_many));
    manager.close(2, one);
    assert!(manager.0.open(second(9), OPEN).is_ok());
    assert!(manager.0.open(second(10), OPEN).is_ok(), "the one that was silent is over");
}

#[test]
fn so_many_ids_are_in_use() {
    let mut manager = Manager::with(|limits| limits.ids = 2);
    let session = manager.open();
    for (request, id) in [(1, "a"), (2, "b"), (3, "c"), (4, "b")] {
        manager.lock(0, session, request, Ask::exclusive(id));
    }
    let too_many = Refusal::TooManyIds { limit: 2 };
    assert_eq!(too_many.to_string(), "there may be 2 ids in use at most");
    assert_eq!(
        manager.said(),
        [Granted(1, 1), Granted(1, 2), Refused(1, 3, too_many), Queued(1, 4, 1)]
    );
    manager.cancel(0, session, 1);
    manager.lock(0, session, 3, Ask::exclusive("c"));
    assert_eq!(manager.said(), [Released(1, 1), Granted(1, 3)]);
}

#[test]
fn so_many_requests_wait_over_all_sessions() {
    let mut manager = Manager::with(|limits| limits.waiters = 2);
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    for request in [1, 2, 3] {
        manager.lock(0, two, request, exclusive());
    }
    manager.lock(0, two, 4, Ask::exclusive("free"));
    let too_many = Refusal::TooManyWaiters { limit: 2 };
    assert_eq!(too_many.to_string(), "there may be 2 waiting requests at most");
    assert_eq!(
        manager.said()[1..],
        [Queued(2, 1, 1), Queued(2, 2, 2), Refused(2, 3, too_many), Granted(2, 4)]
    );
    manager.cancel(0, one, 1);
    manager.lock(0, two, 3, exclusive());
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1), Queued(2, 3, 2)]);
}

#[test]
fn so_many_requests_of_a_session_wait() {
    let mut manager = Manager::with(|limits| limits.waiters_per_session = 1);
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    for (session, request) in [(two, 1), (two, 2), (one, 2)] {
        manager.lock(0, session, request, exclusive());
    }
    let too_many = Refusal::TooManyWaitersOfSession { limit: 1 };
    assert_eq!(too_many.to_string(), "there may be 1 waiting requests of this session at most");
    assert_eq!(manager.said()[1..], [Queued(2, 1, 1), Refused(2, 2, too_many), Queued(1, 2, 2)]);
}

#[test]
fn waits_of_newcomers_take_no_room_from_those_who_come_back() {
    let mut limits = Limits::default();
    limits.waiters = 2;
    let epoch = Epoch::new(1).unwrap();
    let mut manager = Manager(LockManager::recover(limits, epoch, second(0), LEASE));
    let newcomer = manager.open_leased(0);
    let number = newcomer.session().get();
    for request in [1, 2] {
        manager.lock(1, newcomer, request, exclusive());
    }
    let claims = [waiting(1, Some(8)), waiting(2, Some(9)), waiting(3, Some(10))];
    let back = manager.resume(1, SessionId::new(1), 1, &claims).unwrap();
    let too_many = Refusal::TooManyWaiters { limit: 2 };
    assert_eq!(
        manager.said(),
        [
            Queued(number, 1, 1),
            Queued(number, 2, 2),
            Queued(1, 1, 3),
            Queued(1, 2, 4),
            Refused(1, 3, too_many.clone()),
        ]
    );
    manager.lock(2, back, 4, exclusive());
    assert_eq!(manager.said(), [Refused(1, 4, too_many.clone())], "it did not wait before");

    manager.keep_alive(9, newcomer);
    manager.keep_alive(9, back);
    manager.timeout(10);
    assert_eq!(manager.said(), [Granted(1, 1)]);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 3)), "who was let in goes on waiting");
    manager.lock(11, back, 5, exclusive());
    assert_eq!(manager.said(), [Refused(1, 5, too_many)]);
}

#[test]
fn limits_hold_in_the_recovery_window_and_at_its_end() {
    let mut limits = Limits::default();
    (limits.sessions, limits.ids, limits.waiters) = (1, 1, 2);
    let epoch = Epoch::new(1).unwrap();
    let mut manager = Manager(LockManager::recover(limits, epoch, second(0), LEASE));
    let session = manager.open_leased(0);
    let number = session.session().get();
    for (request, id) in [(1, "a"), (2, "b"), (3, "c")] {
        manager.lock(1, session, request, Ask::exclusive(id));
    }
    let waiters = Refused(number, 3, Refusal::TooManyWaiters { limit: 2 });
    assert_eq!(manager.said(), [Queued(number, 1, 1), Queued(number, 2, 2), waiters]);
    let too_many = Refusal::TooManySessions { limit: 1 };
    assert_eq!(manager.0.open(second(1), OPEN), Err(too_many.clone()));
    assert!(manager.resume(1, SessionId::new(1), 1, &[]).is_ok(), "it was there before");
    assert_eq!(manager.resume(1, SessionId::new(2), 1, &[]), Err(too_many));
    manager.timeout(10);
    let ids = Refused(number, 2, Refusal::TooManyIds { limit: 1 });
    assert_eq!(manager.said(), [Granted(number, 1), ids]);
}
