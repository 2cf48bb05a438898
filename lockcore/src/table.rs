//! [`LockTable`]: who holds which id, and who waits for it in which order.

#[cfg(all(target_has_atomic = "64", not(lockcore_no_slots)))]
mod adopt;
mod check;
mod close;
mod idle;
mod neighbours;
mod shortcuts;
mod watch;

use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
};

use hashbrown::{HashTable, hash_table::Entry as Place};
use slab::Slab;

use crate::{
    due::{Due, Turns},
    entry::{Entry, State, View},
    from_borrowed::FromBorrowed,
    handles::{Hold, Joined, Mode, NoTurn, Status, Ticket},
    list::List,
    queue::{Holders, Queue},
    waiter::{Out, Waiter},
};

/// Fair locks by id, in exclusive and shared mode: a pure state machine.
///
/// `I` is the id, `W` what the caller wants back when a waiter's turn comes (a `Waker`, a request
/// number, a promise), `S` the hasher. The table never calls a `W`; each call returns what became
/// due, and the caller acts after its borrow of the table has ended.
///
/// * Strict FIFO by id: nobody overtakes, [`try_lock`](Self::try_lock) and shared requests included.
/// * Joining, hand-off and cancelling are O(1), wherever in the queue.
/// * An id that nobody holds or waits for is not stored. A lone exclusive holder costs one table
///   entry and no slab slot.
/// * Each hold has a token greater than that of every earlier hold in this table.
/// * [`close`](Self::close) ends every wait; [`watch`](Self::watch) tells when an id is free.
///
/// Methods that take a `hash` expect [`hash`](Self::hash) of the same id: a caller that spreads ids
/// over several tables needs the hash before it knows the table, and each call hashes once.
///
/// # Invariants
///
/// 1. **In use.** An id has an entry exactly when somebody holds it or waits for it.
/// 2. **Holders.** One exclusive holder, or one or more shared ones. The entry's word says who: a
///    lone exclusive holder's token, or the queue whose `holders` says it.
/// 3. **Order.** Head to tail meets every waiter of the id once, in order of joining; links match
///    both ways; `waiting` is their number, `turns` that of the holders that have not looked yet.
/// 4. **Nothing loose.** `waiters` holds exactly those in the lists of queues and of the table, and
///    those that were taken out of one and have not looked yet; each queue belongs to one entry.
/// 5. **No idle lock.** While an id has a waiter, somebody holds it, and the head is not compatible
///    with the holders.
/// 6. **What comes back.** A waiter in a list stores its `W`, one whose turn came stores a token, and
///    one that ended stores nothing.
/// 7. **One ticket.** Tickets and holds are neither `Copy` nor `Clone`, and consumed by leaving.
/// 8. **Hand-off is part of leaving.** Successors hold before the call returns, and are in its result.
/// 9. **No foreign code inside.** `Hash`, `Eq` and `Clone` of an id run before the first change; no
///    `W` and no id is dropped inside: they are returned.
/// 10. **No barging.** `try_lock` succeeds only if nobody is queued and the mode is compatible.
/// 11. **Tokens rise.** Each hold's token is greater than every token given before.
/// 12. **Closed.** A closed table has no token left to give, and nobody waits in it.
/// 13. **Watchers take no place.** Who watches an id is in its queue's second list, and who watches
///     the table is in the table's, which is empty when `entries` is. They change nobody's turn, and
///     are in the result of the call that makes free what they watch.
///
/// # Examples
///
/// ```
/// use lockcore::{Joined, LockTable, Mode};
///
/// let mut table = LockTable::<String, &str>::new();
/// let hash = table.hash("payment-123");
/// let hold = table.try_lock(hash, "payment-123", Mode::Exclusive).unwrap();
/// let Joined::Waits(ticket) = table.lock(hash, "payment-123", Mode::Exclusive, "bob") else {
///     unreachable!()
/// };
///
/// let due: Vec<_> = table.release(hold).into_turns().collect();
/// assert_eq!(due, ["bob"]);
/// let bobs = table.take_turn(ticket).unwrap();
/// let _ = table.release(bobs);
/// assert!(table.is_empty());
/// ```
pub struct LockTable<I, W, S = hashbrown::DefaultHashBuilder> {
    entries: HashTable<Entry<I>>,
    queues: Slab<Queue>,
    waiters: Slab<Waiter<W>>,
    /// The token given last, over all ids; [`CLOSED`] leaves none to give.
    last_token: u64,
    /// Who is to be told when no id is in use.
    watchers: List,
    /// Up to how many places memory is kept when nobody holds or waits.
    idle_limit: usize,
    /// A table in which no id is in use has something to do if it has more places: `idle_limit`, or 0
    /// while somebody watches it. So a release asks one question for both.
    look_above: usize,
    hasher: S,
}

