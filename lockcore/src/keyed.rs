//! What [`KeyedMutex`](crate::KeyedMutex) and [`KeyedRwLock`](crate::KeyedRwLock) have in common:
//! all but how an id is locked.

/// Gives a lock that has `shards` its constructors, and what can be seen from outside. The names it
/// uses are those of the file that it stands in.
macro_rules! keyed_lock {
    ($name:ident) => {
        impl<I, S: BuildHasher + Clone + Default, R: RawMutex> $name<I, S, R> {
            /// Creates a lock in which no id is held.
            pub fn new() -> Self {
                Self::with_config(Config::default())
            }
        }

        impl<I, S: BuildHasher + Clone, R: RawMutex> $name<I, S, R> {
            /// Creates a lock that is laid out as `config` says.
            pub fn with_config(config: Config<S>) -> Self {
                Self { shards: Shards::new(config) }
            }

            /// Returns whether somebody holds `id`. The answer may be out of date when it arrives.
            pub fn is_locked<Q>(&self, id: &Q) -> bool
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.shards.status(id).is_some()
            }

            /// Returns how many requests wait for `id`, its holder not counted: O(1).
            pub fn waiting<Q>(&self, id: &Q) -> usize
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.shards.status(id).map_or(0, |status| status.waiting)
            }

            /// Returns what is known of `id`, or `None` if it is free: O(1).
            pub fn status<Q>(&self, id: &Q) -> Option<Status>
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.shards.status(id)
            }

            /// Returns what is known of each id in use, in no particular order: O(ids).
            ///
            /// The tables are looked at one after the other, so it is no picture of one moment, and
            /// others are kept from one table at a time. `turns` other than 0 that stay are futures
            /// that nobody polls.
            ///
            /// # Examples
            ///
            /// ```
            /// let payments = lockcore::KeyedMutex::<u64>::new();
            /// let guard = payments.try_lock(&123).unwrap();
            /// let [(id, status)] = payments.snapshot()[..] else { panic!() };
            /// assert_eq!((id, status.holders, status.turns, status.waiting), (123, 1, 0, 0));
            /// ```
            pub fn snapshot(&self) -> Vec<(I, Status)>
            where
                I: Clone,
            {
                self.shards.snapshot()
            }

            /// Asserts the invariants of every table, for tests and fuzz targets: O(contended ids *
            /// waiters).
            ///
            /// # Panics
            ///
            /// If one is broken.
            pub fn check(&self)
            where
                I: Hash + Eq,
            {
                self.shards.check();
            }
        }

        impl<I, S, R: RawMutex> $name<I, S, R> {
            /// Returns the number of ids in use; each of the tables is looked at in turn, so it is no
            /// count of one moment.
            pub fn len(&self) -> usize {
                self.shards.len()
            }

            /// Returns whether no id is in use.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        impl<I, S: BuildHasher + Clone + Default, R: RawMutex> Default for $name<I, S, R> {
            fn default() -> Self {
                Self::new()
            }
        }

        impl<I, S, R: RawMutex> fmt::Debug for $name<I, S, R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.shards).finish()
            }
        }
    };
}
pub(crate) use keyed_lock;
