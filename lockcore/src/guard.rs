//! What the futures resolve to: [`Guard`] and [`OwnedGuard`].

use alloc::sync::Arc;
use core::fmt;

use lock_api::RawMutex;

use crate::{
    keyed_mutex::KeyedMutex,
    shards::Shards,
    table::{Hold, Mode},
};

/// Holds an id until it is dropped; the next in the queue then holds it.
///
/// It does not borrow the id it was locked by. Leaking it (`mem::forget`) leaves the id locked.
#[must_use = "the id is released when the guard is dropped"]
pub struct Guard<'a, I, S, R: RawMutex> {
    shards: &'a Shards<I, S, R>,
    /// `None` only inside `drop`.
    hold: Option<Hold>,
}

impl<'a, I, S, R: RawMutex> Guard<'a, I, S, R> {
    pub(crate) fn new(shards: &'a Shards<I, S, R>, hold: Hold) -> Self {
        Self { shards, hold: Some(hold) }
    }
}

/// Holds an id until it is dropped, like [`Guard`], and keeps its [`KeyedMutex`] alive: `'static`.
#[must_use = "the id is released when the guard is dropped"]
pub struct OwnedGuard<I, S, R: RawMutex> {
    mutex: Arc<KeyedMutex<I, S, R>>,
    /// `None` only inside `drop`.
    hold: Option<Hold>,
}

impl<I, S, R: RawMutex> OwnedGuard<I, S, R> {
    pub(crate) fn new(mutex: Arc<KeyedMutex<I, S, R>>, hold: Hold) -> Self {
        Self { mutex, hold: Some(hold) }
    }
}

/// The same face for both guards; they differ in how they reach the tables.
macro_rules! guard {
    ($name:ident $(<$lifetime:lifetime>)?, $guard:ident => $shards:expr) => {
        impl<I, S, R: RawMutex> $name<$($lifetime,)? I, S, R> {
            fn hold(&self) -> &Hold {
                self.hold.as_ref().expect("a guard has its hold until it is dropped")
            }

            /// Returns the fencing token of this hold: greater than that of every earlier hold of
            /// the same id. A store that remembers the greatest token it saw can refuse late writes
            /// of earlier holders.
            pub fn token(&self) -> u64 {
                self.hold().token()
            }

            /// Returns the mode in which the id is held.
            pub fn mode(&self) -> Mode {
                self.hold().mode()
            }

            /// Returns a clone of the id: one look-up.
            pub fn id(&self) -> I
            where
                I: Clone,
            {
                let $guard = self;
                $shards.id(self.hold())
            }
        }

        impl<I, S, R: RawMutex> Drop for $name<$($lifetime,)? I, S, R> {
            fn drop(&mut self) {
                if let Some(hold) = self.hold.take() {
                    let $guard = self;
                    $shards.release(hold);
                }
            }
        }

        impl<I, S, R: RawMutex> fmt::Debug for $name<$($lifetime,)? I, S, R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let hold = self.hold();
                f.debug_struct(stringify!($name))
                    .field("mode", &hold.mode())
                    .field("token", &hold.token())
                    .finish()
            }
        }
    };
}

guard!(Guard<'_>, guard => guard.shards);
guard!(OwnedGuard, guard => guard.mutex.shards());
