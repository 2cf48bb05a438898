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
        }

        impl<I: Hash, S: BuildHasher, R: RawMutex> $name<I, S, R> {
            /// Returns whether somebody holds `id`. The answer may be out of date when it arrives.
            pub fn is_locked<Q>(&self, id: &Q) -> bool
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.shards.place(id).status(id).is_some()
            }

            /// Returns how many requests wait for `id`, its holder not counted: O(1).
            pub fn waiting<Q>(&self, id: &Q) -> usize
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.shards.place(id).status(id).map_or(0, |status| status.waiting)
            }

            /// Waits until nobody holds `id` or waits for it; ready at once if that is so.
            ///
            /// Others may lock the id again before the caller looks: it was free at a moment after
            /// the first poll. To keep others out, lock it.
            ///
            /// # Fairness
            ///
            /// It takes no place in the queue, and keeps nobody waiting.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future leaves nothing behind.
            ///
            /// # Deadlocks
            ///
            /// A task that holds the id waits for good.
            ///
            /// # Panics
            ///
            /// Polling panics if `Hash` or `Eq` of the id does.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// let payments = lockcore::KeyedMutex::<u64>::new();
            /// let guard = payments.lock(&123).await;
            /// std::thread::scope(|threads| {
            ///     threads.spawn(|| futures::executor::block_on(payments.free(&123)));
            ///     drop(guard);
            /// });
            /// # });
            /// ```
            pub fn free<'q, Q>(&self, id: &'q Q) -> Free<'_, 'q, I, Q, S, R>
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                Free::new(&self.shards, id)
            }

            /// Returns what is known of `id`, or `None` if it is free: O(1).
            pub fn status<Q>(&self, id: &Q) -> Option<Status>
            where
                I: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.shards.place(id).status(id)
            }

            /// Returns what is known of each id in use, in no particular order: O(slots +
            /// ids).
            ///
            /// The tables are looked at one after the other, so it is no picture of one moment, and
            /// others are kept from one table at a time. `turns` other than 0 that stay are futures
            /// that nobody polls.
            ///
            /// # Panics
            ///
            /// If `Hash` or `Clone` of an id does; no lock is affected.
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
                I: Eq,
            {
                self.shards.check();
            }

            /// Closes the lock, for good: queued requests are woken and end, and so do later ones.
            ///
            /// Who holds goes on holding, and a turn that was handed over may still be taken.
            /// Requests end as follows; when this returns, no other can begin to wait or to hold.
            /// Closing twice does nothing. O(slots + ids and waiters).
            ///
            /// | request | on a closed lock |
            /// |---|---|
            /// | a future with `or_closed` | resolves to [`Closed`](crate::Closed) |
            /// | a future without it, and what blocks without a limit | panics when it is polled |
            /// | what tries, and what blocks with a limit | returns `None` |
            ///
            /// [`drained`](Self::drained) then waits until all who hold are gone.
            ///
            /// # Panics
            ///
            /// If a waker does; the lock is closed and the others are woken all the same. If `Hash` of
            /// an id does; the lock is then closed in part, and closing it again closes the rest.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// use lockcore::{Closed, KeyedMutex};
            ///
            /// let payments = KeyedMutex::<u64>::new();
            /// let guard = payments.lock(&123).await;
            /// let waits = payments.lock(&123).or_closed();
            /// payments.close();
            /// assert!(matches!(waits.await, Err(Closed)));
            /// assert!(payments.try_lock(&456).is_none());
            /// drop(guard);
            /// payments.drained().await;
            /// # });
            /// ```
            pub fn close(&self) {
                self.shards.close();
            }

            /// Waits until whoever holds an id or waits for one at the first poll is gone; ready at once
            /// if nobody does.
            ///
            /// After [`close`](Self::close) this means that nobody holds an id or waits for one, and
            /// nobody will. On an open lock others may have come meanwhile.
            ///
            /// # Fairness
            ///
            /// It takes no place in any queue, and keeps nobody waiting.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future leaves nothing behind.
            ///
            /// # Deadlocks
            ///
            /// A task that holds an id waits for good, and on an open lock so does everybody while a
            /// table is never empty.
            ///
            /// # Panics
            ///
            /// Polling panics if `Hash` of an id does.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// let payments = lockcore::KeyedMutex::<u64>::new();
            /// let guard = payments.lock(&123).await;
            /// payments.close();
            /// std::thread::scope(|threads| {
            ///     threads.spawn(|| futures::executor::block_on(payments.drained()));
            ///     drop(guard);
            /// });
            /// assert!(payments.is_empty());
            /// # });
            /// ```
            pub fn drained(&self) -> Drained<'_, I, S, R> {
                Drained::new(&self.shards)
            }
        }

        impl<I, S, R: RawMutex> $name<I, S, R> {
            /// Returns whether the lock is closed.
            pub fn is_closed(&self) -> bool {
                self.shards.is_closed()
            }

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