/// The last token of a closed table.
const CLOSED: u64 = u64::MAX;

impl<I, W, S: Default> LockTable<I, W, S> {
    /// Creates an empty table; nothing is allocated.
    pub fn new() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<I, W, S> LockTable<I, W, S> {
    /// Creates an empty table that hashes ids with `hasher`; nothing is allocated.
    pub const fn with_hasher(hasher: S) -> Self {
        Self {
            entries: HashTable::new(),
            queues: Slab::new(),
            waiters: Slab::new(),
            last_token: 0,
            watchers: List::new(),
            idle_limit: usize::MAX,
            look_above: usize::MAX,
            hasher,
        }
    }

    /// Returns the hash that the other methods expect for `id`.
    pub fn hash<Q: Hash + ?Sized>(&self, id: &Q) -> u64
    where
        S: BuildHasher,
    {
        self.hasher.hash_one(id)
    }

    /// Locks `id` if nobody is ahead: O(1), one look-up.
    ///
    /// Returns `None`, and locks nothing, if the id is held in a mode that does not go with `mode`,
    /// if anybody is queued for it, or if the table is closed.
    ///
    /// # Panics
    ///
    /// Only if `Hash`, `Eq` or `Clone` of an id do; the table is then unchanged.
    #[inline]
    pub fn try_lock<Q>(&mut self, hash: u64, id: &Q, mode: Mode) -> Option<Hold>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Eq + ?Sized,
        S: BuildHasher,
    {
        self.make_room();
        let Self { entries, queues, last_token, .. } = self;
        admit(entries, queues, last_token, hash, id, mode).ok()
    }

    /// Locks `id`, or takes the last place in its queue: O(1), one look-up.
    ///
    /// `waiting` comes back from the call that makes the turn come, or from here if nobody is ahead or
    /// the table is closed.
    ///
    /// # Panics
    ///
    /// If `Hash`, `Eq` or `Clone` of an id do (the table is then unchanged), and at 2^32 - 1 waiters.
    pub fn lock<Q>(&mut self, hash: u64, id: &Q, mode: Mode, waiting: W) -> Joined<W>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Eq + ?Sized,
        S: BuildHasher,
    {
        let mut waiting = Some(waiting);
        match self.join(hash, id, mode, || waiting.take().expect("it is asked for once")) {
            Ok(hold) => Joined::Holds(hold, waiting.take().expect("it was not asked for")),
            Err(Some(ticket)) => Joined::Waits(ticket),
            Err(None) => Joined::Closed(waiting.take().expect("it was not asked for")),
        }
    }

    /// Locks `id`, or takes the last place in its queue with what `waiting` returns; neither, and `None`
    /// as the error, if the table is closed.
    #[inline]
    pub(crate) fn join<Q>(
        &mut self,
        hash: u64,
        id: &Q,
        mode: Mode,
        waiting: impl FnOnce() -> W,
    ) -> Result<Hold, Option<Ticket>>
    where
        I: FromBorrowed<Q> + Hash,
        Q: Eq + ?Sized,
        S: BuildHasher,
    {
        self.make_room();
        let Self { entries, queues, waiters, last_token, .. } = self;
        match admit(entries, queues, last_token, hash, id, mode) {
            Ok(hold) => Ok(hold),
            Err(Some(entry)) if *last_token != CLOSED => {
                let slot = enqueue(entry, queues, waiters, mode, waiting());
                Err(Some(Ticket { hash, slot, mode }))
            }
            Err(_) => Err(None),
        }
    }

    /// Takes the turn of `ticket` if it has come.
    ///
    /// # Errors
    ///
    /// [`NoTurn::Waits`] with the ticket while it waits, and [`NoTurn::Closed`] if the table was closed
    /// before its turn came.
    ///
    /// # Panics
    ///
    /// If the ticket is another table's and fits nothing here; otherwise somebody else's place is
    /// taken for it.
    pub fn take_turn(&mut self, ticket: Ticket) -> Result<Hold, NoTurn> {
        self.poll_turn(&ticket).map_err(|reason| match reason {
            NoTurn::Waits(_) => NoTurn::Waits(ticket),
            NoTurn::Closed => NoTurn::Closed,
        })
    }

    /// Takes the turn of `ticket` if it has come, or learns that the table was closed, each of which
    /// uses the ticket up; returns what is to come back with it otherwise.
    #[inline]
    pub(crate) fn poll_turn(&mut self, ticket: &Ticket) -> Result<Hold, NoTurn<&mut W>> {
        let slot = ticket.slot as usize;
        let Some(out) = self.waiters[slot].out() else {
            let waiting = self.waiters[slot].waiting_mut();
            return Err(NoTurn::Waits(waiting.expect("invariant 6: it is in a list")));
        };
        let waiter = self.waiters.remove(slot);
        match out {
            Out::Turn(token) => {
                self.queues[waiter.queue as usize].turn_taken();
                Ok(Hold::queued(ticket.hash, token, waiter.mode, waiter.queue as usize))
            }
            Out::Ended => {
                self.shrink_if_idle();
                Err(NoTurn::Closed)
            }
        }
    }

    /// Returns what is to come back with the turn of `ticket`, for replacement while it waits.
    ///
    /// `None` says that the turn has come or that the table was closed. The caller drops what it
    /// replaces after its borrow.
    ///
    /// # Panics
    ///
    /// If the ticket is another table's and fits nothing here; otherwise somebody else's place is
    /// taken for it.
    pub fn waiting_mut(&mut self, ticket: &Ticket) -> Option<&mut W> {
        self.waiters[ticket.slot as usize].waiting_mut()
    }

    /// Leaves the queue, or passes on a turn that has come and was not taken: O(1).
    ///
    /// # Panics
    ///
    /// If the ticket is another table's and fits nothing here; otherwise somebody else's place is
    /// taken for it.
    pub fn cancel(&mut self, ticket: Ticket) -> Due<I, W> {
        match self.leave(&ticket) {
            Some((own, turns)) => Due::of_leaver(turns, own),
            None => match self.take_turn(ticket) {
                Ok(hold) => self.release(hold),
                Err(NoTurn::Closed) => Due::of_turns(Turns::default()),
                Err(NoTurn::Waits(_)) => unreachable!("who waits has left"),
            },
        }
    }

    /// Leaves the queue if the ticket waits, which uses it up: returns what it had for its turn, and
    /// whose turn that makes come. It frees no id, as a queue of waiters has holders.
    fn leave(&mut self, ticket: &Ticket) -> Option<(W, Turns<W>)> {
        let waiter = &self.waiters[ticket.slot as usize];
        if waiter.out().is_some() {
            return None;
        }
        let (index, was_head) = (waiter.queue as usize, waiter.links.is_head());
        let own = self.queues[index].leave(&mut self.waiters, ticket.slot);
        // Whoever is behind the head waits for it (invariant 5), whoever else leaves.
        let turns = if was_head { self.hand_over(index) } else { Turns::default() };
        Some((own, turns))
    }

    /// Releases a hold; the head of the queue, or every shared request at the head, holds next: O(1)
    /// for each of them.
    ///
    /// # Panics
    ///
    /// If the hold is another table's and fits nothing here; otherwise somebody else's hold is taken
    /// for it.
    #[inline]
    pub fn release(&mut self, hold: Hold) -> Due<I, W> {
        if let Some(index) = hold.queue() {
            return self.release_queued(hold.hash, index, hold.mode());
        }
        let entry = self
            .entries
            .find_entry(hold.hash, |entry| entry.is_held_by(&hold, &self.queues))
            .ok()
            .expect("invariant 1: the id of a hold of this table has an entry");
        match entry.get().state.view() {
            View::Lone(_) => {
                let (Entry { id, .. }, _) = entry.remove();
                self.freed(id, Turns::None)
            }
            View::Queue(index) => self.release_queued(hold.hash, index, Mode::Exclusive),
        }
    }

    #[inline]
    fn release_queued(&mut self, hash: u64, index: usize, mode: Mode) -> Due<I, W> {
        self.queues[index].end_hold(mode);
        self.pass_on(hash, index)
    }

    /// Turns an exclusive hold into a shared one, without a gap and with the same token; the shared
    /// requests at the head of the queue then hold, too: O(1) for each of them. A shared hold is
    /// returned as it is.
    ///
    /// # Panics
    ///
    /// If the hold is another table's and fits nothing here; otherwise somebody else's hold is taken
    /// for it.
    pub fn downgrade(&mut self, hold: Hold) -> (Hold, Due<I, W>) {
        if hold.mode() == Mode::Shared {
            return (hold, Due::of_turns(Turns::default()));
        }
        let entry = self.entries.find_mut(hold.hash, |entry| entry.is_held_by(&hold, &self.queues));
        let entry = entry.expect("invariant 1: the id of a hold of this table has an entry");
        let index = entry.queue(&mut self.queues);
        let queue = &mut self.queues[index];
        queue.end_hold(Mode::Exclusive);
        queue.hold(hold.token, Mode::Shared);
        (Hold::queued(hold.hash, hold.token, Mode::Shared, index), self.pass_on(hold.hash, index))
    }

    /// Returns the id of a hold: O(1), without comparing ids.
    ///
    /// # Panics
    ///
    /// If the hold is another table's and fits nothing here; otherwise somebody else's hold is taken
    /// for it.
    pub fn id(&self, hold: &Hold) -> &I {
        let entry = self.entries.find(hold.hash, |entry| entry.is_held_by(hold, &self.queues));
        &entry.expect("invariant 1: the id of a hold of this table has an entry").id
    }

    /// Returns the number of ids in use.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether no id is in use.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns who holds `id` and how many wait, or `None` if it is free: O(1).
    pub fn status<Q>(&self, hash: u64, id: &Q) -> Option<Status>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let entry = self.entries.find(hash, |entry| entry.id.borrow() == id)?;
        Some(self.status_of(entry))
    }

