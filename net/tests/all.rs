//! Several ids that are locked by one request.

mod support;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::FutureExt;
use lockcore_net::{
    ClientOptions, Error, Guard, Refusal,
    proto::v1::{
        self, claim::State, client_message::Message as Say, refusal::Reason,
        server_message::Message as Told,
    },
};
use support::{RawSession, TestServer, claim, in_time, lock, process::Syncer, proxy::Proxy, url};

/// Lets a request be sent.
fn ask(request: &mut (impl Future + Unpin)) {
    assert!(request.now_or_never().is_none());
}

fn ids(guard: &Guard) -> Vec<&str> {
    guard.tokens().map(|(id, _)| id).collect()
}

/// Asks for an id and further ones.
fn all(request: u64, id: &str, more_ids: &[&str]) -> v1::Lock {
    let more_ids = more_ids.iter().map(|id| id.to_string()).collect();
    v1::Lock { more_ids, ..lock(request, id) }
}

async fn granted_all(session: &mut RawSession) -> Vec<u64> {
    let told = session.told().await;
    let Told::Granted(v1::Granted { token, more_tokens, .. }) = told else { panic!("{told:?}") };
    [&[token], &*more_tokens].concat()
}

#[tokio::test]
async fn lock_all_holds_each_id_once_with_a_token_each() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let first = client.lock_all(["c", "a", "b", "a"]).await.unwrap();
    assert_eq!(ids(&first), ["c", "a", "b"], "in the order in which they are named");
    assert_eq!((first.id(), first.token()), first.tokens().next().unwrap());
    let before: Vec<u64> = first.tokens().map(|(_, token)| token).collect();
    first.unlock().await.unwrap();
    for id in ["a", "b", "c"] {
        assert_eq!(server.status(id).await, (0, 0), "{id} is free");
    }
    let second = client.lock_all(["c".to_owned(), "a".to_owned(), "b".to_owned()]).await.unwrap();
    assert!(second.tokens().zip(before).all(|((_, later), before)| later > before));
}

#[tokio::test]
async fn lock_all_waits_in_all_queues_at_once_and_holds_what_is_free() {
    let server = TestServer::start().await;
    let (alice, bob, carol) = (server.client().await, server.client().await, server.client().await);
    let held = alice.lock_all(["a", "b"]).await.unwrap();
    let mut theirs = Box::pin(bob.lock_all(["a", "b", "d"]));
    ask(&mut theirs);
    server.until("b", 1, 1).await;
    assert_eq!((server.status("a").await, server.status("d").await), ((1, 1), (1, 0)));
    assert!(carol.try_lock("d").await.unwrap().is_none(), "nobody overtakes it where it is first");
    drop(held);
    assert_eq!(ids(&in_time(theirs).await.unwrap()), ["a", "b", "d"]);
}

#[tokio::test]
async fn lock_all_of_nothing_and_of_too_much_is_refused() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let refusal = async |ids: Vec<String>| {
        let Err(Error::Refused { reason, .. }) = in_time(client.lock_all(ids)).await else {
            panic!("it is not refused")
        };
        reason
    };
    assert_eq!(refusal(Vec::new()).await, Refusal::IdEmpty);
    let numbers = (0..1001).map(|number| number.to_string()).collect();
    let too_many = Refusal::TooManyIdsOfRequest { count: 1001, limit: 1000 };
    assert_eq!(refusal(numbers).await, too_many);
    // They would not fit a message, and cut the connection.
    let guard = client.lock("kept").await.unwrap();
    let long = (0..5000).map(|number| format!("{number:01024}")).collect();
    let Refusal::TooManyIdsOfRequest { count: 5000, limit } = refusal(long).await else {
        panic!("it is refused for something else")
    };
    assert!((250..256).contains(&limit), "{limit} ids of a kibibyte fit");
    assert!(guard.is_held());
    let most: Vec<_> = (0..limit).map(|number| format!("{number:01024}")).collect();
    assert_eq!(in_time(client.lock_all(most)).await.unwrap().tokens().count(), limit);
}

