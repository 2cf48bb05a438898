//! The binary `syncer`, as a process.

mod support;

use std::process::Stdio;

use lockcore_net::Client;
use support::in_time;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

/// A running `syncer`, killed when dropped.
struct Syncer {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Syncer {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_syncer"))
            .args(arguments)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, log }
    }

    /// Reads the log up to a line that has `part`, and returns what follows it there.
    async fn logs(&mut self, part: &str) -> String {
        loop {
            let line = in_time(self.log.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the log ends before {part:?}"));
            if let Some((_, rest)) = line.split_once(part) {
                return rest.to_owned();
            }
        }
    }

    async fn client(&mut self) -> Client {
        let address = self.logs("listening on ").await;
        Client::connect(&format!("http://{address}")).await.unwrap()
    }

    async fn ends(&mut self) -> Option<i32> {
        in_time(self.process.wait()).await.unwrap().code()
    }
}

#[tokio::test]
async fn debug_logs_every_hand_off_and_the_queue() {
    let mut syncer = Syncer::start(&["--port", "0", "--debug"]);
    let client = syncer.client().await;
    let guard = client.lock("123").await.unwrap();
    let waiting = [client.clone(), client].map(|client| {
        tokio::spawn(async move { client.lock("123").await.unwrap().unlock().await.unwrap() })
    });
    syncer.logs("locking 123 buffer: 0").await;
    syncer.logs("suspending 123 buffer: 1").await;
    syncer.logs("suspending 123 buffer: 2").await;
    guard.unlock().await.unwrap();
    syncer.logs("unlocking 123").await;
    syncer.logs("locking 123 buffer: 1").await;
    syncer.logs("unlocking 123").await;
    syncer.logs("locking 123 buffer: 0").await;
    for task in waiting {
        in_time(task).await.unwrap();
    }
    syncer.process.start_kill().unwrap();
    while let Some(line) = in_time(syncer.log.next_line()).await.unwrap() {
        assert!(line.contains(" lockcore_net::"), "{line}");
    }
}

#[tokio::test]
async fn flags_may_have_one_dash_as_with_go() {
    let mut syncer = Syncer::start(&["-port=0", "-log-level", "info", "-debug=false"]);
    drop(syncer.client().await.lock("123").await.unwrap());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut syncer = Syncer::start(&["--port", &address.port().to_string()]);
    let message = syncer.logs("syncer: ").await;
    assert!(message.starts_with(&format!("cannot listen at {address}: ")), "{message}");
    assert_eq!(syncer.ends().await, Some(1));
}

#[tokio::test]
async fn bad_arguments_are_named() {
    let mut syncer = Syncer::start(&["--port", "70000"]);
    assert!(syncer.logs("error: ").await.contains("'70000'"));
    assert_eq!(syncer.ends().await, Some(2));
}

/// Found: a log that nobody reads broke or stopped the server.
#[tokio::test]
async fn a_log_that_nobody_reads_does_no_harm() {
    let mut syncer = Syncer::start(&["--port", "0", "--debug"]);
    let client = syncer.client().await;
    let Syncer { process, log } = syncer;
    drop(log);
    for round in 0..1000 {
        let guard = in_time(client.lock("123")).await.unwrap();
        assert_eq!(guard.token(), round + 1);
        in_time(guard.unlock()).await.unwrap();
    }
    drop(process);
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_ends_sessions_and_the_process() {
    let mut syncer = Syncer::start(&["--port", "0"]);
    let client = syncer.client().await;
    let guard = client.lock("123").await.unwrap();
    let pid = syncer.process.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    in_time(guard.lost()).await;
    syncer.logs("stopping").await;
    assert_eq!(syncer.ends().await, Some(0));
}
