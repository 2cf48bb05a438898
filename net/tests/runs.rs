//! Clients with many requests for one id, which pass the lock on by themselves.

mod support;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use lockcore_net::{
    Client, ClientOptions, Error, Guard, Refusal,
    proto::v1::{
        self, RequestOfSession, RevokeRequest, claim::State, client_message::Message as Say,
        locks_client::LocksClient, refusal::Reason, revoke_request::Target,
        server_message::Message as Told,
    },
};
use support::{
    RawSession, TestServer, claim, in_time, lock,
    process::Syncer,
    proxy::{Lost, Proxy},
    url, with_short_leases,
};

const ID: &str = "123";
const TO_CLIENT: Lost = Lost { to_server: false, to_client: true };

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Guard, Error>> + Send + 'a>>;

/// A client that holds the id and is promised so many turns of it, and has heard so.
async fn run_of<const COUNT: usize>(client: &Client) -> (Guard, [Waiting<'_>; COUNT]) {
    let held = in_time(client.lock(ID)).await.unwrap();
    let waiting = std::array::from_fn(|_| waits(client));
    heard(client).await;
    (held, waiting)
}

/// Asks for the id, which somebody has.
fn waits(client: &Client) -> Waiting<'_> {
    let mut waiting = Box::pin(client.lock(ID));
    assert!((&mut waiting).now_or_never().is_none());
    waiting
}

/// The client has heard all that the server said before: it hears in order.
async fn heard(client: &Client) {
    drop(in_time(client.lock("probe")).await.unwrap());
}

fn still_waits(waiting: &mut Waiting<'_>) -> bool {
    waiting.now_or_never().is_none()
}

async fn far(server: &TestServer) -> (Proxy, Client) {
    let proxy = Proxy::to(server.address).await;
    let lease = Duration::from_secs(300);
    let client = ClientOptions::new().lease(lease).connect(&url(proxy.address)).await.unwrap();
    (proxy, client)
}

async fn run(session: &mut RawSession) -> v1::Run {
    let told = session.told().await;
    let Told::Run(run) = told else { panic!("it is told {told:?}") };
    run
}

#[tokio::test]
async fn a_run_is_told_with_a_range_of_tokens() {
    let server = TestServer::start().await;
    let mut stranger = RawSession::open(server.address).await;
    stranger.lock(1, ID);
    let token = stranger.granted(1).await;
    let mut session = RawSession::open_with_runs(server.address).await;
    for request in [9, 7, 8] {
        session.lock(request, ID);
    }
    session.handled().await;
    stranger.release(1, token);
    let first = session.granted(9).await;
    assert_eq!(run(&mut session).await, v1::Run { first_token: first + 1, requests: vec![7, 8] });
    session.release(9, first);
    session.release(7, first + 1);
    session.release(8, first + 2);
    for request in [9, 7, 8] {
        session.released(request).await;
    }
    assert_eq!(server.status(ID).await, (0, 0));
}

#[tokio::test]
async fn a_session_that_does_not_ask_for_runs_is_granted_each_turn() {
    let server = TestServer::start().await;
    let mut session = RawSession::open(server.address).await;
    session.lock(1, ID);
    session.lock(2, ID);
    let token = session.granted(1).await;
    session.release(1, token);
    session.released(1).await;
    session.granted(2).await;
}

#[tokio::test]
async fn a_run_is_told_again_on_the_next_connection_and_what_was_passed_on_is_held() {
    let server = TestServer::start().await;
    let mut session = RawSession::open_with_runs(server.address).await;
    for request in 1..=3 {
        session.lock(request, ID);
    }
    let first = session.granted(1).await;
    let runs = [run(&mut session).await, run(&mut session).await];
    assert_eq!(runs.map(|run| run.first_token), [first + 1, first + 2]);
    let claims = vec![claim(2, ID, State::Token(first + 1)), claim(3, ID, State::Place(3))];
    let mut session = session.resume(server.address, 1, claims).await;
    assert_eq!(run(&mut session).await, v1::Run { first_token: first + 2, requests: vec![3] });
    session.released(1).await;
    assert_eq!(session.granted(2).await, first + 1);
    assert_eq!(server.status(ID).await, (1, 1));
}

