//! What a hub does with sessions, outlets and a state directory.

use std::time::Duration;

use lockcore::manager::{Ask, Claim, Claimed, Open, Resume, Secret};

use super::*;
use crate::{
    outlet::Closed,
    proto::v1::{self, client_message},
};

const LEASE: Duration = Duration::from_secs(10);

const OPEN: Open = Open { lease: LEASE, secret: Secret::new(1), runs: false };

/// A session with its connection.
struct Opened {
    link: Link,
    lease: Duration,
    outlet: Outlet,
}

fn attach(
    hub: &Hub,
    attach: impl FnOnce(&mut LockManager, Time) -> Result<manager::Opened, Refusal>,
) -> Opened {
    hub.act(|desk, now| {
        let opened = attach(&mut desk.manager, now).unwrap();
        let outlet = desk.attach(&opened);
        Opened { link: opened.link, lease: opened.lease, outlet }
    })
}

fn open_for(hub: &Hub, lease: Duration) -> Opened {
    attach(hub, |manager, now| manager.open(now, Open { lease, ..OPEN }))
}

fn open(hub: &Hub) -> Opened {
    open_for(hub, LEASE)
}

#[test]
fn a_closed_session_leaves_nothing_behind() {
    let hub = Hub::new(Limits::default(), UNREAD, None);
    let opened = open(&hub);
    hub.close(opened.link);
    assert_eq!(opened.outlet.read(), Some(Err(Closed::Over)));
    assert!(hub.desk.lock().outlets.is_empty());
    assert_eq!(hub.desk.lock().manager.sessions().len(), 1, "that of the callers");
}

#[test]
fn a_detached_session_waits_for_its_client_and_has_no_outlet() {
    let hub = Hub::new(Limits::default(), UNREAD, None);
    let opened = open(&hub);
    hub.detach(opened.link);
    hub.detach(opened.link);
    assert!(hub.desk.lock().outlets.is_empty());
    assert_eq!(hub.desk.lock().manager.sessions().len(), 2);
}

#[test]
fn a_stale_connection_that_goes_takes_nothing_from_the_one_that_took_over() {
    let hub = Hub::new(Limits::default(), UNREAD, None);
    let Opened { link, .. } = open(&hub);
    let (session, secret, claims) = (link.session(), Secret::new(1), &[]);
    let resume = Resume { session, secret, attempt: 1, lease: LEASE, runs: false, claims };
    let later = attach(&hub, |manager, now| manager.resume(now, resume));
    hub.detach(link);
    hub.ask(|manager, now| manager.lock(now, later.link, 1, Ask::exclusive("123"))).unwrap();
    assert!(matches!(told(&later.outlet), Outcome::Granted { .. }));
    assert!(hub.look(|manager, _| manager.sessions().all(|session| session.attached)));
}

#[test]
fn a_session_that_nobody_was_told_of_ends_with_its_stream() {
    let hub = Hub::new(Limits::default(), UNREAD, None);
    let mut dialogue = hub.begin();
    let open = client_message::Message::Open(v1::Open { lease_ms: 10_000, runs: false });
    let (_, outlet) = hub.hear(&mut dialogue, ClientMessage { message: Some(open) }).unwrap();
    assert!(outlet.is_some());
    hub.part(dialogue.part());
    assert_eq!(hub.look(|manager, _| manager.sessions().len()), 1, "that of the callers");
}

#[test]
fn a_hub_that_shut_down_takes_no_more_and_says_what_that_means() {
    let hub = Hub::new(Limits::default(), UNREAD, None);
    let opened = open(&hub);
    hub.shut_down();
    assert_eq!(hub.hear(&mut hub.begin(), ClientMessage::default()).unwrap_err(), shutting_down());
    let told = opened.outlet.read().unwrap().unwrap();
    assert!(matches!(told, Event::Ended { reason: Refusal::Administrator { .. }, .. }));
    assert_eq!(opened.outlet.read(), Some(Err(Closed::Over)));
    hub.close(opened.link);
    hub.close(opened.link);
}

#[tokio::test]
async fn leases_are_kept_before_anybody_is_told_and_the_directory_is_free_after_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir.path()).unwrap()));
    let opened = open(&hub);
    hub.clone().keep_leases().await.unwrap();
    hub.shut_down();
    assert_eq!(opened.outlet.read(), Some(Err(Closed::Over)), "the session may come back");
    let (state, before) = StateDir::open(dir.path()).unwrap();
    assert_eq!(before.unwrap().longest_lease, LEASE);
    let hub = Hub::new(Limits::default(), UNREAD, Some((state, before)));
    let session = opened.link.session();
    let (secret, claims) = (Secret::new(1), &[]);
    let resume = Resume { session, secret, attempt: 1, lease: LEASE, runs: false, claims };
    assert_eq!(attach(&hub, |manager, now| manager.resume(now, resume)).lease, LEASE);
}

fn restart(hub: Arc<Hub>, dir: &std::path::Path) -> Arc<Hub> {
    hub.shut_down();
    drop(hub);
    Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir).unwrap()))
}

fn resume(hub: &Hub, link: Link, claim: Claim<'_>) -> Outlet {
    let (session, Open { lease, secret, runs }) = (link.session(), OPEN);
    let resume = Resume { session, secret, attempt: 1, lease, runs, claims: &[claim] };
    attach(hub, |manager, now| manager.resume(now, resume)).outlet
}

fn told(outlet: &Outlet) -> Outcome {
    let Event::Request { outcome, .. } = outlet.read().unwrap().unwrap() else { panic!("an end") };
    outcome
}

