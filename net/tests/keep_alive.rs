//! What keep-alives keep, and what happens when they do not come.

mod support;

use std::{sync::mpsc, thread, time::Duration};

use lockcore_net::{ClientOptions, Error};
use support::{TestServer, in_time, with_short_leases};
use tokio::{runtime, sync::oneshot};

const LEASE: Duration = Duration::from_millis(400);

/// Scenario 9: they go on after an unlock, and keep the session and no hold.
#[tokio::test]
async fn keep_alives_keep_a_hold_beyond_its_lease_and_nothing_after_its_unlock() {
    let server = TestServer::start_with(with_short_leases()).await;
    let (quiet, other) = (server.client_for(LEASE).await, server.client().await);
    let held = quiet.lock("held").await.unwrap();
    let unlocked = quiet.lock("unlocked").await.unwrap();
    assert!(other.lock_timeout("unlocked", 3 * LEASE).await.unwrap().is_none());
    unlocked.unlock().await.unwrap();
    let theirs = in_time(other.lock("unlocked")).await.unwrap();
    assert!(other.lock_timeout("held", 3 * LEASE).await.unwrap().is_none());
    assert!(held.is_held() && theirs.is_held());
    assert_eq!(server.status("unlocked").await, (1, 0));
    held.unlock().await.unwrap();
}

/// Holds on a runtime that does nothing else until it is told to go on; returns whether it holds then,
/// and how the hold was lost.
fn hold_and_block(
    url: &str,
    held: oneshot::Sender<u64>,
    go_on: &mpsc::Receiver<()>,
) -> (bool, Error) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = ClientOptions::new().lease(LEASE).connect(url).await.unwrap();
        let guard = client.lock("123").await.unwrap();
        held.send(guard.token()).unwrap();
        go_on.recv().unwrap();
        let is_held = guard.is_held();
        (is_held, in_time(guard.lost()).await)
    })
}

/// Scenario 9: keep-alives are starved by a blocked runtime.
#[tokio::test]
async fn a_hold_of_a_runtime_that_is_blocked_past_the_lease_is_lost_when_it_goes_on() {
    let server = TestServer::start_with(with_short_leases()).await;
    let (url, other) = (server.url(), server.client().await);
    let (held, holds) = oneshot::channel();
    let (go_on, told) = mpsc::channel();
    let blocked = thread::spawn(move || hold_and_block(&url, held, &told));
    let token = in_time(holds).await.unwrap();
    let next = in_time(other.lock("123")).await.unwrap();
    assert!(next.token() > token);
    go_on.send(()).unwrap();
    let joined = tokio::task::spawn_blocking(|| blocked.join());
    let (is_held, lost) = in_time(joined).await.unwrap().unwrap();
    assert!(!is_held, "it must not need its runtime to know");
    assert!(matches!(lost, Error::SessionExpired), "{lost:?}");
    assert!(next.is_held());
}
