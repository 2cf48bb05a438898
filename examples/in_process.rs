//! Tasks of one process that take turns by id.
//!
//! Three payments are booked by twelve tasks. Tasks of one payment run one after the other, in the
//! order in which they asked; different payments run side by side.
//!
//! Run it: `cargo run --example in_process`

use std::{sync::Arc, time::Duration};

use lockcore::KeyedMutex;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let payments = Arc::new(KeyedMutex::<String>::new());
    let mut tasks = JoinSet::new();
    for task in 0..12 {
        let payments = payments.clone();
        tasks.spawn(async move { book(task, format!("payment-{}", task % 3), &payments).await });
    }
    while let Some(booked) = tasks.join_next().await {
        booked.expect("no task panics");
    }
    assert!(payments.is_empty(), "nothing is left behind");
}

async fn book(task: u32, id: String, payments: &KeyedMutex<String>) {
    let guard = payments.lock(&id).await;
    println!("task {task:>2} books {id} (turn {}), {} wait", guard.token(), payments.waiting(&id));
    tokio::time::sleep(Duration::from_millis(100)).await;
}
