//! `LockManager`: what is each session told, and in which order?

mod common;

use common::manager::{ID, Manager, Said::*, exclusive, expired, second, shared};
use lockcore::{
    Mode,
    manager::{Ask, Refusal, Time},
};

#[test]
fn turns_come_in_order_over_sessions() {
    let mut manager = Manager::new();
    let sessions = [manager.open(), manager.open(), manager.open()];
    for session in sessions {
        manager.lock(0, session, 7, exclusive());
    }
    let (said, mut token) = manager.said_with_token();
    assert_eq!(said, [Granted(1, 7), Queued(2, 7, 1), Queued(3, 7, 2)]);
    for (session, next) in sessions.into_iter().zip([2, 3]) {
        let held = token;
        manager.release(1, session, 7, token);
        let said;
        (said, token) = manager.said_with_token();
        assert_eq!(said, [Released(next - 1, 7), Granted(next, 7)]);
        assert!(token > held, "tokens rise over sessions");
    }
    manager.close(2, sessions[2]);
    assert_eq!((manager.said(), manager.status()), (vec![], None));
}

#[test]
fn other_ids_and_requests_of_a_session_are_apart() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(0, session, 1, exclusive());
    manager.lock(0, session, 2, Ask::exclusive("other"));
    assert_eq!(manager.said(), [Granted(1, 1), Granted(1, 2)]);
    let mut ids: Vec<_> = manager.0.ids().map(|(id, _)| id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["other", ID]);
}

/// Scenario 3, in process: a client dies between its turn and its acknowledgement.
#[test]
fn closing_hands_over_even_a_turn_that_was_just_given() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    for session in [one, two, three] {
        manager.lock(0, session, 1, exclusive());
    }
    manager.close(0, one);
    manager.close(0, two);
    assert_eq!(manager.said(), [Queued(3, 1, 2), Granted(3, 1)]);
    assert_eq!((manager.status(), manager.0.sessions().len()), (Some((Mode::Exclusive, 1, 0)), 1));
}

#[test]
fn closing_a_session_that_waits_leaves_the_queue() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    for session in [one, two, three] {
        manager.lock(0, session, 1, exclusive());
    }
    manager.close(0, two);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 1)));
    manager.said();
    manager.close(0, one);
    assert_eq!(manager.said(), [Granted(3, 1)]);
}

#[test]
fn a_closed_session_is_told_nothing_of_its_own_requests() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    for request in [1, 2, 3] {
        manager.lock(0, one, request, exclusive());
    }
    manager.lock(0, two, 1, exclusive());
    manager.said();
    manager.close(0, one);
    assert_eq!(manager.said(), [Granted(2, 1)]);
}

#[test]
fn a_closed_session_is_told_nothing_of_shared_turns_that_its_own_leaving_makes_come() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, shared());
    manager.lock(0, two, 1, exclusive());
    manager.lock(0, two, 2, shared());
    manager.lock(0, three, 1, shared());
    manager.said();
    manager.close(0, two);
    assert_eq!(manager.said(), [Granted(3, 1)]);
    assert_eq!(manager.status(), Some((Mode::Shared, 2, 0)));
}

#[test]
fn a_closed_session_is_unknown() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.close(0, session);
    let (now, unknown) = (Time::ZERO, expired(session.session()));
    assert_eq!(manager.0.lock(now, session, 1, exclusive()), Err(unknown.clone()));
    assert_eq!(manager.0.release(now, session, 1, 1), Err(unknown.clone()));
    assert_eq!(manager.0.release_id(now, session, ID), Err(unknown.clone()));
    assert_eq!(manager.0.cancel(now, session, 1), Err(unknown.clone()));
    assert_eq!(manager.0.close(now, session), Err(unknown.clone()));
    assert_ne!(manager.open(), session, "a session's number is not used again");
    assert_eq!(unknown.to_string(), "session 1 is unknown or over");
    assert!(manager.said().is_empty());
}

#[test]
fn cancelling_ends_a_request_in_whichever_stage() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    for session in [one, two, three] {
        manager.lock(0, session, 1, exclusive());
    }
    manager.said();
    manager.cancel(0, two, 1);
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::Cancelled)]);
    manager.cancel(0, one, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(3, 1)]);
}

