//! Counts instructions for each operation under callgrind, and fails when one of ours is more than
//! 3 % above its limit in `instructions.limits`. Needs `valgrind`.
//!
//! The program runs itself under callgrind, with a case's name as its argument.

use std::{
    env, iter,
    process::{Command, ExitCode},
};

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use compact_str::CompactString;
use futures_intrusive::sync::Mutex as IntrusiveMutex;
use lockable::LockPool;
use lockcore::KeyedMutex;
use lockcore_benches::{
    peers::{AsyncLocks, BlockingLocks, Id, LockedTable, Peer, WithoutSlots, Yields},
    rows::{TASKS, Waiters, lock_and_release, names, small_ids, take_turns},
};
use lockmap::LockMap;
use tokio::{runtime, sync::Mutex as TokioMutex};

/// Lines of a limit, our aim and a case's name.
const LIMITS: &str = include_str!("../../instructions.limits");
/// How far above its limit a figure may be: compilers differ.
const TOLERANCE: f64 = 1.03;
/// Operations of one run.
const OPERATIONS: u64 = 64 * 200;

/// An operation of a peer, done [`OPERATIONS`] times.
struct Case {
    operation: &'static str,
    peer: &'static str,
    run: fn(),
}

/// The cases of an operation, one for each listed peer.
macro_rules! cases {
    ($($operation:literal $run:ident: $($peer:ty),+;)+) => {
        &[$($(Case { operation: $operation, peer: <$peer>::NAME, run: $run::<$peer> }),+),+]
    };
}

const CASES: &[Case] = cases! {
    "uncontended-u64" uncontended_u64: KeyedMutex<u64>, WithoutSlots<u64>,
        LockedTable<u64>, TokioMutex<()>,
        LockPool<u64>, LockMap<u64, ()>;
    "uncontended-str" uncontended_str: KeyedMutex<CompactString>,
        WithoutSlots<CompactString>, KeyedMutex<String>, LockedTable<String>, LockPool<String>,
        LockMap<String, ()>;
    "among-many" among_many: KeyedMutex<u64>, WithoutSlots<u64>, LockedTable<u64>, LockPool<u64>;
    "cancel" cancel: KeyedMutex<u64>, TokioMutex<()>, IntrusiveMutex<()>, LockPool<u64>;
    "hand-off" hand_off: KeyedMutex<u64>, WithoutSlots<u64>, Yields, TokioMutex<()>, IntrusiveMutex<()>, LockPool<u64>;
};

impl Case {
    fn name(&self) -> String {
        format!("{} {}", self.operation, self.peer)
    }

    /// Returns the limit and the aim if the case has them.
    fn limit(&self) -> Option<[f64; 2]> {
        let name = self.name();
        LIMITS.lines().find_map(|line| {
            let [limit, aim, case] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("a line is a limit, an aim and a case: {line}");
            };
            let number = |column: &str| column.parse().expect("a limit is a number");
            (case == name).then(|| [limit, aim].map(number))
        })
    }
}

fn main() -> ExitCode {
    match env::args().nth(1) {
        Some(name) => run(&name),
        None => compare(),
    }
}

fn run(name: &str) -> ExitCode {
    let case = CASES.iter().find(|case| case.name() == name);
    (case.expect("the argument names a case").run)();
    ExitCode::SUCCESS
}

fn compare() -> ExitCode {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["operation", "by", "instructions", "limit", "aim", ""]);
    let mut exceeded = false;
    for case in CASES {
        let (figure, limits) = (instructions(case), case.limit());
        let exceeds = limits.is_some_and(|[limit, _]| figure > limit * TOLERANCE);
        exceeded |= exceeds;
        let [limit, aim] = limits.map_or_else(Default::default, |limits| limits.map(display));
        let verdict = if exceeds { "EXCEEDED" } else { "" };
        table.add_row([case.operation, case.peer, &display(figure), &limit, &aim, verdict]);
    }
    println!("{table}");
    if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn display(figure: f64) -> String {
    format!("{figure:.0}")
}

/// Runs a case under callgrind and returns its instructions for each operation.
fn instructions(case: &Case) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*collected*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(env::current_exe().expect("the program knows its path"))
        .arg(case.name())
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.unwrap_or_else(|| panic!("callgrind counted nothing:\n{log}"));
    collected.trim().parse::<f64>().expect("callgrind prints a number") / OPERATIONS as f64
}

/// What callgrind counts: it knows this function by its name.
#[inline(never)]
fn collected(work: impl FnOnce()) {
    work();
}

fn uncontended_u64<L: BlockingLocks<Id = u64>>() {
    uncontended::<L>(small_ids());
}

fn uncontended_str<L: BlockingLocks<Id: Id<Form = str>>>() {
    uncontended::<L>(names());
}

/// It takes one id: two that share a slot or a bucket, by a seed that is different in each build, would
/// cost more.
fn uncontended<L: BlockingLocks>(ids: Vec<L::Id>) {
    let (locks, ids) = (L::create(), vec![ids[0].clone(); 64]);
    lock_and_release(&locks, &ids, 640);
    collected(|| lock_and_release(&locks, &ids, OPERATIONS as usize));
}

/// Locks ids that are free while many others are held.
fn among_many<L: BlockingLocks<Id = u64>>() {
    let locks = L::create();
    let mut random = fastrand::Rng::with_seed(1);
    let others: Vec<u64> = iter::repeat_with(|| random.u64(..)).take(100_000).collect();
    let _held: Vec<_> = others.iter().map(|id| locks.blocking_lock(id)).collect();
    let ids: Vec<u64> = iter::repeat_with(|| random.u64(..)).take(OPERATIONS as usize).collect();
    collected(|| lock_and_release(&locks, &ids, ids.len()));
}

fn hand_off<L: AsyncLocks<Id = u64>>() {
    let locks: &'static L = Box::leak(Box::new(L::create()));
    let runtime = runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers starts");
    runtime.block_on(async { tokio::spawn(take_turns(locks, 10)).await.expect("no task panics") });
    let turns = OPERATIONS / TASKS;
    collected(|| runtime.block_on(take_turns(locks, turns)));
}

/// Cancels all that wait for one id, in any order.
fn cancel<L: AsyncLocks<Id = u64>>() {
    let locks: &'static L = Box::leak(Box::new(L::create()));
    let _holder = locks.blocking_lock(&7);
    let mut waiters = Waiters::prepare(OPERATIONS as usize, || locks.lock(&7));
    (0..OPERATIONS as usize).for_each(|waiter| waiters.poll(waiter));
    let mut order: Vec<_> = (0..OPERATIONS as usize).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    collected(|| order.iter().for_each(|waiter| waiters.cancel(*waiter)));
}
