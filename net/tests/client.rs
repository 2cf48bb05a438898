//! The client library against a real server.

mod support;

use std::{
    error::Error as _,
    future::Future,
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use lockcore_net::{Client, Error, Refusal, Server};
use support::{TestServer, in_time, proxy::Proxy, url};
use tokio::runtime;

/// Lets a lock request reach the server: a client's messages are handled in order.
async fn queue(client: &Client, request: &mut (impl Future + Unpin)) {
    assert!(request.now_or_never().is_none());
    assert!(client.try_lock("probe").await.unwrap().is_some());
}

#[tokio::test]
async fn a_lock_is_held_until_it_is_unlocked() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    let guard = alice.lock("123").await.unwrap();
    assert_eq!((guard.id(), guard.token(), guard.is_held()), ("123", 1, true));
    assert!(bob.try_lock("123").await.unwrap().is_none());
    guard.unlock().await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
    assert_eq!(bob.try_lock("123").await.unwrap().unwrap().token(), 2);
}

#[tokio::test]
async fn a_dropped_guard_releases() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.client().await, server.client().await);
    drop(alice.lock("123").await.unwrap());
    drop(in_time(bob.lock("123")).await.unwrap());
}

#[tokio::test]
async fn turns_of_one_client_come_in_order_of_first_polls() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let holder = client.lock("123").await.unwrap();
    let mut requests: Vec<_> = (0..50).map(|_| Box::pin(client.lock("123"))).collect();
    for request in &mut requests {
        queue(&client, request).await;
    }
    holder.unlock().await.unwrap();
    for (turn, request) in requests.into_iter().enumerate() {
        let guard = in_time(request).await.unwrap();
        assert!(guard.token() > turn as u64);
        guard.unlock().await.unwrap();
    }
}

#[tokio::test]
async fn a_request_dropped_before_its_first_poll_is_never_sent() {
    let server = TestServer::start().await;
    let client = server.client().await;
    drop(client.lock("123"));
    assert_eq!(client.try_lock("123").await.unwrap().unwrap().token(), 1);
}

/// Scenarios 1 and 11: a cancelled waiter leaves the queue.
#[tokio::test]
async fn a_request_dropped_while_waiting_leaves_the_queue() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let holder = client.lock("123").await.unwrap();
    let mut waiting = Box::pin(client.lock("123"));
    queue(&client, &mut waiting).await;
    assert_eq!(server.status("123").await, (1, 1));
    drop(waiting);
    server.until("123", 1, 0).await;
    holder.unlock().await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

