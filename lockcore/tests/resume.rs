//! `LockManager`: what does a client find that comes back within its lease?

mod common;

use common::manager::{
    ID, LEASE, Manager, SECRET, Said::*, exclusive, expired, held, second, seconds, shared, stale,
    waiting,
};
use lockcore::{
    Mode,
    manager::{Ask, Claim, Link, Refusal, Resume, Secret},
};

/// A session that holds the id by request 1, one that waits by its request 1, and the token.
fn holder_and_waiter(manager: &mut Manager) -> (Link, Link, u64) {
    let [holder, waiter] = [(); 2].map(|()| manager.open_leased(0));
    manager.lock(0, holder, 1, exclusive());
    let (_, token) = manager.said_with_token();
    manager.lock(0, waiter, 1, exclusive());
    manager.said();
    (holder, waiter, token)
}

#[test]
fn a_hold_and_a_place_are_told_again() {
    let mut manager = Manager::new();
    let (holder, waiter, token) = holder_and_waiter(&mut manager);
    manager.detach(1, holder);
    manager.resume(2, holder.session(), 1, &[held(1, token)]).unwrap();
    let (said, told) = manager.said_with_token();
    assert_eq!((said, told), (vec![Granted(1, 1)], token), "by the same token");
    manager.resume(2, waiter.session(), 1, &[waiting(1, None)]).unwrap();
    assert_eq!(manager.said(), [Ended(2, stale(waiter.session())), Queued(2, 1, 1)]);
}

#[test]
fn a_place_is_kept_before_those_who_came_later() {
    let mut manager = Manager::new();
    let (holder, waiter, token) = holder_and_waiter(&mut manager);
    let last = manager.open_leased(0);
    manager.lock(0, last, 1, exclusive());
    manager.detach(1, waiter);
    manager.resume(2, waiter.session(), 1, &[waiting(1, None)]).unwrap();
    manager.said();
    manager.release(3, holder, 1, token);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
}

#[test]
fn a_turn_that_came_meanwhile_is_told() {
    let mut manager = Manager::new();
    let (holder, waiter, token) = holder_and_waiter(&mut manager);
    manager.detach(1, waiter);
    manager.release(2, holder, 1, token);
    manager.resume(3, waiter.session(), 1, &[waiting(1, None)]).unwrap();
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)], "once");
}

#[test]
fn a_request_that_was_lost_joins() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.detach(1, session);
    manager.resume(2, session.session(), 1, &[waiting(1, None)]).unwrap();
    assert_eq!(manager.said(), [Granted(1, 1)]);
}

#[test]
fn an_unlock_that_was_lost_happens() {
    let mut manager = Manager::new();
    let (holder, _, _) = holder_and_waiter(&mut manager);
    manager.detach(1, holder);
    manager.resume(2, holder.session(), 1, &[]).unwrap();
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
}

#[test]
fn a_cancel_that_was_lost_happens() {
    let mut manager = Manager::new();
    let (_, waiter, _) = holder_and_waiter(&mut manager);
    manager.detach(1, waiter);
    manager.resume(2, waiter.session(), 1, &[]).unwrap();
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::Cancelled)]);
}

#[test]
fn a_hold_that_ended_meanwhile_is_told_as_lost() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.lock(0, session, 1, Ask { hold_limit: seconds(3), ..exclusive() });
    let (_, token) = manager.said_with_token();
    manager.detach(1, session);
    manager.timeout(3);
    manager.resume(4, session.session(), 1, &[held(1, token)]).unwrap();
    assert_eq!(manager.said(), [Revoked(1, 1, Refusal::NotHeld { request: 1 })]);
    assert_eq!(manager.status(), None);
}

#[test]
fn a_number_that_the_client_uses_for_something_else_is_that() {
    let mut manager = Manager::new();
    let (holder, _, _) = holder_and_waiter(&mut manager);
    let other = Claim { ask: Ask::exclusive("other"), ..waiting(1, None) };
    manager.resume(1, holder.session(), 1, &[other]).unwrap();
    let over = Ended(1, stale(holder.session()));
    assert_eq!(manager.said(), [over, Granted(2, 1), Granted(1, 1)]);
    assert_eq!(manager.0.status("other").unwrap().holders, 1);
}

