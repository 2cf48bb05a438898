//! `LockManager`: who is promised a turn, and what becomes of promises when anything else happens?

mod common;

use std::collections::BTreeMap;

use common::manager::{
    ID, Manager, Said::*, exclusive, expired, held, second, seconds, shared, stale, waiting,
};
use lockcore::{
    Mode,
    manager::{Ask, Claim, Claimed, Event, Link, Outcome, Refusal, RequestId},
};

/// The tokens that were granted and promised, by session and request, of what is yet to be told.
fn tokens(manager: &mut Manager) -> BTreeMap<(u64, RequestId), u64> {
    let events = std::iter::from_fn(|| manager.0.poll_event());
    let given = events.filter_map(|event| match event {
        Event::Request {
            link,
            request,
            outcome: Outcome::Granted { token, .. } | Outcome::Promised { token, .. },
        } => Some(((link.session().get(), request), token)),
        Event::Request { .. } | Event::Ended { .. } => None,
    });
    given.collect()
}

/// A session that holds the id by request 1 and is promised its turns by the others up to `last`, and the
/// tokens of them all, from 0 on.
fn run_up_to(manager: &mut Manager, last: RequestId) -> (Link, Vec<u64>) {
    let session = manager.open_with_runs(0);
    for request in 1..=last {
        manager.lock(0, session, request, exclusive());
    }
    let tokens: Vec<u64> = [0].into_iter().chain(tokens(manager).into_values()).collect();
    assert_eq!(tokens.len() as u64, last + 1, "each was granted or promised");
    assert!(tokens.is_sorted_by(|one, next| one < next), "tokens rise: {tokens:?}");
    (session, tokens)
}

/// Who holds, by session, request and token.
fn holders(manager: &Manager) -> Vec<(u64, RequestId, u64)> {
    let holders = manager.0.holders(ID);
    holders.map(|holder| (holder.session.get(), holder.request, holder.token)).collect()
}

/// The sessions and requests of the queue, from head to tail.
fn queue(manager: &Manager) -> Vec<(u64, RequestId)> {
    manager.0.queue(ID).map(|waiter| (waiter.session.get(), waiter.request)).collect()
}

#[test]
fn who_joins_behind_its_own_session_is_promised_its_turn() {
    let mut manager = Manager::new();
    let session = manager.open_with_runs(0);
    for request in 1..=3 {
        manager.lock(0, session, request, exclusive());
    }
    let promised =
        [Granted(1, 1), Queued(1, 2, 1), Promised(1, 2), Queued(1, 3, 2), Promised(1, 3)];
    assert_eq!(manager.said(), promised);
}

#[test]
fn a_client_that_does_not_understand_runs_is_promised_nothing() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    for request in 1..=2 {
        manager.lock(0, session, request, exclusive());
    }
    assert_eq!(manager.said(), [Granted(1, 1), Queued(1, 2, 1)]);
    let callers = manager.open();
    for request in 1..=2 {
        manager.lock(0, callers, request, Ask::exclusive("other"));
    }
    assert_eq!(manager.said(), [Granted(2, 1), Queued(2, 2, 1)]);
}

#[test]
fn a_promised_turn_comes_by_its_token() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    manager.release(1, session, 1, tokens[1]);
    assert_eq!(manager.said(), [Released(1, 1), PromisedTurn(1, 2)]);
    assert_eq!(holders(&manager), [(1, 2, tokens[2])]);
    manager.release(1, session, 2, tokens[2]);
    assert_eq!(holders(&manager), [(1, 3, tokens[3])]);
    manager.release(1, session, 3, tokens[3]);
    assert_eq!(manager.said(), [Released(1, 2), PromisedTurn(1, 3), Released(1, 3)]);
    assert_eq!(manager.status(), None);
}

#[test]
fn a_promise_is_no_hold_until_the_turn_comes() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    manager.release(1, session, 2, tokens[2]);
    assert_eq!(manager.said(), [Refused(1, 2, Refusal::NotHeld { request: 2 })]);
    assert_eq!((holders(&manager), queue(&manager)), (vec![(1, 1, tokens[1])], vec![(1, 2)]));
}

