//! `LockManager`: who would wait for itself?

mod common;

use common::manager::{Manager, Said, Said::*};
use lockcore::{
    Mode,
    manager::{Ask, Link, Refusal, RequestId, Time},
};

/// Asks for `id` alone as the owner 1.
fn owned(id: &str) -> Ask<'_> {
    Ask { owner: Some(1), ..Ask::exclusive(id) }
}

fn owned_shared(id: &str) -> Ask<'_> {
    Ask { mode: Mode::Shared, ..owned(id) }
}

/// The refusal of a request whose circle is this: session and id.
fn deadlock(link: Link, request: RequestId, circle: &[(Link, &str)]) -> Said {
    let wait = |(link, id): &(Link, &str)| (link.session().get(), (*id).to_owned());
    Deadlock(link.session().get(), request, circle.iter().map(wait).collect())
}

/// Locks one id after the other, with request numbers from 1.
fn lock_all(manager: &mut Manager, link: Link, asks: &[Ask<'_>]) {
    for (request, ask) in (1..).zip(asks) {
        manager.lock(0, link, request, *ask);
    }
}

/// Scenario 12: opposite orders.
#[test]
fn the_request_that_closes_a_circle_is_refused_with_the_circle() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, owned("a"));
    manager.lock(0, two, 1, owned("b"));
    manager.lock(0, one, 2, owned("b"));
    manager.said();
    manager.lock(0, two, 2, owned("a"));
    assert_eq!(manager.said(), [deadlock(two, 2, &[(two, "a"), (one, "b")])]);
    manager.cancel(0, two, 1);
    assert_eq!(manager.said(), [Released(2, 1), Granted(1, 2)], "nothing else has changed");
}

#[test]
fn a_circle_is_told_in_words() {
    let mut manager = Manager::new();
    let session = manager.open();
    lock_all(&mut manager, session, &[owned("a"), owned("a")]);
    let events = std::iter::from_fn(|| manager.0.poll_event());
    let said: Vec<_> = events.map(|event| format!("{event:?}")).collect();
    assert!(said[1].contains("Deadlock"), "{said:?}");
    let wait = lockcore::manager::Wait { session: session.session(), id: "a".into() };
    let refusal = Refusal::Deadlock { circle: [wait.clone(), wait].into() };
    let words = r#"deadlock: session 1 would wait for "a", session 1 would wait for "a""#;
    assert_eq!(refusal.to_string(), words);
}

#[test]
fn a_circle_may_go_through_many_sessions() {
    let mut manager = Manager::new();
    let sessions: Vec<_> = (0..100).map(|_| manager.open()).collect();
    let ids: Vec<_> = (0..100).map(|number| format!("id-{number}")).collect();
    for (session, id) in sessions.iter().zip(&ids) {
        manager.lock(0, *session, 1, owned(id));
    }
    for (session, id) in sessions.iter().zip(&ids[1..]) {
        manager.lock(0, *session, 2, owned(id));
    }
    manager.said();
    let last = sessions[99];
    manager.lock(0, last, 2, owned(&ids[0]));
    let mut circle = vec![(last, &*ids[0])];
    circle.extend(sessions.iter().zip(&ids[1..]).map(|(session, id)| (*session, &**id)));
    assert_eq!(manager.said(), [deadlock(last, 2, &circle)]);
}

/// Scenario 12: the same id twice.
#[test]
fn an_owner_cannot_wait_for_its_own_hold_or_place() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    lock_all(&mut manager, one, &[owned("a"), owned("a")]);
    assert_eq!(manager.said(), [Granted(1, 1), deadlock(one, 2, &[(one, "a")])]);
    lock_all(&mut manager, two, &[owned("a"), owned("a")]);
    assert_eq!(manager.said(), [Queued(2, 1, 1), deadlock(two, 2, &[(two, "a")])]);
}

