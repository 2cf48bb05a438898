//! `LockManager`: what becomes of a request for several ids?

mod common;

use std::time::Duration;

use common::manager::{LEASE, Manager, Said, Said::*, expired, seconds, stale, waiting};
use lockcore::{
    LockManager, Mode,
    manager::{
        Ask, Claim, Claimed, Epoch, Event, Limits, Link, Outcome, Refusal, RequestId, SessionId,
    },
};

const AB: Ask<'_> = all("a", &["b"]);

/// Asks for several ids together, alone.
const fn all<'a>(id: &'a str, more_ids: &'a [&'a str]) -> Ask<'a> {
    Ask { more_ids, ..Ask::exclusive(id) }
}

fn one(id: &str) -> Ask<'_> {
    Ask::exclusive(id)
}

fn owned(ask: Ask<'_>) -> Ask<'_> {
    Ask { owner: Some(1), ..ask }
}

/// Three sessions that last, and what nobody has said yet.
fn three() -> (Manager, [Link; 3]) {
    let mut manager = Manager::new();
    let sessions = [(); 3].map(|()| manager.open());
    (manager, sessions)
}

/// Session 1 holds b alone; session 2 has asked for a and b and so holds a.
fn half_way() -> (Manager, [Link; 3]) {
    let (mut manager, sessions) = three();
    let [first, second, _] = sessions;
    manager.lock(0, first, 1, one("b"));
    manager.lock(0, second, 1, AB);
    assert_eq!(manager.said(), [Granted(1, 1), Queued(2, 1, 1)]);
    (manager, sessions)
}

/// The sessions that hold an id, and those that wait for it.
fn users(manager: &Manager, id: &str) -> (Vec<u64>, Vec<u64>) {
    let mut holders: Vec<_> = manager.0.holders(id).map(|holder| holder.session.get()).collect();
    holders.sort_unstable();
    (holders, manager.0.queue(id).map(|waiter| waiter.session.get()).collect())
}

/// The ids that were granted last, with their tokens.
fn granted(manager: &mut Manager) -> Vec<(String, u64)> {
    let mut last = Vec::new();
    while let Some(event) = manager.0.poll_event() {
        if let Event::Request { outcome: Outcome::Granted { id, token, more, .. }, .. } = event {
            last = vec![(id.to_string(), token)];
            last.extend(more.iter().map(|(id, token)| (id.to_string(), *token)));
        }
    }
    last
}

fn ids(granted: &[(String, u64)]) -> Vec<&str> {
    granted.iter().map(|(id, _)| &**id).collect()
}

/// The claim that request 1 holds a and b.
fn held_ab(tokens: &[u64]) -> Claim<'_> {
    let state = Claimed::Held { token: tokens[0] };
    Claim { request: 1, ask: AB, state, more_tokens: &tokens[1..] }
}

fn waiting_ab(place: Option<u64>) -> Claim<'static> {
    Claim { ask: AB, ..waiting(1, place) }
}

fn deadlock(link: Link, request: RequestId, circle: &[(Link, &str)]) -> Said {
    let wait = |(link, id): &(Link, &str)| (link.session().get(), (*id).to_owned());
    Deadlock(link.session().get(), request, circle.iter().map(wait).collect())
}

#[test]
fn several_ids_are_granted_once_with_a_token_each() {
    let (mut manager, [first, ..]) = three();
    manager.lock(0, first, 1, all("c", &["a", "b"]));
    let said = granted(&mut manager);
    assert_eq!(ids(&said), ["c", "a", "b"], "in the order of the request");
    for (id, token) in &said {
        let holder = manager.0.holders(id).next().unwrap();
        assert_eq!((holder.session, holder.request, holder.token), (first.session(), 1, *token));
    }
}

#[test]
fn it_holds_each_id_from_its_turn_on_and_is_granted_with_the_last() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, one("a"));
    manager.lock(0, third, 1, one("c"));
    manager.lock(0, second, 1, all("a", &["b", "c"]));
    manager.said();
    assert_eq!(users(&manager, "a"), (vec![1], vec![2]));
    assert_eq!(users(&manager, "b"), (vec![2], vec![]), "it is free");
    assert_eq!(users(&manager, "c"), (vec![3], vec![2]));
    manager.cancel(0, first, 1);
    assert_eq!(manager.said(), [Released(1, 1)], "one more id is nothing to tell");
    assert_eq!(users(&manager, "a"), (vec![2], vec![]));
    manager.cancel(0, third, 1);
    assert_eq!(manager.said(), [Released(3, 1), Granted(2, 1)]);
    assert_eq!(users(&manager, "c"), (vec![2], vec![]));
}

