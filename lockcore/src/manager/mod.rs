//! [`LockManager`]: who holds what, until when, on behalf of clients that come and go.

mod check;
mod event;
mod session;
mod time;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use core::{fmt, time::Duration};

use self::session::{Key, Left, Request, Session, Stage};
pub use self::{
    event::{Event, Outcome, Refusal, UnknownSession},
    session::{RequestId, SessionId},
    time::Time,
};
use crate::{
    handles::{Joined, Mode, Status},
    table::LockTable,
};

/// What a session asks for with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The id to lock.
    pub id: &'a str,
    /// Alone or shared.
    pub mode: Mode,
    /// How long to wait at most: `None` for as long as it takes, zero to try.
    pub wait_limit: Option<Duration>,
    /// How long to hold at most, counted from the turn; then the hold is revoked.
    pub hold_limit: Option<Duration>,
}

impl<'a> Ask<'a> {
    /// Asks for `id` alone, without limits.
    pub const fn exclusive(id: &'a str) -> Self {
        Self { id, mode: Mode::Exclusive, wait_limit: None, hold_limit: None }
    }
}

/// What clients may ask for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Length of an id in bytes: 1024 by default.
    pub id_bytes: usize,
    /// Requests of a session, waiting and holding: 100,000 by default.
    pub requests_per_session: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { id_bytes: 1024, requests_per_session: 100_000 }
    }
}

/// Up to how many ids, and as many waiters, memory is kept when nobody holds or waits any more.
const IDLE_CAPACITY: usize = 65_536;

/// The brain of a lock server: sessions that lock ids, wait, hold and leave.
///
/// It does no input or output and reads no clock. Calls say what clients ask for and what time it
/// is; [`poll_event`](Self::poll_event) says what to tell them; [`poll_timeout`](Self::poll_timeout)
/// says when to call [`handle_timeout`](Self::handle_timeout). So the same code serves a network and
/// is fuzzed and simulated.
///
/// * Turns come in order of the calls to [`lock`](Self::lock), in strict FIFO by id.
/// * A session that is closed holds nothing and waits for nothing.
/// * Each call first does what its `now` makes due: no request meets a hold or a wait whose limit has
///   passed, however late `handle_timeout` is called.
///
/// # Examples
///
/// ```
/// use lockcore::manager::{Ask, LockManager, Outcome, Time};
///
/// let mut manager = LockManager::default();
/// let (alice, bob) = (manager.open(), manager.open());
/// manager.lock(Time::ZERO, alice, 1, Ask::exclusive("payment-123")).unwrap();
/// manager.lock(Time::ZERO, bob, 1, Ask::exclusive("payment-123")).unwrap();
/// manager.close(Time::ZERO, alice).unwrap();
///
/// let events: Vec<_> = std::iter::from_fn(|| manager.poll_event()).collect();
/// assert_eq!(events.last().unwrap().session, bob);
/// assert!(matches!(events.last().unwrap().outcome, Outcome::Granted { .. }));
/// ```
#[derive(Default)]
pub struct LockManager {
    table: LockTable<Arc<str>, Key>,
    sessions: BTreeMap<SessionId, Session>,
    /// The requests that hold, by the hash of their id.
    holders: BTreeSet<(u64, Key)>,
    /// When the present stage of a request ends by itself.
    timers: BTreeSet<(Time, Key)>,
    events: VecDeque<Event>,
    last_session: u64,
    limits: Limits,
}

impl LockManager {
    /// Creates a manager without sessions.
    pub fn new(limits: Limits) -> Self {
        let mut manager = Self { limits, ..Self::default() };
        manager.table.set_idle_capacity(IDLE_CAPACITY);
        manager
    }

    /// Opens a session.
    pub fn open(&mut self) -> SessionId {
        self.open_with_limit(self.limits.requests_per_session)
    }

    /// Opens a session that may have another number of requests, waiting and holding.
    pub fn open_with_limit(&mut self, requests: usize) -> SessionId {
        self.last_session += 1;
        let session = SessionId(self.last_session);
        self.sessions.insert(session, Session { limit: requests, requests: BTreeMap::new() });
        session
    }

