//! Several clients over lines that break, and a server that is killed and started again: no two hold one
//! id at one time, and tokens rise in the order of holds.
//!
//! `LOCKCORE_ROUNDS=50 LOCKCORE_SEED=7 cargo test -p lockcore-net --test history -- --nocapture` runs so
//! many rounds from a seed and prints what happened in them.

mod support;

use std::{
    collections::BTreeMap,
    env,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::future::join_all;
use lockcore_net::{Client, ClientOptions, Error, Guard, Refusal};
use support::{
    in_time,
    process::Syncer,
    proxy::{Lost, Proxy},
    url,
};
use tokio::{task::JoinHandle, time::sleep};

const CLIENTS: u64 = 4;
const TASKS: u64 = 2;
const OPERATIONS: u64 = 10;
const IDS: u64 = 3;
const LEASE: Duration = Duration::from_millis(800);

/// A hold as its client saw it: surely held from `begin` to `end`.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: u64,
    shared: bool,
    token: u64,
    begin: Instant,
    end: Instant,
}

#[derive(Default)]
struct History {
    held: Vec<Held>,
    counts: BTreeMap<&'static str, u64>,
}

type Log = Arc<Mutex<History>>;

fn count(log: &Log, what: &'static str) {
    *log.lock().unwrap().counts.entry(what).or_default() += 1;
}

/// Returns the first two holds that do not go together.
fn judge(held: &[Held]) -> Option<(Held, Held)> {
    let mut sorted = held.to_vec();
    sorted.sort_unstable_by_key(|held| (held.id, held.token));
    let of_one_id = |pair: &&[Held]| pair[0].id == pair[1].id;
    let same_token = |pair: &&[Held]| pair[0].token == pair[1].token;
    if let Some(pair) = sorted.windows(2).filter(of_one_id).find(same_token) {
        return Some((pair[0], pair[1]));
    }
    sorted.iter().enumerate().find_map(|(at, later)| {
        let mut earlier = sorted[..at].iter().filter(|earlier| earlier.id == later.id);
        let rival = earlier
            .find(|earlier| !(earlier.shared && later.shared) && earlier.end > later.begin)?;
        Some((*rival, *later))
    })
}

/// Xorshift: the same seed, the same round, but for what the machine adds.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn split(&mut self) -> Self {
        Self(self.below(u64::MAX) | 1)
    }

    async fn pause(&mut self, most: u64) {
        sleep(Duration::from_millis(self.below(most))).await;
    }
}

/// Locks, holds for a while and releases, in each way there is.
async fn work(client: Client, mut dice: Dice, log: Log) {
    for _ in 0..OPERATIONS {
        let shared = dice.below(4) == 0;
        let [name, other] = [(); 2].map(|()| dice.below(IDS).to_string());
        let others = [&*other];
        let mut request = client.request(&name);
        if dice.below(3) == 0 {
            request = request.and(&others);
        }
        if shared {
            request = request.shared();
        }
        if dice.below(4) == 0 {
            request = request.wait_limit(Duration::from_millis(dice.below(20)));
        }
        let locking = request.lock();
        let locked = if dice.below(5) == 0 {
            let patience = Duration::from_millis(dice.below(30));
            tokio::time::timeout(patience, locking).await.ok()
        } else {
            Some(in_time(locking).await)
        };
        match locked {
            None => count(&log, "requests dropped"),
            Some(Ok(guard)) => hold(guard, shared, &mut dice, &log).await,
            Some(Err(error)) => {
                count(&log, expected(&error));
                dice.pause(20).await;
            }
        }
    }
}

async fn hold(guard: Guard, shared: bool, dice: &mut Dice, log: &Log) {
    let begin = Instant::now();
    let mut end = None;
    // Some hold for longer than a lease, so that what breaks meets them.
    let looks = if dice.below(4) == 0 { 150 } else { dice.below(4) };
    for _ in 0..=looks {
        let now = Instant::now();
        if !guard.is_held() {
            break;
        }
        end = Some(now);
        dice.pause(8).await;
    }
    let now = Instant::now();
    if guard.is_held() {
        end = Some(now);
    } else {
        count(log, "holds lost");
    }
    if guard.tokens().count() > 1 {
        count(log, "holds of two ids");
    }
    let held = guard.tokens().filter_map(|(id, token)| {
        let id = id.parse().expect("ids are numbers here");
        Some(Held { id, shared, token, begin, end: end? })
    });
    log.lock().unwrap().held.extend(held);
    if dice.below(2) == 0 {
        drop(guard);
    } else if in_time(guard.unlock()).await.is_err() {
        count(log, "unlocks that failed");
    }
}