/// Scenario 1: dropped between the hand-off and the next poll, as are the second and the third.
#[tokio::test]
async fn requests_dropped_after_the_hand_off_pass_the_turn_on() {
    let server = TestServer::start().await;
    let (client, other) = (server.client().await, server.client().await);
    let holder = client.lock("123").await.unwrap();
    let mut requests: Vec<_> = (0..3).map(|_| Box::pin(client.lock("123"))).collect();
    for request in &mut requests {
        queue(&client, request).await;
    }
    let mut last = Box::pin(other.lock("123"));
    queue(&other, &mut last).await;
    holder.unlock().await.unwrap();
    for waiting in (1..=3).rev() {
        // The turn is that of the first request, which is not polled.
        server.until("123", 1, waiting).await;
        drop(requests.remove(0));
    }
    in_time(last).await.unwrap().unlock().await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Scenario 2: the waker is replaced between two polls.
#[tokio::test]
async fn the_latest_waker_is_woken() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let holder = client.lock("123").await.unwrap();
    let mut request = Box::pin(client.lock("123"));
    let wakers = [(); 2].map(|()| Arc::<CountWakes>::default());
    for waker in &wakers {
        let waker = Waker::from(waker.clone());
        assert!(request.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    holder.unlock().await.unwrap();
    drop(client.lock("probe").await.unwrap());
    assert_eq!(wakers.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
    in_time(request).await.unwrap().unlock().await.unwrap();
}

/// Asks the client for another lock, and drops the request, when it is woken.
struct LockAgain(Client, AtomicUsize);

impl Wake for LockAgain {
    fn wake(self: Arc<Self>) {
        assert!(self.0.lock("123").now_or_never().is_none_or(|lock| lock.is_err()));
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Scenario 2: whichever way a wait ends, the one who is woken may use the client at once.
#[tokio::test]
async fn a_waker_may_lock_again() {
    for end in ["turn", "refusal", "end"] {
        let server = TestServer::start().await;
        let client = server.client().await;
        let again = Arc::new(LockAgain(client.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(again.clone());
        let holder = client.lock("123").await.unwrap();
        let request = match end {
            "refusal" => client.request("123").wait_limit(Duration::from_millis(1)),
            _ => client.request("123"),
        };
        let mut request = Box::pin(request.lock());
        assert!(request.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        match end {
            "turn" => holder.unlock().await.unwrap(),
            "end" => drop(client.close().now_or_never()),
            _ => {}
        }
        let woken = async {
            while again.1.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        };
        in_time(woken).await;
        assert_eq!(in_time(request).await.is_ok(), end == "turn");
    }
}

#[tokio::test]
async fn an_unlock_dropped_half_way_releases() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let guard = client.lock("123").await.unwrap();
    {
        let unlock = pin!(guard.unlock());
        assert!(unlock.now_or_never().is_none());
    }
    let guard = in_time(client.lock("123")).await.unwrap();
    drop(guard.unlock());
    drop(in_time(client.lock("123")).await.unwrap());
}

#[tokio::test]
async fn shared_holders_hold_together() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let one = client.request("123").shared().lock().await.unwrap();
    let two = client.request("123").shared().lock().await.unwrap();
    assert!(one.is_held() && two.is_held());
    assert!(client.try_lock("123").await.unwrap().is_none());
}

#[tokio::test]
async fn a_wait_limit_ends_the_wait() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let _holder = client.lock("123").await.unwrap();
    let limit = Duration::from_nanos(1);
    assert!(in_time(client.lock_timeout("123", limit)).await.unwrap().is_none());
    let request = client.request("123").wait_limit(limit).lock();
    let error = in_time(request).await.unwrap_err();
    let Error::Refused { reason: Refusal::WaitLimit { .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(error.to_string(), r#""123" is refused: the turn did not come within 1ms"#);
}

#[tokio::test]
async fn a_hold_limit_is_told_to_the_guard() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let limit = Duration::from_millis(1);
    let guard = client.request("123").hold_limit(limit).lock().await.unwrap();
    let lost = in_time(guard.lost()).await;
    assert!(matches!(&lost, Error::Revoked { reason: Refusal::HoldLimit { .. }, .. }), "{lost:?}");
    assert!(!guard.is_held());
    in_time(client.lock("123")).await.unwrap().unlock().await.unwrap();
    let error = guard.unlock().await.unwrap_err();
    assert!(matches!(&error, Error::Revoked { id, .. } if &**id == "123"), "{error:?}");
}

#[tokio::test]
async fn bad_ids_are_refused_with_the_value_and_the_limit() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let error = client.lock("").await.unwrap_err();
    assert_eq!(error.to_string(), r#""" is refused: id must be specified"#);
    let error = client.lock(&"x".repeat(1025)).await.unwrap_err();
    assert!(error.to_string().ends_with("id is 1025 bytes long; the limit is 1024"), "{error}");
    let guard = client.lock("held").await.unwrap();
    let error = client.lock(&"x".repeat(5 << 20)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { reason: Refusal::IdTooLong { .. }, .. }));
    assert!(error.to_string().contains("id is 5242880 bytes long"), "{error}");
    let error = client.status(&"x".repeat(5 << 20)).await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    guard.unlock().await.expect("the session is not affected");
    drop(client.lock("123").await.unwrap());
}

#[tokio::test]
async fn an_address_that_is_none_and_a_server_that_is_not_there_are_named() {
    for address in ["not an address", "127.0.0.1:9999", "https://127.0.0.1:9999", ""] {
        let error = Client::connect(address).await.unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("{address:?} is no address")), "{error}");
    }

    let nobody_listens = tokio::net::TcpSocket::new_v4().unwrap();
    nobody_listens.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = url(nobody_listens.local_addr().unwrap());
    let error = Client::connect(&free).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("no server answers at {free}"));
    assert!(error.source().is_some());
}

#[tokio::test]
async fn a_client_is_over_when_its_last_clone_and_guard_are() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let guard = client.lock("123").await.unwrap();
    drop(client);
    assert_eq!(server.status("123").await, (1, 0));
    drop(guard);
    server.until("123", 0, 0).await;
}

#[tokio::test]
async fn a_stopped_server_without_a_state_directory_ends_everything() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let guard = client.lock("123").await.unwrap();
    let waiting = client.lock("123");
    let (waited, ()) = tokio::join!(in_time(waiting), server.stop());
    let Err(Error::SessionEnded { reason }) = waited else { panic!("{waited:?}") };
    assert_eq!(
        reason.to_string(),
        "ended by an administrator: the server stops, and keeps no state"
    );
    assert!(matches!(in_time(guard.lost()).await, Error::SessionEnded { .. }));
    assert!(!guard.is_held());
    let error = in_time(client.lock("123")).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. } | Error::Open { .. }), "{error:?}");
    let error = client.status("123").await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
}