#[test]
fn a_hand_over_to_a_session_promises_the_turns_behind_it() {
    let mut manager = Manager::new();
    let other = manager.open_leased(0);
    manager.lock(0, other, 1, exclusive());
    let (_, token) = manager.said_with_token();
    let session = manager.open_with_runs(0);
    for request in 1..=3 {
        manager.lock(0, session, request, exclusive());
    }
    assert_eq!(manager.said(), [Queued(2, 1, 1), Queued(2, 2, 2), Queued(2, 3, 3)]);
    manager.release(1, other, 1, token);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1), Promised(2, 2), Promised(2, 3)]);
}

#[test]
fn a_stranger_in_between_breaks_a_run_and_has_its_turn_in_order() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    let stranger = manager.open_leased(0);
    manager.lock(0, stranger, 1, exclusive());
    manager.lock(0, session, 3, exclusive());
    manager.lock(0, session, 4, exclusive());
    assert_eq!(manager.said(), [Queued(2, 1, 2), Queued(1, 3, 3), Queued(1, 4, 4)]);
    manager.release(1, session, 1, tokens[1]);
    manager.release(1, session, 2, tokens[2]);
    let (said, token) = manager.said_with_token();
    assert_eq!(said, [Released(1, 1), PromisedTurn(1, 2), Released(1, 2), Granted(2, 1)]);
    assert!(token > tokens[2], "tokens rise over a run and whoever comes after it");
    manager.release(1, stranger, 1, token);
    let (said, last) = manager.said_with_token();
    assert_eq!(said, [Released(2, 1), Granted(1, 3), Promised(1, 4)]);
    assert!(last > token);
}

#[test]
fn turns_are_promised_when_the_stranger_in_between_leaves() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    let stranger = manager.open_leased(0);
    manager.lock(0, stranger, 1, exclusive());
    manager.lock(0, session, 3, exclusive());
    manager.lock(0, session, 4, exclusive());
    manager.said();
    manager.cancel(1, stranger, 1);
    let (said, last) = manager.said_with_token();
    assert_eq!(said, [Refused(2, 1, Refusal::Cancelled), Promised(1, 3), Promised(1, 4)]);
    assert!(last > tokens[2]);
}

#[test]
fn a_stranger_at_the_head_that_leaves_brings_a_promise() {
    let mut manager = Manager::new();
    let (session, _) = run_up_to(&mut manager, 1);
    let stranger = manager.open_with_runs(0);
    manager.lock(0, stranger, 1, exclusive());
    manager.lock(0, session, 2, exclusive());
    manager.said();
    manager.close(1, stranger);
    assert_eq!(manager.said(), [Promised(1, 2)]);
}

#[test]
fn a_cancel_in_the_middle_of_a_run_leaves_the_others_their_promises() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 4);
    manager.cancel(1, session, 3);
    manager.cancel(1, session, 2);
    manager.release(1, session, 1, tokens[1]);
    let cancelled = |request| Refused(1, request, Refusal::Cancelled);
    assert_eq!(manager.said(), [cancelled(3), cancelled(2), Released(1, 1), PromisedTurn(1, 4)]);
    assert_eq!(holders(&manager), [(1, 4, tokens[4])]);
}

#[test]
fn a_wait_limit_is_not_promised_nor_is_anybody_behind_it_before_its_turn() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, Ask { wait_limit: seconds(5), ..exclusive() });
    manager.lock(0, session, 3, exclusive());
    assert_eq!(manager.said(), [Queued(1, 2, 1), Queued(1, 3, 2)]);
    manager.release(1, session, 1, tokens[1]);
    assert_eq!(manager.said(), [Released(1, 1), Granted(1, 2), Promised(1, 3)]);
}

#[test]
fn a_wait_limit_that_passes_brings_a_promise() {
    let mut manager = Manager::new();
    let (session, _) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, Ask { wait_limit: seconds(5), ..exclusive() });
    manager.lock(0, session, 3, exclusive());
    manager.said();
    manager.timeout(5);
    let passed = Refusal::WaitLimit { limit: std::time::Duration::from_secs(5) };
    assert_eq!(manager.said(), [Refused(1, 2, passed), Promised(1, 3)]);
}

#[test]
fn shared_requests_break_a_run() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, shared());
    manager.lock(0, session, 3, exclusive());
    assert_eq!(manager.said(), [Queued(1, 2, 1), Queued(1, 3, 2)]);
    manager.release(1, session, 1, tokens[1]);
    assert_eq!(manager.said(), [Released(1, 1), Granted(1, 2)], "it is behind one who shares");
}

