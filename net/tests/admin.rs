//! What can be seen of a server, and ended from outside.

mod support;

use lockcore_net::{
    Client, Error, Refusal,
    proto::{
        pb,
        v1::{
            IdInUse, ListIdsRequest, ListSessionsRequest, Mode, RequestOfSession, RevokeRequest,
            locks_client::LocksClient, revoke_request::Target,
        },
    },
};
use support::{TestServer, in_time};
use tonic::{Code, transport::Channel};

async fn ids(locks: &mut LocksClient<Channel>, prefix: &str, limit: u32) -> (Vec<IdInUse>, bool) {
    let request = ListIdsRequest { prefix: prefix.to_owned(), limit };
    let mut reply = locks.list_ids(request).await.unwrap().into_inner();
    reply.ids.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    (reply.ids, reply.more)
}

async fn revoke(locks: &mut LocksClient<Channel>, target: Target) -> u64 {
    let request = RevokeRequest { target: Some(target), note: "maintenance".to_owned() };
    locks.revoke(request).await.unwrap().into_inner().ended
}

async fn locks(server: &TestServer) -> LocksClient<Channel> {
    LocksClient::connect(server.url()).await.unwrap()
}

/// Asks for an id that is held, and returns once it waits.
async fn waits(server: &TestServer, client: &Client, id: &str, waiting: u64) -> Waiting {
    let (client, name) = (client.clone(), id.to_owned());
    let waits = tokio::spawn(async move { client.lock(&name).await.map(drop) });
    server.until(id, 1, waiting).await;
    waits
}

type Waiting = tokio::task::JoinHandle<Result<(), Error>>;

#[tokio::test]
async fn holders_and_queues_are_listed() {
    let server = TestServer::start().await;
    let (client, mut locks) = (server.client().await, locks(&server).await);
    let a = client.lock("a1").await.unwrap();
    let _shared = [
        client.request("a2").shared().lock().await.unwrap(),
        client.request("a2").shared().lock().await.unwrap(),
    ];
    let _other = client.lock("b").await.unwrap();
    let _waiting = waits(&server, &client, "a1", 1).await;

    let (listed, more) = ids(&mut locks, "a", 0).await;
    assert!(!more);
    let [a1, a2] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&*a1.id, a1.holders.len(), a1.queue.len()), ("a1", 1, 1));
    assert_eq!(a1.holders[0].token, a.token());
    assert!(a1.queue[0].place > 0 && a1.queue[0].session == a1.holders[0].session);
    assert_eq!((&*a2.id, a2.holders.len(), a2.queue.len()), ("a2", 2, 0));
    assert!(a2.holders.iter().all(|holder| holder.mode() == Mode::Shared));

    let (listed, more) = ids(&mut locks, "", 1).await;
    assert!(more && listed.len() == 1);
    assert_eq!(ids(&mut locks, "none", 0).await, (Vec::new(), false));
}

#[tokio::test]
async fn sessions_are_listed() {
    let server = TestServer::start().await;
    let (client, mut locks) = (server.client().await, locks(&server).await);
    let _guard = client.lock("123").await.unwrap();
    let _waiting = waits(&server, &client, "123", 1).await;
    let mut cut_off = server.session().await;
    cut_off.handled().await;
    drop(cut_off);
    let list = async {
        loop {
            let request = ListSessionsRequest { limit: 0 };
            let sessions = locks.list_sessions(request).await.unwrap().into_inner().sessions;
            if sessions.iter().any(|session| !session.attached) {
                return sessions;
            }
        }
    };
    let sessions = in_time(list).await;
    let callers = &sessions[0];
    assert_eq!((callers.session, callers.lease_left_ms), (1, None), "go-syncer's callers");
    let ours = &sessions[1];
    assert_eq!((ours.attached, ours.requests, ours.waiting), (true, 2, 1));
    assert!(ours.lease_left_ms.unwrap() <= 10_000);
    let request = ListSessionsRequest { limit: 2 };
    let reply = locks.list_sessions(request).await.unwrap().into_inner();
    assert!(reply.more && reply.sessions.len() == 2);
}

#[tokio::test]
async fn a_hold_a_request_and_a_session_can_be_ended() {
    let server = TestServer::start().await;
    let (client, other) = (server.client().await, server.client().await);
    let mut locks = locks(&server).await;
    let guard = client.lock("123").await.unwrap();
    let waiting = waits(&server, &client, "123", 1).await;
    let next = waits(&server, &other, "123", 2).await;

    let (listed, _) = ids(&mut locks, "123", 0).await;
    let waiter = listed[0].queue[0];
    let target = RequestOfSession { session: waiter.session, request: waiter.request };
    assert_eq!(revoke(&mut locks, Target::Request(target)).await, 1);
    assert_eq!(revoke(&mut locks, Target::Request(target)).await, 0);
    let error = in_time(waiting).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), r#""123" is refused: ended by an administrator: maintenance"#);

    assert_eq!(revoke(&mut locks, Target::Id("123".to_owned())).await, 1);
    let lost = in_time(guard.lost()).await;
    let Error::Revoked { reason: Refusal::Administrator { .. }, .. } = lost else {
        panic!("{lost:?}")
    };
    assert!(!guard.is_held());
    in_time(next).await.unwrap().unwrap();
    assert_eq!(revoke(&mut locks, Target::Id("123".to_owned())).await, 0);

    let guard = client.lock("456").await.unwrap();
    assert_eq!(revoke(&mut locks, Target::Session(waiter.session)).await, 1);
    let lost = in_time(guard.lost()).await;
    let Error::SessionEnded { reason: Refusal::Administrator { .. } } = lost else {
        panic!("{lost:?}")
    };
    let anew = in_time(client.lock("456")).await.unwrap();
    assert!(anew.is_held() && !guard.is_held());

    let nothing = RevokeRequest::default();
    assert_eq!(locks.revoke(nothing).await.unwrap_err().code(), Code::InvalidArgument);
}

/// It has no client that could open another one.
#[tokio::test]
async fn the_session_of_go_syncers_callers_cannot_be_ended() {
    let server = TestServer::start().await;
    let (callers, mut locks) = (server.syncer().await, locks(&server).await);
    let lock = async |id: &str| {
        let request = pb::LockRequest { id: id.to_owned(), locktimeout: "1h".to_owned() };
        in_time(callers.clone().lock(request)).await.unwrap();
    };
    lock("123").await;
    let sessions = locks.list_sessions(ListSessionsRequest { limit: 1 }).await.unwrap();
    let target = Some(Target::Session(sessions.into_inner().sessions[0].session));
    let request = RevokeRequest { target, note: "maintenance".to_owned() };
    let refused = locks.revoke(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(server.status("123").await, (1, 0));
    lock("456").await;
    assert_eq!(revoke(&mut locks, Target::Id("123".to_owned())).await, 1);
    lock("123").await;
}