/// What a client may be told while everything breaks.
fn expected(error: &Error) -> &'static str {
    if matches!(error, Error::SessionExpired) {
        "sessions expired, seen by requests"
    } else if matches!(error, Error::Connect { .. } | Error::Open { .. }) {
        "sessions not opened"
    } else if let Error::Refused { reason, .. } = error {
        assert!(matches!(
            reason,
            Refusal::WaitLimit { .. } | Refusal::Busy | Refusal::Recovering { .. }
        ));
        "waits ended"
    } else {
        panic!("nothing explains {error:?}")
    }
}

/// Breaks things until it is stopped.
async fn break_things(
    proxies: Arc<[Proxy]>,
    mut syncer: Syncer,
    dir: Arc<Path>,
    mut dice: Dice,
    log: Log,
) {
    loop {
        dice.pause(150).await;
        let proxy = &proxies[dice.below(CLIENTS) as usize];
        match dice.below(12) {
            0..5 => {
                proxy.cut();
                count(&log, "cuts");
            }
            5..8 => {
                proxy.lose(Lost { to_server: true, to_client: false });
                count(&log, "lines dead to the server");
            }
            8..10 => {
                proxy.lose(Lost { to_server: false, to_client: true });
                count(&log, "lines dead to the client");
            }
            10 => {
                proxy.cut_for_good();
                dice.pause(1500).await;
                proxy.mend();
                count(&log, "lines closed for a while");
            }
            _ => {
                syncer.kill().await;
                syncer = Syncer::start_in(&dir);
                let address = syncer.address().await;
                proxies.iter().for_each(|proxy| proxy.lead_to(address));
                count(&log, "servers killed and started again");
            }
        }
    }
}

async fn round(mut dice: Dice, log: &Log) {
    let dir = tempfile::tempdir().unwrap();
    let mut syncer = Syncer::start_in(dir.path());
    let server = syncer.address().await;
    let proxies: Arc<[Proxy]> = join_all((0..CLIENTS).map(|_| Proxy::to(server))).await.into();
    let options = ClientOptions::new().lease(LEASE);
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    for proxy in proxies.iter() {
        let client = options.connect(&url(proxy.address)).await.unwrap();
        let work = |_| tokio::spawn(work(client.clone(), dice.split(), log.clone()));
        tasks.extend((0..TASKS).map(work));
    }
    let breaking =
        tokio::spawn(break_things(proxies, syncer, dir.path().into(), dice.split(), log.clone()));
    for task in tasks {
        in_time(task).await.unwrap();
    }
    breaking.abort();
    let _ = breaking.await;
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_hold_one_id_at_one_time_whatever_breaks() {
    let (rounds, seed) = (number("LOCKCORE_ROUNDS", 2), number("LOCKCORE_SEED", 1));
    let mut sums = BTreeMap::<&str, u64>::new();
    for round_seed in seed..seed + rounds {
        let log = Log::default();
        round(Dice(round_seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), &log).await;
        let History { held, counts } = std::mem::take(&mut *log.lock().unwrap());
        assert!(!held.is_empty());
        if let Some((one, other)) = judge(&held) {
            panic!("seed {round_seed}: {one:?} and {other:?} do not go together");
        }
        *sums.entry("holds judged").or_default() += held.len() as u64;
        for (what, count) in counts {
            *sums.entry(what).or_default() += count;
        }
    }
    println!("{rounds} rounds from seed {seed}: {sums:#?}");
}

/// The judge itself: one wrong hold among right ones is found.
#[test]
fn the_judge_sees_overlaps_and_tokens_that_fall() {
    let origin = Instant::now();
    let held = |token: u64, shared, begin, end| {
        let at = |millis| origin + Duration::from_millis(millis);
        Held { id: 1, shared, token, begin: at(begin), end: at(end) }
    };
    let right =
        [held(1, false, 0, 2), held(2, true, 2, 6), held(3, true, 3, 5), held(4, false, 6, 7)];
    assert!(judge(&right).is_none());
    for wrong in [
        held(5, false, 4, 8),  // overlaps
        held(5, true, 1, 3),   // a later token, earlier
        held(4, true, 8, 9),   // a token of somebody else
        held(0, false, 9, 10), // a token that falls
    ] {
        assert!(judge(&[&right[..], &[wrong]].concat()).is_some(), "{wrong:?}");
    }
    let other = Held { id: 2, ..held(1, false, 1, 9) };
    assert!(judge(&[&right[..], &[other]].concat()).is_none());
}
