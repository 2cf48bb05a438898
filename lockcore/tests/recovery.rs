//! `LockManager`: what does a restart keep, and who has to wait?

mod common;

use std::time::Duration;

use common::manager::{
    ID, LEASE, Manager, Said::*, exclusive, expired, held, second, seconds, shared, stale, waiting,
};
use lockcore::{
    LockManager, Mode,
    manager::{Ask, Claim, Epoch, Event, Limits, Outcome, Refusal, SessionId},
};

/// What tells its token or its place.
fn numbers(manager: &mut Manager) -> Vec<u64> {
    let events = std::iter::from_fn(|| manager.0.poll_event());
    let number = |event| match event {
        Event::Request { outcome: Outcome::Granted { token, .. }, .. } => Some(token),
        Event::Request { outcome: Outcome::Queued { place, .. }, .. } => Some(place),
        Event::Request { .. } | Event::Ended { .. } => None,
    };
    events.filter_map(number).collect()
}

/// A first run, in which three sessions locked the id in this order, and what they were told.
fn before() -> ([SessionId; 3], [u64; 3]) {
    let mut manager = Manager::recover(0, 1);
    manager.timeout(10);
    let sessions = [(); 3].map(|()| manager.open_leased(10));
    for session in sessions {
        manager.lock(10, session, 1, exclusive());
    }
    let numbers = numbers(&mut manager).try_into().unwrap();
    (sessions.map(|link| link.session()), numbers)
}

fn number(session: SessionId) -> u64 {
    session.get()
}

#[test]
fn a_first_start_has_no_window() {
    let epoch = Epoch::new(1).unwrap();
    let mut manager =
        Manager(LockManager::recover(Limits::default(), epoch, second(0), Duration::ZERO));
    assert_eq!((manager.0.recovers_until(), manager.0.epoch()), (None, epoch));
    let session = manager.open_leased(0);
    manager.lock(0, session, 1, exclusive());
    assert_eq!(manager.said(), [Granted(number(session.session()), 1)]);
}

#[test]
fn the_window_is_as_long_as_the_longest_lease() {
    let mut manager = Manager::recover(5, 2);
    assert_eq!(manager.0.recovers_until(), Some(second(15)));
    assert_eq!(manager.0.poll_timeout(), Some(second(15)));
    assert_eq!(manager.0.longest_lease(), LEASE, "for whom a restart must wait once more");
    manager.timeout(15);
    assert_eq!((manager.0.recovers_until(), manager.0.longest_lease()), (None, Duration::ZERO));
}

#[test]
fn holds_and_places_survive_a_restart() {
    let ([a, b, c], [token, place_b, place_c]) = before();
    let mut manager = Manager::recover(0, 2);
    // They come back in another order.
    let _c = manager.resume(1, c, 1, &[waiting(1, Some(place_c))]).unwrap();
    let _b = manager.resume(2, b, 1, &[waiting(1, Some(place_b))]).unwrap();
    let a_link = manager.resume(3, a, 1, &[held(1, token)]).unwrap();
    assert_eq!(numbers(&mut manager), [place_c, place_b, token], "the same again");
    manager.release(4, a_link, 1, token);
    assert_eq!(manager.said(), [Released(number(a), 1)], "nobody has a turn in the window");
    manager.timeout(10);
    let (said, later) = manager.said_with_token();
    assert_eq!(said, [Granted(number(b), 1)]);
    assert!(later > token, "tokens rise over restarts");
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 1)));
}

/// Scenario 8: an id is handed out before old leases have ended.
#[test]
fn nobody_has_a_turn_before_those_who_held_could_come_back() {
    let ([a, ..], [token, ..]) = before();
    let mut manager = Manager::recover(0, 2);
    let newcomer = manager.open_leased(0);
    manager.lock(0, newcomer, 1, exclusive());
    manager.lock(0, newcomer, 2, Ask::exclusive("other"));
    manager.keep_alive(9, newcomer);
    let n = number(newcomer.session());
    assert_eq!(manager.said(), [Queued(n, 1, 1), Queued(n, 2, 2)]);
    manager.resume(9, a, 1, &[held(1, token)]).unwrap();
    assert_eq!(manager.said(), [Granted(number(a), 1)]);
    manager.timeout(10);
    assert_eq!(manager.said(), [Granted(n, 2)]);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 1)));
    manager.keep_alive(18, newcomer);
    manager.timeout(19);
    assert_eq!(manager.said(), [Ended(number(a), expired(a)), Granted(n, 1)]);
}