#[test]
fn a_release_that_frees_the_last_two_grants_once() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, AB);
    let tokens = granted(&mut manager);
    manager.lock(0, second, 1, all("b", &["a"]));
    manager.lock(0, third, 1, one("a"));
    assert_eq!(manager.said(), [Queued(2, 1, 1), Queued(3, 1, 2)]);
    manager.release(0, first, 1, tokens[0].1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
    assert_eq!(users(&manager, "a"), (vec![2], vec![3]));
}

#[test]
fn tokens_of_each_id_rise() {
    let (mut manager, [first, second, _]) = three();
    manager.lock(0, first, 1, AB);
    let before = granted(&mut manager);
    manager.lock(0, second, 1, all("b", &["a"]));
    manager.cancel(0, first, 1);
    let after = granted(&mut manager);
    assert_eq!(ids(&after), ["b", "a"]);
    assert!(after[0].1 > before[1].1 && after[1].1 > before[0].1, "{before:?}, {after:?}");
}

/// Each holds one and wants the other, if the ids are taken one after the other.
#[test]
fn opposite_orders_do_not_wait_for_each_other() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, third, 1, all("a", &["b"]));
    manager.lock(0, first, 1, all("a", &["b"]));
    manager.lock(0, second, 1, all("b", &["a"]));
    manager.said();
    manager.cancel(0, third, 1);
    assert_eq!(manager.said(), [Released(3, 1), Granted(1, 1)]);
    assert_eq!(users(&manager, "b"), (vec![1], vec![2]));
    manager.cancel(0, first, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
}

/// A few hundred of them over six ids, in any order and mode: each is served, without an owner.
#[test]
fn such_requests_alone_are_all_served() {
    const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let mut manager = Manager::new();
    let session = manager.open();
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    for request in 0..300 {
        let ids: Vec<_> = (0..1 + random() % 4).map(|_| IDS[random() % IDS.len()]).collect();
        let mode = if random() % 3 == 0 { Mode::Shared } else { Mode::Exclusive };
        manager.lock(0, session, request, Ask { mode, ..all(ids[0], &ids[1..]) });
    }
    let mut served = 0;
    loop {
        let said = manager.said();
        let granted = said.iter().filter_map(|said| {
            let Granted(_, request) = said else { return None };
            Some(*request)
        });
        let granted: Vec<_> = granted.collect();
        if granted.is_empty() {
            break;
        }
        served += granted.len();
        granted.into_iter().for_each(|request| manager.cancel(0, session, request));
    }
    assert_eq!((served, manager.0.ids().count()), (300, 0));
}

#[test]
fn nobody_overtakes_it_at_any_of_its_ids() {
    let (mut manager, [_, second, third]) = half_way();
    manager.lock(0, third, 1, one("a"));
    manager.lock(0, third, 2, Ask { mode: Mode::Shared, ..one("b") });
    manager.lock(0, third, 3, all("b", &["c"]));
    manager.said();
    assert_eq!(users(&manager, "a"), (vec![2], vec![3]));
    assert_eq!(users(&manager, "b"), (vec![1], vec![2, 3, 3]));
    manager.cancel(0, second, 1);
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::Cancelled), Granted(3, 1)]);
}

#[test]
fn it_overtakes_nobody() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, one("b"));
    manager.lock(0, second, 1, one("b"));
    manager.lock(0, third, 1, AB);
    manager.said();
    manager.cancel(0, first, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
    assert_eq!(users(&manager, "b"), (vec![2], vec![3]));
}

#[test]
fn those_who_share_all_ids_hold_together() {
    let (mut manager, [first, second, third]) = three();
    let shared = Ask { mode: Mode::Shared, ..AB };
    manager.lock(0, first, 1, shared);
    manager.lock(0, second, 1, Ask { mode: Mode::Shared, ..all("b", &["c"]) });
    manager.lock(0, third, 1, one("b"));
    manager.lock(0, third, 2, shared);
    assert_eq!(
        manager.said(),
        [Granted(1, 1), Granted(2, 1), Queued(3, 1, 1), Queued(3, 2, 2)],
        "the last one does not overtake at b"
    );
    assert_eq!(users(&manager, "a"), (vec![1, 3], vec![]));
    assert_eq!(users(&manager, "b"), (vec![1, 2], vec![3, 3]));
}

#[test]
fn an_id_that_is_named_twice_is_held_once() {
    let (mut manager, [first, second, _]) = three();
    let ask = all("a", &["b", "a", "b", "c"]);
    manager.lock(0, first, 1, ask);
    let said = granted(&mut manager);
    assert_eq!(ids(&said), ["a", "b", "c"]);
    assert_eq!(users(&manager, "b"), (vec![1], vec![]));
    manager.lock(0, first, 1, all("a", &["b", "c"]));
    assert_eq!(granted(&mut manager), said, "it is the same request");
    manager.lock(0, second, 1, ask);
    assert_eq!(users(&manager, "b"), (vec![1], vec![2]));
    manager.cancel(0, first, 1);
    assert_eq!(manager.said(), [Queued(2, 1, 1), Released(1, 1), Granted(2, 1)]);
}

