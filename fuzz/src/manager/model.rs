//! [`Model`]: what sessions ought to be told, in as few words as possible.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lockcore::{
    Mode,
    manager::{Ask, Refusal, Time},
};

use super::op::{ID_BYTES, REQUESTS};

/// A session by the number of its opening, and a request of it.
pub(super) type Key = (usize, u64);

/// What a session is told; tokens are compared apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Granted { waiting: usize },
    Queued { waiting: usize },
    Released,
    Revoked,
    Refused(Refusal),
}

#[derive(Default)]
pub(super) struct Model {
    /// Whether each session that was opened is open.
    pub(super) sessions: Vec<bool>,
    pub(super) requests: BTreeMap<Key, Request>,
    /// The waiting requests of an id in order of arrival.
    queues: BTreeMap<&'static str, VecDeque<Key>>,
    pub(super) told: Vec<(Key, Told)>,
    places: usize,
}

pub(super) struct Request {
    pub(super) ask: Ask<'static>,
    pub(super) holds: bool,
    place: usize,
    deadline: Option<Time>,
}

impl Model {
    pub(super) fn close(&mut self, now: Time, session: usize) {
        let own = self.requests.iter().filter(|(key, _)| key.0 == session);
        let mut own: Vec<_> =
            own.map(|(key, request)| (request.holds, Reverse(request.place), *key)).collect();
        own.sort_unstable();
        for (.., key) in own {
            self.leave(now, key, None);
        }
        self.told.retain(|(key, _)| key.0 != session);
        self.sessions[session] = false;
    }

    pub(super) fn lock(&mut self, now: Time, key: Key, ask: Ask<'static>) {
        if let Some(known) = self.requests.get(&key)
            && (known.ask.id, known.ask.mode) == (ask.id, ask.mode)
        {
            let (holds, waiting) = (known.holds, self.waiting(ask.id));
            let told = if holds { Told::Granted { waiting } } else { Told::Queued { waiting } };
            return self.told.push((key, told));
        }
        if let Some(refusal) = self.refusal(key, ask) {
            return self.told.push((key, Told::Refused(refusal)));
        }
        let queue = self.queues.entry(ask.id).or_default();
        queue.push_back(key);
        let waiting = queue.len();
        let deadline = ask.wait_limit.map(|limit| now.after(limit));
        self.places += 1;
        let place = self.places;
        self.requests.insert(key, Request { ask, holds: false, place, deadline });
        if self.head_may_hold(ask.id) == Some(key) {
            self.advance(now, ask.id);
        } else if ask.wait_limit == Some(Duration::ZERO) {
            self.leave(now, key, Some(Told::Refused(Refusal::Busy)));
        } else {
            self.told.push((key, Told::Queued { waiting }));
        }
    }

    fn refusal(&self, key: Key, ask: Ask<'static>) -> Option<Refusal> {
        let requests = self.requests.keys().filter(|other| other.0 == key.0).count();
        let length = ask.id.len();
        if self.requests.contains_key(&key) {
            Some(Refusal::RequestInUse { request: key.1 })
        } else if length == 0 {
            Some(Refusal::IdEmpty)
        } else if length > ID_BYTES {
            Some(Refusal::IdTooLong { length, limit: ID_BYTES })
        } else {
            (requests == REQUESTS).then_some(Refusal::TooManyRequests { limit: REQUESTS })
        }
    }

    /// A session ends its own request.
    pub(super) fn end(&mut self, now: Time, key: Key) {
        let Some(request) = self.requests.get(&key) else { return };
        let cancelled = Told::Refused(Refusal::Cancelled);
        let word = if request.holds { Told::Released } else { cancelled };
        self.leave(now, key, Some(word));
    }

    /// A session releases by the token `given`; that of its hold, if it holds, is `held`.
    pub(super) fn release(&mut self, now: Time, key: Key, given: u64, held: Option<u64>) {
        let holds = self.requests.get(&key).is_some_and(|request| request.holds);
        match held.filter(|_| holds) {
            None => self.told.push((key, Told::Refused(Refusal::NotHeld { request: key.1 }))),
            Some(held) if held == given => self.end(now, key),
            Some(held) => {
                self.told.push((key, Told::Refused(Refusal::WrongToken { given, held })));
            }
        }
    }

    /// Ends what has reached its limit.
    pub(super) fn due(&mut self, now: Time) {
        while let Some((deadline, key)) = self.next_deadline()
            && deadline <= now
        {
            let Request { ask, holds, .. } = &self.requests[&key];
            let word = match (holds, ask.wait_limit) {
                (false, Some(limit)) => Told::Refused(Refusal::WaitLimit { limit }),
                (true, _) | (false, None) => Told::Revoked,
            };
            self.leave(now, key, Some(word));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<(Time, Key)> {
        let timed = self.requests.iter();
        timed.filter_map(|(key, request)| Some((request.deadline?, *key))).min()
    }

    pub(super) fn holders(&self, id: &str) -> Vec<Key> {
        let requests = self.requests.iter();
        let holders = requests.filter(|(_, request)| request.holds && request.ask.id == id);
        holders.map(|(key, _)| *key).collect()
    }

    pub(super) fn waiting(&self, id: &str) -> usize {
        self.queues.get(id).map_or(0, VecDeque::len)
    }

    fn leave(&mut self, now: Time, key: Key, last_word: Option<Told>) {
        let request = self.requests.remove(&key).expect("a live request");
        let id = request.ask.id;
        self.told.extend(last_word.map(|word| (key, word)));
        if let Some(queue) = self.queues.get_mut(id) {
            queue.retain(|other| *other != key);
        }
        self.advance(now, id);
    }

    /// Returns the head of the queue of an id if it goes with all holders.
    fn head_may_hold(&self, id: &str) -> Option<Key> {
        let head = *self.queues.get(id)?.front()?;
        let shared = |key: &Key| self.requests[key].ask.mode == Mode::Shared;
        let holders = self.holders(id);
        (holders.is_empty() || shared(&head) && holders.iter().all(shared)).then_some(head)
    }

    fn advance(&mut self, now: Time, id: &'static str) {
        let mut turns = Vec::new();
        while let Some(head) = self.head_may_hold(id) {
            self.queues.get_mut(id).expect("it has a head").pop_front();
            let request = self.requests.get_mut(&head).expect("whoever waits is there");
            request.holds = true;
            request.deadline = request.ask.hold_limit.map(|limit| now.after(limit));
            turns.push(head);
        }
        let waiting = self.waiting(id);
        self.told.extend(turns.into_iter().map(|key| (key, Told::Granted { waiting })));
    }
}
