//! The whole house: the binary `syncer`, and `payment` processes that take turns through it.
//!
//! Needs both binaries beside this test, as `cargo test --workspace` builds them.

mod support;

use std::{
    fs::{self, File},
    path::PathBuf,
};

use futures::future::{join_all, try_join_all};
use support::{Syncer, TOO_LONG, command, find, until};
use tokio::{process::Child, time::timeout};

/// The work of a process that is to be killed while it works.
const FOR_GOOD: &str = "3600000";

/// Where the payment processes of a test write, line by line, in the order of what happens.
struct Journal {
    path: PathBuf,
}

impl Journal {
    fn new(test: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.journal"));
        drop(File::create(&path).unwrap());
        Self { path }
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.path).unwrap().lines().map(str::to_owned).collect()
    }

    /// Returns the tokens of all sections that ended, having checked that no two overlap. Those of a
    /// process that was `killed` are passed over.
    fn sections(&self, killed: Option<&str>) -> Vec<u64> {
        let lines = self.lines().into_iter().filter(|line| !line.starts_with("listening"));
        let lines = lines.filter(|line| Some(line.as_str()) != killed);
        let mut tokens = Vec::new();
        let mut begun = None;
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            let token: u64 = words[2].parse().unwrap();
            match words[0] {
                "begins" => assert_eq!(begun.replace(token), None, "{line:?} overlaps"),
                "ends" => {
                    assert_eq!(begun.take(), Some(token), "{line:?} ends what did not begin");
                    tokens.push(token);
                }
                _ => panic!("{line:?} in the journal"),
            }
        }
        tokens
    }
}

/// A payment process.
struct Payment {
    address: String,
    process: Child,
}

impl Payment {
    async fn start(syncer: &Syncer, journal: &Journal, work: &str) -> Self {
        let stdout = File::options().append(true).open(&journal.path).unwrap();
        let started = journal.lines().len();
        let process = command("examples/payment")
            .args(["--port", "0", "--syncer", &syncer.address, "--work", work])
            .stdout(stdout)
            .spawn()
            .unwrap();
        let address = until(|| find(&journal.lines()[started..], "listening on ")).await;
        Self { address, process }
    }

    /// Asks for a payment and returns the answer's text if it is served.
    async fn pay(&self, id: &str) -> Result<String, reqwest::Error> {
        let url = format!("http://{}/payment?payment_id={id}", self.address);
        let answer = timeout(TOO_LONG, reqwest::get(url)).await.expect("an answer in time");
        answer?.error_for_status()?.text().await
    }

    async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

fn rising(tokens: &[u64]) -> bool {
    tokens.is_sorted_by(|one, next| one < next)
}

#[tokio::test]
async fn twenty_requests_over_two_processes_are_served_one_by_one_in_order_of_arrival() {
    let (syncer, journal) = (Syncer::start().await, Journal::new("in_order"));
    let one = Payment::start(&syncer, &journal, "20").await;
    let two = Payment::start(&syncer, &journal, "20").await;
    let holder = syncer.client().await.lock("123").await.unwrap();
    let requests = (0..20).map(|request| if request % 2 == 0 { &one } else { &two }.pay("123"));
    let release = async {
        syncer.until_waiting("123", 20).await;
        holder.unlock().await.unwrap();
    };
    let (answers, ()) = tokio::join!(try_join_all(requests), release);
    let answers = answers.unwrap();
    assert!(answers.iter().all(|answer| answer.starts_with("payment 123 is done")), "{answers:?}");

    let tokens = journal.sections(None);
    assert_eq!(tokens.len(), 20);
    assert!(rising(&tokens), "{tokens:?}");
    assert_eq!(turns_of_those_who_waited(&syncer, 20).await, syncer.requests("suspending 123"));
}

/// Returns the requests that had a turn after the first one, once there are so many.
async fn turns_of_those_who_waited(syncer: &Syncer, count: usize) -> Vec<String> {
    let turns = || Some(syncer.requests("locking 123")).filter(|turns| turns.len() == 1 + count);
    until(turns).await.split_off(1)
}

#[tokio::test]
async fn a_process_killed_while_it_holds_and_waits_lets_the_rest_go_on() {
    let (syncer, journal) = (Syncer::start().await, Journal::new("killed_holding"));
    let doomed = Payment::start(&syncer, &journal, FOR_GOOD).await;
    let other = Payment::start(&syncer, &journal, "1").await;
    let mut doomed_calls = Box::pin(join_all((0..10).map(|_| doomed.pay("123"))));
    let holding = async { syncer.until_waiting("123", 9).await };
    tokio::select! {
        answers = &mut doomed_calls => panic!("it works for good: {answers:?}"),
        () = holding => {}
    }
    let mut calls = Box::pin(try_join_all((0..10).map(|_| other.pay("123"))));
    tokio::select! {
        answers = &mut calls => panic!("they wait: {answers:?}"),
        () = syncer.until_waiting("123", 19) => {}
    }
    drop(doomed_calls);
    doomed.kill().await;
    let answers = timeout(TOO_LONG, calls).await.expect("the rest goes on at once").unwrap();
    assert_eq!(answers.len(), 10);
    let tokens = journal.sections(Some("begins 123 1"));
    assert_eq!(tokens.len(), 10, "the ten of the other process: {tokens:?}");
    assert!(rising(&tokens), "{tokens:?}");
    let survivors = syncer.requests("suspending 123").split_off(9);
    assert_eq!(turns_of_those_who_waited(&syncer, 10).await, survivors, "in order of arrival");
}

#[tokio::test]
async fn a_process_killed_while_it_waits_leaves_the_queue() {
    let (syncer, journal) = (Syncer::start().await, Journal::new("killed_waiting"));
    let doomed = Payment::start(&syncer, &journal, FOR_GOOD).await;
    let other = Payment::start(&syncer, &journal, "1").await;
    let holder = syncer.client().await.lock("123").await.unwrap();
    let mut doomed_call = Box::pin(doomed.pay("123"));
    tokio::select! {
        answer = &mut doomed_call => panic!("it waits: {answer:?}"),
        () = syncer.until_waiting("123", 1) => {}
    }
    let mut call = Box::pin(other.pay("123"));
    tokio::select! {
        answer = &mut call => panic!("it waits: {answer:?}"),
        () = syncer.until_waiting("123", 2) => {}
    }
    drop(doomed_call);
    doomed.kill().await;
    syncer.until_waiting("123", 1).await;
    holder.unlock().await.unwrap();
    call.await.unwrap();
    assert_eq!(journal.sections(None).len(), 1);
}
