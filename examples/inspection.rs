//! Who holds what, who waits, and why nothing moves: `snapshot` finds a turn that nobody takes.
//!
//! A future that was polled once has its place, and the lock when its turn comes, whether anybody
//! polls it again or not. Here one is kept and forgotten, and everybody behind it waits.
//!
//! Run it: `cargo run --example inspection`

use futures::future::poll_immediate;
use lockcore::KeyedRwLock;

#[tokio::main]
async fn main() {
    let documents = KeyedRwLock::<String>::new();
    let _readers = [documents.read("a").await, documents.read("a").await];
    let holder = documents.write("b").await;

    let mut forgotten = documents.write("b");
    let mut behind = documents.read("b");
    assert!(poll_immediate(&mut forgotten).await.is_none());
    assert!(poll_immediate(&mut behind).await.is_none());
    drop(holder); // the turn of `forgotten` comes, and it does not look

    print(&documents);
    assert_eq!(documents.status("b").expect("it is in use").turns, 1);

    drop(forgotten); // a turn that is dropped passes on
    drop(behind.await);
    println!("then");
    print(&documents);
}

fn print(documents: &KeyedRwLock<String>) {
    let mut all = documents.snapshot();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    for (id, status) in all {
        println!(
            "{id}: {:?}, {} holding, {} of them not looked yet, {} waiting",
            status.mode, status.holders, status.turns, status.waiting
        );
    }
}