/// What is given up in between makes a run of those that were told to wait before.
#[tokio::test]
async fn a_run_among_the_answers_to_claims_counts_as_often_as_it_has_requests() {
    let server = TestServer::start().await;
    let mut session = RawSession::open_with_runs(server.address).await;
    session.lock(1, ID);
    let limited = v1::Lock { wait_limit_ms: Some(300_000), ..lock(2, ID) };
    session.say(Say::Lock(limited));
    session.lock(3, ID);
    session.lock(4, ID);
    let token = session.granted(1).await;
    session.handled().await;
    let waits = |request| claim(request, ID, State::Place(0));
    let claims = vec![claim(1, ID, State::Token(token)), waits(3), waits(4)];
    let mut session = session.resume(server.address, 1, claims).await;
    assert_eq!(session.granted(1).await, token);
    assert_eq!(session.refused(2).await, Reason::Cancelled(v1::Nothing {}));
    assert_eq!(run(&mut session).await.requests, [3, 4]);
}

#[tokio::test]
async fn a_lock_is_passed_on_without_a_word_of_the_server() {
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let (first, [second, third]) = run_of(&client).await;
    let near = server.client().await;
    let mut last = waits(&near);
    server.until(ID, 1, 3).await;

    proxy.lose(TO_CLIENT);
    let first_token = first.token();
    drop(first);
    let second = in_time(second).await.unwrap();
    assert!(second.is_held());
    server.until(ID, 1, 2).await; // it has heard of that
    let second_token = second.token();
    drop(second);
    let third = in_time(third).await.unwrap();
    server.until(ID, 1, 1).await;
    assert!(still_waits(&mut last));
    let third_token = third.token();
    drop(third);
    let last = in_time(last).await.unwrap();
    let tokens = [first_token, second_token, third_token, last.token()];
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

#[tokio::test]
async fn a_stranger_in_between_has_its_turn_in_between() {
    let server = TestServer::start().await;
    let (client, near) = (server.client().await, server.client().await);
    let (first, [second]) = run_of(&client).await;
    let mut stranger = waits(&near);
    server.until(ID, 1, 2).await;
    let mut third = waits(&client);
    server.until(ID, 1, 3).await;
    heard(&client).await;

    drop(first);
    let second = in_time(second).await.unwrap();
    assert!(still_waits(&mut third) && still_waits(&mut stranger));
    drop(second);
    let stranger = in_time(stranger).await.unwrap();
    heard(&client).await;
    assert!(still_waits(&mut third));
    drop(stranger);
    in_time(third).await.unwrap().unlock().await.unwrap();
    assert_eq!(server.status(ID).await, (0, 0));
}

#[tokio::test]
async fn a_client_passes_nothing_on_to_or_over_a_request_for_several_ids() {
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let (first, [second]) = run_of(&client).await;
    let mut several: Waiting<'_> = Box::pin(client.lock_all([ID, "other"]));
    assert!(still_waits(&mut several));
    let mut behind = waits(&client);
    server.until(ID, 1, 3).await;
    heard(&client).await;

    proxy.lose(TO_CLIENT);
    drop(first);
    let second = in_time(second).await.unwrap();
    drop(second);
    server.until(ID, 1, 1).await; // the server has given it its turn
    assert!(still_waits(&mut several) && still_waits(&mut behind));
    proxy.cut_and_come_back().await;
    let several = in_time(several).await.unwrap();
    assert_eq!(server.status("other").await, (1, 0));
    assert!(still_waits(&mut behind));
    in_time(several.unlock()).await.unwrap();
    in_time(behind).await.unwrap().unlock().await.unwrap();
    assert_eq!((server.status(ID).await, server.status("other").await), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn a_request_for_several_ids_that_is_dropped_makes_a_run_whole() {
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let (first, []) = run_of(&client).await;
    let mut several: Waiting<'_> = Box::pin(client.lock_all(["other", ID]));
    assert!(still_waits(&mut several));
    let [second, third] = [waits(&client), waits(&client)];
    drop(several);
    heard(&client).await;
    server.until(ID, 1, 2).await;
    assert_eq!(server.status("other").await, (0, 0));

    proxy.lose(TO_CLIENT);
    drop(first);
    drop(in_time(second).await.unwrap());
    assert!(in_time(third).await.unwrap().is_held(), "without a word of the server");
}

#[tokio::test]
async fn who_is_dropped_in_a_run_is_passed_over() {
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let (first, [second, third, fourth]) = run_of(&client).await;
    proxy.lose(TO_CLIENT);
    drop(second);
    drop(first);
    // It has had its turn, and nobody has looked.
    drop(third);
    let fourth = in_time(fourth).await.unwrap();
    server.until(ID, 1, 0).await;
    assert!(fourth.is_held());
}

#[tokio::test]
async fn a_lock_is_passed_on_over_a_broken_line() {
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let near = server.client().await;
    let (first, [second, third]) = run_of(&client).await;
    let mut last = waits(&near);
    server.until(ID, 1, 3).await;

    proxy.cut_for_good();
    let unlocking = first.unlock();
    let mut unlocking = Box::pin(unlocking);
    assert!((&mut unlocking).now_or_never().is_none(), "the server does not know");
    proxy.mend();
    in_time(unlocking).await.unwrap();
    let second = in_time(second).await.unwrap();
    assert!(second.is_held() && still_waits(&mut last));
    proxy.cut_and_come_back().await;
    heard(&client).await;
    assert!(second.is_held());
    let second_token = second.token();
    in_time(second.unlock()).await.unwrap();
    let third = in_time(third).await.unwrap();
    assert!(third.is_held() && third.token() > second_token && still_waits(&mut last));
    in_time(third.unlock()).await.unwrap();
    in_time(last).await.unwrap().unlock().await.unwrap();
    assert_eq!(server.status(ID).await, (0, 0));
}

/// However often the line breaks while many tasks hand one id on: nobody holds beside another, tokens
/// rise, and everybody is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_pass_a_lock_on_over_a_line_that_breaks_again_and_again() {
    const TASKS: u64 = 16;
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let (last, done) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
    let work = |_| {
        let (client, last, done) = (client.clone(), last.clone(), done.clone());
        tokio::spawn(async move {
            let mut holds = 0;
            while !done.load(Ordering::Relaxed) {
                let guard = in_time(client.lock(ID)).await.unwrap();
                let mut last = last.try_lock().expect("one at a time");
                assert!(guard.token() > *last, "tokens rise");
                *last = guard.token();
                holds += 1;
            }
            holds
        })
    };
    let work: Vec<_> = (0..TASKS).map(work).collect();
    for _ in 0..8 {
        proxy.cut_and_come_back().await;
        // Whoever waits before has its turn before.
        drop(in_time(client.lock(ID)).await.unwrap());
    }
    done.store(true, Ordering::Relaxed);
    for holds in in_time(join_all(work)).await {
        assert!(holds.unwrap() > 0, "everybody is served");
    }
    heard(&client).await;
    assert_eq!(server.status(ID).await, (0, 0));
}

#[tokio::test]
async fn nothing_is_passed_on_when_the_lease_has_run_out() {
    let server = TestServer::start_with(with_short_leases()).await;
    let proxy = Proxy::to(server.address).await;
    let options = ClientOptions::new().lease(Duration::from_millis(300));
    let client = options.connect(&url(proxy.address)).await.unwrap();
    let (first, [mut second]) = run_of(&client).await;
    proxy.cut_for_good();
    assert!(matches!(in_time(first.lost()).await, Error::SessionExpired));
    drop(first);
    let refused = in_time(&mut second).await;
    assert!(matches!(refused, Err(Error::SessionExpired)), "{refused:?}");
    server.until(ID, 0, 0).await;
}

/// Its driver has not looked at the clock, and the server is not heard either.
#[tokio::test]
async fn a_client_that_was_stopped_past_its_lease_passes_nothing_on() {
    let server = TestServer::start_with(with_short_leases()).await;
    let lease = Duration::from_millis(400);
    let client = server.client_for(lease).await;
    let (first, [mut second]) = run_of(&client).await;
    thread::sleep(lease);
    drop(first);
    assert!(still_waits(&mut second));
    let refused = in_time(second).await;
    assert!(matches!(refused, Err(Error::SessionExpired)), "{refused:?}");
}

#[tokio::test]
async fn an_administrator_takes_away_what_was_passed_on() {
    let server = TestServer::start().await;
    let (proxy, client) = far(&server).await;
    let (first, [second]) = run_of(&client).await;
    let mut locks = LocksClient::connect(server.url()).await.unwrap();
    let listed = locks.list_ids(v1::ListIdsRequest { prefix: ID.into(), limit: 0 }).await.unwrap();
    let waiter = listed.into_inner().ids[0].queue[0];
    // The server does not hear of the pass, and ends a request that waits.
    proxy.lose(Lost { to_server: true, to_client: false });
    drop(first);
    let second = in_time(second).await.unwrap();
    let target = RequestOfSession { session: waiter.session, request: waiter.request };
    let target = Some(Target::Request(target));
    let revoke = RevokeRequest { target, note: "maintenance".to_owned() };
    assert_eq!(locks.revoke(revoke).await.unwrap().into_inner().ended, 1);
    let lost = in_time(second.lost()).await;
    let note = "maintenance".into();
    let Error::Revoked { reason, .. } = lost else { panic!("it is lost by {lost:?}") };
    assert_eq!(reason, Refusal::Administrator { note });
    assert!(!second.is_held());
}

#[tokio::test]
async fn a_killed_server_takes_no_lock_away_that_was_passed_on() {
    /// Long enough for a server to be started on a busy machine.
    const LEASE: Duration = Duration::from_secs(6);
    let dir = tempfile::tempdir().unwrap();
    let mut syncer = Syncer::start_in(dir.path());
    let proxy = Proxy::to(syncer.address().await).await;
    let options = ClientOptions::new().lease(LEASE);
    let client = options.connect(&url(proxy.address)).await.unwrap();
    let near = options.connect(&url(proxy.address)).await.unwrap();
    let (first, [second, third]) = run_of(&client).await;
    let mut last = waits(&near);
    heard(&near).await;

    // The server has not heard of the pass when it is killed.
    proxy.lose(Lost { to_server: true, to_client: true });
    let first_token = first.token();
    drop(first);
    let second = in_time(second).await.unwrap();
    syncer.kill().await;
    let mut syncer = Syncer::start_in(dir.path());
    proxy.lead_to(syncer.address().await);
    proxy.cut_and_come_back().await;

    // Nobody has a turn before the window is over.
    let newcomer = options.connect(&url(proxy.address)).await.unwrap();
    drop(in_time(newcomer.lock("probe")).await.unwrap());
    assert!(second.is_held() && still_waits(&mut last));
    let second_token = second.token();
    in_time(second.unlock()).await.unwrap();
    let third = in_time(third).await.unwrap();
    assert!(still_waits(&mut last));
    let third_token = third.token();
    in_time(third.unlock()).await.unwrap();
    let last = in_time(last).await.unwrap();
    let tokens = [first_token, second_token, third_token, last.token()];
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

#[tokio::test]
async fn a_client_without_runs_hears_each_turn_from_the_server() {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let options = ClientOptions::new().runs(false).lease(Duration::from_secs(300));
    let client = options.connect(&url(proxy.address)).await.unwrap();
    let (first, [mut second]) = run_of(&client).await;
    proxy.lose(TO_CLIENT);
    drop(first);
    server.until(ID, 1, 0).await;
    assert!(still_waits(&mut second));
    proxy.cut_and_come_back().await;
    assert!(in_time(second).await.unwrap().is_held());
}