#[test]
fn no_id_at_all_and_an_empty_one_are_refused() {
    let (mut manager, [first, ..]) = three();
    manager.lock(0, first, 1, one(""));
    manager.lock(0, first, 2, all("a", &[""]));
    let too_long = "x".repeat(1025);
    manager.lock(0, first, 3, all("a", &["b", &too_long]));
    let refused = Refusal::IdTooLong { length: 1025, limit: 1024 };
    assert_eq!(
        manager.said(),
        [Refused(1, 1, Refusal::IdEmpty), Refused(1, 2, Refusal::IdEmpty), Refused(1, 3, refused)]
    );
    assert_eq!(manager.0.ids().count(), 0);
}

#[test]
fn a_request_has_a_thousand_ids_by_default() {
    let (mut manager, [first, ..]) = three();
    let ids: Vec<_> = (0..1001).map(|number| number.to_string()).collect();
    let ids: Vec<_> = ids.iter().map(|id| &**id).collect();
    manager.lock(0, first, 1, all(ids[0], &ids[1..1000]));
    assert_eq!(granted(&mut manager).len(), 1000);
    manager.lock(0, first, 2, all(ids[0], &ids[1..]));
    let refusal = Refusal::TooManyIdsOfRequest { count: 1001, limit: 1000 };
    assert_eq!(refusal.to_string(), "the request is for 1001 ids; the limit is 1000");
    assert_eq!(manager.said(), [Refused(1, 2, refusal)]);
}

#[test]
fn each_id_counts_as_one_in_use() {
    let mut manager = Manager::with(|limits| limits.ids = 3);
    let session = manager.open();
    manager.lock(0, session, 1, AB);
    manager.lock(0, session, 2, all("c", &["d"]));
    manager.lock(0, session, 3, all("a", &["c"]));
    manager.lock(0, session, 4, all("d", &["a", "b"]));
    let refused = |request| Refused(1, request, Refusal::TooManyIds { limit: 3 });
    assert_eq!(manager.said(), [Granted(1, 1), refused(2), Queued(1, 3, 1), refused(4)]);
    assert_eq!((users(&manager, "c"), users(&manager, "d")), ((vec![1], vec![]), (vec![], vec![])));
}

#[test]
fn it_counts_as_a_waiter_for_each_id_that_it_waits_for() {
    let (mut manager, sessions) = half_way();
    let status = |manager: &Manager| {
        let status = manager.0.sessions().nth(1).unwrap();
        (manager.0.waiting(), status.waiting, status.requests)
    };
    assert_eq!(status(&manager), (1, 1, 2), "one of two");
    manager.cancel(0, sessions[0], 1);
    assert_eq!(status(&manager), (0, 0, 2));

    for per_session in [false, true] {
        let mut manager = Manager::with(|limits| match per_session {
            false => limits.waiters = 2,
            true => limits.waiters_per_session = 2,
        });
        let [first, second] = [(); 2].map(|()| manager.open());
        manager.lock(0, first, 1, all("a", &["b", "c"]));
        manager.lock(0, second, 1, all("a", &["b", "c", "d"]));
        manager.lock(0, second, 2, all("a", &["b", "d"]));
        let (Refusal::TooManyWaiters { limit } | Refusal::TooManyWaitersOfSession { limit }) =
            (match &manager.said()[..] {
                [Granted(1, 1), Refused(2, 1, refusal), Queued(2, 2, 1)] => refusal.clone(),
                said => panic!("{said:?}"),
            })
        else {
            panic!("it is refused for something else")
        };
        assert_eq!((limit, manager.0.waiting()), (2, 2));
        assert_eq!(users(&manager, "d"), (vec![2], vec![]), "of the second one alone");
    }
}

#[test]
fn it_counts_as_a_request_for_each_id() {
    let mut manager = Manager::with(|limits| limits.requests_per_session = 3);
    let session = manager.open_leased(0);
    manager.lock(0, session, 1, AB);
    manager.lock(0, session, 2, all("c", &["d"]));
    manager.lock(0, session, 3, one("c"));
    let refused = Refused(1, 2, Refusal::TooManyRequests { limit: 3 });
    assert_eq!(manager.said(), [Granted(1, 1), refused, Granted(1, 3)]);
    manager.cancel(0, session, 1);
    manager.lock(0, session, 2, all("a", &["d"]));
    assert_eq!(manager.said(), [Released(1, 1), Granted(1, 2)]);
}

