//! Servers that are killed and started again, and clients that are stopped.

mod support;

use std::{
    env,
    future::Future,
    io::BufRead,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use futures::FutureExt;
use lockcore_net::{Client, ClientOptions, Error, Refusal};
use support::{in_time, process::Syncer, proxy::Proxy, url};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

/// Long enough for a server to be started on a busy machine.
const LEASE: Duration = Duration::from_secs(6);

/// A server whose address stays the same over restarts.
struct House {
    syncer: Syncer,
    proxy: Proxy,
}

impl House {
    async fn start(dir: &Path) -> Self {
        let mut syncer = Syncer::start_in(dir);
        let proxy = Proxy::to(syncer.address().await).await;
        Self { syncer, proxy }
    }

    async fn restart(self, dir: &Path) -> Self {
        self.restart_as(|| Syncer::start_in(dir)).await
    }

    /// SIGKILL, and another server.
    async fn restart_as(self, start: impl FnOnce() -> Syncer) -> Self {
        let Self { syncer, proxy } = self;
        syncer.kill().await;
        let mut syncer = start();
        proxy.lead_to(syncer.address().await);
        Self { syncer, proxy }
    }

    async fn client(&self, lease: Duration) -> Client {
        ClientOptions::new().lease(lease).connect(&url(self.proxy.address)).await.unwrap()
    }
}

fn ask(request: &mut (impl Future + Unpin)) {
    assert!(request.now_or_never().is_none());
}

async fn until(client: &Client, id: &str, holders: u64, waiting: u64) {
    let reached = async {
        loop {
            // A question may meet the moment in which there is no server.
            if let Ok(status) = client.status(id).await
                && (status.holders, status.waiting) == (holders, waiting)
            {
                return;
            }
        }
    };
    in_time(reached).await;
}

/// Scenario 8.
#[tokio::test]
async fn a_killed_server_loses_no_lock_and_no_place_and_its_tokens_rise() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path()).await;
    let (one, two) = (house.client(LEASE).await, house.client(LEASE).await);
    let three = house.client(LEASE).await;
    let held = one.lock("held").await.unwrap();
    let theirs = two.lock("theirs").await.unwrap();
    let mut second = Box::pin(one.lock("theirs"));
    ask(&mut second);
    until(&one, "theirs", 1, 1).await;
    let mut third = Box::pin(three.lock("theirs"));
    ask(&mut third);
    until(&one, "theirs", 1, 2).await;

    let house = house.restart(dir.path()).await;
    let other = house.client(LEASE).await;
    let error = in_time(other.try_lock("held")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { reason: Refusal::Recovering { .. }, .. }),
        "{error:?}"
    );
    let mut newcomer = Box::pin(other.lock("held"));
    ask(&mut newcomer);

    until(&other, "theirs", 1, 2).await; // when the window is over, they are in the queue again
    assert!(held.is_held() && theirs.is_held());
    ask(&mut newcomer);
    let first = theirs.token();
    in_time(theirs.unlock()).await.unwrap();
    let second = in_time(second).await.unwrap();
    assert!(second.token() > first);
    ask(&mut third);
    drop(second);
    in_time(third).await.unwrap().unlock().await.unwrap();

    let before = held.token();
    in_time(held.unlock()).await.unwrap();
    assert!(in_time(newcomer).await.unwrap().token() > before);
    drop(house);
}

/// Whoever may still believe that he holds has the id to himself.
#[tokio::test]
async fn what_a_client_held_that_does_not_come_back_is_given_away_after_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let lease = Duration::from_secs(1);
    let house = House::start(dir.path()).await;
    let gone = support::RawSession::open_for(house.proxy.address, lease).await;
    let mut gone = gone;
    gone.lock(1, "123");
    let token = gone.granted(1).await;
    let killed = Instant::now();
    let house = house.restart(dir.path()).await;
    let client = house.client(lease).await;
    let guard = in_time(client.lock("123")).await.unwrap();
    assert!(killed.elapsed() >= lease, "he may have believed so until then");
    assert!(guard.token() > token);
}

#[tokio::test]
async fn newcomers_take_no_room_from_those_who_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let start = || Syncer::start(&["--port", "0", "--state-dir", path, "--max-sessions", "2"]);
    let mut syncer = start();
    let proxy = Proxy::to(syncer.address().await).await;
    let options = ClientOptions::new().lease(LEASE);
    let client = options.connect(&url(proxy.address)).await.unwrap();
    let guard = client.lock("123").await.unwrap();

    syncer.kill().await;
    let mut syncer = start();
    let address = syncer.address().await;
    let _newcomer = options.connect(&url(address)).await.unwrap();
    proxy.lead_to(address);
    in_time(guard.unlock()).await.unwrap();
}