#[test]
fn cancelling_what_is_not_there_says_nothing() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    manager.said();
    manager.cancel(0, one, 2);
    manager.cancel(0, two, 1);
    assert_eq!((manager.said(), manager.status()), (vec![], Some((Mode::Exclusive, 1, 0))));
}

/// Scenario 5: a repeated unlock meets a later hold of the same session.
#[test]
fn a_repeated_release_does_not_end_a_later_hold() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(0, session, 1, exclusive());
    let (_, early) = manager.said_with_token();
    manager.release(0, session, 1, early);
    manager.release(0, session, 1, early);
    assert_eq!(manager.said(), [Released(1, 1), Refused(1, 1, Refusal::NotHeld { request: 1 })]);
    manager.lock(0, session, 1, exclusive());
    let (_, late) = manager.said_with_token();
    manager.release(0, session, 1, early);
    let wrong = Refusal::WrongToken { given: early, held: late };
    assert_eq!(
        wrong.to_string(),
        format!("token {early} is not that of the hold, which is {late}")
    );
    assert_eq!(manager.said(), [Refused(1, 1, wrong)]);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)));
}

#[test]
fn releasing_what_is_not_held_is_refused() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    let (_, token) = manager.said_with_token();
    manager.lock(0, two, 1, exclusive());
    manager.said();
    manager.release(0, two, 1, token);
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::NotHeld { request: 1 })], "it waits");
    manager.release(0, two, 9, token);
    assert_eq!(
        manager.said(),
        [Refused(2, 9, Refusal::NotHeld { request: 9 })],
        "there is no such request"
    );
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 1)), "and nothing has changed");
}

#[test]
fn release_id_releases_the_sessions_own_hold_alone() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 5, exclusive());
    manager.lock(0, two, 6, exclusive());
    manager.said();
    assert_eq!(manager.0.release_id(second(0), two, ID), Ok(false), "it waits");
    assert_eq!(manager.0.release_id(second(0), one, "other"), Ok(false));
    assert_eq!(manager.0.release_id(second(0), one, ID), Ok(true));
    manager.0.check();
    assert_eq!(manager.said(), [Released(1, 5), Granted(2, 6)]);
    assert_eq!(manager.0.release_id(second(0), one, ID), Ok(false), "a second time does no harm");
}

#[test]
fn a_request_number_is_free_again_when_the_request_has_ended() {
    let mut manager = Manager::new();
    let session = manager.open();
    manager.lock(0, session, 1, exclusive());
    manager.lock(0, session, 1, Ask::exclusive("other"));
    assert_eq!(
        manager.said(),
        [Granted(1, 1), Refused(1, 1, Refusal::RequestInUse { request: 1 })]
    );
    manager.cancel(0, session, 1);
    manager.lock(0, session, 1, Ask::exclusive("other"));
    assert_eq!(manager.said(), [Released(1, 1), Granted(1, 1)]);
}

#[test]
fn shared_requests_hold_together_over_sessions() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, shared());
    manager.lock(0, two, 1, shared());
    manager.lock(0, three, 1, exclusive());
    manager.lock(0, one, 2, shared());
    assert_eq!(manager.said(), [Granted(1, 1), Granted(2, 1), Queued(3, 1, 1), Queued(1, 2, 2)]);
    assert_eq!(manager.0.release_id(second(0), one, ID), Ok(true));
    assert_eq!(manager.said(), [Released(1, 1)]);
    manager.close(0, two);
    assert_eq!(manager.said(), [Granted(3, 1)]);
    manager.close(0, three);
    assert_eq!(manager.said(), [Granted(1, 2)]);
}

#[test]
fn a_waiter_that_was_closed_is_not_granted_later() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, exclusive());
    manager.lock(0, two, 1, exclusive());
    manager.close(0, two);
    let (_, token) = manager.said_with_token();
    manager.release(1, one, 1, token);
    assert_eq!((manager.said(), manager.status()), (vec![Released(1, 1)], None));
}
