//! Fencing tokens: a store refuses the late write of somebody who believes that it holds still.
//!
//! A hold cannot be taken away in one process, but a write can be late: here a task hands its write
//! to a queue and lets go of the id before it is done. The token says which hold a write belongs to.
//!
//! Run it: `cargo run --example fencing`

use std::collections::HashMap;

use lockcore::KeyedMutex;

/// Remembers the greatest token of each id.
#[derive(Default)]
struct Store {
    values: HashMap<String, (u64, String)>,
}

impl Store {
    fn write(&mut self, id: &str, token: u64, value: &str) -> Result<(), u64> {
        let (newest, stored) = self.values.entry(id.to_owned()).or_default();
        if token < *newest {
            return Err(*newest);
        }
        (*newest, *stored) = (token, value.to_owned());
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let (locks, mut store) = (KeyedMutex::<String>::new(), Store::default());

    let late = locks.lock("payment-123").await.token(); // the guard is dropped here

    let guard = locks.lock("payment-123").await;
    store.write(&guard.id(), guard.token(), "booked").expect("it is the newest hold");
    println!("the holder wrote with a token that is greater: {}", guard.token() > late);

    let refused = store.write("payment-123", late, "cancelled").expect_err("it is late");
    println!("a late write was refused: {}", refused == guard.token());
    assert_eq!(store.values["payment-123"].1, "booked");
}