#[test]
fn a_hold_limit_counts_from_when_the_pass_is_heard() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, Ask { hold_limit: seconds(5), ..exclusive() });
    manager.said();
    manager.release(3, session, 1, tokens[1]);
    manager.timeout(7);
    assert_eq!(manager.said(), [Released(1, 1), PromisedTurn(1, 2)]);
    manager.timeout(8);
    let passed = Refusal::HoldLimit { limit: std::time::Duration::from_secs(5) };
    assert_eq!(manager.said(), [Revoked(1, 2, passed)]);
}

#[test]
fn a_hold_limit_ahead_that_passes_brings_the_promised_turn() {
    let mut manager = Manager::new();
    let session = manager.open_with_runs(0);
    manager.lock(0, session, 1, Ask { hold_limit: seconds(5), ..exclusive() });
    manager.lock(0, session, 2, exclusive());
    let (_, token) = manager.said_with_token();
    manager.timeout(5);
    let passed = Refusal::HoldLimit { limit: std::time::Duration::from_secs(5) };
    assert_eq!(manager.said(), [Revoked(1, 1, passed), PromisedTurn(1, 2)]);
    assert_eq!(holders(&manager), [(1, 2, token)]);
}

#[test]
fn an_administrator_may_end_a_promised_request() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    assert!(manager.0.revoke(second(1), session.session(), 2, "note"));
    manager.0.check();
    manager.release(1, session, 1, tokens[1]);
    let reason = Refusal::Administrator { note: "note".into() };
    assert_eq!(manager.said(), [Refused(1, 2, reason), Released(1, 1), PromisedTurn(1, 3)]);
    assert_eq!(holders(&manager), [(1, 3, tokens[3])]);
}

#[test]
fn a_session_that_expires_ends_its_whole_run() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    let stranger = manager.open_leased(5);
    manager.lock(5, stranger, 1, exclusive());
    manager.said();
    manager.timeout(10);
    let (said, token) = manager.said_with_token();
    assert_eq!(said, [Ended(1, expired(session.session())), Granted(2, 1)]);
    assert!(token > tokens[3]);
    assert_eq!(queue(&manager), []);
}

#[test]
fn a_session_that_closes_or_is_expelled_ends_its_whole_run() {
    for expelled in [false, true] {
        let mut manager = Manager::new();
        let (session, _) = run_up_to(&mut manager, 3);
        if expelled {
            assert!(manager.0.expel(second(1), session.session(), "note"));
        } else {
            manager.close(1, session);
        }
        manager.0.check();
        assert_eq!(manager.status(), None);
    }
}

#[test]
fn a_repeated_request_is_promised_its_turn_again() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    manager.lock(1, session, 2, exclusive());
    assert_eq!(manager.said_with_token(), (vec![Queued(1, 2, 1), Promised(1, 2)], tokens[2]));
    manager.release(1, session, 1, tokens[1]);
    manager.lock(1, session, 2, exclusive());
    let again = vec![Released(1, 1), PromisedTurn(1, 2), Granted(1, 2)];
    assert_eq!(manager.said_with_token(), (again, tokens[2]));
}

#[test]
fn promises_are_told_again_to_a_client_that_comes_back() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    manager.detach(1, session);
    // In another order than that of the queue.
    let claims = [waiting(3, None), held(1, tokens[1]), waiting(2, None)];
    manager.resume(2, session.session(), 1, &claims).unwrap();
    let (said, last) = manager.said_with_token();
    let again = [Granted(1, 1), Queued(1, 2, 2), Promised(1, 2), Queued(1, 3, 2), Promised(1, 3)];
    assert_eq!((said, last), (again.to_vec(), tokens[3]), "by the same tokens");
}

#[test]
fn a_promise_that_was_made_to_nobody_is_told_when_the_client_comes_back() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    let stranger = manager.open_leased(0);
    manager.lock(0, stranger, 1, exclusive());
    manager.lock(0, session, 2, exclusive());
    manager.detach(1, session);
    manager.cancel(2, stranger, 1);
    manager.said();
    let claims = [held(1, tokens[1]), waiting(2, None)];
    manager.resume(3, session.session(), 1, &claims).unwrap();
    assert_eq!(manager.said(), [Granted(1, 1), Queued(1, 2, 1), Promised(1, 2)]);
}