    /// Closes a session: everything it holds is released and everything it waits for is cancelled, in
    /// one step. It is told nothing more, not even what is yet to be polled. O(its requests + events).
    ///
    /// # Errors
    ///
    /// [`UnknownSession`] if it is not open.
    pub fn close(&mut self, now: Time, session: SessionId) -> Result<(), UnknownSession> {
        self.handle_timeout(now);
        for request in self.session(session)?.waiting_first() {
            self.leave(now, Key { session, request }, None);
        }
        self.sessions.remove(&session);
        // Where one of its requests left, another of its own behind it may have had a shared turn.
        self.events.retain(|event| event.session != session);
        Ok(())
    }

    /// Asks for a lock, as the request of this number.
    ///
    /// [`Granted`](Outcome::Granted) or [`Refused`](Outcome::Refused) follows, at once or after
    /// [`Queued`](Outcome::Queued).
    ///
    /// # Errors
    ///
    /// [`UnknownSession`] if the session is not open.
    pub fn lock(
        &mut self,
        now: Time,
        session: SessionId,
        request: RequestId,
        ask: Ask<'_>,
    ) -> Result<(), UnknownSession> {
        self.handle_timeout(now);
        let key = Key { session, request };
        match self.admit(key, ask.id)? {
            Ok(()) => self.join(now, key, ask),
            Err(refusal) => self.say(key, Outcome::Refused(refusal)),
        }
        Ok(())
    }

    /// Releases what a request holds: [`Released`](Outcome::Released) follows, or
    /// [`Refused`](Outcome::Refused) if it holds nothing or by another token.
    ///
    /// A repeated release meets `NotHeld` and does no harm.
    ///
    /// # Errors
    ///
    /// [`UnknownSession`] if the session is not open.
    pub fn release(
        &mut self,
        now: Time,
        session: SessionId,
        request: RequestId,
        token: u64,
    ) -> Result<(), UnknownSession> {
        self.handle_timeout(now);
        let held = self.session(session)?.requests.get(&request).and_then(Request::token);
        let key = Key { session, request };
        match held {
            None => self.say(key, Outcome::Refused(Refusal::NotHeld { request })),
            Some(held) if held != token => {
                self.say(key, Outcome::Refused(Refusal::WrongToken { given: token, held }));
            }
            Some(_) => self.end(now, key),
        }
        Ok(())
    }

