//! Mutual exclusion by id: `lock("payment-123")` and take turns.
//!
//! ```
//! # futures::executor::block_on(async {
//! use lockcore::KeyedMutex;
//!
//! let payments = KeyedMutex::<String>::new();
//! {
//!     let _guard = payments.lock("payment-123").await;
//!     // everybody else who locks "payment-123" waits, in order of arrival
//! }
//! assert!(payments.is_empty());
//! # });
//! ```
//!
//! | you want | use |
//! |---|---|
//! | tasks or threads of one process to take turns by id | [`KeyedMutex`] |
//! | readers that share, too | [`KeyedRwLock`] |
//! | to stop: end every wait, and wait for those who hold | `close`, [`or_closed`](Lock::or_closed), `drained` of both |
//! | your own waiting (a request number, a promise) over the same queues | [`LockTable`] |
//! | to serve clients that come and go: sessions, limits, time as an argument | [`LockManager`] |
//!
//! # Guarantees
//!
//! * One exclusive holder of an id, or shared ones; never both.
//! * Strict FIFO by id among the requests that are still there. Nobody overtakes.
//! * Dropping a future or a guard at any time neither loses a turn nor leaves anything behind.
//! * Closing a lock ends every wait, and no hold.
//! * Each hold has a fencing token greater than that of every earlier hold of its id.
//! * No waker is cloned, called or dropped, and no id dropped, while a table is borrowed: they may
//!   use the lock again. `Hash`, `Eq` and `Clone` of an id may run then, and must not.
//!
//! # What it costs
//!
//! | call | cost |
//! |---|---|
//! | `lock`, `try_lock` or `write`, and dropping the guard, where nobody contends | two exchanges of one word, no allocation, beyond making the id: some 90 instructions for a `u64` |
//! | the same without slots or where another id of the slot is in use, and `read` | two sections under a raw lock, one look-up each: some 250 instructions without slots |
//! | waiting, its hand-off, its cancelling anywhere in the queue | O(1) each, no allocation in steady state; 56 bytes with the future |
//! | `status`, `is_locked`, `waiting` | O(1), under a raw lock |
//! | `len`, `is_empty` | O(slots) |
//! | `snapshot`, `close` | O(slots + ids), each table locked in turn |
//! | `lock_all` of n ids | n locks and a sort |
//!
//! A lock keeps 128 KiB of slots for 8-byte ids from its first use on, and 16 bytes with their control
//! byte for each id that is held in a table; see [`Config`]. A string id of up to 24 bytes is stored in
//! place with the feature `compact_str`: `KeyedMutex<CompactString>` is locked by `&str` and does not
//! allocate.
//!
//! # Neighbours
//!
//! | | take it when |
//! |---|---|
//! | `tokio::sync::Mutex`, `async_lock::Mutex` | there is one thing to lock, or a few that you know: they need no ids, and hold the data that they guard. Both are well worn. tokio's is FIFO; async-lock's lets newcomers overtake for a while, for speed |
//! | a map of `Arc`s of them | never for ids that come and go: who removes an entry, and when, races with who takes it, and a cancelled waiter leaves it behind |
//! | `lockable` | each id has a value that the lock guards, in a map or in an LRU cache that is to be bounded |
//! | this crate | ids come and go, and order, cancelling, shared holders, several ids at once, tokens, or what is left behind matter; or there is no `std` |
//!
//! The crate is `no_std` with `alloc`, without any clock, thread, socket or executor. The feature
//! `std` (default) adds surface only: a default raw lock, a number of tables that follows the number
//! of processors, slots and, but for `wasm32-unknown-unknown`, methods that block a thread. The
//! algorithm and the promises are the same without it. On targets without
//! atomics of 64 bits, such as `thumbv7em-none-eabihf`, there are no slots, whatever [`Config`] says.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// On wasm32-unknown-unknown there is no clock, and no thread that can block.
#[cfg(all(feature = "std", not(all(target_family = "wasm", target_os = "unknown"))))]
mod blocking;
mod closed;
mod drain;
mod due;
mod entry;
mod from_borrowed;
mod guard;
mod handles;
mod keyed;
mod keyed_mutex;
mod keyed_rwlock;
mod list;
mod lock;
mod lock_all;
pub mod manager;
mod place;
mod queue;
mod shards;
mod slots;
mod table;
mod waiter;

pub use closed::{Closed, OrClosed};
pub use drain::{Drained, Free};
pub use due::Due;
pub use from_borrowed::FromBorrowed;
pub use guard::{Guard, OwnedGuard};
pub use handles::{Hold, Joined, Mode, NoTurn, Status, Ticket, Watch};
/// The hasher of ids where none is named: seeded at random where the platform has randomness (not on
/// wasm), and no defence against ids that are chosen to collide.
#[doc(no_inline)]
pub use hashbrown::DefaultHashBuilder;
pub use keyed_mutex::KeyedMutex;
pub use keyed_rwlock::KeyedRwLock;
pub use lock::{Lock, LockOwned};
pub use lock_all::LockAll;
pub use manager::LockManager;
pub use shards::{Config, DefaultRawMutex};
pub use table::LockTable;