#[test]
fn a_promised_turn_that_came_while_the_client_was_away_is_granted() {
    let mut manager = Manager::new();
    let session = manager.open_with_runs(0);
    manager.lock(0, session, 1, Ask { hold_limit: seconds(3), ..exclusive() });
    manager.lock(0, session, 2, exclusive());
    let (_, token) = manager.said_with_token();
    manager.detach(1, session);
    manager.timeout(3);
    manager.said();
    manager.resume(4, session.session(), 1, &[waiting(2, None)]).unwrap();
    assert_eq!(manager.said_with_token(), (vec![Granted(1, 2)], token));
}

/// The client has passed the lock on twice; of its releases none, one or both have arrived.
#[test]
fn a_client_comes_back_that_has_passed_the_lock_on() {
    for arrived in 0..=2 {
        let mut manager = Manager::new();
        let (session, tokens) = run_up_to(&mut manager, 4);
        for request in 1..=arrived {
            manager.release(1, session, request, tokens[request as usize]);
        }
        manager.detach(1, session);
        manager.said();
        let claims = [held(3, tokens[3]), waiting(4, None)];
        manager.resume(2, session.session(), 1, &claims).unwrap();
        let tokens_told = self::tokens(&mut manager);
        assert_eq!(tokens_told, [((1, 3), tokens[3]), ((1, 4), tokens[4])].into());
        assert_eq!(holders(&manager), [(1, 3, tokens[3])], "{arrived} releases arrived");
        assert_eq!(queue(&manager), [(1, 4)]);
    }
}

#[test]
fn a_client_comes_back_that_has_passed_the_lock_over_one_that_it_cancelled() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    let stranger = manager.open_leased(0);
    manager.lock(0, stranger, 1, exclusive());
    manager.said();
    manager.resume(2, session.session(), 1, &[held(3, tokens[3])]).unwrap();
    let over = Ended(1, stale(session.session()));
    let cancelled = Refused(1, 2, Refusal::Cancelled);
    let (released, turn) = (Released(1, 1), PromisedTurn(1, 3));
    assert_eq!(manager.said(), [over, cancelled, released, turn, Granted(1, 3)]);
    assert_eq!((holders(&manager), queue(&manager)), (vec![(1, 3, tokens[3])], vec![(2, 1)]));
}

#[test]
fn a_release_that_follows_the_resume_passes_the_lock_on() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    manager.detach(1, session);
    let claims = [held(1, tokens[1]), waiting(2, None)];
    let session = manager.resume(2, session.session(), 1, &claims).unwrap();
    manager.release(2, session, 1, tokens[1]);
    let told = [Granted(1, 1), Queued(1, 2, 1), Promised(1, 2)];
    let said = [&told[..], &[Released(1, 1), PromisedTurn(1, 2)]].concat();
    assert_eq!(manager.said(), said);
    assert_eq!(holders(&manager), [(1, 2, tokens[2])]);
}

#[test]
fn who_claims_to_have_passed_on_what_it_holds_still_loses_what_it_passed_to() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    let claims = [held(1, tokens[1]), held(2, tokens[2]), waiting(3, None)];
    manager.resume(1, session.session(), 1, &claims).unwrap();
    let told = [
        Ended(1, stale(session.session())),
        Granted(1, 1),
        Queued(1, 3, 2),
        Promised(1, 3),
        Revoked(1, 2, Refusal::NotHeld { request: 2 }),
    ];
    assert_eq!(manager.said(), told);
    assert_eq!((holders(&manager), queue(&manager)), (vec![(1, 1, tokens[1])], vec![(1, 3)]));
}

#[test]
fn of_two_that_claim_to_have_had_their_turns_only_the_first_has() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 3);
    let claims = [held(3, tokens[3]), held(2, tokens[2])];
    manager.resume(1, session.session(), 1, &claims).unwrap();
    let lost = Revoked(1, 3, Refusal::NotHeld { request: 3 });
    let over = Ended(1, stale(session.session()));
    let turn = PromisedTurn(1, 2);
    assert_eq!(manager.said(), [over, Released(1, 1), turn, Granted(1, 2), lost]);
    assert_eq!((holders(&manager), queue(&manager)), (vec![(1, 2, tokens[2])], vec![]));
}

