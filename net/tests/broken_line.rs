//! Clients whose connection breaks: what was under way is made good on the next one.

mod support;

use std::{future::Future, net::SocketAddr, time::Duration};

use futures::FutureExt;
use lockcore_net::{
    Client, ClientOptions, Error, Limits, Refusal, Server,
    proto::{pb, pb::syncer_client::SyncerClient},
};
use support::{
    TestServer, in_time,
    proxy::{Lost, Proxy},
    url, with_short_leases,
};

const TO_SERVER: Lost = Lost { to_server: true, to_client: false };
const TO_CLIENT: Lost = Lost { to_server: false, to_client: true };

/// A server, a line to it, and a client at its far end whose lease outlives the test.
async fn far() -> (TestServer, Proxy, Client) {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let client = connect(proxy.address, Duration::from_secs(300)).await;
    (server, proxy, client)
}

async fn connect(address: SocketAddr, lease: Duration) -> Client {
    ClientOptions::new().lease(lease).connect(&url(address)).await.unwrap()
}

/// Lets a request be sent, or kept for the next connection.
fn ask(request: &mut (impl Future + Unpin)) {
    assert!(request.now_or_never().is_none());
}

#[tokio::test]
async fn a_cut_costs_neither_holds_nor_places() {
    let (server, proxy, far) = far().await;
    let (near, last) = (server.client().await, server.client().await);
    let held = far.lock("held").await.unwrap();
    let theirs = near.lock("theirs").await.unwrap();
    let mut second = Box::pin(far.lock("theirs"));
    ask(&mut second);
    server.until("theirs", 1, 1).await;
    let mut third = Box::pin(last.lock("theirs"));
    ask(&mut third);
    server.until("theirs", 1, 2).await;

    for _ in 0..3 {
        proxy.cut_and_come_back().await;
    }
    let first = theirs.token();
    theirs.unlock().await.unwrap();
    let second = in_time(second).await.unwrap();
    assert!(second.token() > first);
    assert!(held.is_held());
    let mut third_still_waits = third;
    ask(&mut third_still_waits);
    second.unlock().await.unwrap();
    in_time(third_still_waits).await.unwrap().unlock().await.unwrap();
    held.unlock().await.unwrap();
    assert_eq!(server.status("held").await, (0, 0));
}

#[tokio::test]
async fn what_is_done_while_disconnected_is_made_good() {
    let (server, proxy, far) = far().await;
    let near = server.client().await;
    let _theirs = near.lock("theirs").await.unwrap();
    let dropped = far.lock("dropped").await.unwrap();
    let unlocked = far.lock("unlocked").await.unwrap();
    let mut cancelled = Box::pin(far.lock("theirs"));
    ask(&mut cancelled);
    server.until("theirs", 1, 1).await;

    proxy.cut_for_good();
    drop(dropped);
    drop(cancelled);
    let mut unlocking = Box::pin(unlocked.unlock());
    ask(&mut unlocking);
    let mut asked = Box::pin(far.lock("asked"));
    ask(&mut asked);
    assert_eq!(server.status("dropped").await, (1, 0), "the server cannot know yet");

    proxy.mend();
    in_time(unlocking).await.unwrap();
    assert_eq!(server.status("unlocked").await, (0, 0));
    server.until("dropped", 0, 0).await;
    server.until("theirs", 1, 0).await;
    in_time(asked).await.unwrap().unlock().await.unwrap();
}