#[test]
fn an_owner_may_share_with_itself() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    lock_all(&mut manager, one, &[owned_shared("a"), owned_shared("a")]);
    assert_eq!(manager.said(), [Granted(1, 1), Granted(1, 2)]);
    manager.lock(0, two, 1, Ask::exclusive("a"));
    manager.lock(0, one, 3, owned_shared("a"));
    let circle = [(one, "a"), (two, "a")];
    assert_eq!(
        manager.said(),
        [Queued(2, 1, 1), deadlock(one, 3, &circle)],
        "the one ahead waits for its hold"
    );
}

#[test]
fn two_who_share_cannot_both_want_it_alone() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, owned_shared("a"));
    manager.lock(0, two, 1, owned_shared("a"));
    manager.said();
    manager.lock(0, one, 2, owned("a"));
    assert_eq!(manager.said(), [deadlock(one, 2, &[(one, "a")])], "it waits for its own hold");
}

#[test]
fn a_request_without_an_owner_is_its_own() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    let exclusive = |id| Ask::exclusive(id);
    lock_all(&mut manager, one, &[exclusive("a"), exclusive("a")]);
    manager.lock(0, two, 1, exclusive("b"));
    manager.lock(0, one, 3, exclusive("b"));
    manager.lock(0, two, 2, exclusive("a"));
    assert_eq!(
        manager.said(),
        [Granted(1, 1), Queued(1, 2, 1), Granted(2, 1), Queued(1, 3, 1), Queued(2, 2, 2)]
    );
}

#[test]
fn owners_of_one_number_in_two_sessions_are_two() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, owned("a"));
    manager.lock(0, two, 1, owned("b"));
    manager.lock(0, one, 2, owned("b"));
    assert_eq!(manager.said(), [Granted(1, 1), Granted(2, 1), Queued(1, 2, 1)]);
}

#[test]
fn two_owners_of_one_session_are_two() {
    let mut manager = Manager::new();
    let session = manager.open();
    let of = |owner, id| Ask { owner: Some(owner), ..Ask::exclusive(id) };
    lock_all(&mut manager, session, &[of(1, "a"), of(2, "b"), of(1, "b"), of(2, "a")]);
    let circle = [(session, "a"), (session, "b")];
    assert_eq!(
        manager.said(),
        [Granted(1, 1), Granted(1, 2), Queued(1, 3, 1), deadlock(session, 4, &circle)]
    );
}

/// Three holds b and waits for a behind two, who does not hold a, and has to have it first.
#[test]
fn a_place_in_a_queue_counts_like_a_hold() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, Ask::exclusive("a"));
    manager.lock(0, two, 1, owned("a"));
    manager.lock(0, three, 1, owned("b"));
    manager.lock(0, three, 2, owned("a"));
    manager.said();
    manager.lock(0, two, 2, owned("b"));
    assert_eq!(manager.said(), [deadlock(two, 2, &[(two, "b"), (three, "a")])]);
}

#[test]
fn nobody_waits_for_those_behind() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, Ask::exclusive("a"));
    manager.lock(0, three, 1, owned("b"));
    manager.lock(0, two, 1, owned("a"));
    manager.lock(0, three, 2, owned("a"));
    manager.lock(0, one, 2, owned("b"));
    assert_eq!(manager.said().last(), Some(&Queued(1, 2, 1)), "three is behind two at a");
}

/// Two and three share a when one has gone: two does not wait for three, which is ahead, nor for what
/// three waits for.
#[test]
fn who_shares_does_not_wait_for_those_ahead_who_share() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, Ask::exclusive("a"));
    manager.lock(0, two, 1, owned("b"));
    manager.lock(0, three, 1, owned_shared("a"));
    manager.lock(0, three, 2, owned("b"));
    manager.said();
    manager.lock(0, two, 2, owned_shared("a"));
    assert_eq!(manager.said(), [Queued(2, 2, 2)]);
    manager.cancel(0, one, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(3, 1), Granted(2, 2)]);
    manager.cancel(0, two, 1);
    assert_eq!(manager.said(), [Released(2, 1), Granted(3, 2)], "it was no deadlock");
}

