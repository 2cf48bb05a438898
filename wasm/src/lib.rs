//! Lock by id between the tasks of a page or a worker: [`lockcore`] for JavaScript.
//!
//! ```js
//! import init, { KeyedMutex } from "./pkg/lockcore_wasm.js";
//!
//! await init();
//! const payments = new KeyedMutex();
//!
//! {
//!   using guard = await payments.lock("payment-123");
//!   // everybody else who locks "payment-123" waits, in order of their calls
//!   await store.write(order, guard.token);
//! } // released here; without `using`, call guard.release() in a `finally`
//!
//! await payments.runExclusive("payment-123", () => pay(order));
//!
//! const signal = AbortSignal.timeout(1000);
//! const late = await payments.lock("payment-123", { signal }); // rejects when the time is over
//! ```
//!
//! `wasm/run build` makes `wasm/pkg`: the module, its JavaScript and its TypeScript declarations.
//! `wasm/run play` opens the playground.
//!
//! # Guarantees
//!
//! * Those of [`lockcore::KeyedMutex`]: one holder, strict FIFO by id, tokens that rise.
//! * The place in the queue is taken by the call of `lock`, not by a later microtask.
//! * Bad input gives a `TypeError` that names the value: thrown by methods that answer at once, as
//!   a rejection by those that return a promise.
//! * An abort counts until the promise is settled. It leaves the queue at once, a turn that was
//!   already handed over passes on, and the promise rejects with `signal.reason`.
//!
//! # Ids
//!
//! Any string, the empty one included, of any length. A string with a lone surrogate is refused:
//! encoded as UTF-8, two different ones could become the same id.
//!
//! # Guards that are forgotten
//!
//! A guard that becomes unreachable without being released is released when it is
//! garbage-collected, like any value that is dropped in Rust. This is a safety net without a
//! promised time: it may come late, or in the middle of a section that keeps no reference to its
//! guard. Keep the guard in a variable that `using` or `finally` refers to, or use `runExclusive`.
//!
//! One mutex serves the one thread whose module it lives in. Between workers or tabs, use the
//! network server or the browser's Web Locks.

#![forbid(unsafe_code)]

mod guard;
mod input;
mod keyed_mutex;
mod request;

pub use guard::Guard;
pub use keyed_mutex::KeyedMutex;

use lockcore::{DefaultHashBuilder, DefaultRawMutex};

type Mutex = lockcore::KeyedMutex<String>;
type Lock = lockcore::LockOwned<String, DefaultHashBuilder, DefaultRawMutex>;
type Hold = lockcore::OwnedGuard<String, DefaultHashBuilder, DefaultRawMutex>;