#[test]
fn a_try_has_all_or_nothing() {
    let (mut manager, [first, second, _]) = three();
    let try_all = |ask| Ask { wait_limit: seconds(0), ..ask };
    manager.lock(0, first, 1, one("b"));
    manager.lock(0, second, 1, try_all(all("a", &["b", "c"])));
    assert_eq!(manager.said(), [Granted(1, 1), Refused(2, 1, Refusal::Busy)]);
    assert_eq!(manager.0.ids().count(), 1, "nothing is left behind");
    manager.lock(0, second, 1, try_all(all("a", &["c"])));
    assert_eq!(manager.said(), [Granted(2, 1)]);
    // Whoever waits is ahead, also of one that would share.
    manager.lock(0, first, 2, one("c"));
    manager.lock(0, first, 3, Ask { mode: Mode::Shared, ..one("d") });
    manager.lock(0, second, 2, try_all(Ask { mode: Mode::Shared, ..all("d", &["c"]) }));
    assert_eq!(manager.said()[2..], [Refused(2, 2, Refusal::Busy)]);
    assert_eq!(users(&manager, "d"), (vec![1], vec![]));
}

#[test]
fn sharing_several_ids_overtakes_nobody_who_waits_for_one_of_them() {
    let (mut manager, [first, second, third]) = three();
    let shared = |ask| Ask { mode: Mode::Shared, ..ask };
    manager.lock(0, first, 1, shared(one("b")));
    manager.lock(0, second, 1, one("b"));
    assert_eq!(manager.said(), [Granted(1, 1), Queued(2, 1, 1)]);
    manager.lock(0, third, 1, Ask { wait_limit: seconds(0), ..shared(AB) });
    assert_eq!(manager.said(), [Refused(3, 1, Refusal::Busy)]);
    assert_eq!(manager.0.ids().count(), 1, "nothing is left behind");
    manager.lock(0, third, 1, shared(AB));
    assert_eq!(manager.said(), [Queued(3, 1, 2)]);
    assert_eq!(users(&manager, "b"), (vec![1], vec![2, 3]));
}

#[test]
fn a_release_ends_all_of_it_in_one_step() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, AB);
    let tokens = granted(&mut manager);
    manager.lock(0, second, 1, one("a"));
    manager.lock(0, third, 1, one("b"));
    manager.said();
    manager.release(0, first, 1, tokens[1].1);
    let (given, held) = (tokens[1].1, tokens[0].1);
    assert_eq!(manager.said(), [Refused(1, 1, Refusal::WrongToken { given, held })]);
    manager.release(0, first, 1, tokens[0].1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1), Granted(3, 1)]);
}

#[test]
fn what_is_not_granted_yet_cannot_be_released() {
    let (mut manager, [_, second, _]) = half_way();
    let token = manager.0.holders("a").next().unwrap().token;
    manager.release(0, second, 1, token);
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::NotHeld { request: 1 })]);
    assert_eq!(manager.0.release_id(common::manager::second(0), second, "a"), Ok(false));
    assert_eq!(users(&manager, "a"), (vec![2], vec![]), "it still holds its place");
}

#[test]
fn releasing_one_id_by_name_releases_all() {
    let (mut manager, [first, second, _]) = three();
    manager.lock(0, first, 1, AB);
    manager.lock(0, second, 1, one("a"));
    manager.said();
    assert_eq!(manager.0.release_id(common::manager::second(0), first, "b"), Ok(true));
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
    assert_eq!(users(&manager, "b"), (vec![], vec![]));
}

/// Scenario 12: `lock_all` cancelled half-way.
#[test]
fn cancelled_half_way_it_leaves_nothing_and_passes_on_what_it_held() {
    let (mut manager, [first, second, third]) = half_way();
    manager.lock(0, third, 1, one("a"));
    manager.lock(0, third, 2, one("b"));
    manager.said();
    manager.cancel(0, second, 1);
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::Cancelled), Granted(3, 1)]);
    manager.cancel(0, first, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(3, 2)], "its place at b is gone, too");
}

#[test]
fn the_wait_limit_counts_until_all_are_held() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, one("a"));
    manager.lock(0, third, 1, one("b"));
    manager.lock(1, second, 1, Ask { wait_limit: seconds(5), ..AB });
    manager.lock(1, first, 2, one("a"));
    manager.cancel(3, first, 1);
    manager.said();
    manager.timeout(5);
    assert!(manager.said().is_empty(), "a turn at one of them is not the end of the wait");
    manager.timeout(6);
    let limit = Refusal::WaitLimit { limit: Duration::from_secs(5) };
    assert_eq!(manager.said(), [Refused(2, 1, limit), Granted(1, 2)]);
    assert_eq!(users(&manager, "b"), (vec![3], vec![]));
    assert_eq!(manager.0.poll_timeout(), None);
}

