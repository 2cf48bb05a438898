//! What the futures resolve to: [`Guard`] and [`OwnedGuard`].

use alloc::sync::Arc;
use core::{
    fmt,
    hash::{BuildHasher, Hash},
};

#[cfg(feature = "std")]
use hashbrown::DefaultHashBuilder;
use lock_api::RawMutex;

#[cfg(feature = "std")]
use crate::shards::DefaultRawMutex;
use crate::{
    handles::{Hold, Mode},
    shards::Shards,
};

/// Holds an id until it is dropped; the next in the queue then holds it.
///
/// It does not borrow the id it was locked by. Leaking it (`mem::forget`) leaves the id locked.
#[must_use = "the id is released when the guard is dropped"]
pub struct Guard<
    'a,
    I,
    #[cfg(feature = "std")] S = DefaultHashBuilder,
    #[cfg(not(feature = "std"))] S,
    #[cfg(feature = "std")] R: RawMutex = DefaultRawMutex,
    #[cfg(not(feature = "std"))] R: RawMutex,
> {
    shards: &'a Shards<I, S, R>,
    hold: Hold,
}

impl<'a, I, S, R: RawMutex> Guard<'a, I, S, R> {
    pub(crate) fn new(shards: &'a Shards<I, S, R>, hold: Hold) -> Self {
        Self { shards, hold }
    }
}

/// Holds an id until it is dropped, like [`Guard`], and is `'static`: it shares the tables of its
/// lock, and may outlive it.
#[must_use = "the id is released when the guard is dropped"]
pub struct OwnedGuard<
    I,
    #[cfg(feature = "std")] S = DefaultHashBuilder,
    #[cfg(not(feature = "std"))] S,
    #[cfg(feature = "std")] R: RawMutex = DefaultRawMutex,
    #[cfg(not(feature = "std"))] R: RawMutex,
> {
    shards: Arc<Shards<I, S, R>>,
    hold: Hold,
}

impl<I, S, R: RawMutex> OwnedGuard<I, S, R> {
    pub(crate) fn new(shards: Arc<Shards<I, S, R>>, hold: Hold) -> Self {
        Self { shards, hold }
    }
}

/// The same face for both guards; they differ in how they reach the tables.
macro_rules! guard {
    ($name:ident $(<$lifetime:lifetime>)?) => {
        impl<I, S, R: RawMutex> $name<$($lifetime,)? I, S, R> {
            /// Returns the fencing token of this hold: greater than that of every earlier hold of
            /// the same id. A store that remembers the greatest token it saw can refuse late writes
            /// of earlier holders.
            pub fn token(&self) -> u64 {
                self.hold.token()
            }

            /// Returns the mode in which the id is held.
            pub fn mode(&self) -> Mode {
                self.hold.mode()
            }

            /// Returns a clone of the id: one look-up.
            pub fn id(&self) -> I
            where
                I: Clone,
            {
                self.shards.place_of(self.hold.hash).id(&self.hold)
            }

            /// Turns an exclusive hold into a shared one without a gap: nobody holds the id
            /// exclusively in between. Readers at the head of the queue then hold, too. The token
            /// stays; a shared hold stays as it is.
            #[must_use = "the id is released when the guard is dropped"]
            pub fn downgrade(mut self) -> Self
            where
                I: Hash,
                S: BuildHasher,
            {
                let (hold, due) = self.shards.place_of(self.hold.hash).downgrade(self.hold.copy());
                // If a waker panics, the guard still releases.
                self.hold = hold;
                due.wake();
                self
            }
        }

        impl<I, S, R: RawMutex> Drop for $name<$($lifetime,)? I, S, R> {
            #[inline]
            fn drop(&mut self) {
                self.shards.release(&self.hold);
            }
        }

        impl<I, S, R: RawMutex> fmt::Debug for $name<$($lifetime,)? I, S, R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let hold = &self.hold;
                f.debug_struct(stringify!($name))
                    .field("mode", &hold.mode())
                    .field("token", &hold.token())
                    .finish()
            }
        }
    };
}

guard!(Guard<'_>);
guard!(OwnedGuard);