    /// Iterates over the ids in use, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&I, Status)> {
        self.entries.iter().map(|entry| (&entry.id, self.status_of(entry)))
    }

    /// Iterates over what is to come back to those who wait for `id`, from head to tail.
    pub fn queue<Q>(&self, hash: u64, id: &Q) -> impl Iterator<Item = &W>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let entry = self.entries.find(hash, |entry| entry.id.borrow() == id);
        let queue = entry.and_then(|entry| match entry.state.view() {
            View::Lone(_) => None,
            View::Queue(index) => Some(&self.queues[index]),
        });
        queue.into_iter().flat_map(|queue| queue.iter(&self.waiters))
    }

    /// Hands the lock on, and forgets the id if nobody holds it then (invariant 1).
    #[inline]
    fn pass_on(&mut self, hash: u64, index: usize) -> Due<I, W> {
        let turns = self.hand_over(index);
        if self.queues[index].is_idle() {
            return self.forget(hash, index);
        }
        Due::of_turns(turns)
    }

    /// Hands the lock to all at the head that go with the holders (invariants 5 and 8).
    #[inline]
    fn hand_over(&mut self, index: usize) -> Turns<W> {
        let queue = &mut self.queues[index];
        let mut turns = Turns::default();
        while let Some((mode, waiting)) = queue.hand_over(&mut self.waiters, &mut self.last_token) {
            turns.push(waiting);
            if mode == Mode::Exclusive {
                break;
            }
        }
        turns
    }

    /// Removes an id that nobody holds any more, and its queue, and tells who watches it.
    #[inline(never)]
    fn forget(&mut self, hash: u64, index: usize) -> Due<I, W> {
        let mut told = Turns::default();
        while let Some(watching) = self.queues[index].tell(&mut self.waiters) {
            told.push(watching);
        }
        self.queues.remove(index);
        let entry = self
            .entries
            .find_entry(hash, |entry| entry.state == State::queue(index))
            .ok()
            .expect("invariant 4: each queue belongs to one entry");
        let (Entry { id, .. }, _) = entry.remove();
        self.freed(id, told)
    }

    /// What is due when an id has been removed and those who watched it are told.
    #[inline]
    fn freed(&mut self, id: I, told: Turns<W>) -> Due<I, W> {
        if self.is_idle() {
            return self.fall_idle(id, told);
        }
        Due::of_id(id, told)
    }

    fn status_of(&self, entry: &Entry<I>) -> Status {
        match entry.state.view() {
            View::Lone(_) => Status { mode: Mode::Exclusive, holders: 1, turns: 0, waiting: 0 },
            View::Queue(index) => self.queues[index].status(),
        }
    }
}