#[test]
fn a_claim_to_hold_by_what_was_not_promised_is_none() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    manager.resume(1, session.session(), 1, &[held(2, tokens[2] + 1)]).unwrap();
    let lost = Revoked(1, 2, Refusal::NotHeld { request: 2 });
    let over = Ended(1, stale(session.session()));
    assert_eq!(manager.said(), [over, Released(1, 1), lost]);
    assert_eq!(manager.status(), None);
}

#[test]
fn a_pass_that_the_server_did_not_hear_of_before_its_restart_is_a_hold() {
    let mut before = Manager::new();
    let (session, tokens) = run_up_to(&mut before, 3);
    let mut manager = Manager::recover(0, 1);
    let claims = [held(2, tokens[2]), waiting(3, Some(3))];
    let session = manager.resume_with_runs(1, session.session(), 1, &claims).unwrap();
    assert_eq!(manager.said_with_token(), (vec![Granted(1, 2), Queued(1, 3, 1)], tokens[2]));
    manager.keep_alive(5, session);
    manager.timeout(10);
    let (said, token) = manager.said_with_token();
    assert_eq!(said, [Promised(1, 3)], "promises of the run before are gone, and made anew");
    assert!(token > tokens[3]);
}

#[test]
fn a_pass_beats_the_hold_that_it_came_from_over_a_restart() {
    let mut before = Manager::new();
    let (session, tokens) = run_up_to(&mut before, 2);
    let mut manager = Manager::recover(0, 1);
    let claims = [held(1, tokens[1]), held(2, tokens[2])];
    manager.resume_with_runs(1, session.session(), 1, &claims).unwrap();
    let later = Refusal::LaterHold { token: tokens[2] };
    assert_eq!(manager.said(), [Granted(1, 1), Revoked(1, 1, later), Granted(1, 2)]);
}

/// Whoever had its turn after a run has a greater token than all promises of it.
#[test]
fn a_later_hold_beats_a_run_over_a_restart() {
    let mut before = Manager::new();
    let (session, tokens) = run_up_to(&mut before, 3);
    let stranger = before.open_leased(0);
    before.lock(0, stranger, 1, exclusive());
    before.close(1, session);
    let (_, token) = before.said_with_token();
    let mut manager = Manager::recover(2, 1);
    manager.resume(3, stranger.session(), 1, &[held(1, token)]).unwrap();
    manager.resume_with_runs(3, session.session(), 1, &[held(3, tokens[3])]).unwrap();
    let later = Refusal::LaterHold { token };
    assert_eq!(manager.said(), [Granted(2, 1), Revoked(1, 3, later)]);
}

#[test]
fn who_is_promised_a_turn_is_waited_for() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_with_runs(0));
    let ask = |id, owner| Ask { owner: Some(owner), ..Ask::exclusive(id) };
    manager.lock(0, one, 1, ask("a", 1));
    manager.lock(0, one, 2, ask("a", 2));
    manager.lock(0, two, 1, ask("b", 3));
    manager.lock(0, two, 2, ask("a", 3));
    manager.said();
    manager.lock(0, one, 3, ask("b", 2));
    let circle = [(1, "b"), (2, "a")].map(|(session, id)| (session, id.to_owned()));
    assert_eq!(manager.said(), [Deadlock(1, 3, circle.into())]);
}

#[test]
fn a_request_behind_the_release_that_it_followed_closes_no_circle() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_with_runs(0));
    let ask = |id, owner| Ask { owner: Some(owner), ..Ask::exclusive(id) };
    manager.lock(0, one, 1, ask("a", 1));
    let (_, token) = manager.said_with_token();
    manager.lock(0, one, 2, ask("a", 2));
    manager.lock(0, two, 1, ask("b", 2));
    manager.lock(0, two, 2, ask("a", 2));
    manager.said();
    manager.release(1, one, 1, token);
    manager.lock(1, one, 3, ask("b", 1));
    assert_eq!(manager.said(), [Released(1, 1), PromisedTurn(1, 2), Queued(1, 3, 1)]);
}

#[test]
fn a_thousand_promises_are_one_event_each() {
    let mut manager = Manager::new();
    let stranger = manager.open_leased(0);
    manager.lock(0, stranger, 1, exclusive());
    let (_, token) = manager.said_with_token();
    let session = manager.open_with_runs(0);
    for request in 0..1000 {
        manager.0.lock(second(0), session, request, exclusive()).unwrap();
    }
    manager.said();
    manager.release(1, stranger, 1, token);
    let given: Vec<u64> = tokens(&mut manager).into_values().collect();
    let expected: Vec<u64> = (token + 1..=token + 1000).collect();
    assert_eq!(given, expected, "one after the other");
}

