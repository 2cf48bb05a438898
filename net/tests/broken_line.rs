//! Connections that break, and peers that fall silent.

mod support;

use std::time::Duration;

use lockcore_net::{Client, Server, proto::pb::syncer_client::SyncerClient};
use support::{RawSession, TestServer, in_time, proxy::Proxy, url};

/// A server that finds silent peers fast.
async fn watchful() -> TestServer {
    TestServer::start_with(Server::new().keep_alive(Duration::from_millis(100))).await
}

#[tokio::test]
async fn a_cut_connection_releases_and_leaves_the_queues() {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let (mut cut, mut near) = (RawSession::open(proxy.address).await, server.session().await);
    cut.lock(1, "held");
    cut.granted(1).await;
    near.lock(1, "theirs");
    let theirs = near.granted(1).await;
    cut.lock(2, "theirs");
    cut.handled().await;
    near.lock(2, "held");
    near.handled().await;
    proxy.cut();
    near.granted(2).await;
    server.until("theirs", 1, 0).await;
    near.release(1, theirs);
    near.released(1).await;
}

/// Keep-alive pings find a peer that neither answers nor closes.
#[tokio::test]
async fn a_silent_peer_loses_what_it_holds() {
    let server = watchful().await;
    let proxy = Proxy::to(server.address).await;
    let (mut silent, mut near) = (RawSession::open(proxy.address).await, server.session().await);
    silent.lock(1, "123");
    silent.granted(1).await;
    near.lock(1, "123");
    near.handled().await;
    proxy.silence();
    near.granted(1).await;
}

/// Scenario 3: the turn is sent into a line that has gone silent, so nobody ever takes it.
#[tokio::test]
async fn a_turn_sent_to_a_silent_peer_passes_on() {
    let server = watchful().await;
    let proxy = Proxy::to(server.address).await;
    let (mut holder, mut near) = (server.session().await, server.session().await);
    let mut silent = RawSession::open(proxy.address).await;
    holder.lock(1, "123");
    let token = holder.granted(1).await;
    silent.lock(1, "123");
    silent.handled().await;
    near.lock(1, "123");
    near.handled().await;
    proxy.silence();
    holder.release(1, token);
    holder.released(1).await;
    assert!(near.granted(1).await > token);
}

#[tokio::test]
async fn a_caller_whose_line_is_cut_leaves_the_queue() {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let holder = server.client().await;
    let guard = holder.lock("123").await.unwrap();
    let mut caller = SyncerClient::connect(url(proxy.address)).await.unwrap();
    let request =
        lockcore_net::proto::pb::LockRequest { id: "123".to_owned(), locktimeout: "1h".to_owned() };
    let waiting = tokio::spawn(async move { caller.lock(request).await });
    server.until("123", 1, 1).await;
    proxy.cut();
    server.until("123", 1, 0).await;
    guard.unlock().await.unwrap();
    assert!(in_time(waiting).await.unwrap().is_err());
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_client_can_connect_again_after_a_cut() {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let client = Client::connect(&url(proxy.address)).await.unwrap();
    let guard = client.lock("123").await.unwrap();
    let first = guard.token();
    proxy.cut();
    in_time(guard.lost()).await;
    let client = server.client().await;
    assert!(in_time(client.lock("123")).await.unwrap().token() > first);
}