/// Scenario 11.
#[tokio::test]
async fn a_request_that_did_not_arrive_is_asked_again() {
    let (server, proxy, far) = far().await;
    proxy.lose(TO_SERVER);
    let mut request = Box::pin(far.lock("123"));
    ask(&mut request);
    proxy.cut_and_come_back().await;
    in_time(request).await.unwrap().unlock().await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn an_unlock_that_did_not_arrive_releases_after_all() {
    let (server, proxy, far) = far().await;
    let guard = far.lock("123").await.unwrap();
    proxy.lose(TO_SERVER);
    let mut unlocking = Box::pin(guard.unlock());
    ask(&mut unlocking);
    proxy.cut_and_come_back().await;
    in_time(unlocking).await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

/// Scenario 5, over two connections: the hold of somebody else is not touched.
#[tokio::test]
async fn an_unlock_whose_answer_was_lost_releases_once() {
    let (server, proxy, far) = far().await;
    let near = server.client().await;
    let guard = far.lock("123").await.unwrap();
    proxy.lose(TO_CLIENT);
    let mut unlocking = Box::pin(guard.unlock());
    ask(&mut unlocking);
    let theirs = in_time(near.lock("123")).await.unwrap();
    proxy.cut_and_come_back().await;
    in_time(unlocking).await.unwrap();
    assert_eq!(server.status("123").await, (1, 0));
    theirs.unlock().await.unwrap();
}

/// Scenario 3.
#[tokio::test]
async fn a_turn_that_did_not_arrive_is_told_again() {
    let (server, proxy, far) = far().await;
    let near = server.client().await;
    let theirs = near.lock("123").await.unwrap();
    let mut request = Box::pin(far.lock("123"));
    ask(&mut request);
    server.until("123", 1, 1).await;
    proxy.lose(TO_CLIENT);
    let first = theirs.token();
    theirs.unlock().await.unwrap();
    assert_eq!(server.status("123").await, (1, 0), "the turn has come");
    ask(&mut request);
    proxy.cut_and_come_back().await;
    let guard = in_time(request).await.unwrap();
    assert_eq!(guard.token(), first + 1);
    guard.unlock().await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

/// Scenarios 1 and 3.
#[tokio::test]
async fn a_turn_that_did_not_arrive_and_was_not_waited_for_passes_on() {
    let (server, proxy, far) = far().await;
    let near = server.client().await;
    let theirs = near.lock("123").await.unwrap();
    let mut request = Box::pin(far.lock("123"));
    ask(&mut request);
    server.until("123", 1, 1).await;
    proxy.silence();
    theirs.unlock().await.unwrap();
    let mut next = Box::pin(near.lock("123"));
    ask(&mut next);
    server.until("123", 1, 1).await;
    drop(request);
    proxy.cut_and_come_back().await;
    in_time(next).await.unwrap().unlock().await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_refusal_that_did_not_arrive_is_told_again() {
    let (server, proxy, far) = far().await;
    let near = server.client().await;
    let _theirs = near.lock("123").await.unwrap();
    let mut request = Box::pin(far.lock_timeout("123", Duration::from_millis(1)));
    proxy.lose(TO_CLIENT);
    ask(&mut request);
    server.until("123", 1, 0).await;
    proxy.cut_and_come_back().await;
    assert!(in_time(request).await.unwrap().is_none());
}

/// Scenario 10: no one closes anything; the client finds out by keep-alives that are not answered.
#[tokio::test]
async fn a_line_that_is_dead_one_way_is_given_up_for_another_in_time() {
    for lost in [TO_SERVER, TO_CLIENT] {
        let server = TestServer::start().await;
        let proxy = Proxy::to(server.address).await;
        let near = server.client().await;
        let far = connect(proxy.address, Duration::from_secs(6)).await;
        let held = far.lock("held").await.unwrap();
        let theirs = near.lock("theirs").await.unwrap();
        let mut request = Box::pin(far.lock("theirs"));
        ask(&mut request);
        server.until("theirs", 1, 1).await;
        let before = proxy.connections();
        proxy.lose(lost);
        theirs.unlock().await.unwrap();
        proxy.until_connections(before + 1).await;
        let guard = in_time(request).await.unwrap();
        assert!(held.is_held(), "{lost:?}");
        guard.unlock().await.unwrap();
        held.unlock().await.unwrap();
    }
}

/// Scenarios 4 and 7, and the promise of all: lost to the one before it is the other's.
#[tokio::test]
async fn an_expired_lease_loses_everything_and_the_next_request_begins_anew() {
    let server = TestServer::start_with(with_short_leases()).await;
    let proxy = Proxy::to(server.address).await;
    let near = server.client().await;
    let far = connect(proxy.address, Duration::from_millis(500)).await;
    let held = far.lock("held").await.unwrap();
    let _theirs = near.lock("theirs").await.unwrap();
    let mut waiting = Box::pin(far.lock("theirs"));
    ask(&mut waiting);

    proxy.cut_for_good();
    let next = in_time(near.lock("held")).await.unwrap();
    assert!(!held.is_held(), "lost before it was given away");
    assert!(next.token() > held.token());
    assert!(matches!(in_time(held.lost()).await, Error::SessionExpired));
    assert!(matches!(in_time(waiting).await, Err(Error::SessionExpired)));
    server.until("theirs", 1, 0).await;

    let error = in_time(far.lock("other")).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. } | Error::Open { .. }), "{error:?}");
    proxy.mend();
    let other = in_time(far.lock("other")).await.unwrap();
    assert!(other.is_held() && !held.is_held());
    assert!(matches!(held.unlock().await, Err(Error::SessionExpired)));
    assert_eq!(server.status("held").await, (1, 0));
    next.unlock().await.unwrap();
}

/// More than the server takes in would cost the session all that it has.
#[tokio::test]
async fn more_than_a_session_may_ask_for_is_refused_while_it_is_cut_off() {
    let mut limits = Limits::default();
    limits.requests_per_session = 2;
    let server = TestServer::start_with(Server::new().limits(limits)).await;
    let proxy = Proxy::to(server.address).await;
    let far = connect(proxy.address, Duration::from_secs(300)).await;
    let held = far.lock("held").await.unwrap();
    proxy.cut_for_good();
    let mut pending = Vec::new();
    let refused = loop {
        // The client may not have noticed the cut yet; what it asks before goes the same way.
        let mut request = Box::pin(far.lock("asked"));
        match (&mut request).now_or_never() {
            Some(refused) => break refused.unwrap_err(),
            None => pending.push(request),
        }
        tokio::task::yield_now().await;
        pending.truncate(1);
    };
    let Error::Refused { reason: Refusal::TooManyRequests { limit: 2 }, .. } = refused else {
        panic!("{refused:?}")
    };
    proxy.mend();
    let asked = in_time(pending.pop().unwrap()).await.unwrap();
    assert!(held.is_held() && asked.is_held());
}

#[tokio::test]
async fn a_client_that_closes_while_cut_off_tells_the_server_once_it_can() {
    let (server, proxy, far) = far().await;
    let guard = far.lock("123").await.unwrap();
    proxy.cut_for_good();
    let mut closing = Box::pin(far.close());
    ask(&mut closing);
    assert!(!guard.is_held());
    assert_eq!(server.status("123").await, (1, 0));
    proxy.mend();
    in_time(closing).await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_client_that_cannot_tell_the_server_says_so() {
    let server = TestServer::start_with(with_short_leases()).await;
    let proxy = Proxy::to(server.address).await;
    let far = connect(proxy.address, Duration::from_millis(300)).await;
    drop(far.lock("123").await.unwrap());
    proxy.cut_for_good();
    let error = in_time(far.close()).await.unwrap_err();
    assert!(matches!(error, Error::NotToldClosed), "{error:?}");
    server.until("123", 0, 0).await;
}

/// The server may have heard the client later than the client knows, and hold for it still.
#[tokio::test]
async fn a_client_whose_lease_ran_out_unheard_does_not_say_that_the_server_knows() {
    let server = TestServer::start_with(with_short_leases()).await;
    let proxy = Proxy::to(server.address).await;
    let far = connect(proxy.address, Duration::from_millis(300)).await;
    let guard = far.lock("123").await.unwrap();
    proxy.cut_for_good();
    assert!(matches!(in_time(guard.lost()).await, Error::SessionExpired));
    let error = in_time(far.close()).await.unwrap_err();
    assert!(matches!(error, Error::NotToldClosed), "{error:?}");
}

/// Only the session that lives can be told of the end.
#[tokio::test]
async fn a_client_that_began_anew_after_its_lease_closes_as_any_other() {
    let server = TestServer::start_with(with_short_leases()).await;
    let proxy = Proxy::to(server.address).await;
    let far = connect(proxy.address, Duration::from_millis(300)).await;
    let guard = far.lock("123").await.unwrap();
    proxy.cut_for_good();
    assert!(matches!(in_time(guard.lost()).await, Error::SessionExpired));
    proxy.mend();
    let other = in_time(far.lock("123")).await.unwrap();
    in_time(far.close()).await.unwrap();
    assert!(!other.is_held());
    assert_eq!(server.status("123").await, (0, 0));
}

/// The last guard and client are dropped while nobody can hear of it.
#[tokio::test]
async fn a_client_dropped_while_cut_off_releases_once_it_can() {
    let (server, proxy, far) = far().await;
    let guard = far.lock("123").await.unwrap();
    proxy.cut_for_good();
    drop((far, guard));
    assert_eq!(server.status("123").await, (1, 0));
    proxy.mend();
    server.until("123", 0, 0).await;
}

#[tokio::test]
async fn a_caller_whose_line_is_cut_leaves_the_queue() {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let holder = server.client().await;
    let guard = holder.lock("123").await.unwrap();
    let mut caller = SyncerClient::connect(url(proxy.address)).await.unwrap();
    let request = pb::LockRequest { id: "123".to_owned(), locktimeout: "1h".to_owned() };
    let waiting = tokio::spawn(async move { caller.lock(request).await });
    server.until("123", 1, 1).await;
    proxy.cut();
    server.until("123", 1, 0).await;
    guard.unlock().await.unwrap();
    assert!(in_time(waiting).await.unwrap().is_err());
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn asking_for_too_much_while_cut_off_costs_what_is_too_much_and_nothing_else() {
    let mut limits = Limits::default();
    limits.requests_per_session = 2;
    let server = TestServer::start_with(Server::new().limits(limits)).await;
    let proxy = Proxy::to(server.address).await;
    let far = connect(proxy.address, Duration::from_secs(3)).await;
    let held = [far.lock("1").await.unwrap(), far.lock("2").await.unwrap()];
    proxy.cut_for_good();
    let mut asked: Vec<_> = ["3", "4", "5"].iter().map(|id| Box::pin(far.lock(id))).collect();
    asked.iter_mut().for_each(ask);
    proxy.mend();
    for asked in asked {
        let error = in_time(asked).await.unwrap_err();
        let Error::Refused { reason: Refusal::TooManyRequests { limit: 2 }, .. } = error else {
            panic!("{error:?}")
        };
    }
    for held in held {
        assert!(held.is_held());
        held.unlock().await.unwrap();
    }
}
