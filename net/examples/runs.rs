//! How many times a second 64 tasks of one client hand one id on, with runs and without, and that ids of
//! their own cost the same: over a socket, in one process, in less than a minute.
//!
//! Run it: `cargo run --release -p lockcore-net --example runs`

use std::time::{Duration, Instant};

use lockcore_net::{Client, ClientOptions, Error, Server};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

const TASKS: u32 = 64;
const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_secs(1);

/// What the tasks do.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    /// Whether all want the same id.
    one_id: bool,
    /// Whether a task waits until the server has heard of its release.
    unlock: bool,
}

const WORK: [Work; 3] = [
    Work { name: "one id, guards dropped", one_id: true, unlock: false },
    Work { name: "one id, guards unlocked", one_id: true, unlock: true },
    Work { name: "ids of their own, guards dropped", one_id: false, unlock: false },
];

fn main() -> Result<(), Error> {
    let server = runtime();
    let listener = server.block_on(Server::listen(([127, 0, 0, 1], 0).into()))?;
    let address = format!("http://{}", listener.local_addr().expect("it listens"));
    server.spawn(Server::new().serve(listener, std::future::pending()));
    runtime().block_on(async {
        for work in WORK {
            let (mut with, mut without) = (0.0, 0.0);
            for _ in 0..ROUNDS {
                without += pairs_per_second(&address, false, work).await?;
                with += pairs_per_second(&address, true, work).await?;
            }
            let (with, without) = (with / f64::from(ROUNDS), without / f64::from(ROUNDS));
            println!(
                "{TASKS} tasks, {}: {without:.0} pairs a second without runs, {with:.0} with them, \
                 {:.2} times as many",
                work.name,
                with / without
            );
        }
        Ok(())
    })
}

/// One thread for each side, as if they were processes.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime")
}

/// The mean over a round, each of which is a session of its own.
async fn pairs_per_second(address: &str, runs: bool, work: Work) -> Result<f64, Error> {
    let client = ClientOptions::new().runs(runs).connect(address).await?;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let id = if work.one_id { "123".to_owned() } else { task.to_string() };
        tasks.spawn(lock_again(client.clone(), id, begin + ROUND, work.unlock));
    }
    let mut pairs = 0;
    while let Some(task) = tasks.join_next().await {
        pairs += task.expect("no task panics")?;
    }
    let rate = f64::from(pairs) / begin.elapsed().as_secs_f64();
    client.close().await?;
    Ok(rate)
}

/// Locks and releases until the end, and returns how often.
async fn lock_again(client: Client, id: String, end: Instant, unlock: bool) -> Result<u32, Error> {
    let mut pairs = 0;
    while Instant::now() < end {
        let guard = client.lock(&id).await?;
        if unlock {
            guard.unlock().await?;
        }
        pairs += 1;
    }
    Ok(pairs)
}