/// Asks for [`ID`] and another one together.
fn several() -> Ask<'static> {
    Ask { more_ids: &["other"], ..exclusive() }
}

#[test]
fn a_request_for_several_ids_in_between_breaks_a_run() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    manager.lock(0, session, 3, several());
    manager.lock(0, session, 4, exclusive());
    manager.lock(0, session, 5, exclusive());
    assert_eq!(manager.said(), [Queued(1, 3, 2), Queued(1, 4, 3), Queued(1, 5, 4)]);
    manager.release(1, session, 1, tokens[1]);
    manager.release(1, session, 2, tokens[2]);
    let (said, token) = manager.said_with_token();
    let turns = [Released(1, 1), PromisedTurn(1, 2), Released(1, 2), Granted(1, 3)];
    assert_eq!(said, turns, "it had no promise");
    assert!(token > tokens[2]);
    manager.release(1, session, 3, token);
    let (said, last) = manager.said_with_token();
    assert_eq!(said, [Released(1, 3), Granted(1, 4), Promised(1, 5)]);
    assert!(last > token);
}

#[test]
fn who_is_behind_a_holder_of_several_ids_is_promised_nothing() {
    let mut manager = Manager::new();
    let session = manager.open_with_runs(0);
    manager.lock(0, session, 1, several());
    let token = tokens(&mut manager)[&(1, 1)];
    manager.lock(0, session, 2, exclusive());
    manager.lock(0, session, 3, exclusive());
    manager.lock(0, session, 4, Ask::exclusive("other"));
    assert_eq!(manager.said(), [Queued(1, 2, 1), Queued(1, 3, 2), Queued(1, 4, 1)]);
    manager.release(1, session, 1, token);
    let said = [Released(1, 1), Granted(1, 2), Promised(1, 3), Granted(1, 4)];
    assert_eq!(manager.said(), said);
}

#[test]
fn a_request_for_several_ids_behind_a_run_is_promised_at_none() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, Ask::exclusive("other"));
    manager.lock(0, session, 3, several());
    assert_eq!(manager.said(), [Granted(1, 2), Queued(1, 3, 1)]);
    manager.release(1, session, 1, tokens[1]);
    assert_eq!(manager.said(), [Released(1, 1)], "it holds the first and waits for the other");
    let holders: Vec<_> = manager.0.holders(ID).map(|holder| holder.request).collect();
    assert_eq!(holders, [3]);
}

#[test]
fn a_request_for_several_ids_that_leaves_makes_a_run_whole_at_each_of_them() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, Ask::exclusive("other"));
    manager.lock(0, session, 3, several());
    for request in [4, 5] {
        manager.lock(0, session, request, exclusive());
    }
    manager.lock(0, session, 6, Ask::exclusive("other"));
    manager.said();
    manager.cancel(1, session, 3);
    let (said, last) = manager.said_with_token();
    let cancelled = Refused(1, 3, Refusal::Cancelled);
    assert_eq!(said, [cancelled, Promised(1, 4), Promised(1, 5), Promised(1, 6)]);
    manager.release(1, session, 1, tokens[1]);
    assert_eq!(manager.said(), [Released(1, 1), PromisedTurn(1, 4)]);
    manager.cancel(1, session, 2);
    let holder = manager.0.holders("other").next().map(|holder| (holder.request, holder.token));
    assert_eq!(holder, Some((6, last)), "by the promised token");
}

#[test]
fn what_is_held_half_way_begins_no_run_and_leaves_one_behind() {
    let mut manager = Manager::new();
    let stranger = manager.open_leased(0);
    manager.lock(0, stranger, 1, Ask::exclusive("other"));
    let session = manager.open_with_runs(0);
    manager.lock(0, session, 1, several());
    for request in [2, 3] {
        manager.lock(0, session, request, exclusive());
    }
    let waits = [Granted(1, 1), Queued(2, 1, 1), Queued(2, 2, 1), Queued(2, 3, 2)];
    assert_eq!(manager.said(), waits);
    let holders: Vec<_> = manager.0.holders(ID).map(|holder| holder.request).collect();
    assert_eq!(holders, [1], "it holds one of its ids");
    manager.cancel(1, session, 1);
    let said = [Refused(2, 1, Refusal::Cancelled), Granted(2, 2), Promised(2, 3)];
    assert_eq!(manager.said(), said);
}