    /// Releases the hold that `session` has on `id`, by the request of the lowest number if there are
    /// many, and returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`UnknownSession`] if the session is not open.
    pub fn release_id(
        &mut self,
        now: Time,
        session: SessionId,
        id: &str,
    ) -> Result<bool, UnknownSession> {
        self.handle_timeout(now);
        self.session(session)?;
        let holder = self.holder_of(session, id);
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
    /// [`UnknownSession`] if the session is not open.
    pub fn cancel(
        &mut self,
        now: Time,
        session: SessionId,
        request: RequestId,
    ) -> Result<(), UnknownSession> {
        self.handle_timeout(now);
        if self.session(session)?.requests.contains_key(&request) {
            self.end(now, Key { session, request });
        }
        Ok(())
    }

    /// Returns the next thing to tell a client.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Ends the waits and holds whose limit has passed, earliest first.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(&(time, key)) = self.timers.first() {
            if time > now {
                break;
            }
            self.leave(now, key, Some(Left::timed_out));
        }
    }

    /// Returns who holds `id` and how many wait for it, or `None` if it is free.
    pub fn status(&self, id: &str) -> Option<Status> {
        self.table.status(self.table.hash(id), id)
    }

    /// Iterates over the ids in use, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = (&str, Status)> {
        self.table.iter().map(|(id, status)| (&**id, status))
    }

    /// Returns the number of open sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Returns whether a request may be made, before anything changes.
    fn admit(&self, key: Key, id: &str) -> Result<Result<(), Refusal>, UnknownSession> {
        let &Session { limit, ref requests } = self.session(key.session)?;
        let id_bytes = self.limits.id_bytes;
        Ok(if id.is_empty() {
            Err(Refusal::IdEmpty)
        } else if id.len() > id_bytes {
            Err(Refusal::IdTooLong { length: id.len(), limit: id_bytes })
        } else if requests.contains_key(&key.request) {
            Err(Refusal::RequestInUse { request: key.request })
        } else if requests.len() >= limit {
            Err(Refusal::TooManyRequests { limit })
        } else {
            Ok(())
        })
    }

    /// Makes an admitted request: it holds, waits, or is refused because it would wait.
    fn join(&mut self, now: Time, key: Key, ask: Ask<'_>) {
        let Ask { id, mode, wait_limit, hold_limit } = ask;
        let hash = self.table.hash(id);
        let id: Arc<str> = id.into();
        let stage = if wait_limit == Some(Duration::ZERO) {
            self.table.try_lock(hash, &id, mode).map(Stage::Holding)
        } else {
            Some(match self.table.lock(hash, &id, mode, key) {
                Joined::Holds(hold, _) => Stage::Holding(hold),
                Joined::Waits(ticket) => Stage::Waiting(ticket),
                Joined::Closed(_) => unreachable!("a manager never closes its table"),
            })
        };
        match stage {
            None => self.say(key, Outcome::Refused(Refusal::Busy)),
            Some(stage) => {
                self.enter(
                    now,
                    key,
                    Request { id, hash, wait_limit, hold_limit, deadline: None, stage },
                );
            }
        }
    }

    /// Lets a request enter its stage: tells its session and starts the stage's limit.
    fn enter(&mut self, now: Time, key: Key, mut request: Request) {
        let id = request.id.clone();
        let waiting = self.table.status(request.hash, &id).map_or(0, |status| status.waiting);
        let limit = match &request.stage {
            Stage::Waiting(_) => {
                self.say(key, Outcome::Queued { id, waiting });
                request.wait_limit
            }
            Stage::Holding(hold) => {
                self.say(key, Outcome::Granted { id, token: hold.token(), waiting });
                self.holders.insert((request.hash, key));
                request.hold_limit
            }
        };
        request.deadline = limit.map(|limit| now.after(limit));
        self.timers.extend(request.deadline.map(|deadline| (deadline, key)));
        self.requests_mut(key.session).insert(key.request, request);
    }

    /// Takes a request out of its stage.
    fn take(&mut self, key: Key) -> Request {
        let request = self.requests_mut(key.session).remove(&key.request).expect("a live request");
        if let Some(deadline) = request.deadline {
            self.timers.remove(&(deadline, key));
        }
        if let Stage::Holding(_) = request.stage {
            self.holders.remove(&(request.hash, key));
        }
        request
    }

    /// Removes a live request from the table and from its session, with a last word to it; whose turn
    /// that makes come holds.
    fn leave(&mut self, now: Time, key: Key, last_word: Option<fn(Left) -> Outcome>) {
        let Request { id, wait_limit, hold_limit, stage, .. } = self.take(key);
        let (left, due) = match stage {
            Stage::Waiting(ticket) => {
                (Left::Waited { limit: wait_limit }, self.table.cancel(ticket))
            }
            Stage::Holding(hold) => {
                (Left::Held { id, limit: hold_limit }, self.table.release(hold))
            }
        };
        if let Some(last_word) = last_word {
            self.say(key, last_word(left));
        }
        for successor in due.into_turns() {
            self.hand_over(now, successor);
        }
    }

    /// Lets a waiting request take the turn that has come.
    fn hand_over(&mut self, now: Time, key: Key) {
        let request = self.take(key);
        let Stage::Waiting(ticket) = request.stage else {
            unreachable!("a turn comes to a request that waits");
        };
        let hold = self.table.take_turn(ticket).expect("the turn has come");
        self.enter(now, key, Request { stage: Stage::Holding(hold), ..request });
    }

    /// Ends a live request because its session asks for it.
    fn end(&mut self, now: Time, key: Key) {
        self.leave(now, key, Some(Left::ended));
    }

    fn say(&mut self, Key { session, request }: Key, outcome: Outcome) {
        self.events.push_back(Event { session, request, outcome });
    }

    fn session(&self, session: SessionId) -> Result<&Session, UnknownSession> {
        self.sessions.get(&session).ok_or(UnknownSession(session))
    }

    fn requests_mut(&mut self, session: SessionId) -> &mut BTreeMap<RequestId, Request> {
        &mut self.sessions.get_mut(&session).expect("live requests are of open sessions").requests
    }

    /// Returns the request by which `session` holds `id`, the one of the lowest number if many do.
    fn holder_of(&self, session: SessionId, id: &str) -> Option<Key> {
        let hash = self.table.hash(id);
        let key = |request| (hash, Key { session, request });
        let holders = self.holders.range(key(RequestId::MIN)..=key(RequestId::MAX));
        let requests = &self.sessions[&session].requests;
        holders.map(|(_, key)| *key).find(|key| *requests[&key.request].id == *id)
    }
}

impl fmt::Debug for LockManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockManager")
            .field("sessions", &self.sessions.len())
            .field("ids", &self.table.len())
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}
