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