#[test]
fn a_claim_by_another_token_is_not_that_hold() {
    let mut manager = Manager::new();
    let (holder, _, token) = holder_and_waiter(&mut manager);
    manager.resume(1, holder.session(), 1, &[held(1, token + 7)]).unwrap();
    let (over, lost) = (Ended(1, stale(holder.session())), Refusal::NotHeld { request: 1 });
    assert_eq!(manager.said(), [over, Granted(2, 1), Revoked(1, 1, lost)]);
}

#[test]
fn a_waiter_cannot_claim_that_it_holds() {
    let mut manager = Manager::new();
    let (_, waiter, token) = holder_and_waiter(&mut manager);
    manager.resume(1, waiter.session(), 1, &[held(1, token)]).unwrap();
    let (over, lost) = (Ended(2, stale(waiter.session())), Refusal::NotHeld { request: 1 });
    assert_eq!(manager.said(), [over, Revoked(2, 1, lost)]);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)));
}

#[test]
fn claiming_the_same_request_twice_says_it_once() {
    let mut manager = Manager::new();
    let (holder, _, token) = holder_and_waiter(&mut manager);
    manager.detach(1, holder);
    let claims = [held(1, token), waiting(1, None), held(1, token)];
    manager.resume(2, holder.session(), 1, &claims).unwrap();
    assert_eq!(manager.said(), [Granted(1, 1)]);
}

#[test]
fn what_is_given_up_may_let_a_kept_request_have_its_turn() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.lock(0, session, 1, exclusive());
    manager.lock(0, session, 2, exclusive());
    manager.said();
    manager.detach(1, session);
    manager.resume(2, session.session(), 1, &[waiting(2, None)]).unwrap();
    assert_eq!(manager.said(), [Queued(1, 2, 1), Released(1, 1), Granted(1, 2)]);
}

#[test]
fn giving_up_many_requests_hands_none_of_them_a_turn() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    for (request, ask) in [(1, shared()), (2, exclusive()), (3, shared()), (4, exclusive())] {
        manager.lock(0, session, request, ask);
    }
    manager.said();
    manager.detach(1, session);
    manager.resume(2, session.session(), 1, &[]).unwrap();
    let cancelled = |request| Refused(1, request, Refusal::Cancelled);
    assert_eq!(manager.said(), [cancelled(4), cancelled(3), cancelled(2), Released(1, 1)]);
}

/// Scenario 7: two connections resume one session; late frames of the old one.
#[test]
fn the_later_connection_cuts_the_earlier_off() {
    let mut manager = Manager::new();
    let (first, _, token) = holder_and_waiter(&mut manager);
    let claims = [held(1, token)];
    let second_link = manager.resume(1, first.session(), 1, &claims).unwrap();
    let third = manager.resume(1, first.session(), 2, &claims).unwrap();
    let cut = Ended(1, stale(first.session()));
    assert_eq!(manager.said(), [cut, Granted(1, 1)], "the second one hears of the third alone");
    for late in [first, second_link] {
        let refused = Err(stale(first.session()));
        assert_eq!(manager.0.release(second(2), late, 1, token), refused);
        assert_eq!(manager.0.close(second(2), late), refused);
        assert_eq!(manager.0.detach(second(2), late), refused);
    }
    manager.keep_alive(2, third);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 1)));
}

/// A connection that the client has given up may still deliver its first frame. If that took the
/// session over, it would release what the client was granted since.
#[test]
fn a_late_attempt_to_resume_does_no_harm() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    let link = manager.resume(1, session.session(), 2, &[]).unwrap();
    manager.lock(2, link, 1, exclusive());
    manager.said();
    for late in [0, 1, 2] {
        assert_eq!(manager.resume(3, session.session(), late, &[]), Err(stale(session.session())));
    }
    assert_eq!((manager.said(), manager.status()), (vec![], Some((Mode::Exclusive, 1, 0))));
}

