//! Several ids at once: money moves between accounts, in all directions at the same time.
//!
//! Whoever locks `from` and then `to` deadlocks with who goes the other way. `lock_all` takes the ids
//! in one order for everybody, however they are named.
//!
//! Run it: `cargo run --example transfer`

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use lockcore::KeyedMutex;
use tokio::task::JoinSet;

struct Bank {
    locks: KeyedMutex<String>,
    accounts: HashMap<&'static str, AtomicI64>,
}

impl Bank {
    async fn transfer(&self, from: &str, to: &str, amount: i64) {
        let _guards = self.locks.lock_all([from, to]).await;
        let balance = self.accounts[from].load(Relaxed);
        tokio::task::yield_now().await; // nobody else sees the state in between
        self.accounts[from].store(balance - amount, Relaxed);
        self.accounts[to].fetch_add(amount, Relaxed);
    }
}

#[tokio::main]
async fn main() {
    const NAMES: [&str; 3] = ["alice", "bob", "carol"];
    let accounts = NAMES.into_iter().map(|name| (name, AtomicI64::new(100))).collect();
    let bank = Arc::new(Bank { locks: KeyedMutex::new(), accounts });
    let mut transfers = JoinSet::new();
    for number in 0..300 {
        let bank = bank.clone();
        let (from, to) = (NAMES[number % 3], NAMES[(number + 1 + number % 2) % 3]);
        transfers.spawn(async move { bank.transfer(from, to, 1).await });
    }
    transfers.join_all().await;

    let sum: i64 = bank.accounts.values().map(|balance| balance.load(Relaxed)).sum();
    println!("after 300 transfers the three have {sum} together");
    assert_eq!(sum, 300);
    assert!(bank.locks.is_empty(), "nothing is left behind");
}
