//! Ids that need no allocation: a `CompactString` of up to 24 bytes is stored in the table itself.
//!
//! It is locked by `&str`, as a `String` is. Needs the feature `compact_str` of `lockcore`.
//!
//! Run it: `cargo run --example short_ids`

use compact_str::CompactString;
use lockcore::KeyedMutex;

#[tokio::main]
async fn main() {
    let payments = KeyedMutex::<CompactString>::new();
    let short = payments.lock("payment-123").await;
    let long = payments.lock("a payment with a name of more than 24 bytes").await;
    for guard in [&short, &long] {
        println!("{} is on the heap: {}", guard.id(), guard.id().is_heap_allocated());
    }
    assert!(payments.try_lock("payment-123").is_none());
}