/// Scenario 7: resume at and after expiry.
#[test]
fn a_session_that_is_over_cannot_be_resumed() {
    let mut manager = Manager::new();
    let [closed, silent] = [(); 2].map(|()| manager.open_leased(0));
    manager.close(0, closed);
    manager.lock(0, silent, 1, exclusive());
    let (_, token) = manager.said_with_token();
    assert_eq!(manager.resume(0, closed.session(), 1, &[]), Err(expired(closed.session())));
    let claims = [held(1, token)];
    assert_eq!(manager.resume(10, silent.session(), 1, &claims), Err(expired(silent.session())));
    assert_eq!(manager.said(), [Ended(2, expired(silent.session()))]);
    assert_eq!((manager.status(), manager.0.sessions().len()), (None, 0));
}

#[test]
fn resuming_takes_the_secret() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    let secret = Secret::new(SECRET.get() + 1);
    let resume = Resume {
        session: session.session(),
        secret,
        attempt: 1,
        lease: LEASE,
        runs: false,
        claims: &[],
    };
    assert_eq!(manager.0.resume(second(0), resume), Err(expired(session.session())));
    manager.keep_alive(1, session);
    assert_eq!(format!("{secret:?}"), "Secret(..)", "logs do not tell it");
}

#[test]
fn resuming_renews_the_lease_and_keeps_its_length() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    let resume = Resume {
        session: session.session(),
        secret: SECRET,
        attempt: 1,
        lease: LEASE * 2,
        runs: false,
        claims: &[],
    };
    let opened = manager.0.resume(second(9), resume).unwrap();
    assert_eq!((opened.lease, manager.0.longest_lease()), (LEASE, LEASE));
    manager.timeout(18);
    assert_eq!(manager.0.sessions().len(), 1);
    manager.timeout(19);
    assert_eq!(manager.0.sessions().len(), 0);
}

#[test]
fn a_repeated_request_has_the_same_answer() {
    let mut manager = Manager::new();
    let (holder, waiter, token) = holder_and_waiter(&mut manager);
    manager.lock(1, holder, 1, exclusive());
    manager.lock(1, waiter, 1, Ask { wait_limit: seconds(1), ..exclusive() });
    assert_eq!(manager.said_with_token(), (vec![Granted(1, 1), Queued(2, 1, 1)], token));
    manager.timeout(9);
    assert!(manager.said().is_empty(), "the limits of the first one count: it had none");
}

#[test]
fn a_number_in_use_for_something_else_is_refused() {
    let mut manager = Manager::new();
    let (holder, _, _) = holder_and_waiter(&mut manager);
    manager.lock(1, holder, 1, shared());
    manager.lock(1, holder, 1, Ask::exclusive("other"));
    manager.lock(1, holder, 1, Ask { owner: Some(1), ..exclusive() });
    let refused = Refused(1, 1, Refusal::RequestInUse { request: 1 });
    assert_eq!(manager.said(), [refused.clone(), refused.clone(), refused]);
    assert_eq!(manager.0.ids().map(|(id, _)| id).collect::<Vec<_>>(), [ID]);
}

#[test]
fn what_is_claimed_is_limited_like_what_is_asked_for() {
    let mut manager = Manager::with(|limits| {
        limits.requests_per_session = 1;
        limits.id_bytes = 4;
    });
    let session = manager.open_leased(0);
    let claim = |request, id| Claim { ask: Ask::exclusive(id), ..waiting(request, None) };
    let claims = [claim(1, "12345"), claim(2, ""), claim(3, "1"), claim(4, "2")];
    manager.detach(0, session);
    manager.resume(0, session.session(), 1, &claims).unwrap();
    let [too_long, too_many] =
        [Refusal::IdTooLong { length: 5, limit: 4 }, Refusal::TooManyRequests { limit: 1 }];
    assert_eq!(
        manager.said(),
        [
            Refused(1, 1, too_long),
            Refused(1, 2, Refusal::IdEmpty),
            Granted(1, 3),
            Refused(1, 4, too_many)
        ]
    );
}
