//! The binary `syncer`, as a process.

use std::{net::SocketAddr, path::Path, process::Stdio};

use lockcore_net::Client;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use super::in_time;

/// A running `syncer`, killed when dropped.
pub struct Syncer {
    pub process: Child,
    pub log: Lines<BufReader<ChildStderr>>,
}

impl Syncer {
    pub fn start(arguments: &[&str]) -> Self {
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
    pub async fn logs(&mut self, part: &str) -> String {
        loop {
            let line = in_time(self.log.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the log ends before {part:?}"));
            if let Some((_, rest)) = line.split_once(part) {
                return rest.to_owned();
            }
        }
    }

    /// Starts one whose locks survive it, with leases from 1 ms on.
    pub fn start_in(dir: &Path) -> Self {
        let dir = dir.to_str().unwrap();
        Self::start(&["--port", "0", "--min-lease", "1ms", "--state-dir", dir])
    }

    pub async fn address(&mut self) -> SocketAddr {
        self.logs("listening on ").await.parse().unwrap()
    }

    pub async fn client(&mut self) -> Client {
        let address = self.address().await;
        Client::connect(&super::url(address)).await.unwrap()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        in_time(self.process.kill()).await.unwrap();
    }

    pub async fn ends(&mut self) -> Option<i32> {
        in_time(self.process.wait()).await.unwrap().code()
    }
}
