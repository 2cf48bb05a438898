//! [`LockManager`]: who holds what, until when, on behalf of clients that come and go.
//!
//! | module | what |
//! |---|---|
//! | `session`, `lease` | sessions: how they begin, last and end |
//! | `resume`, `recovery` | how they come back: on another connection, after a restart |
//! | `request`, `turn` | requests: how they join, wait, have their turn and leave |
//! | `parts` | the ids of a request, of which it may have several |
//! | `run` | turns that are promised to those behind their own session |
//! | `deadlock` | who would wait for itself |
//! | `limits`, `refusal` | what is too much, and each reason why something is refused |
//! | `inspect`, `admin` | what can be seen and what can be ended from outside |
//! | `check` | the invariants |
//! | `event`, `time`, `epoch` | what is said; when; in which run of the server |

mod admin;
mod check;
mod deadlock;
mod epoch;
mod event;
mod inspect;
mod lease;
mod limits;
mod parts;
mod recovery;
mod refusal;
mod request;
mod resume;
mod run;
mod session;
mod time;
mod turn;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use core::time::Duration;

pub use self::{
    deadlock::Wait,
    epoch::Epoch,
    event::{Event, Outcome},
    inspect::{Holder, SessionStatus, Waiter},
    lease::{Open, Opened},
    limits::Limits,
    refusal::Refusal,
    request::{Ask, Claim, Claimed, OwnerId, RequestId},
    resume::Resume,
    session::{Link, Secret, SessionId},
    time::Time,
};
use self::{
    parts::PartKey,
    recovery::Recovery,
    request::Left,
    session::{Key, Session},
};
use crate::table::LockTable;

/// Up to how many ids, and as many waiters, memory is kept when nobody holds or waits any more.
const IDLE_CAPACITY: usize = 65_536;

/// The brain of a lock server: sessions that lock ids, wait, hold and leave.
///
/// It does no input or output, reads no clock and draws no random number. Calls say what clients ask
/// for and what time it is; [`poll_event`](Self::poll_event) says what to tell them;
/// [`poll_timeout`](Self::poll_timeout) says when to call [`handle_timeout`](Self::handle_timeout). So
/// the same code serves a network and is fuzzed, simulated and model-checked.
///
/// * Turns come in order of the calls to [`lock`](Self::lock), in strict FIFO by id.
/// * A request for several ids joins all their queues in one step, holds each from its turn on, and is
///   granted once, when it holds them all. So such requests never wait for each other in a circle.
///   Whatever ends it, also at one of its ids, ends all of it in one step.
/// * A session lasts until it is closed, or until its client was not heard for as long as its lease,
///   whether a connection is there or not. Then it holds nothing and waits for nothing.
/// * A client that comes back in time has every hold and every place: on another connection by
///   [`resume`](Self::resume), after a restart by [`recover`](Self::recover).
/// * Requests are idempotent by their number: one that is repeated has the same answer.
/// * Requests of owners that would wait for each other in a circle are refused.
/// * Requests of a session that are next to each other in a queue may be promised their turns, so that
///   a client of many passes a lock on by itself: see [`Promised`](Outcome::Promised).
/// * Tokens rise with each hold of an id, over sessions and restarts.
/// * Each call first does what its `now` makes due: no request meets a hold, a wait or a session
///   whose time has passed, however late `handle_timeout` is called.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use lockcore::manager::{Ask, Event, LockManager, Open, Outcome, Secret, Time};
///
/// let mut manager = LockManager::default();
/// let mut open = |secret| {
///     let (lease, secret) = (Duration::from_secs(10), Secret::new(secret));
///     manager.open(Time::ZERO, Open { lease, secret, runs: false }).unwrap().link
/// };
/// let (alice, bob) = (open(1), open(2)); // from a generator of random numbers
/// manager.lock(Time::ZERO, alice, 1, Ask::exclusive("payment-123")).unwrap();
/// manager.lock(Time::ZERO, bob, 1, Ask::exclusive("payment-123")).unwrap();
///
/// let at_9_s = Time::new(Duration::from_secs(9));
/// manager.keep_alive(at_9_s, bob).unwrap();
/// manager.handle_timeout(manager.poll_timeout().unwrap()); // Alice was not heard for 10 s
///
/// let events: Vec<_> = std::iter::from_fn(|| manager.poll_event()).collect();
/// let [.., Event::Ended { link, .. }, Event::Request { outcome, .. }] = &events[..] else { panic!() };
/// assert_eq!(*link, alice);
/// assert!(matches!(outcome, Outcome::Granted { .. }), "to Bob");
/// ```
#[derive(Default)]
pub struct LockManager {
    /// Has who waits for each id, and how many hold it.
    table: LockTable<Arc<str>, PartKey>,
    sessions: BTreeMap<SessionId, Session>,
    /// The requests that hold, by the hash of the id.
    holders: BTreeSet<(u64, PartKey)>,
    /// When the present stage of a request ends by itself.
    timers: BTreeSet<(Time, Key)>,
    /// When to look whether a session has expired.
    leases: BTreeSet<(Time, SessionId)>,
    /// `None` but in the window after a restart.
    recovery: Option<Recovery>,
    events: VecDeque<Event>,
    epoch: Epoch,
    /// How many sessions this run has opened.
    sessions_opened: u64,
    /// How many places this run has given.
    places_given: u64,
    /// The longest lease that this run has granted.
    longest_lease: Duration,
    /// How many requests wait, each as often as it waits for an id.
    waiting: usize,
    limits: Limits,
}