/// Scenario 8: a restart issues a number twice.
#[test]
fn tokens_places_and_sessions_of_each_run_are_greater_than_those_before() {
    let mut last = 0;
    for epoch in [0, 1, 2, Epoch::LAST.get()] {
        let epoch = Epoch::new(epoch).unwrap();
        let mut manager =
            Manager(LockManager::recover(Limits::default(), epoch, second(0), Duration::ZERO));
        let sessions = [(); 2].map(|()| manager.open_leased(0));
        for session in sessions {
            manager.lock(0, session, 1, exclusive());
        }
        let mut all = numbers(&mut manager);
        all.extend(sessions.map(|link| link.session().get()));
        assert!(all.iter().all(|number| *number > last), "{all:?} after {last}");
        last = all.into_iter().max().unwrap();
    }
    assert!(last < 1 << 63);
    assert_eq!(Epoch::LAST.next(), None);
    assert_eq!(Epoch::FIRST.next(), Epoch::new(1));
}

#[test]
fn a_wait_that_was_claimed_comes_before_those_that_were_not() {
    let ([_, b, c], [_, place_b, _]) = before();
    let mut manager = Manager::recover(0, 2);
    let newcomer = manager.open_leased(0);
    manager.lock(0, newcomer, 1, exclusive());
    // c was never told its place.
    manager.resume(1, c, 1, &[waiting(1, None)]).unwrap();
    manager.resume(2, b, 1, &[waiting(1, Some(place_b))]).unwrap();
    manager.keep_alive(3, newcomer);
    manager.said();
    let mut order = Vec::new();
    manager.timeout(10);
    for _ in 0..3 {
        let (said, token) = manager.said_with_token();
        let [.., Granted(session, 1)] = said[..] else { panic!("{said:?}") };
        order.push(session);
        let link = [b, c].into_iter().find(|id| id.get() == session);
        let link =
            link.map_or(newcomer, |id| manager.resume(10, id, 2, &[held(1, token)]).unwrap());
        manager.said();
        manager.release(10, link, 1, token);
    }
    assert_eq!(order, [number(b), number(newcomer.session()), number(c)]);
}

#[test]
fn a_place_that_was_not_given_before_the_start_is_none() {
    let ([_, b, c], [_, _, place_c]) = before();
    let mut manager = Manager::recover(0, 2);
    manager.resume(1, b, 1, &[waiting(1, Some(u64::MAX))]).unwrap();
    manager.resume(2, c, 1, &[waiting(1, Some(place_c))]).unwrap();
    manager.said();
    manager.timeout(10);
    assert_eq!(manager.said(), [Granted(number(c), 1)]);
}

#[test]
fn of_two_who_claim_to_hold_the_one_with_the_greater_token_does() {
    let ([a, b, _], [token, ..]) = before();
    for order in [[(a, token), (b, token + 1)], [(b, token + 1), (a, token)]] {
        let mut manager = Manager::recover(0, 2);
        for (session, token) in order {
            manager.resume(1, session, 1, &[held(1, token)]).unwrap();
        }
        let lost = Revoked(number(a), 1, Refusal::LaterHold { token: token + 1 });
        assert_eq!(manager.said().iter().filter(|said| **said == lost).count(), 1);
        assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)));
        let link = manager.resume(1, b, 2, &[held(1, token + 1)]).unwrap();
        assert_eq!(manager.0.release_id(second(1), link, ID), Ok(true));
    }
}