#[test]
fn the_hold_limit_counts_from_the_last_turn_and_ends_all() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, one("b"));
    manager.lock(0, second, 1, Ask { hold_limit: seconds(10), ..AB });
    manager.lock(0, third, 1, one("a"));
    assert_eq!(manager.0.poll_timeout(), None, "it holds a and waits for b");
    manager.cancel(7, first, 1);
    manager.said();
    manager.timeout(16);
    assert!(manager.said().is_empty());
    manager.timeout(17);
    let limit = Refusal::HoldLimit { limit: Duration::from_secs(10) };
    assert_eq!(manager.said(), [Revoked(2, 1, limit), Granted(3, 1)]);
    assert_eq!(users(&manager, "b"), (vec![], vec![]));
}

#[test]
fn an_administrator_ends_all_of_it_by_its_number_or_one_of_its_ids() {
    let ended = || Refusal::Administrator { note: "note".into() };
    let now = common::manager::second(0);
    for by_id in [false, true] {
        let revoke = |manager: &mut Manager, link: Link, id| match by_id {
            false => assert!(manager.0.revoke(now, link.session(), 1, "note")),
            true => assert_eq!(manager.0.revoke_id(now, id, "note"), 1),
        };
        let (mut manager, [_, second, third]) = half_way();
        manager.lock(0, third, 1, one("a"));
        manager.said();
        revoke(&mut manager, second, "a");
        manager.0.check();
        assert_eq!(manager.said(), [Refused(2, 1, ended()), Granted(3, 1)], "half-way");
        assert_eq!(users(&manager, "b"), (vec![1], vec![]));

        let (mut manager, [first, second, _]) = three();
        manager.lock(0, first, 1, AB);
        manager.lock(0, second, 1, one("a"));
        manager.said();
        revoke(&mut manager, first, "b");
        manager.0.check();
        assert_eq!(manager.said(), [Revoked(1, 1, ended()), Granted(2, 1)]);
        assert_eq!(users(&manager, "b"), (vec![], vec![]));
    }
}

/// What the first of the two lets hold has a limit that has passed at once.
#[test]
fn revoking_an_id_looks_at_the_clock_once() {
    let (mut manager, [first, second, third]) = three();
    let shared = |ask| Ask { mode: Mode::Shared, ..ask };
    manager.lock(0, first, 1, shared(all("b", &["a"])));
    manager.lock(0, second, 1, shared(one("b")));
    manager.lock(0, third, 1, Ask { hold_limit: seconds(0), ..one("a") });
    manager.said();
    let now = common::manager::second(0);
    assert_eq!(manager.0.revoke_id(now, "b", "note"), 2);
    let ended = || Refusal::Administrator { note: "note".into() };
    assert_eq!(manager.said(), [Revoked(1, 1, ended()), Granted(3, 1), Revoked(2, 1, ended())]);
    manager.timeout(0);
    let limit = Refusal::HoldLimit { limit: Duration::ZERO };
    assert_eq!(manager.said(), [Revoked(3, 1, limit)]);
}

#[test]
fn expired_half_way_it_leaves_nothing() {
    let mut manager = Manager::new();
    let [first, second, third] = [(); 3].map(|()| manager.open_leased(0));
    manager.lock(0, first, 1, one("b"));
    manager.lock(0, second, 1, AB);
    manager.lock(0, third, 1, all("a", &["b"]));
    manager.said();
    manager.keep_alive(9, first);
    manager.keep_alive(9, third);
    manager.timeout(10);
    assert_eq!(manager.said(), [Ended(2, expired(second.session()))]);
    assert_eq!(users(&manager, "a"), (vec![3], vec![]));
    assert_eq!(users(&manager, "b"), (vec![1], vec![3]));
    manager.close(10, first);
    assert_eq!(manager.said(), [Granted(3, 1)]);
}

#[test]
fn closing_a_session_hands_none_of_its_own_requests_a_turn() {
    let (mut manager, [first, second, _]) = three();
    manager.lock(0, second, 1, one("c"));
    for (request, ask) in (1..).zip([one("b"), AB, all("a", &["c"]), all("b", &["c", "a"])]) {
        manager.lock(0, first, request, ask);
    }
    manager.lock(0, second, 2, all("a", &["b"]));
    manager.said();
    manager.close(0, first);
    assert_eq!(manager.said(), [Granted(2, 2)]);
    assert_eq!(manager.0.ids().count(), 3);
}

/// Without an owner, it holds a and waits for c all the same.
#[test]
fn what_it_holds_while_it_waits_closes_circles() {
    let (mut manager, [first, second, third]) = three();
    manager.lock(0, first, 1, owned(one("c")));
    manager.lock(0, second, 1, all("a", &["c"]));
    manager.said();
    manager.lock(0, first, 2, owned(one("a")));
    assert_eq!(manager.said(), [deadlock(first, 2, &[(first, "a"), (second, "c")])]);
    // Over a second one, which waits for the first at a.
    manager.lock(0, third, 1, all("b", &["a"]));
    manager.said();
    manager.lock(0, first, 2, owned(one("b")));
    let circle = [(first, "b"), (third, "a"), (second, "c")];
    assert_eq!(manager.said(), [deadlock(first, 2, &circle)]);
    manager.cancel(0, first, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)], "nothing else has changed");
}

