//! `LockManager`: how long does a session last, and what does its end leave behind?

mod common;

use std::time::Duration;

use common::manager::{ID, LEASE, Manager, OPEN, Said::*, exclusive, expired, second, stale};
use lockcore::{
    Mode,
    manager::{Ask, Open, Refusal},
};

#[test]
fn a_lease_is_brought_within_the_limits() {
    let mut manager = Manager::new();
    let mut granted = |lease| manager.0.open(second(0), Open { lease, ..OPEN }).unwrap().lease;
    assert_eq!(granted(Duration::ZERO), Duration::from_secs(1));
    assert_eq!(granted(Duration::from_secs(7)), Duration::from_secs(7));
    assert_eq!(granted(Duration::MAX), Duration::from_secs(600));
}

#[test]
fn the_longest_lease_is_known_before_its_client_is_told() {
    let mut manager = Manager::new();
    manager.open();
    assert_eq!(manager.0.longest_lease(), Duration::ZERO);
    let seconds = Duration::from_secs;
    for (wanted, longest) in [(5, 5), (3, 5), (9, 9)] {
        let lease = seconds(wanted);
        let _ = manager.0.open(second(0), Open { lease, ..OPEN }).unwrap();
        assert_eq!(manager.0.longest_lease(), seconds(longest));
    }
    manager.timeout(100);
    assert_eq!(manager.0.longest_lease(), seconds(9), "even when its session is over");
}

#[test]
fn a_silent_session_expires_and_releases_all_in_one_step() {
    let mut manager = Manager::new();
    let [silent, other] = [(); 2].map(|()| manager.open_leased(0));
    manager.lock(0, silent, 1, Ask::exclusive("a"));
    manager.lock(0, silent, 2, Ask::exclusive("b"));
    manager.keep_alive(5, other);
    manager.lock(5, other, 1, Ask::exclusive("a"));
    manager.lock(5, other, 2, Ask::exclusive("b"));
    manager.said();
    manager.timeout(9);
    assert!(manager.said().is_empty());
    manager.timeout(10);
    let over = Ended(1, expired(silent.session()));
    assert_eq!(manager.said(), [over, Granted(2, 2), Granted(2, 1)], "the reason comes first");
    let refused = manager.0.keep_alive(second(10), silent);
    assert_eq!(refused, Err(expired(silent.session())));
}

#[test]
fn every_call_of_a_session_renews_its_lease() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.keep_alive(9, session);
    manager.lock(18, session, 1, exclusive());
    let (_, token) = manager.said_with_token();
    manager.release(27, session, 1, token);
    manager.cancel(36, session, 1);
    assert_eq!(manager.0.release_id(second(45), session, ID), Ok(false));
    manager.timeout(54);
    assert_eq!(manager.0.sessions().len(), 1);
    manager.timeout(55);
    assert_eq!(manager.0.sessions().len(), 0);
}

#[test]
fn a_lease_has_ended_in_its_last_moment() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    assert_eq!(manager.0.keep_alive(second(10), session), Err(expired(session.session())));
}

#[test]
fn a_lease_counts_from_when_the_client_was_heard_not_from_the_break() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.lock(3, session, 1, exclusive());
    manager.detach(9, session);
    manager.timeout(12);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)), "the break releases nothing");
    manager.timeout(13);
    assert_eq!(manager.status(), None);
}

/// Scenario 10: a connection on which the client is not heard any more keeps nothing alive.
#[test]
fn a_half_open_connection_keeps_no_lease_alive() {
    let mut manager = Manager::new();
    let [silent, other] = [(); 2].map(|()| manager.open_leased(0));
    manager.lock(0, silent, 1, exclusive());
    for now in 1..10 {
        manager.lock(now, other, now, exclusive());
    }
    manager.said();
    manager.timeout(10);
    assert_eq!(manager.said(), [Ended(1, expired(silent.session())), Granted(2, 1)]);
}