/// The exclusive one between them is reached through the second shared one alone.
#[test]
fn who_shares_waits_for_those_ahead_who_do_not() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, owned_shared("a"));
    manager.lock(0, two, 1, Ask::exclusive("a"));
    manager.lock(0, three, 1, owned("b"));
    manager.lock(0, three, 2, owned_shared("a"));
    manager.said();
    manager.lock(0, one, 2, owned("b"));
    let circle = [(one, "b"), (three, "a"), (two, "a")];
    assert_eq!(manager.said(), [deadlock(one, 2, &circle)]);
}

#[test]
fn the_shortest_circle_is_told() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open());
    manager.lock(0, one, 1, owned("a"));
    manager.lock(0, two, 1, owned("b"));
    manager.lock(0, three, 1, owned_shared("c"));
    manager.lock(0, two, 2, owned_shared("c"));
    // Two ways from c to one: two, who shares it, waits for a; three waits for b and so for two.
    manager.lock(0, three, 2, owned("b"));
    manager.lock(0, two, 3, owned("a"));
    manager.said();
    manager.lock(0, one, 2, owned("c"));
    assert_eq!(manager.said(), [deadlock(one, 2, &[(one, "c"), (two, "a")])]);
}

#[test]
fn a_try_is_not_searched_for_circles() {
    let mut manager = Manager::new();
    let session = manager.open();
    let try_lock = Ask { wait_limit: Some(std::time::Duration::ZERO), ..owned("a") };
    lock_all(&mut manager, session, &[try_lock, try_lock]);
    assert_eq!(manager.said(), [Granted(1, 1), Refused(1, 2, Refusal::Busy)]);
}

#[test]
fn a_circle_that_the_end_of_the_recovery_window_would_close_is_refused_then() {
    let mut manager = Manager::recover(0, 2);
    let [one, two] = [(); 2].map(|()| manager.open());
    manager.lock(0, one, 1, owned("a"));
    manager.lock(0, two, 1, owned("b"));
    manager.lock(0, one, 2, owned("b"));
    manager.lock(0, two, 2, owned("a"));
    assert!(manager.said().iter().all(|said| matches!(said, Queued(..))));
    manager.timeout(10);
    let [first, second] = [one, two].map(|link| link.session().get());
    let refused = deadlock(two, 2, &[(two, "a"), (one, "b")]);
    assert_eq!(manager.said(), [Granted(first, 1), Granted(second, 1), refused]);
}

/// A recursive search would end the process.
#[test]
fn a_long_chain_is_searched() {
    let mut manager = Manager::new();
    let session = manager.0.open_unleased(200_000);
    let lock = |manager: &mut Manager, request, owner, id: u64| {
        let id = id.to_string();
        let ask = Ask { owner: Some(owner), ..Ask::exclusive(&id) };
        manager.0.lock(Time::ZERO, session, request, ask).unwrap();
    };
    for owner in 0..50_000 {
        lock(&mut manager, 2 * owner, owner, owner);
    }
    // From the far end on, so that each search but the last is short.
    for owner in (1..50_000).rev() {
        lock(&mut manager, 2 * owner + 1, owner, owner - 1);
    }
    manager.said();
    lock(&mut manager, 1, 0, 49_999);
    let said = manager.said();
    let [Deadlock(1, 1, circle)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((circle.len(), &*circle[0].1, &*circle[1].1), (50_000, "49999", "49998"));
}

/// A search that looked at the queue once for each waiter would look 5 * 10^9 times.
#[test]
fn a_long_queue_is_looked_at_once() {
    let mut manager = Manager::new();
    let session = manager.0.open_unleased(200_000);
    let lock = |manager: &mut Manager, request, ask| {
        manager.0.lock(Time::ZERO, session, request, ask).unwrap();
    };
    for request in 0..100_000 {
        lock(&mut manager, request, Ask { owner: Some(request), ..Ask::exclusive("a") });
    }
    let late = |id| Ask { owner: Some(u64::MAX), ..Ask::exclusive(id) };
    lock(&mut manager, 100_001, late("b"));
    lock(&mut manager, 100_002, late("a"));
    assert_eq!(manager.said().last(), Some(&Queued(1, 100_002, 100_000)));
}