#[tokio::test]
async fn lock_all_dropped_half_way_leaves_nothing() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let b = alice.lock("b").await.unwrap();
    let mut all = Box::pin(bob.lock_all(["a", "b"]));
    ask(&mut all);
    server.until("b", 1, 1).await;
    assert_eq!(server.status("a").await, (1, 0), "it holds a");
    drop(all);
    server.until("a", 0, 0).await;
    server.until("b", 1, 0).await;
    b.unlock().await.unwrap();
}

/// Opposite orders, many times: nobody is refused and nobody hangs.
#[tokio::test]
async fn lock_all_in_opposite_orders_goes_on() {
    let server = TestServer::start().await;
    let clients = [server.client().await, server.client().await];
    let tasks = clients.map(|client| {
        tokio::spawn(async move {
            for round in 0..100 {
                let ids = if round % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
                drop(client.lock_all(ids).await.unwrap());
            }
        })
    });
    for task in tasks {
        in_time(task).await.unwrap();
    }
    server.until("x", 0, 0).await;
}

#[tokio::test]
async fn several_ids_may_be_tried_shared_and_limited() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let b = alice.request("b").shared().lock().await.unwrap();
    let tried = bob.request("a").and(&["b"]).wait_limit(Duration::ZERO).lock().await;
    assert!(matches!(tried, Err(Error::Refused { reason: Refusal::Busy, .. })), "{tried:?}");
    assert_eq!((server.status("a").await, server.status("b").await), ((0, 0), (1, 0)));
    let limited = bob.request("a").and(&["b"]).wait_limit(Duration::from_millis(1));
    let reason = Refusal::WaitLimit { limit: Duration::from_millis(1) };
    let Err(Error::Refused { reason: told, .. }) = in_time(limited.lock()).await else {
        panic!("it cannot have its turn")
    };
    assert_eq!(told, reason);
    assert_eq!((server.status("a").await, server.status("b").await), ((0, 0), (1, 0)));
    let shared = bob.request("a").and(&["b"]).shared().lock().await.unwrap();
    assert_eq!((server.status("b").await, ids(&shared)), ((2, 0), vec!["a", "b"]));
    drop(b);
}

/// It has no owner, and what it holds while it waits closes the circle all the same.
#[tokio::test]
async fn a_transaction_that_waits_for_what_lock_all_holds_is_refused_with_the_circle() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let transaction = alice.transaction();
    let c = transaction.lock("c").await.unwrap();
    let mut all = Box::pin(bob.lock_all(["a", "c"]));
    ask(&mut all);
    server.until("c", 1, 1).await;
    let error = in_time(transaction.lock("a")).await.unwrap_err();
    let Error::Refused { reason: Refusal::Deadlock { circle }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(circle.iter().map(|wait| &*wait.id).collect::<Vec<_>>(), ["a", "c"]);
    drop(c);
    in_time(all).await.unwrap().unlock().await.unwrap();
}

