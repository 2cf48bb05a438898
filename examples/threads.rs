//! Threads that block for their turn, without any executor, and one that waits no longer than it may.
//!
//! Run it: `cargo run --example threads`

use std::{thread, time::Duration};

use lockcore::KeyedMutex;

fn main() {
    let files = KeyedMutex::<String>::new();
    thread::scope(|threads| {
        let guard = files.blocking_lock("report.txt");
        for number in 1..=3 {
            let files = &files;
            threads.spawn(move || {
                let _guard = files.blocking_lock("report.txt");
                println!("thread {number} writes");
            });
            while files.waiting("report.txt") < number {
                thread::yield_now(); // so that they arrive in this order
            }
        }

        let limit = Duration::from_millis(10);
        assert!(files.blocking_lock_timeout("report.txt", limit).is_none());
        println!("gave up after {limit:?}; {} wait still", files.waiting("report.txt"));
        assert!(files.blocking_lock_timeout("other.txt", limit).is_some());
        drop(guard);
    });
    assert!(files.is_empty());
}
