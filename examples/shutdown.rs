//! An orderly end: `close` turns away who waits, `drained` waits for who is at work.
//!
//! Run it: `cargo run --example shutdown`

use std::sync::Arc;

use lockcore::{Closed, KeyedMutex};
use tokio::{
    sync::Notify,
    task::{JoinSet, yield_now},
};

#[tokio::main]
async fn main() {
    let payments = Arc::new(KeyedMutex::<u64>::new());
    let go_on = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (payments, go_on) = (payments.clone(), go_on.clone());
        tasks.spawn(async move { book(&payments, &go_on).await });
    }
    while payments.waiting(&123) < 3 {
        yield_now().await;
    }

    println!("one is at work, {} wait", payments.waiting(&123));
    payments.close();
    assert!(payments.try_lock(&456).is_none(), "nothing begins any more");
    go_on.notify_one();
    payments.drained().await;
    println!("whoever was at work is done");

    let booked = tasks.join_all().await;
    println!("{} turned away", booked.iter().filter(|booked| booked.is_err()).count());
}

/// Books payment 123, unless the lock is closed before its turn comes.
async fn book(payments: &KeyedMutex<u64>, go_on: &Notify) -> Result<(), Closed> {
    let _guard = payments.lock(&123).or_closed().await?;
    go_on.notified().await;
    Ok(())
}