#[tokio::test]
async fn a_cut_costs_neither_what_is_held_nor_what_is_half_way() {
    let server = TestServer::start().await;
    let proxy = Proxy::to(server.address).await;
    let options = ClientOptions::new().lease(Duration::from_secs(300));
    let far = options.connect(&url(proxy.address)).await.unwrap();
    let near = server.client().await;
    let held = far.lock_all(["one", "two"]).await.unwrap();
    let b = near.lock("b").await.unwrap();
    let mut half_way = Box::pin(far.lock_all(["a", "b"]));
    ask(&mut half_way);
    server.until("b", 1, 1).await;
    let mut behind = Box::pin(near.lock("a"));
    ask(&mut behind);
    server.until("a", 1, 1).await;

    for _ in 0..3 {
        proxy.cut_and_come_back().await;
    }
    assert!(held.is_held());
    b.unlock().await.unwrap();
    let all = in_time(half_way).await.unwrap();
    assert_eq!(ids(&all), ["a", "b"]);
    ask(&mut behind);
    all.unlock().await.unwrap();
    in_time(behind).await.unwrap().unlock().await.unwrap();
    held.unlock().await.unwrap();
    assert_eq!((server.status("one").await, server.status("two").await), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn a_killed_server_keeps_what_is_held_and_lets_half_way_wait_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut syncer = Syncer::start_in(dir.path());
    let proxy = Proxy::to(syncer.address().await).await;
    // Long enough for a server to be started on a busy machine.
    let options = ClientOptions::new().lease(Duration::from_secs(6));
    let connect = async || options.connect(&url(proxy.address)).await.unwrap();
    let (one, two) = (connect().await, connect().await);
    let held = one.lock_all(["b", "c"]).await.unwrap();
    let mut half_way = Box::pin(two.lock_all(["a", "b"]));
    ask(&mut half_way);
    let until = async |id, holders, waiting| {
        let reached = async {
            // A question may meet the moment in which there is no server.
            while !one
                .status(id)
                .await
                .is_ok_and(|status| (status.holders, status.waiting) == (holders, waiting))
            {
            }
        };
        in_time(reached).await;
    };
    until("b", 1, 1).await;

    syncer.kill().await;
    let mut syncer = Syncer::start_in(dir.path());
    proxy.lead_to(syncer.address().await);
    until("b", 1, 1).await; // when the window is over, it is in the queue again
    until("a", 1, 0).await;
    assert!(held.is_held());
    let before = held.tokens().map(|(_, token)| token).max();
    in_time(held.unlock()).await.unwrap();
    let all = in_time(half_way).await.unwrap();
    assert_eq!(ids(&all), ["a", "b"]);
    assert!(all.tokens().all(|(_, token)| Some(token) > before), "tokens rise over restarts");
    in_time(all.unlock()).await.unwrap();
    until("c", 0, 0).await;
}

#[tokio::test]
async fn claims_of_several_ids_carry_all_tokens() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    session.say(Say::Lock(all(1, "a", &["b", "a", "c"])));
    let tokens = granted_all(&mut session).await;
    assert_eq!(tokens.len(), 3, "one for each id");
    session.say(Say::Lock(all(1, "a", &["b", "c"])));
    assert_eq!(granted_all(&mut session).await, tokens, "the answer is repeated");

    let claimed = |tokens: &[u64]| {
        let claim = claim(1, "", State::Token(tokens[0]));
        let (lock, more_tokens) = (Some(all(1, "a", &["b", "c"])), tokens[1..].to_vec());
        vec![v1::Claim { lock, more_tokens, ..claim }]
    };
    let mut back = session.resume(server.address, 1, claimed(&tokens)).await;
    assert_eq!(granted_all(&mut back).await, tokens);
    let mut liar = back.resume(server.address, 2, claimed(&tokens[..2])).await;
    let told = liar.told().await;
    let Told::Revoked(v1::Revoked { request: 1, reason }) = told else { panic!("{told:?}") };
    assert_eq!(reason.unwrap().reason, Some(Reason::NotHeld(1)));
    assert_eq!(server.status("b").await, (0, 0));
}

/// A client of before: it knows of no further ids, and meets those who ask for several.
#[tokio::test]
async fn those_who_ask_for_one_and_for_several_take_turns() {
    let server = TestServer::start().await;
    let (mut old, mut new) = (server.session().await, server.session().await);
    old.lock(1, "b");
    let token = old.granted(1).await;
    new.say(Say::Lock(all(1, "a", &["b"])));
    new.handled().await;
    old.lock(2, "a");
    old.handled().await;
    old.release(1, token);
    old.released(1).await;
    let tokens = granted_all(&mut new).await;
    new.release(1, tokens[0]);
    new.released(1).await;
    old.granted(2).await;
}

/// A lease that ends takes all of it, also what was half-way.
#[tokio::test]
async fn a_silent_client_loses_all_ids_of_a_request_in_one_step() {
    const LEASE: Duration = Duration::from_millis(200);
    let server = TestServer::start_with(support::with_short_leases()).await;
    let mut near = server.session().await;
    near.lock(1, "c");
    near.granted(1).await;
    let mut gone = RawSession::open_for(server.address, LEASE).await;
    gone.say(Say::Lock(all(1, "a", &["b"])));
    granted_all(&mut gone).await;
    let heard = Instant::now();
    gone.say(Say::Lock(all(2, "d", &["c"])));
    gone.handled().await;
    drop(gone);
    near.say(Say::Lock(all(2, "d", &["b", "a"])));
    near.handled().await;
    assert_eq!(granted_all(&mut near).await.len(), 3);
    assert!(heard.elapsed() >= LEASE, "not before the lease ended");
    assert_eq!(server.status("c").await, (1, 0));
}