/// Something that time makes due, by whose rank the earlier comes first of what is due together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Recovery,
    Stage(Key),
    Lease(SessionId),
}

impl LockManager {
    /// Creates the manager of a first run, without sessions.
    pub fn new(limits: Limits) -> Self {
        let mut manager = Self { limits, ..Self::default() };
        manager.table.set_idle_capacity(IDLE_CAPACITY);
        manager
    }

    /// Asks for a lock, as the request of this number.
    ///
    /// [`Granted`](Outcome::Granted) or [`Refused`](Outcome::Refused) follows, at once or after
    /// [`Queued`](Outcome::Queued). If the session has a live request of this number for the same ids,
    /// mode and owner, its answer is repeated. A refused request has left nothing behind at any id.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale).
    pub fn lock(
        &mut self,
        now: Time,
        link: Link,
        request: RequestId,
        ask: Ask<'_>,
    ) -> Result<(), Refusal> {
        self.heard(now, link)?;
        self.ask(now, Key { session: link.session, request }, ask);
        Ok(())
    }

    /// Releases what a request holds: [`Released`](Outcome::Released) follows, or
    /// [`Refused`](Outcome::Refused) if it was not granted or by another token. Of several ids, the
    /// token is that of the first.
    ///
    /// A repeated release meets `NotHeld` and does no harm.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale).
    pub fn release(
        &mut self,
        now: Time,
        link: Link,
        request: RequestId,
        token: u64,
    ) -> Result<(), Refusal> {
        self.heard(now, link)?;
        let key = Key { session: link.session, request };
        match self.token(key) {
            None => self.say(key, Outcome::Refused(Refusal::NotHeld { request })),
            Some(held) if held != token => {
                self.say(key, Outcome::Refused(Refusal::WrongToken { given: token, held }));
            }
            Some(_) => self.end(now, key),
        }
        Ok(())
    }

    /// Releases the hold that the session has on `id`, by the request of the lowest number if there
    /// are many, and returns whether there was one. It is released with all ids of its request; one of
    /// a request that waits for others yet is not the session's, and stays.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale).
    pub fn release_id(&mut self, now: Time, link: Link, id: &str) -> Result<bool, Refusal> {
        self.heard(now, link)?;
        let holder = self.holder_of(link.session, id);
        if let Some(key) = holder {
            self.end(now, key);
        }
        Ok(holder.is_some())
    }

    /// Ends a request, whether it waits or holds: `Refused` with
    /// [`Cancelled`](Refusal::Cancelled), or [`Released`](Outcome::Released), follows.
    ///
    /// Nothing follows if there is no such request: its last event was given before.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale).
    pub fn cancel(&mut self, now: Time, link: Link, request: RequestId) -> Result<(), Refusal> {
        self.heard(now, link)?;
        let key = Key { session: link.session, request };
        if self.request(key).is_some() {
            self.end(now, key);
        }
        Ok(())
    }

    /// Returns the next thing to tell a client.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called next. That nothing is due
    /// then is possible: a lease may have been renewed since.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next_timer().map(|(time, _)| time)
    }

    /// Ends the waits, holds and sessions whose time has passed, earliest first.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((time, timer)) = self.next_timer()
            && time <= now
        {
            match timer {
                Timer::Recovery => self.end_recovery(now),
                Timer::Stage(key) => self.leave(now, key, Some(&Left::timed_out)),
                Timer::Lease(session) => self.lease_due(now, (time, session)),
            }
        }
    }

    fn next_timer(&self) -> Option<(Time, Timer)> {
        let recovery = self.recovers_until().map(|time| (time, Timer::Recovery));
        let stage = self.timers.first().map(|(time, key)| (*time, Timer::Stage(*key)));
        let lease = self.leases.first().map(|(time, session)| (*time, Timer::Lease(*session)));
        [recovery, stage, lease].into_iter().flatten().min()
    }
}
