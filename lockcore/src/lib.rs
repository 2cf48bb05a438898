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
//! * Each hold has a fencing token greater than that of every earlier hold of its id.
//! * No waker is cloned, called or dropped, and no id dropped, while a table is borrowed.
//!
//! The crate is `no_std` with `alloc`, without any clock, thread, socket or executor. The feature
//! `std` (default) adds surface only: a default raw lock, a number of tables that follows the number
//! of processors and, but for `wasm32-unknown-unknown`, methods that block a thread.

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
mod sync;
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
