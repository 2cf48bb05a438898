//! What the tests of the examples share: the processes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::{
    env,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use lockcore_net::Client;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::yield_now,
    time::timeout,
};

/// Longer than any of this takes; reaching it is a failure.
pub const TOO_LONG: Duration = Duration::from_secs(60);

/// A server, and what it logs.
pub struct Syncer {
    pub address: String,
    log: Arc<Mutex<Vec<String>>>,
    _process: Child,
}

impl Syncer {
    pub async fn start() -> Self {
        let mut process = command("syncer")
            .args(["--port", "0", "--debug"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let logged = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                logged.lock().unwrap().push(line);
            }
        });
        let listening = || find(&log.lock().unwrap(), "listening on ");
        let address = format!("http://{}", until(listening).await);
        Self { address, log, _process: process }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    /// Waits until so many wait for an id that somebody holds.
    pub async fn until_waiting(&self, id: &str, waiting: u64) {
        let client = self.client().await;
        let reached = async {
            let mut status = client.status(id).await.unwrap();
            while (status.holders, status.waiting) != (1, waiting) {
                status = client.status(id).await.unwrap();
            }
        };
        timeout(TOO_LONG, reached).await.expect("they all reach the server");
    }

    /// Returns session and request of each log line that begins like this.
    pub fn requests(&self, begin: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let begin = format!(": {begin} ");
        let about = |line: &&String| line.contains(&begin);
        let field = |line: &str, name: &str| {
            let (_, value) = line.split_once(name).unwrap_or_else(|| panic!("{name} in {line}"));
            value.split(' ').next().unwrap().to_owned()
        };
        let request = |line: &String| field(line, "session=") + "/" + &field(line, "request=");
        log.iter().filter(about).map(request).collect()
    }
}

/// A binary that `cargo test --workspace` has built beside this test.
pub fn command(binary: &str) -> Command {
    let built = env::current_exe().unwrap();
    let path = built.parent().unwrap().parent().unwrap().join(binary);
    assert!(path.exists(), "{} is missing: run cargo test --workspace", path.display());
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    command
}

/// Returns what follows `part` in the first line that has it.
pub fn find(lines: &[String], part: &str) -> Option<String> {
    lines.iter().find_map(|line| Some(line.split_once(part)?.1.to_owned()))
}

/// Waits until it is found.
pub async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            match found() {
                Some(found) => return found,
                None => yield_now().await,
            }
        }
    };
    timeout(TOO_LONG, search).await.expect("it comes in time")
}