/// Two of them, each with an id of another single-id owner's way.
#[test]
fn two_of_them_and_two_owners_make_a_circle() {
    let (mut manager, [first, second, third]) = three();
    let fourth = manager.open();
    manager.lock(0, first, 1, owned(one("c")));
    manager.lock(0, second, 1, owned(one("d")));
    manager.lock(0, third, 1, all("a", &["c"]));
    manager.lock(0, fourth, 1, all("b", &["d"]));
    manager.lock(0, first, 2, owned(one("b")));
    manager.said();
    manager.lock(0, second, 2, owned(one("a")));
    let circle = [(second, "a"), (third, "c"), (first, "b"), (fourth, "d")];
    assert_eq!(manager.said(), [deadlock(second, 2, &circle)]);
}

#[test]
fn a_refusal_for_a_circle_leaves_nothing_behind() {
    let (mut manager, [first, second, _]) = three();
    manager.lock(0, first, 1, owned(one("a")));
    manager.lock(0, second, 1, owned(one("b")));
    manager.lock(0, second, 2, owned(one("a")));
    manager.said();
    manager.lock(0, first, 2, owned(all("c", &["b", "d"])));
    assert_eq!(manager.said(), [deadlock(first, 2, &[(first, "b"), (second, "a")])]);
    assert_eq!(users(&manager, "b"), (vec![2], vec![]));
    assert_eq!(manager.0.ids().count(), 2, "c and d are free");
}

#[test]
fn it_cannot_wait_for_its_own_owner() {
    let (mut manager, [first, ..]) = three();
    manager.lock(0, first, 1, owned(one("a")));
    manager.lock(0, first, 2, owned(all("c", &["b"])));
    manager.said();
    manager.lock(0, first, 3, owned(all("d", &["a"])));
    assert_eq!(manager.said(), [deadlock(first, 3, &[(first, "a")])]);
    manager.lock(0, first, 3, owned(all("e", &["f"])));
    assert_eq!(manager.said(), [Granted(1, 3)]);
}

#[test]
fn repeating_it_repeats_its_answer() {
    let (mut manager, [first, second, _]) = half_way();
    manager.lock(0, second, 1, AB);
    assert_eq!(manager.said(), [Queued(2, 1, 1)]);
    manager.cancel(0, first, 1);
    let before = granted(&mut manager);
    manager.lock(0, second, 1, AB);
    assert_eq!(granted(&mut manager), before);
    for other in [one("a"), all("b", &["a"]), all("a", &["c"]), all("a", &["b", "c"])] {
        manager.lock(0, second, 1, other);
        assert_eq!(manager.said(), [Refused(2, 1, Refusal::RequestInUse { request: 1 })]);
    }
}

/// As [`half_way`], with leases.
fn leased_half_way() -> (Manager, [Link; 2]) {
    let mut manager = Manager::new();
    let sessions = [(); 2].map(|()| manager.open_leased(0));
    manager.lock(0, sessions[0], 1, one("b"));
    manager.lock(0, sessions[1], 1, AB);
    manager.said();
    (manager, sessions)
}

#[test]
fn resumed_half_way_it_keeps_what_it_holds_and_its_place() {
    let (mut manager, [first, second]) = leased_half_way();
    manager.detach(1, second);
    manager.lock(2, first, 2, one("a"));
    manager.resume(3, second.session(), 1, &[waiting_ab(None)]).unwrap();
    assert_eq!(manager.said(), [Queued(1, 2, 1), Queued(2, 1, 1)]);
    assert_eq!(users(&manager, "a"), (vec![2], vec![1]));
    manager.cancel(4, first, 1);
    assert_eq!(manager.said(), [Released(1, 1), Granted(2, 1)]);
}

#[test]
fn what_is_held_is_told_again_with_all_tokens() {
    let (mut manager, [first, second]) = leased_half_way();
    manager.detach(1, second);
    manager.cancel(1, first, 1);
    let tokens = granted(&mut manager);
    let link = manager.resume(2, second.session(), 1, &[waiting_ab(None)]).unwrap();
    assert_eq!(granted(&mut manager), tokens, "the turn came meanwhile");
    manager.detach(3, link);
    let known: Vec<_> = tokens.iter().map(|(_, token)| *token).collect();
    manager.resume(4, second.session(), 2, &[held_ab(&known)]).unwrap();
    assert_eq!(granted(&mut manager), tokens);
}