/// Scenario 4: the lease of a waiter runs out, then the holder releases.
#[test]
fn a_waiter_whose_lease_ran_out_is_granted_nothing() {
    let mut manager = Manager::new();
    let [holder, waiter, last] = [(); 3].map(|()| manager.open_leased(0));
    for session in [holder, waiter, last] {
        manager.lock(0, session, 1, exclusive());
    }
    let (_, token) = manager.said_with_token();
    manager.keep_alive(9, holder);
    manager.keep_alive(9, last);
    // No timeout is handled: the release itself finds that the waiter is gone.
    manager.release(10, holder, 1, token);
    assert_eq!(
        manager.said(),
        [Ended(2, expired(waiter.session())), Released(1, 1), Granted(3, 1)]
    );
}

/// Scenario 3: the client dies between its turn and its acknowledgement.
#[test]
fn a_turn_of_a_client_that_died_passes_on_with_its_lease() {
    let mut manager = Manager::new();
    let [first, dead, last] = [(); 3].map(|()| manager.open_leased(0));
    for session in [first, dead, last] {
        manager.lock(0, session, 1, exclusive());
    }
    let (_, token) = manager.said_with_token();
    manager.detach(1, dead);
    manager.release(2, first, 1, token);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)], "it may come back");
    manager.keep_alive(9, last);
    manager.timeout(10);
    assert_eq!(manager.said(), [Ended(2, expired(dead.session())), Granted(3, 1)]);
}

#[test]
fn closing_releases_at_once_and_is_told_to_nobody() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    manager.lock(0, one, 1, exclusive());
    manager.lock(0, two, 1, exclusive());
    manager.close(0, one);
    assert_eq!(manager.said(), [Queued(2, 1, 1), Granted(2, 1)]);
    manager.timeout(9);
    manager.keep_alive(9, two);
    manager.timeout(18);
    assert!(manager.said().is_empty(), "its timer is gone");
}

#[test]
fn an_unleased_session_lasts() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(0, session, 1, exclusive());
    manager.detach(0, session);
    manager.timeout(1 << 40);
    assert_eq!(manager.0.sessions().len(), 1);
    let resumed = manager.resume(1 << 40, session.session(), 1, &[]);
    assert_eq!(resumed, Err(expired(session.session())), "and nobody can take it over");
}

#[test]
fn calls_by_a_detached_connection_are_refused_and_change_nothing() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.lock(0, session, 1, exclusive());
    let (_, token) = manager.said_with_token();
    manager.detach(1, session);
    let stale = Err(stale(session.session()));
    assert_eq!(manager.0.keep_alive(second(2), session), stale);
    assert_eq!(manager.0.lock(second(2), session, 2, exclusive()), stale);
    assert_eq!(manager.0.release(second(2), session, 1, token), stale);
    assert_eq!(manager.0.release_id(second(2), session, ID), stale.clone().map(|()| true));
    assert_eq!(manager.0.cancel(second(2), session, 1), stale);
    assert_eq!(manager.0.detach(second(2), session), stale);
    assert_eq!(manager.0.close(second(2), session), stale);
    assert_eq!((manager.said(), manager.status()), (vec![], Some((Mode::Exclusive, 1, 0))));
    manager.timeout(10);
    assert_eq!(manager.status(), None, "none of them renewed the lease");
}

#[test]
fn one_timer_of_many_sessions_expires_those_that_were_silent() {
    let mut manager = Manager::new();
    let sessions: Vec<_> = (0..100).map(|_| manager.open_leased(0)).collect();
    for session in sessions.iter().step_by(2) {
        manager.keep_alive(5, *session);
    }
    manager.timeout(10);
    assert_eq!((manager.0.sessions().len(), manager.0.poll_timeout()), (50, Some(second(15))));
    assert!(
        manager.said().iter().all(|said| matches!(said, Ended(_, Refusal::SessionExpired { .. })))
    );
    assert_eq!(LEASE, Duration::from_secs(10));
}