#[tokio::test]
async fn closing_releases_and_is_for_all_clones() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let guard = client.lock("123").await.unwrap();
    let mut waiting = Box::pin(client.lock("123"));
    queue(&client, &mut waiting).await;
    in_time(client.clone().close()).await.unwrap();
    assert_eq!(server.status("123").await, (0, 0));
    assert!(!guard.is_held());
    assert!(matches!(in_time(guard.lost()).await, Error::Closed));
    assert!(matches!(in_time(waiting).await, Err(Error::Closed)));
    assert!(matches!(guard.unlock().await, Err(Error::Closed)));
    assert!(matches!(client.lock("123").await, Err(Error::Closed)));
    in_time(client.close()).await.unwrap();
}

/// Found: each reset a stream of the session's connection, and a peer ends a connection of many.
#[tokio::test]
async fn questions_dropped_half_way_do_not_end_the_session() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let guard = client.lock("123").await.unwrap();
    for _ in 0..1500 {
        let mut question = Box::pin(client.status("123"));
        assert!((&mut question).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(server.status("123").await, (1, 0));
    guard.unlock().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_future_is_dropped_serves_nobody() {
    let listener = Server::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = url(listener.local_addr().unwrap());
    let served = tokio::spawn(Server::new().serve(listener, std::future::pending()));
    let client = Client::connect(&address).await.unwrap();
    let guard = client.lock("123").await.unwrap();
    served.abort();
    in_time(guard.lost()).await;
    assert!(in_time(client.lock("123")).await.is_err());
}

/// Many tasks over few ids, cancelled at random moments of their own making.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_hold_one_id_and_nobody_is_forgotten() {
    const TASKS: u64 = 64;
    const ROUNDS: u64 = 50;
    let server = TestServer::start().await;
    let sections: Arc<[tokio::sync::Mutex<()>]> =
        (0..4).map(|_| tokio::sync::Mutex::new(())).collect();
    let clients = join_all((0..4).map(|_| server.client())).await;
    let tasks = (0..TASKS).map(|task| {
        let (client, sections) = (clients[task as usize % 4].clone(), sections.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let id = (task * 7 + round) % 4;
                let name = id.to_string();
                let mut request = Box::pin(client.lock(&name));
                if (task + round).is_multiple_of(3) {
                    let _ = (&mut request).now_or_never();
                    tokio::task::yield_now().await;
                    continue;
                }
                let guard = request.await.unwrap();
                drop(sections[id as usize].try_lock().expect("nobody else is in the section"));
                guard.unlock().await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        in_time(task).await.unwrap();
    }
    for id in 0..4 {
        server.until(&id.to_string(), 0, 0).await;
    }
}

/// Nobody has looked at the task that reads before its runtime is gone.
#[test]
fn a_client_that_outlives_the_runtime_it_was_made_in_is_closed() {
    let runtime = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let serving = runtime::Runtime::new().unwrap();
    let server = serving.block_on(TestServer::start());
    let made_in = runtime();
    let client = made_in.block_on(server.client());
    drop(made_in);
    runtime().block_on(async {
        let error = in_time(client.lock("123")).await.unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
        let error = in_time(client.close()).await.unwrap_err();
        assert!(matches!(error, Error::NotToldClosed), "{error:?}");
    });
}

#[tokio::test]
async fn a_client_that_asks_faster_than_it_is_read_keeps_what_it_holds() {
    let pace = NonZeroU32::new(10).unwrap();
    let server = TestServer::start_with(support::with_short_leases().pace(pace)).await;
    let client = server.client_for(Duration::from_millis(1500)).await;
    let held = client.lock("held").await.unwrap();
    // What is asked for takes longer to be read than the lease is.
    let all = (0..100).map(|id| {
        let client = client.clone();
        async move { client.lock(&(id % 50).to_string()).await.unwrap().unlock().await.unwrap() }
    });
    in_time(join_all(all)).await;
    assert!(held.is_held());
    in_time(held.unlock()).await.unwrap();
}

#[test]
fn a_question_whose_runtime_ends_is_not_answered() {
    let (serving, asking) = (runtime::Runtime::new().unwrap(), runtime::Runtime::new().unwrap());
    let server = serving.block_on(TestServer::start());
    let proxy = serving.block_on(Proxy::to(server.address));
    let client = serving.block_on(Client::connect(&url(proxy.address))).unwrap();
    proxy.silence();
    let (handle, (asked, begun)) = (asking.handle().clone(), std::sync::mpsc::channel());
    let question = std::thread::spawn(move || {
        let mut question = Box::pin(client.status("123"));
        let _in_runtime = handle.enter();
        assert!((&mut question).now_or_never().is_none());
        asked.send(()).unwrap();
        handle.block_on(question)
    });
    begun.recv().unwrap();
    asking.shutdown_background();
    let error = question.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
}
