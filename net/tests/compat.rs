//! go-syncer's protocol, as its clients use it.

mod support;

use std::time::Duration;

use lockcore_net::proto::pb::{LockRequest, Reply, syncer_client::SyncerClient};
use support::{TestServer, in_time};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

fn request(id: &str, locktimeout: &str) -> LockRequest {
    LockRequest { id: id.to_owned(), locktimeout: locktimeout.to_owned() }
}

async fn lock(client: &SyncerClient<Channel>, id: &str) -> Result<String, Status> {
    lock_for(client, id, "1h").await
}

async fn lock_for(client: &SyncerClient<Channel>, id: &str, limit: &str) -> Result<String, Status> {
    let reply = in_time(client.clone().lock(request(id, limit))).await?;
    Ok(reply.into_inner().message)
}

async fn unlock(client: &SyncerClient<Channel>, id: &str) -> Result<String, Status> {
    let reply = in_time(client.clone().unlock(request(id, ""))).await?;
    let Reply { message } = reply.into_inner();
    Ok(message)
}

#[tokio::test]
async fn lock_and_unlock_answer_ok_and_take_turns() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    assert_eq!(lock(&client, "123").await.unwrap(), "OK");
    let mut turns = JoinSet::new();
    for turn in 0..5_u64 {
        let client = client.clone();
        turns.spawn(async move { lock(&client, "123").await.map(|ok| (turn, ok)) });
        server.until("123", 1, turn + 1).await;
    }
    for turn in 0..5 {
        assert_eq!(unlock(&client, "123").await.unwrap(), "OK");
        let granted = in_time(turns.join_next()).await.unwrap().unwrap();
        assert_eq!(granted.unwrap(), (turn, "OK".to_owned()));
    }
    unlock(&client, "123").await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn an_empty_id_is_answered_as_the_original_does() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    for status in [lock(&client, "").await.unwrap_err(), unlock(&client, "").await.unwrap_err()] {
        assert_eq!((status.code(), status.message()), (Code::Unknown, "id must be specified"));
    }
}

#[tokio::test]
async fn an_id_that_is_too_long_is_refused_with_the_limit() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    let status = lock(&client, &"x".repeat(1025)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "id is 1025 bytes long; the limit is 1024");
    let status = lock(&client, &"x".repeat(5 << 20)).await.unwrap_err();
    assert!(status.message().contains("too large"), "{status}");
    assert_eq!(lock(&client, &"x".repeat(1024)).await.unwrap(), "OK");
}

#[tokio::test]
async fn unlocking_what_is_not_held_is_ok() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    assert_eq!(unlock(&client, "123").await.unwrap(), "OK");
}

#[tokio::test]
async fn anybody_may_unlock() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.syncer().await, server.syncer().await);
    lock(&alice, "123").await.unwrap();
    unlock(&bob, "123").await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_hold_ends_with_its_time_out_counted_from_the_turn() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    lock_for(&client, "123", "1ms").await.unwrap();
    lock_for(&client, "123", "1ms").await.unwrap();
    lock(&client, "123").await.unwrap();
    assert_eq!(server.status("123").await, (1, 0));
}

#[tokio::test]
async fn a_time_out_of_zero_is_refused_and_the_server_goes_on() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    let status = lock_for(&client, "", "0s").await.unwrap_err();
    assert_eq!(status.message(), "id must be specified", "the id is looked at first");
    for limit in ["0s", "-5s"] {
        let status = lock_for(&client, "123", limit).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let message = format!("locktimeout {limit:?} is not greater than zero");
        assert_eq!(status.message(), message);
    }
    assert_eq!(lock_for(&client, "123", "soon").await.unwrap(), "OK");
}

#[tokio::test]
async fn a_caller_that_goes_away_while_waiting_leaves_the_queue() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    lock(&client, "123").await.unwrap();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { lock(&client, "123").await })
    };
    server.until("123", 1, 1).await;
    waiting.abort();
    server.until("123", 1, 0).await;
    unlock(&client, "123").await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_deadline_ends_the_wait() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    lock(&client, "123").await.unwrap();
    let mut request = Request::new(request("123", ""));
    request.set_timeout(Duration::from_millis(500));
    let waiting = {
        let mut client = client.clone();
        tokio::spawn(async move { client.lock(request).await })
    };
    server.until("123", 1, 1).await;
    let status = in_time(waiting).await.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status}");
    server.until("123", 1, 0).await;
}

#[tokio::test]
async fn a_session_and_a_caller_exclude_each_other() {
    let server = TestServer::start().await;
    let (caller, mut session) = (server.syncer().await, server.session().await);
    lock(&caller, "123").await.unwrap();
    session.lock(1, "123");
    session.handled().await;
    assert_eq!(server.status("123").await, (1, 1));
    unlock(&caller, "123").await.unwrap();
    let token = session.granted(1).await;

    // Unlock is not for the hold of a session.
    unlock(&caller, "123").await.unwrap();
    assert_eq!(server.status("123").await, (1, 0));
    let waiting = {
        let caller = caller.clone();
        tokio::spawn(async move { lock(&caller, "123").await })
    };
    server.until("123", 1, 1).await;
    session.release(1, token);
    session.released(1).await;
    assert_eq!(in_time(waiting).await.unwrap().unwrap(), "OK");
}