#[test]
fn a_request_for_several_ids_between_two_sessions_leaves_a_stranger_unpromised() {
    let mut manager = Manager::new();
    let (session, _) = run_up_to(&mut manager, 1);
    let stranger = manager.open_with_runs(0);
    manager.lock(0, session, 2, several());
    manager.lock(0, stranger, 1, exclusive());
    manager.lock(0, session, 3, exclusive());
    manager.said();
    manager.cancel(1, session, 2);
    assert_eq!(manager.said(), [Refused(1, 2, Refusal::Cancelled)]);
    manager.cancel(1, stranger, 1);
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::Cancelled), Promised(1, 3)]);
}

#[test]
fn a_wait_limit_of_several_ids_that_passes_brings_promises() {
    let mut manager = Manager::new();
    let (session, _) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, Ask { wait_limit: seconds(5), ..several() });
    manager.lock(0, session, 3, exclusive());
    manager.said();
    manager.timeout(5);
    let passed = Refusal::WaitLimit { limit: std::time::Duration::from_secs(5) };
    assert_eq!(manager.said(), [Refused(1, 2, passed), Promised(1, 3)]);
}

#[test]
fn a_client_that_comes_back_without_its_request_for_several_ids_is_promised_turns() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    manager.lock(0, session, 2, several());
    manager.lock(0, session, 3, exclusive());
    manager.said();
    let claims = [held(1, tokens[1]), waiting(3, None)];
    manager.resume(1, session.session(), 1, &claims).unwrap();
    let told = [
        Ended(1, stale(session.session())),
        Granted(1, 1),
        Queued(1, 3, 2),
        Refused(1, 2, Refusal::Cancelled),
        Promised(1, 3),
    ];
    assert_eq!(manager.said(), told);
}

#[test]
fn after_a_restart_a_request_for_several_ids_breaks_the_run_that_it_broke_before() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 1);
    let session = session.session();
    let mut manager = Manager::recover(0, 2);
    let place = |number| Claimed::Waiting { place: Some(number) };
    let several = Claim { request: 2, ask: several(), state: place(1), more_tokens: &[] };
    let behind = waiting(3, Some(2));
    manager.resume_with_runs(1, session, 1, &[held(1, tokens[1]), several, behind]).unwrap();
    manager.timeout(10);
    let waits = [Granted(1, 1), Queued(1, 2, 1), Queued(1, 3, 2)];
    assert_eq!(manager.said(), waits, "nobody is promised a turn");
    assert_eq!(queue(&manager), [(1, 2), (1, 3)]);
}

#[test]
fn a_claim_of_more_ids_than_were_promised_passes_nothing_on() {
    let mut manager = Manager::new();
    let (session, tokens) = run_up_to(&mut manager, 2);
    let more_tokens: &[u64] = &[tokens[2]];
    let claim = Claim { more_tokens, ..held(2, tokens[2]) };
    manager.resume(1, session.session(), 1, &[claim]).unwrap();
    let lost = Revoked(1, 2, Refusal::NotHeld { request: 2 });
    assert_eq!(manager.said(), [Ended(1, stale(session.session())), Released(1, 1), lost]);
    assert_eq!(manager.status(), None, "nothing is held that is said to be lost");
}

#[test]
fn a_claim_of_something_else_than_was_promised_passes_nothing_on() {
    let promised = held(2, 0).ask;
    let other_id = Ask { id: "other", ..promised };
    let other_mode = Ask { mode: Mode::Shared, ..promised };
    let other_owner = Ask { owner: Some(7), ..promised };
    for ask in [other_id, other_mode, other_owner] {
        let mut manager = Manager::new();
        let (session, tokens) = run_up_to(&mut manager, 2);
        let claim = Claim { ask, ..held(2, tokens[2]) };
        manager.resume(1, session.session(), 1, &[claim]).unwrap();
        let lost = Revoked(1, 2, Refusal::NotHeld { request: 2 });
        assert_eq!(manager.said(), [Ended(1, stale(session.session())), Released(1, 1), lost]);
        assert_eq!(manager.status(), None, "nothing is held that is said to be lost");
    }
}