#[test]
fn a_claim_that_does_not_fit_is_not_that_hold() {
    let wrong: [fn(u64, u64) -> Vec<u64>; 4] =
        [|a, b| vec![a, b + 1], |a, b| vec![a + 1, b], |a, _| vec![a], |a, b| vec![a, b, b]];
    for wrong in wrong {
        let mut manager = Manager::new();
        let session = manager.open_leased(0);
        manager.lock(0, session, 1, AB);
        let tokens = granted(&mut manager);
        manager.detach(1, session);
        let wrong = wrong(tokens[0].1, tokens[1].1);
        manager.resume(2, session.session(), 1, &[held_ab(&wrong)]).unwrap();
        assert_eq!(manager.said(), [Revoked(1, 1, Refusal::NotHeld { request: 1 })], "{wrong:?}");
        assert_eq!(manager.0.ids().count(), 0);
    }
}

#[test]
fn half_way_it_cannot_be_claimed_as_held() {
    let (mut manager, [_, second]) = leased_half_way();
    let token = manager.0.holders("a").next().unwrap().token;
    manager.resume(1, second.session(), 1, &[held_ab(&[token, token + 1])]).unwrap();
    let (over, lost) = (Ended(2, stale(second.session())), Refusal::NotHeld { request: 1 });
    assert_eq!(manager.said(), [over, Revoked(2, 1, lost)]);
    assert_eq!(users(&manager, "a"), (vec![], vec![]));
}

#[test]
fn what_is_not_claimed_any_more_ends_at_all_ids() {
    let (mut manager, [first, second]) = leased_half_way();
    manager.lock(0, first, 2, one("a"));
    manager.said();
    manager.detach(1, second);
    manager.resume(2, second.session(), 1, &[]).unwrap();
    assert_eq!(manager.said(), [Refused(2, 1, Refusal::Cancelled), Granted(1, 2)]);
    assert_eq!(users(&manager, "b"), (vec![1], vec![]));
}

#[test]
fn a_lost_request_for_several_joins() {
    let mut manager = Manager::new();
    let session = manager.open_leased(0);
    manager.detach(0, session);
    manager.resume(1, session.session(), 1, &[waiting_ab(None)]).unwrap();
    assert_eq!(ids(&granted(&mut manager)), ["a", "b"]);
}

/// A first run, in which one session held a and b, a second one waited for b and so held c, and a third
/// one waited for c: the sessions, the tokens of the first, the places of the others.
fn before() -> ([SessionId; 3], [u64; 2], [u64; 2]) {
    let mut manager = Manager::recover(0, 1);
    manager.timeout(10);
    let sessions = [(); 3].map(|()| manager.open_leased(10));
    manager.lock(10, sessions[0], 1, AB);
    let tokens: Vec<_> = granted(&mut manager).iter().map(|(_, token)| *token).collect();
    manager.lock(10, sessions[1], 1, all("b", &["c"]));
    manager.lock(10, sessions[2], 1, one("c"));
    let events = std::iter::from_fn(|| manager.0.poll_event());
    let places = events.filter_map(|event| {
        let Event::Request { outcome: Outcome::Queued { place, .. }, .. } = event else {
            return None;
        };
        Some(place)
    });
    let places: Vec<_> = places.collect();
    (sessions.map(Link::session), tokens.try_into().unwrap(), places.try_into().unwrap())
}

#[test]
fn a_restart_keeps_what_it_held() {
    let ([first, ..], tokens, _) = before();
    let mut manager = Manager::recover(0, 2);
    let link = manager.resume(1, first, 1, &[held_ab(&tokens)]).unwrap();
    let told = granted(&mut manager);
    assert_eq!(told, [("a".to_owned(), tokens[0]), ("b".to_owned(), tokens[1])]);
    assert_eq!(users(&manager, "b"), (vec![first.get()], vec![]));
    manager.timeout(10);
    manager.release(10, link, 1, tokens[0]);
    assert_eq!(manager.said(), [Released(first.get(), 1)]);
    assert_eq!(manager.0.ids().count(), 0);
}

#[test]
fn after_a_restart_one_that_held_some_waits_at_its_place() {
    let ([first, second, third], tokens, places) = before();
    let mut manager = Manager::recover(0, 2);
    // They come back in another order.
    let one_c = Claim { ask: one("c"), ..waiting(1, Some(places[1])) };
    manager.resume(1, third, 1, &[one_c]).unwrap();
    let both = Claim { ask: all("b", &["c"]), ..waiting(1, Some(places[0])) };
    manager.resume(2, second, 1, &[both]).unwrap();
    let link = manager.resume(3, first, 1, &[held_ab(&tokens)]).unwrap();
    manager.said();
    assert_eq!(users(&manager, "c"), (vec![], vec![]), "nobody has a turn in the window");
    manager.timeout(10);
    assert_eq!(users(&manager, "c"), (vec![second.get()], vec![third.get()]));
    assert!(manager.said().is_empty(), "it waits for b");
    manager.release(10, link, 1, tokens[0]);
    assert_eq!(manager.said(), [Released(first.get(), 1), Granted(second.get(), 1)]);
}