/// A shared hold by token 3, an exclusive one by 5, a shared one by 6: only the last can last.
#[test]
fn an_exclusive_claim_shows_that_shared_ones_before_it_are_over() {
    let claims = [(Mode::Shared, 3), (Mode::Exclusive, 5), (Mode::Shared, 6)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut manager = Manager::recover(0, 2);
        for index in order {
            let (mode, token) = claims[index];
            let claim = Claim { ask: Ask { mode, ..exclusive() }, ..held(1, token) };
            manager.resume(1, SessionId::new(token), 1, &[claim]).unwrap();
        }
        assert_eq!(manager.status(), Some((Mode::Shared, 1, 0)), "{order:?}");
        let claim = Claim { ask: shared(), ..held(1, 6) };
        let link = manager.resume(1, SessionId::new(6), 2, &[claim]).unwrap();
        assert_eq!(manager.0.release_id(second(1), link, ID), Ok(true), "{order:?}");
    }
}

#[test]
fn shared_holds_are_claimed_together() {
    let mut manager = Manager::recover(0, 2);
    for token in [4, 3, 5] {
        let claim = Claim { ask: shared(), ..held(1, token) };
        manager.resume(1, SessionId::new(token), 1, &[claim]).unwrap();
    }
    assert_eq!(manager.said(), [Granted(4, 1), Granted(3, 1), Granted(5, 1)]);
    assert_eq!(manager.status(), Some((Mode::Shared, 3, 0)));
}

#[test]
fn no_token_is_held_twice() {
    for mode in [Mode::Exclusive, Mode::Shared] {
        let mut manager = Manager::recover(0, 2);
        let claim = Claim { ask: Ask { mode, ..exclusive() }, ..held(1, 3) };
        for session in [1, 2] {
            manager.resume(1, SessionId::new(session), 1, &[claim]).unwrap();
        }
        let refused = Refusal::LaterHold { token: 3 };
        assert_eq!(manager.said(), [Granted(1, 1), Revoked(2, 1, refused)]);
    }
}

#[test]
fn a_token_that_was_not_given_before_the_start_is_refused() {
    let ([a, ..], _) = before();
    let mut manager = Manager::recover(0, 2);
    let of_this_run = 2 << 43;
    manager.resume(1, a, 1, &[held(1, of_this_run), held(2, 0)]).unwrap();
    let not_given = |token| Refusal::TokenNotGiven { token };
    let a = number(a);
    assert_eq!(
        manager.said(),
        [Revoked(a, 1, not_given(of_this_run)), Revoked(a, 2, not_given(0))]
    );
    assert_eq!(manager.status(), None);
}

#[test]
fn a_try_is_refused_in_the_window() {
    let mut manager = Manager::recover(0, 2);
    let session = manager.open_leased(0);
    manager.lock(4, session, 1, Ask { wait_limit: seconds(0), ..exclusive() });
    let refusal = Refusal::Recovering { remaining: Duration::from_secs(6) };
    assert_eq!(refusal.to_string(), "the server has restarted and gives no turns for 6s");
    assert_eq!(manager.said(), [Refused(number(session.session()), 1, refusal)]);
}

#[test]
fn a_wait_may_end_in_the_window() {
    let mut manager = Manager::recover(0, 2);
    let session = manager.open_leased(0);
    let n = number(session.session());
    manager.lock(0, session, 1, Ask { wait_limit: seconds(5), ..exclusive() });
    manager.lock(0, session, 2, exclusive());
    manager.lock(0, session, 3, Ask { wait_limit: seconds(10), ..Ask::exclusive("other") });
    manager.cancel(1, session, 2);
    manager.timeout(5);
    manager.keep_alive(6, session);
    let limit = Refusal::WaitLimit { limit: Duration::from_secs(5) };
    assert_eq!(manager.said()[3..], [Refused(n, 2, Refusal::Cancelled), Refused(n, 1, limit)]);
    manager.timeout(10);
    assert_eq!(manager.said(), [Granted(n, 3)], "a turn in the last moment of the wait is one");
}