/// Lets a request hold if nobody is ahead of it, and returns the entry of its id otherwise. `None` says
/// that nobody is ahead and the table is closed. There is room for one more entry.
#[inline]
fn admit<'t, I, Q>(
    entries: &'t mut HashTable<Entry<I>>,
    queues: &mut Slab<Queue>,
    last_token: &mut u64,
    hash: u64,
    id: &Q,
    mode: Mode,
) -> Result<Hold, Option<&'t mut Entry<I>>>
where
    I: FromBorrowed<Q>,
    Q: Eq + ?Sized,
{
    match entries.entry(hash, |entry| entry.id.borrow() == id, no_rehash) {
        Place::Vacant(vacant) => {
            let token = next_token(*last_token).ok_or(None)?;
            let id = I::from_borrowed(id);
            *last_token = token.get();
            let (state, hold) = first_hold(hash, token, mode, queues);
            vacant.insert(Entry { id, state });
            Ok(hold)
        }
        Place::Occupied(occupied) => match occupied.get().state.view() {
            View::Queue(index) if queues[index].admits_newcomer(mode) => {
                // A queue's exclusive holder admits nobody, so the newcomer is shared.
                let token = next_token(*last_token).ok_or(None)?;
                *last_token = token.get();
                queues[index].hold(token, mode);
                Ok(Hold::queued(hash, token, Mode::Shared, index))
            }
            View::Queue(_) | View::Lone(_) => Err(Some(occupied.into_mut())),
        },
    }
}