/// A limit on streams would keep the one who unlocks from calling.
#[tokio::test]
async fn a_thousand_waiting_calls_on_one_connection_leave_room_to_unlock() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    lock(&client, "123").await.unwrap();
    let mut turns = JoinSet::new();
    for _ in 0..1000 {
        let client = client.clone();
        turns.spawn(async move {
            lock(&client, "123").await?;
            unlock(&client, "123").await
        });
    }
    server.until("123", 1, 1000).await;
    unlock(&client, "123").await.unwrap();
    while let Some(turn) = in_time(turns.join_next()).await {
        assert_eq!(turn.unwrap().unwrap(), "OK");
    }
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_thousand_callers_that_go_away_at_once_leave_nothing_behind() {
    let server = TestServer::start().await;
    let (client, leaving) = (server.syncer().await, server.syncer().await);
    lock(&client, "123").await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let leaving = leaving.clone();
        calls.spawn(async move { lock(&leaving, "123").await });
    }
    server.until("123", 1, 1000).await;
    calls.shutdown().await;
    server.until("123", 1, 0).await;
    assert_eq!(unlock(&leaving, "123").await.unwrap(), "OK");
    assert_eq!(server.status("123").await, (0, 0));
}

/// Found: a peer ends a connection over which it saw many calls cancelled before it looked at them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_with_short_deadlines_do_not_end_the_calls_of_others() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    lock(&client, "123").await.unwrap();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { lock(&client, "123").await })
    };
    server.until("123", 1, 1).await;
    for round in 0..20 {
        let calls = (0..100).map(|call| {
            let limit = Duration::from_micros(call * 20 + round);
            let (mut client, request) = (client.clone(), request("456", "1h"));
            async move { tokio::time::timeout(limit, client.lock(request)).await.is_ok() }
        });
        futures::future::join_all(calls).await;
    }
    unlock(&client, "123").await.unwrap();
    assert_eq!(in_time(waiting).await.unwrap().unwrap(), "OK");
}

/// The reply may be on its way when the caller goes: that hold is kept till its time-out. A caller
/// whose reset arrives together with its turn passes it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_as_its_turn_comes_mostly_passes_it_on() {
    const ROUNDS: usize = 50;
    let server = TestServer::start().await;
    let (client, leaving) = (server.syncer().await, server.syncer().await);
    let mut kept = 0;
    for round in 0..ROUNDS {
        let id = round.to_string();
        lock(&client, &id).await.unwrap();
        let waiting = {
            let (leaving, id) = (leaving.clone(), id.clone());
            tokio::spawn(async move { lock(&leaving, &id).await })
        };
        server.until(&id, 1, 1).await;
        waiting.abort();
        unlock(&client, &id).await.unwrap();
        kept += usize::from(server.status(&id).await != (0, 0));
        unlock(&client, &id).await.unwrap();
        assert_eq!(server.status(&id).await, (0, 0));
    }
    println!("{kept} of {ROUNDS} replies were on their way");
}

#[tokio::test]
async fn a_stopping_server_ends_the_wait() {
    let server = TestServer::start().await;
    let client = server.syncer().await;
    lock(&client, "123").await.unwrap();
    let waiting = tokio::spawn(async move { lock(&client, "123").await });
    server.until("123", 1, 1).await;
    server.stop().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn health_and_reflection_name_both_services() {
    let server = TestServer::start().await;
    let channel = Channel::from_shared(server.url()).unwrap().connect().await.unwrap();
    for service in ["pb.Syncer", "syncer.v1.Locks", ""] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let reply = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(reply.into_inner().status, 1, "{service:?} serves");
    }
    services_v1(channel.clone()).await;
    services_v1alpha(channel).await;
}

/// Both versions of reflection have types of their own that are alike.
macro_rules! services {
    ($name:ident, $version:ident) => {
        async fn $name(channel: Channel) {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let list = MessageRequest::ListServices(String::new());
            let request =
                ServerReflectionRequest { host: String::new(), message_request: Some(list) };
            let requests = tokio_stream::once(request);
            let mut client = ServerReflectionClient::new(channel);
            let mut replies = client.server_reflection_info(requests).await.unwrap().into_inner();
            let reply = in_time(replies.message()).await.unwrap().unwrap().message_response;
            let Some(MessageResponse::ListServicesResponse(list)) = reply else {
                panic!("{reply:?}")
            };
            let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
            for service in ["pb.Syncer", "syncer.v1.Locks"] {
                assert!(names.iter().any(|name| name == service), "{names:?}");
            }
        }
    };
}

services!(services_v1, v1);
services!(services_v1alpha, v1alpha);