#[test]
fn a_later_hold_of_one_id_ends_a_claim_of_several() {
    let ([first, second, _], tokens, _) = before();
    let (a, b) = (first.get(), second.get());
    let later = tokens[1] + 1;
    let claims = [Claim { ask: one("b"), ..common::manager::held(1, later) }];
    let lost = Revoked(a, 1, Refusal::LaterHold { token: later });
    let mut manager = Manager::recover(0, 2);
    manager.resume(1, second, 1, &claims).unwrap();
    manager.resume(2, first, 1, &[held_ab(&tokens)]).unwrap();
    assert_eq!(manager.said(), [Granted(b, 1), lost.clone()]);
    let mut manager = Manager::recover(0, 2);
    manager.resume(1, first, 1, &[held_ab(&tokens)]).unwrap();
    manager.resume(2, second, 1, &claims).unwrap();
    assert_eq!(manager.said(), [Granted(a, 1), lost, Granted(b, 1)]);
    assert_eq!(manager.0.ids().map(|(id, _)| id).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_claim_of_several_ends_earlier_holds_of_each() {
    let ([first, second, third], tokens, _) = before();
    let mut manager = Manager::recover(0, 2);
    for (session, id, token) in [(second, "a", tokens[0] - 1), (third, "b", tokens[1] - 1)] {
        let claim = Claim { ask: one(id), ..common::manager::held(1, token) };
        manager.resume(1, session, 1, &[claim]).unwrap();
    }
    manager.said();
    manager.resume(2, first, 1, &[held_ab(&tokens)]).unwrap();
    let lost = |session: SessionId, token| Revoked(session.get(), 1, Refusal::LaterHold { token });
    assert_eq!(
        manager.said(),
        [lost(second, tokens[0]), lost(third, tokens[1]), Granted(first.get(), 1)]
    );
}

#[test]
fn a_claim_by_tokens_that_were_never_given_is_refused() {
    let ([first, second, third], [a, b], _) = before();
    let mut manager = Manager::recover(0, 2);
    let of_this_run = 2 << 43;
    manager.resume(1, first, 1, &[held_ab(&[a, of_this_run])]).unwrap();
    manager.resume(1, second, 1, &[held_ab(&[a])]).unwrap();
    manager.resume(1, third, 1, &[held_ab(&[a, b, b])]).unwrap();
    let lost = |session: SessionId, reason| Revoked(session.get(), 1, reason);
    let not_held = Refusal::NotHeld { request: 1 };
    assert_eq!(
        manager.said(),
        [
            lost(first, Refusal::TokenNotGiven { token: of_this_run }),
            lost(second, not_held.clone()),
            lost(third, not_held)
        ]
    );
    assert_eq!(manager.0.ids().count(), 0);
}

#[test]
fn a_try_for_several_is_refused_in_the_window_and_leaves_nothing() {
    let mut manager = Manager::recover(0, 2);
    let session = manager.open_leased(0);
    manager.lock(4, session, 1, Ask { wait_limit: seconds(0), ..AB });
    manager.lock(4, session, 2, Ask { wait_limit: seconds(3), ..AB });
    let number = session.session().get();
    let recovering = Refusal::Recovering { remaining: Duration::from_secs(6) };
    assert_eq!(manager.said(), [Refused(number, 1, recovering), Queued(number, 2, 1)]);
    assert_eq!(manager.0.waiting(), 2);
    manager.timeout(7);
    let limit = Refusal::WaitLimit { limit: Duration::from_secs(3) };
    assert_eq!(manager.said(), [Refused(number, 2, limit)]);
    assert_eq!((manager.0.waiting(), manager.0.ids().count()), (0, 0));
}

#[test]
fn the_end_of_the_window_grants_it_or_lets_it_hold_some() {
    let epoch = Epoch::new(2).unwrap();
    let now = common::manager::second(0);
    let mut manager = Manager(LockManager::recover(Limits::default(), epoch, now, LEASE));
    let [first, second] = [(); 2].map(|()| manager.open());
    manager.lock(0, first, 1, AB);
    manager.lock(0, second, 1, all("c", &["b"]));
    manager.said();
    manager.timeout(10);
    let [a, b] = [first, second].map(|link| link.session().get());
    assert_eq!(manager.said(), [Granted(a, 1)]);
    assert_eq!(users(&manager, "c"), (vec![b], vec![]));
    manager.cancel(10, first, 1);
    assert_eq!(manager.said(), [Released(a, 1), Granted(b, 1)]);
}