#[tokio::test]
async fn many_restarts_in_a_row_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::start(dir.path()).await;
    let client = house.client(LEASE).await;
    let guard = client.lock("123").await.unwrap();
    for _ in 0..3 {
        house = house.restart(dir.path()).await;
        until(&client, "123", 1, 0).await;
    }
    assert!(guard.is_held());
    in_time(guard.unlock()).await.unwrap();
}

#[tokio::test]
async fn without_a_state_directory_a_restart_ends_sessions_clearly() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path()).await;
    let client = house.client(LEASE).await;
    let guard = client.lock("123").await.unwrap();
    let mut waiting = Box::pin(client.lock("123"));
    ask(&mut waiting);
    until(&client, "123", 1, 1).await;
    let house = house.restart_as(|| Syncer::start(&["--port", "0"])).await;
    assert!(matches!(in_time(guard.lost()).await, Error::SessionExpired));
    assert!(matches!(in_time(waiting).await, Err(Error::SessionExpired)));
    assert!(!guard.is_held());
    in_time(client.lock("123")).await.unwrap().unlock().await.unwrap();
    drop(house);
}

#[cfg(unix)]
async fn signal(pid: u32, signal: &str) {
    let kill = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(kill.await.unwrap().success());
}

/// A signal that was sent is yet to arrive.
#[cfg(unix)]
async fn until_stopped(pid: u32) {
    let is_stopped = async || {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        String::from_utf8(state.await.unwrap().stdout).unwrap().trim().starts_with('T')
    };
    in_time(async { while !is_stopped().await {} }).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_stopped_in_order_hands_its_sessions_on() {
    let dir = tempfile::tempdir().unwrap();
    let House { mut syncer, proxy } = House::start(dir.path()).await;
    let options = ClientOptions::new().lease(LEASE);
    let client = options.connect(&url(proxy.address)).await.unwrap();
    let guard = client.lock("123").await.unwrap();
    signal(syncer.process.id().unwrap(), "-TERM").await;
    assert_eq!(syncer.ends().await, Some(0));
    let mut syncer = Syncer::start_in(dir.path());
    proxy.lead_to(syncer.address().await);
    until(&client, "123", 1, 0).await;
    assert!(guard.is_held());
    in_time(guard.unlock()).await.unwrap();
}

#[cfg(unix)]
const STOPPED: &str = "a_client_stopped_past_its_lease_knows_at_once_that_it_holds_nothing";

/// Where the process that is to be stopped finds its server: says that this is that process.
#[cfg(unix)]
const HOLDER_ADDRESS: &str = "HOLDER_ADDRESS";

/// Scenario 6. It starts its own program once more, as the client that is stopped.
#[cfg(unix)]
#[test]
fn a_client_stopped_past_its_lease_knows_at_once_that_it_holds_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match env::var(HOLDER_ADDRESS) {
        Ok(address) => hold(&runtime, &address),
        Err(_) => runtime.block_on(stop_a_holder()),
    }
}

/// Says its token; then, for each line it reads, whether it holds, before anything else can run.
#[cfg(unix)]
fn hold(runtime: &tokio::runtime::Runtime, address: &str) {
    let client = ClientOptions::new().lease(Duration::from_millis(500));
    let client = runtime.block_on(client.connect(address)).unwrap();
    let guard = runtime.block_on(client.lock("123")).unwrap();
    println!("token {}", guard.token());
    for _ in std::io::stdin().lock().lines() {
        println!("holds {}", guard.is_held());
    }
}

#[cfg(unix)]
async fn stop_a_holder() {
    let server = support::TestServer::start_with(support::with_short_leases()).await;
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", STOPPED, "--nocapture"])
        .env(HOLDER_ADDRESS, server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = holder.id().unwrap();
    let mut says = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut stdin = holder.stdin.take().unwrap();
    let mut said = async |word: &str| loop {
        let line = in_time(says.next_line()).await.unwrap().expect("it goes on");
        if let Some((_, value)) = line.split_once(word) {
            return value.to_owned();
        }
    };
    let token: u64 = said("token ").await.parse().unwrap();
    stdin.write_all(b"?\n").await.unwrap();
    assert_eq!(said("holds ").await, "true");

    signal(pid, "-STOP").await;
    until_stopped(pid).await;
    stdin.write_all(b"?\n").await.unwrap();
    let next = in_time(server.client().await.lock("123")).await.unwrap();
    assert!(next.token() > token);
    signal(pid, "-CONT").await;
    assert_eq!(said("holds ").await, "false");
    drop(stdin);
    assert!(next.is_held());
}