#[test]
fn the_end_of_the_window_does_not_start_a_wait_anew() {
    let mut manager = Manager::recover(0, 2);
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    manager.lock(0, one, 1, exclusive());
    manager.lock(0, two, 1, Ask { wait_limit: seconds(12), ..exclusive() });
    manager.keep_alive(9, one);
    manager.keep_alive(9, two);
    manager.timeout(10);
    assert_eq!(manager.0.poll_timeout(), Some(second(12)));
    manager.said();
    manager.timeout(12);
    let limit = Refusal::WaitLimit { limit: Duration::from_secs(12) };
    assert_eq!(manager.said(), [Refused(number(two.session()), 1, limit)]);
}

#[test]
fn a_session_that_ended_in_the_window_is_not_made_again() {
    let ([a, b, _], [token, place, _]) = before();
    let mut manager = Manager::recover(0, 2);
    let link = manager.resume(0, a, 1, &[held(1, token)]).unwrap();
    manager.close(1, link);
    assert_eq!(manager.resume(2, a, 2, &[held(1, token)]), Err(expired(a)));
    manager.timeout(10);
    assert_eq!(manager.resume(11, b, 1, &[waiting(1, Some(place))]), Err(expired(b)), "too late");
    assert_eq!((manager.status(), manager.0.sessions().len()), (None, 0));
}

#[test]
fn a_session_of_this_run_is_never_made_by_resuming() {
    let mut manager = Manager::recover(0, 2);
    let session = manager.open_leased(0);
    manager.close(0, session);
    let next = SessionId::new(session.session().get() + 1);
    for unknown in [session.session(), next] {
        assert_eq!(manager.resume(1, unknown, 1, &[]), Err(expired(unknown)));
    }
}

#[test]
fn a_session_that_was_made_again_is_resumed_like_any_other() {
    let ([a, ..], [token, ..]) = before();
    let mut manager = Manager::recover(0, 2);
    let first = manager.resume(0, a, 3, &[held(1, token)]).unwrap();
    assert_eq!(manager.resume(1, a, 3, &[]), Err(stale(a)), "a repeated frame");
    let second_link = manager.resume(1, a, 4, &[held(1, token)]).unwrap();
    manager.said();
    assert_eq!(manager.0.keep_alive(second(1), first), Err(stale(a)));
    manager.release(2, second_link, 1, token);
    assert_eq!(manager.said(), [Released(number(a), 1)]);
    manager.resume(3, a, 5, &[held(1, token)]).unwrap();
    let lost = Revoked(number(a), 1, Refusal::NotHeld { request: 1 });
    let over = Ended(number(a), stale(a));
    assert_eq!(manager.said(), [over, lost], "what it released is not claimed again");
}

#[test]
fn a_session_that_came_back_has_a_lease_from_then_on() {
    let ([a, ..], [token, ..]) = before();
    let mut manager = Manager::recover(0, 2);
    manager.resume(1, a, 1, &[held(1, token)]).unwrap();
    assert_eq!(manager.0.longest_lease(), LEASE);
    manager.said();
    manager.timeout(10);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 0)));
    manager.timeout(11);
    assert_eq!(manager.said(), [Ended(number(a), expired(a))]);
}

#[test]
fn a_second_restart_in_the_window_keeps_as_much() {
    let ([a, b, _], [token, place, _]) = before();
    let mut manager = Manager::recover(0, 2);
    manager.resume(0, a, 1, &[held(1, token)]).unwrap();
    assert_eq!(manager.0.longest_lease(), LEASE);
    let mut manager = Manager::recover(0, 3);
    manager.resume(5, b, 1, &[waiting(1, Some(place))]).unwrap();
    manager.resume(6, a, 2, &[held(1, token)]).unwrap();
    manager.timeout(10);
    assert_eq!(manager.said(), [Queued(number(b), 1, 1), Granted(number(a), 1)]);
    assert_eq!(manager.status(), Some((Mode::Exclusive, 1, 1)));
}