/// Appends a waiter to the queue of an entry and returns its slot.
#[inline]
fn enqueue<I, W>(
    entry: &mut Entry<I>,
    queues: &mut Slab<Queue>,
    waiters: &mut Slab<Waiter<W>>,
    mode: Mode,
    waiting: W,
) -> u32 {
    let index = entry.queue(queues);
    queues[index].join(waiters, index, mode, waiting)
}

/// The first hold of an id: a lone holder's word, or a queue for a shared one.
#[inline]
fn first_hold(hash: u64, token: NonZeroU64, mode: Mode, queues: &mut Slab<Queue>) -> (State, Hold) {
    match mode {
        Mode::Exclusive => (State::lone(token), Hold::lone(hash, token)),
        Mode::Shared => {
            let index = Queue::insert(queues, Holders::Shared(1));
            (State::queue(index), Hold::queued(hash, token, mode, index))
        }
    }
}

/// Returns the token after this one, or `None` if the table is closed. 2^63 holds are out of reach.
#[inline]
pub(crate) fn next_token(last: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(last.wrapping_add(1))
}

/// `make_room` runs before every insertion, so `hashbrown` never moves an entry by itself.
fn no_rehash<I>(_: &Entry<I>) -> u64 {
    unreachable!("make_room left room for one entry")
}

impl<I, W, S: Default> Default for LockTable<I, W, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: fmt::Debug, W, S> fmt::Debug for LockTable<I, W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
