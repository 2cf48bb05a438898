//! Locks that are held together.

mod support;

use futures::FutureExt;
use lockcore_net::{Error, Refusal};
use support::{TestServer, in_time};

/// Scenario 12, over two clients.
#[tokio::test]
async fn the_request_that_would_close_a_circle_is_refused_at_once_with_the_circle() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let (alices, bobs) = (alice.transaction(), bob.transaction());
    let one = alices.lock("one").await.unwrap();
    let two = bobs.lock("two").await.unwrap();
    let mut waiting = Box::pin(alices.lock("two"));
    assert!((&mut waiting).now_or_never().is_none());
    server.until("two", 1, 1).await;

    let error = in_time(bobs.lock("one")).await.unwrap_err();
    let Error::Refused { reason: Refusal::Deadlock { circle }, id } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(&**id, "one");
    let ids: Vec<&str> = circle.iter().map(|wait| &*wait.id).collect();
    assert_eq!(ids, ["one", "two"]);
    assert_ne!(circle[0].session, circle[1].session);
    assert!(error.to_string().contains("deadlock: session "), "{error}");

    two.unlock().await.unwrap();
    in_time(waiting).await.unwrap().unlock().await.unwrap();
    one.unlock().await.unwrap();
    in_time(bobs.lock("one")).await.unwrap().unlock().await.unwrap();
}

#[tokio::test]
async fn the_same_id_twice_is_a_circle_of_one_and_not_between_transactions() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let transaction = client.transaction();
    let guard = transaction.lock("123").await.unwrap();
    let error = in_time(transaction.lock("123")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { reason: Refusal::Deadlock { circle }, .. } if circle.len() == 1),
        "{error:?}"
    );
    let other = client.transaction();
    let mut waiting = Box::pin(other.lock("123"));
    assert!((&mut waiting).now_or_never().is_none());
    server.until("123", 1, 1).await;
    guard.unlock().await.unwrap();
    in_time(waiting).await.unwrap().unlock().await.unwrap();
}

#[tokio::test]
async fn a_transaction_may_share_and_try() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let transaction = client.transaction();
    let one = transaction.request("123").shared().lock().await.unwrap();
    let two = transaction.request("123").shared().lock().await.unwrap();
    assert!(one.is_held() && two.is_held());
}

#[tokio::test]
async fn lock_all_locks_each_id_once_in_one_order() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let guards = alice.lock_all(["c", "a", "b", "a"]).await.unwrap();
    let ids: Vec<&str> = guards.iter().map(|guard| guard.id()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let mut theirs = Box::pin(bob.lock_all(["b".to_owned(), "d".to_owned()]));
    assert!((&mut theirs).now_or_never().is_none());
    server.until("b", 1, 1).await;
    assert_eq!(server.status("d").await, (0, 0), "d comes after b");
    drop(guards);
    let theirs = in_time(theirs).await.unwrap();
    assert_eq!(theirs.len(), 2);
    assert!(alice.lock_all::<&str>([]).await.unwrap().is_empty());
}

#[tokio::test]
async fn lock_all_dropped_half_way_leaves_nothing() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let b = alice.lock("b").await.unwrap();
    let mut all = Box::pin(bob.lock_all(["a", "b"]));
    assert!((&mut all).now_or_never().is_none());
    let reach_b = async {
        while server.status("b").await != (1, 1) {
            assert!((&mut all).now_or_never().is_none());
        }
    };
    in_time(reach_b).await;
    drop(all);
    server.until("a", 0, 0).await;
    server.until("b", 1, 0).await;
    b.unlock().await.unwrap();
}

/// Opposite orders, many times: `lock_all` has one order, so nobody is refused and nobody hangs.
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
async fn a_circle_of_many_long_ids_is_told() {
    const LONG: usize = 2100;
    let server = TestServer::start().await;
    let client = server.client().await;
    let id = |number: usize| format!("{:01024}", number % LONG);
    let transactions: Vec<_> = (0..LONG).map(|_| client.transaction()).collect();
    let mut held = Vec::new();
    for (number, transaction) in transactions.iter().enumerate() {
        held.push(transaction.lock(&id(number)).await.unwrap());
    }
    let ids: Vec<_> = (1..=LONG).map(id).collect();
    let waiting = transactions.iter().zip(&ids);
    let mut waiting: Vec<_> =
        waiting.map(|(transaction, id)| Box::pin(transaction.lock(id))).collect();
    let last = waiting.pop().unwrap();
    for waiting in &mut waiting {
        assert!(waiting.now_or_never().is_none());
    }
    let error = in_time(last).await.unwrap_err();
    let Error::Refused { reason: Refusal::Deadlock { circle }, .. } = error else {
        panic!("it is another")
    };
    assert_eq!(circle.len(), LONG);
}