/// Not promised: nobody was given the id, as far as the server that is started knows.
#[tokio::test]
async fn what_was_revoked_and_is_claimed_after_a_restart_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir.path()).unwrap()));
    let Opened { link, outlet, .. } = open(&hub);
    hub.clone().keep_leases().await.unwrap();
    let ask = Ask::exclusive("123");
    hub.ask(|manager, now| manager.lock(now, link, 1, ask)).unwrap();
    let Outcome::Granted { token, .. } = told(&outlet) else { panic!("not granted") };
    assert_eq!(hub.ask(|manager, now| manager.revoke_id(now, "123", "maintenance")), 1);

    let hub = restart(hub, dir.path());
    let claim = Claim { request: 1, ask, state: Claimed::Held { token }, more_tokens: &[] };
    let told = told(&resume(&hub, link, claim));
    assert!(matches!(told, Outcome::Granted { token: again, .. } if again == token), "{told:?}");
}

/// Not promised: only clients know the places, and this one had not heard of its own.
#[tokio::test]
async fn a_place_that_was_not_told_is_behind_those_that_were_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::new(Limits::default(), UNREAD, Some(StateDir::open(dir.path()).unwrap()));
    let [holder, first, second] = [(); 3].map(|()| open(&hub));
    hub.clone().keep_leases().await.unwrap();
    let ask = Ask::exclusive("123");
    for opened in [&holder, &first, &second] {
        hub.ask(|manager, now| manager.lock(now, opened.link, 1, ask)).unwrap();
    }
    let Outcome::Granted { token, .. } = told(&holder.outlet) else { panic!("not granted") };
    let Outcome::Queued { place, .. } = told(&second.outlet) else { panic!("not queued") };

    let hub = restart(hub, dir.path());
    let claim = |state| Claim { request: 1, ask, state, more_tokens: &[] };
    let _held = resume(&hub, holder.link, claim(Claimed::Held { token }));
    let _first = resume(&hub, first.link, claim(Claimed::Waiting { place: None }));
    let _second = resume(&hub, second.link, claim(Claimed::Waiting { place: Some(place) }));
    let manager = &mut hub.desk.lock().manager;
    manager.handle_timeout(manager.recovers_until().unwrap());
    let queue: Vec<_> = manager.queue("123").map(|waiter| waiter.session).collect();
    assert_eq!(queue, [second.link.session(), first.link.session()]);
}

#[tokio::test]
async fn a_lease_that_nobody_counts_on_any_more_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.shortest_lease = Duration::from_millis(10);
    let hub = Hub::new(limits, UNREAD, Some(StateDir::open(dir.path()).unwrap()));
    let _opened = open_for(&hub, limits.shortest_lease);
    hub.clone().keep_leases().await.unwrap();
    hub.clone().settle().await; // there is no window
    hub.shut_down();

    let (state, before) = StateDir::open(dir.path()).unwrap();
    assert_eq!(before.unwrap().longest_lease, limits.shortest_lease);
    let hub = Hub::new(limits, UNREAD, Some((state, before)));
    hub.clone().settle().await;
    assert_eq!(hub.look(|manager, _| manager.recovers_until()), None);
    hub.shut_down();
    let (_, before) = StateDir::open(dir.path()).unwrap();
    assert_eq!(before.unwrap().longest_lease, Duration::ZERO);
}

/// Lets the session of `link` ask for an id so often that it is told as often.
fn ask_often(hub: &Hub, link: Link, requests: RequestId) -> Result<(), Refusal> {
    let ask = Ask { mode: lockcore::Mode::Shared, ..Ask::exclusive("123") };
    (1..=requests)
        .try_for_each(|request| hub.ask(|manager, now| manager.lock(now, link, request, ask)))
}

#[test]
fn the_stream_that_reads_least_ends_when_too_much_waits() {
    let hub = Hub::new(Limits::default(), 40 * size_of::<Event>(), None);
    let [full, other] = [(); 2].map(|()| open(&hub));
    ask_often(&hub, other.link, 10).unwrap();
    ask_often(&hub, full.link, 20).unwrap();
    assert_eq!(full.outlet.len(), 20, "all of it finds room");
    let cut_off = ask_often(&hub, full.link, 20);
    assert!(matches!(cut_off, Err(Refusal::Stale { .. })), "{cut_off:?}");
    assert_eq!(full.outlet.read(), Some(Err(Closed::Full)));
    assert!(matches!(told(&other.outlet), Outcome::Granted { .. }));
    let attached = hub.look(|manager, _| manager.sessions().filter(|s| s.attached).count());
    assert_eq!(attached, 2, "the callers' and the other");
    let (session, secret, claims) = (full.link.session(), Secret::new(1), &[]);
    let resume = Resume { session, secret, attempt: 1, lease: LEASE, runs: false, claims };
    let resumed = hub.ask(|manager, now| manager.resume(now, resume));
    assert!(resumed.is_ok(), "it has its lease to come back");
}

#[test]
fn a_session_that_expires_unread_leaves_one_word() {
    let hub = Hub::new(Limits::default(), UNREAD, None);
    let opened = open(&hub);
    ask_often(&hub, opened.link, 20).unwrap();
    hub.ask(|manager, now| manager.handle_timeout(now.after(2 * LEASE)));
    assert!(hub.desk.lock().outlets.is_empty());
    assert_eq!(opened.outlet.len(), 1);
    let told = opened.outlet.read();
    let expired = Refusal::SessionExpired { session: opened.link.session() };
    assert_eq!(told, Some(Ok(Event::Ended { link: opened.link, reason: expired })));
}
