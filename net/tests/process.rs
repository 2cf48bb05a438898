//! The binary `syncer`, as a process.

mod support;

use std::fs;

use support::{in_time, process::Syncer};
use tokio::process::Command;

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

#[tokio::test]
async fn a_damaged_state_file_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut syncer = Syncer::start_in(dir.path());
    syncer.client().await;
    syncer.kill().await;
    let state = dir.path().join("state");
    let whole = fs::read_to_string(&state).unwrap();
    let damaged = whole.replace("longest lease 10000", "longest lease 1");
    assert_ne!(damaged, whole);
    fs::write(&state, &damaged).unwrap();
    let mut syncer = Syncer::start_in(dir.path());
    let message = syncer.logs("syncer: ").await;
    let expected = format!("the state file {} is damaged", state.display());
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(syncer.ends().await, Some(1));
    assert_eq!(fs::read_to_string(&state).unwrap(), damaged, "it is left as it is");
}

#[tokio::test]
async fn two_servers_do_not_share_a_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Syncer::start_in(dir.path());
    let client = first.client().await;
    let mut second = Syncer::start_in(dir.path());
    let message = second.logs("syncer: ").await;
    let expected = format!("the state directory {} is another server's", dir.path().display());
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(second.ends().await, Some(1));
    drop(client.lock("123").await.unwrap());
}

#[tokio::test]
async fn a_server_without_a_state_directory_says_what_it_cannot_promise() {
    let mut syncer = Syncer::start(&["--port", "0"]);
    let rest = syncer.logs("there is no state directory: ").await;
    assert!(rest.contains("its locks are lost"), "{rest}");
}

#[tokio::test]
async fn limits_are_flags() {
    let flags = ["--port", "0", "--max-ids", "1", "--max-lease", "5s"];
    let mut syncer = Syncer::start(&flags);
    let client = syncer.client().await;
    let _guard = client.lock("123").await.unwrap();
    let error = client.lock("456").await.unwrap_err();
    assert!(error.to_string().ends_with("there may be 1 ids in use at most"));
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
