//! Readers that share, and a writer that becomes a reader without a gap.
//!
//! One task writes a page of a wiki and then reads its own version, while others read: `downgrade`
//! lets the waiting readers in, and keeps the next writer out until all have read.
//!
//! Run it: `cargo run --example reader_writer`

use std::sync::{Arc, Mutex};

use lockcore::KeyedRwLock;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let pages = KeyedRwLock::<String>::new();
    let text = Arc::new(Mutex::new("empty"));

    let writer = pages.write_owned("home".to_owned()).await;
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let (lock, text) = (pages.read_owned("home".to_owned()), text.clone());
        readers.spawn(async move {
            let _reader = lock.await;
            *text.lock().expect("nobody panics")
        });
    }
    while pages.waiting("home") < 3 {
        tokio::task::yield_now().await;
    }
    *text.lock().expect("nobody panics") = "welcome";

    let reader = writer.downgrade(); // nobody writes in between
    let read = readers.join_all().await;
    println!("three readers read {read:?}");
    println!("the writer reads {:?}", *text.lock().expect("nobody panics"));
    assert!(pages.try_write("home").is_none(), "it reads still");
    drop(reader);
    assert!(pages.is_empty());
}
