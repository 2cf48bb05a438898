//! `LockManager`: what does an administrator see, and what can be ended?

mod common;

use common::manager::{ID, LEASE, Manager, Said::*, exclusive, expired, held, second, shared};
use lockcore::{
    Mode,
    manager::{Holder, Refusal, SessionStatus, Waiter},
};

fn administrator() -> Refusal {
    Refusal::Administrator { note: "maintenance".into() }
}

#[test]
fn holders_and_the_queue_in_its_order_are_seen() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    let [first, second] = [one, two].map(|link| link.session());
    manager.lock(0, two, 1, shared());
    let (_, token) = manager.said_with_token();
    manager.lock(0, one, 1, exclusive());
    manager.lock(0, two, 2, shared());
    let holder = Holder { session: second, request: 1, mode: Mode::Shared, token };
    assert_eq!(manager.0.holders(ID).collect::<Vec<_>>(), [holder]);
    let queue: Vec<_> = manager.0.queue(ID).collect();
    let [Waiter { place, .. }, Waiter { place: behind, .. }] = queue[..] else { panic!() };
    assert!(place < behind);
    assert_eq!(
        queue,
        [
            Waiter { session: first, request: 1, mode: Mode::Exclusive, place },
            Waiter { session: second, request: 2, mode: Mode::Shared, place: behind },
        ]
    );
    assert_eq!((manager.0.holders("other").count(), manager.0.queue("other").count()), (0, 0));
    assert_eq!(manager.0.waiting(), 2);
}

#[test]
fn sessions_are_seen_with_the_end_of_their_leases() {
    let mut manager = Manager::new();
    let [one, two] = [manager.open_leased(0), manager.open()];
    manager.lock(3, one, 1, exclusive());
    manager.lock(3, two, 1, exclusive());
    manager.detach(4, one);
    let lease_end = Some(second(3).after(LEASE));
    let status = |link: lockcore::manager::Link, attached, lease_end, waiting| SessionStatus {
        session: link.session(),
        attached,
        lease_end,
        requests: 1,
        waiting,
    };
    let seen: Vec<_> = manager.0.sessions().collect();
    assert_eq!(seen, [status(one, false, lease_end, 0), status(two, true, None, 1)]);
}

#[test]
fn a_revoked_hold_is_told_with_the_note_and_passes_on() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    for session in [one, two] {
        manager.lock(0, session, 1, exclusive());
    }
    let (_, token) = manager.said_with_token();
    assert!(manager.0.revoke(second(1), one.session(), 1, "maintenance"));
    assert_eq!(manager.said(), [Revoked(1, 1, administrator()), Granted(2, 1)]);
    assert!(!manager.0.revoke(second(1), one.session(), 1, "maintenance"), "it is over");
    manager.release(2, one, 1, token);
    assert_eq!(manager.said(), [Refused(1, 1, Refusal::NotHeld { request: 1 })]);
    assert_eq!(administrator().to_string(), "ended by an administrator: maintenance");
}

#[test]
fn a_revoked_wait_is_refused() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    for session in [one, two] {
        manager.lock(0, session, 1, exclusive());
    }
    manager.said();
    assert!(manager.0.revoke(second(1), two.session(), 1, "maintenance"));
    manager.0.check();
    assert_eq!(manager.said(), [Refused(2, 1, administrator())]);
}

#[test]
fn revoking_an_id_ends_all_its_holds_and_no_other() {
    let mut manager = Manager::new();
    let [one, two, three] = [(); 3].map(|()| manager.open_leased(0));
    for session in [one, two] {
        manager.lock(0, session, 1, shared());
    }
    manager.lock(0, three, 1, exclusive());
    manager.lock(0, three, 2, lockcore::manager::Ask::exclusive("other"));
    manager.said();
    assert_eq!(manager.0.revoke_id(second(1), ID, "maintenance"), 2);
    manager.0.check();
    let revoked = |session| Revoked(session, 1, administrator());
    assert_eq!(manager.said(), [revoked(1), revoked(2), Granted(3, 1)]);
    assert_eq!(manager.0.revoke_id(second(1), "free", "maintenance"), 0);
}

#[test]
fn an_expelled_session_is_over() {
    let mut manager = Manager::new();
    let [one, two] = [(); 2].map(|()| manager.open_leased(0));
    for session in [one, two] {
        manager.lock(0, session, 1, exclusive());
    }
    let (_, token) = manager.said_with_token();
    let session = one.session();
    assert!(manager.0.expel(second(1), session, "maintenance"));
    manager.0.check();
    assert_eq!(manager.said(), [Ended(1, administrator()), Granted(2, 1)]);
    assert_eq!(manager.0.keep_alive(second(1), one), Err(expired(session)));
    assert_eq!(manager.resume(1, session, 1, &[held(1, token)]), Err(expired(session)));
    assert!(!manager.0.expel(second(1), session, "maintenance"));
}
