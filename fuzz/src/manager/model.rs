//! [`Model`]: what sessions ought to be told, in as few words as possible.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lockcore::{
    Mode,
    manager::{Ask, Claimed, Refusal, SessionId, Time},
};

use super::op::{ID_BYTES, LEASE, REQUESTS, WAITERS};

/// A session by the number of its opening, and a request of it.
pub(super) type Key = (usize, u64);

/// A request that a client claims.
pub(super) type Claim = (u64, Ask<'static>, Claimed);

/// What a session is told; tokens are compared apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Granted { waiting: usize },
    Queued { place: u64, waiting: usize },
    Released,
    Revoked(Refusal),
    Refused(Refusal),
    Ended(Refusal),
}

#[derive(Default)]
pub(super) struct Model {
    /// The number of the run in the upper bits of what it gives.
    pub(super) run: u64,
    pub(super) sessions: Vec<Session>,
    pub(super) requests: BTreeMap<Key, Request>,
    pub(super) told: Vec<(Key, Told)>,
    /// The token of each request that was granted.
    pub(super) tokens: BTreeMap<Key, u64>,
    places: u64,
    /// When the recovery window ends.
    pub(super) window: Option<Time>,
    /// What was claimed in the window.
    claimed: BTreeSet<(&'static str, u64, Mode)>,
}

#[derive(Clone, Copy)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) open: bool,
    pub(super) attached: bool,
    pub(super) attempt: u64,
    /// `None` if it has no lease.
    pub(super) lease_end: Option<Time>,
    /// It is of an earlier run, of which nothing else is known, and has not ended in this one.
    pub(super) may_return: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Deferred,
    Waiting,
    Holding,
}

pub(super) struct Request {
    pub(super) ask: Ask<'static>,
    pub(super) stage: Stage,
    pub(super) place: u64,
    deadline: Option<Time>,
}

impl Model {
    /// Forgets all but the numbers of the sessions.
    pub(super) fn restart(&mut self, run: u64, window: Option<Time>) {
        for session in &mut self.sessions {
            (session.open, session.may_return) = (false, true);
        }
        let sessions = std::mem::take(&mut self.sessions);
        *self = Self { run, sessions, window, ..Self::default() };
    }

    pub(super) fn end_session(&mut self, now: Time, session: usize) {
        for key in self.in_leaving_order(session, |_| true) {
            self.leave(now, key, None);
        }
        self.sessions[session].open = false;
        self.sessions[session].may_return = false;
    }

    pub(super) fn hush(&mut self, session: usize) {
        self.told.retain(|(key, _)| key.0 != session);
    }

    fn in_leaving_order(&self, session: usize, leaves: impl Fn(u64) -> bool) -> Vec<Key> {
        let own = self.requests.iter().filter(|(key, _)| key.0 == session && leaves(key.1));
        let holds = |request: &Request| request.stage == Stage::Holding;
        let mut own: Vec<_> =
            own.map(|(key, request)| (holds(request), Reverse(request.place), *key)).collect();
        own.sort_unstable();
        own.into_iter().map(|(.., key)| key).collect()
    }

    pub(super) fn lock(&mut self, now: Time, key: Key, ask: Ask<'static>) {
        match self.requests.get(&key) {
            Some(known) if same(known.ask, ask) => self.tell(key),
            Some(_) => {
                let refusal = Refusal::RequestInUse { request: key.1 };
                self.told.push((key, Told::Refused(refusal)));
            }
            None => self.make(now, key, ask, None),
        }
    }

    fn make(&mut self, now: Time, key: Key, ask: Ask<'static>, place: Option<u64>) {
        if let Some(refusal) = self.refusal(key, ask) {
            return self.told.push((key, Told::Refused(refusal)));
        }
        let place = place.unwrap_or_else(|| self.next_place());
        let deadline = ask.wait_limit.map(|limit| now.after(limit));
        self.requests.insert(key, Request { ask, stage: Stage::Deferred, place, deadline });
        if let Err(refusal) = self.join(now, key) {
            self.requests.remove(&key);
            return self.told.push((key, Told::Refused(refusal)));
        }
        self.tell(key);
    }

    /// Lets a deferred request hold or wait, unless it is refused.
    fn join(&mut self, now: Time, key: Key) -> Result<(), Refusal> {
        let &Request { ask, place, .. } = &self.requests[&key];
        let is_try = ask.wait_limit == Some(Duration::ZERO);
        let waits = self.requests.values().filter(|other| other.stage != Stage::Holding);
        let full = waits.count() > WAITERS;
        if let Some(end) = self.window {
            let remaining = end.since_origin().saturating_sub(now.since_origin());
            return match (is_try, full) {
                (true, _) => Err(Refusal::Recovering { remaining }),
                (false, true) => Err(Refusal::TooManyWaiters { limit: WAITERS }),
                (false, false) => Ok(()),
            };
        }
        if self.blockers(ask, place).next().is_none() && self.queue(ask.id).next().is_none() {
            self.hold(now, key);
            return Ok(());
        }
        if is_try {
            return Err(Refusal::Busy);
        }
        if full {
            return Err(Refusal::TooManyWaiters { limit: WAITERS });
        }
        if self.waits_for_itself(key) {
            return Err(Refusal::Deadlock { circle: [].into() });
        }
        self.requests.get_mut(&key).expect("it is there").stage = Stage::Waiting;
        Ok(())
    }

    fn hold(&mut self, now: Time, key: Key) {
        let request = self.requests.get_mut(&key).expect("it is there");
        request.stage = Stage::Holding;
        request.deadline = request.ask.hold_limit.map(|limit| now.after(limit));
    }

    /// Whom a request at this place waits for.
    fn blockers(&self, ask: Ask<'static>, place: u64) -> impl Iterator<Item = Key> {
        let ahead = self.requests.iter().filter(move |(_, other)| match other.stage {
            Stage::Deferred => false,
            Stage::Waiting => other.place < place,
            Stage::Holding => true,
        });
        let blocks = move |other: &Request| {
            other.ask.id == ask.id && (other.ask.mode, ask.mode) != (Mode::Shared, Mode::Shared)
        };
        ahead.filter(move |(_, other)| blocks(other)).map(|(key, _)| *key)
    }

    /// Whether a request would wait for one of its own owner.
    fn waits_for_itself(&self, joining: Key) -> bool {
        let node = |key: Key| match self.requests[&key].ask.owner {
            Some(owner) => (key.0, true, owner),
            None => (key.0, false, key.1),
        };
        let mut reached = BTreeSet::new();
        let mut ahead = vec![joining];
        while let Some(key) = ahead.pop() {
            let Request { ask, place, .. } = &self.requests[&key];
            for blocker in self.blockers(*ask, *place) {
                if node(blocker) == node(joining) {
                    return true;
                }
                let waits = |key: &Key| self.requests[key].stage == Stage::Waiting;
                let of_node = |key: &Key| node(*key) == node(blocker);
                if reached.insert(node(blocker)) {
                    ahead.extend(self.requests.keys().filter(|key| of_node(key) && waits(key)));
                }
            }
        }
        false
    }

    fn next_place(&mut self) -> u64 {
        self.places += 1;
        self.run << 43 | self.places
    }

    fn tell(&mut self, key: Key) {
        let Request { ask, stage, place, .. } = &self.requests[&key];
        let (place, waiting) = (*place, self.waiting(ask.id));
        let deferred = self.requests.values().filter(|other| other.stage == Stage::Deferred);
        let told = match stage {
            Stage::Deferred => Told::Queued { place, waiting: deferred.count() },
            Stage::Waiting => Told::Queued { place, waiting },
            Stage::Holding => Told::Granted { waiting },
        };
        self.told.push((key, told));
    }

    fn refusal(&self, key: Key, ask: Ask<'static>) -> Option<Refusal> {
        let requests = self.requests.keys().filter(|other| other.0 == key.0).count();
        let length = ask.id.len();
        if length == 0 {
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
        let holds = request.stage == Stage::Holding;
        let cancelled = Told::Refused(Refusal::Cancelled);
        self.leave(now, key, Some(if holds { Told::Released } else { cancelled }));
    }

    /// Somebody else ends a request.
    pub(super) fn revoke(&mut self, now: Time, key: Key, reason: Refusal) {
        let Some(request) = self.requests.get(&key) else { return };
        let holds = request.stage == Stage::Holding;
        let word = if holds { Told::Revoked(reason) } else { Told::Refused(reason) };
        self.leave(now, key, Some(word));
    }

    /// A session releases by the token `given`; that of its hold, if it holds, is `held`.
    pub(super) fn release(&mut self, now: Time, key: Key, given: u64, held: Option<u64>) {
        let request = self.requests.get(&key);
        let holds = request.is_some_and(|request| request.stage == Stage::Holding);
        match held.filter(|_| holds) {
            None => {
                let refusal = Refusal::NotHeld { request: key.1 };
                self.told.push((key, Told::Refused(refusal)));
            }
            Some(held) if held == given => self.end(now, key),
            Some(held) => {
                self.told.push((key, Told::Refused(Refusal::WrongToken { given, held })));
            }
        }
    }

    /// A session comes back.
    pub(super) fn resume(
        &mut self,
        now: Time,
        session: usize,
        attempt: u64,
        claims: &[Claim],
    ) -> Result<(), Refusal> {
        let state = self.sessions[session];
        let id = state.id;
        let returns = state.may_return && self.window.is_some();
        if !state.open && !returns || state.open && state.lease_end.is_none() {
            return Err(Refusal::SessionExpired { session: id });
        }
        if state.open && attempt <= state.attempt {
            return Err(Refusal::Stale { session: id });
        }
        self.sessions[session] = Session {
            open: true,
            attached: true,
            attempt,
            lease_end: Some(now.after(LEASE)),
            may_return: false,
            ..state
        };
        if state.open {
            self.hush(session);
            if state.attached {
                self.told.push(((session, 0), Told::Ended(Refusal::Stale { session: id })));
            }
            self.reconcile(now, session, claims);
        } else {
            claims.iter().for_each(|claim| self.claim(now, session, *claim));
        }
        Ok(())
    }

    fn reconcile(&mut self, now: Time, session: usize, claims: &[Claim]) {
        let fits = |(request, ask, state): &Claim| {
            let key = (session, *request);
            self.requests.get(&key).is_some_and(|known| {
                let holds = known.stage == Stage::Holding;
                let token = self.tokens.get(&key).copied().filter(|_| holds);
                let lies =
                    matches!(state, Claimed::Held { token: claimed } if token != Some(*claimed));
                same(known.ask, *ask) && !lies
            })
        };
        let (known, unknown): (Vec<Claim>, Vec<Claim>) =
            claims.iter().copied().partition(|claim| fits(claim));
        let known: BTreeSet<u64> = known.into_iter().map(|claim| claim.0).collect();
        let given_up = self.in_leaving_order(session, |request| !known.contains(&request));
        known.iter().for_each(|request| self.tell((session, *request)));
        for key in given_up {
            match claims.iter().any(|claim| claim.0 == key.1) {
                true => self.leave(now, key, None),
                false => self.end(now, key),
            }
        }
        for (request, ask, state) in unknown {
            match state {
                Claimed::Waiting { .. } => self.lock(now, (session, request), ask),
                Claimed::Held { .. } => {
                    let reason = Refusal::NotHeld { request };
                    self.told.push(((session, request), Told::Revoked(reason)));
                }
            }
        }
    }

    /// A session of an earlier run claims a request.
    fn claim(&mut self, now: Time, session: usize, (request, ask, state): Claim) {
        let key = (session, request);
        if self.requests.contains_key(&key) {
            return self.lock(now, key, ask);
        }
        let earlier = |number: u64| number < self.run << 43;
        match state {
            Claimed::Waiting { place } => {
                self.make(now, key, ask, place.filter(|place| earlier(*place)));
            }
            Claimed::Held { token } => {
                let refusal = if earlier(token) && token > 0 {
                    self.refusal(key, ask).or_else(|| self.claim_hold(now, key, ask, token))
                } else {
                    Some(Refusal::TokenNotGiven { token })
                };
                if let Some(reason) = refusal {
                    self.told.push((key, Told::Revoked(reason)));
                }
            }
        }
    }

    fn claim_hold(
        &mut self,
        now: Time,
        key: Key,
        ask: Ask<'static>,
        token: u64,
    ) -> Option<Refusal> {
        let place = self.next_place();
        let apart = |mode| (mode, ask.mode) != (Mode::Shared, Mode::Shared);
        let rivals = self.claimed.iter().filter(|(id, _, mode)| *id == ask.id && apart(*mode));
        let rival = rivals.map(|(_, token, _)| *token).max().unwrap_or_default();
        let twice = self.holders(ask.id).into_iter().any(|other| self.tokens[&other] == token);
        self.claimed.insert((ask.id, token, ask.mode));
        for holder in self.holders(ask.id) {
            if apart(self.requests[&holder].ask.mode) && self.tokens[&holder] < token {
                self.revoke(now, holder, Refusal::LaterHold { token });
            }
        }
        if token <= rival || twice {
            return Some(Refusal::LaterHold { token: rival.max(token) });
        }
        self.requests.insert(key, Request { ask, stage: Stage::Deferred, place, deadline: None });
        self.tokens.insert(key, token);
        self.hold(now, key);
        self.tell(key);
        None
    }

    /// Ends what has reached its limit.
    pub(super) fn due(&mut self, now: Time) {
        while let Some((deadline, rank, key)) = self.next_deadline()
            && deadline <= now
        {
            match rank {
                0 => self.end_window(now),
                1 => self.stage_over(now, key),
                _ => {
                    let reason = Refusal::SessionExpired { session: self.sessions[key.0].id };
                    self.told.push(((key.0, 0), Told::Ended(reason)));
                    self.end_session(now, key.0);
                }
            }
        }
    }

    fn stage_over(&mut self, now: Time, key: Key) {
        let Request { ask, stage, .. } = &self.requests[&key];
        let limit = if *stage == Stage::Holding { ask.hold_limit } else { ask.wait_limit };
        let limit = limit.expect("it has a deadline");
        let word = match stage {
            Stage::Holding => Told::Revoked(Refusal::HoldLimit { limit }),
            Stage::Deferred | Stage::Waiting => Told::Refused(Refusal::WaitLimit { limit }),
        };
        self.leave(now, key, Some(word));
    }

    fn end_window(&mut self, now: Time) {
        self.window = None;
        self.claimed.clear();
        let deferred = self.requests.iter().filter(|(_, other)| other.stage == Stage::Deferred);
        let mut deferred: Vec<_> = deferred.map(|(key, request)| (request.place, *key)).collect();
        deferred.sort_unstable();
        for (_, key) in deferred {
            if let Err(refusal) = self.join(now, key) {
                self.requests.remove(&key);
                self.told.push((key, Told::Refused(refusal)));
            } else if self.requests[&key].stage == Stage::Holding {
                self.tell(key);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<(Time, u8, Key)> {
        let window = self.window.map(|end| (end, 0, (0, 0)));
        let stages = self.requests.iter();
        let stages = stages.filter_map(|(key, request)| Some((request.deadline?, 1, *key)));
        let open = self.sessions.iter().enumerate().filter(|(_, session)| session.open);
        let leases =
            open.filter_map(|(number, session)| Some((session.lease_end?, 2, (number, 0))));
        window.into_iter().chain(stages).chain(leases).min()
    }

    pub(super) fn holders(&self, id: &str) -> Vec<Key> {
        let requests = self.requests.iter();
        let holds = |request: &Request| request.stage == Stage::Holding && request.ask.id == id;
        requests.filter(|(_, request)| holds(request)).map(|(key, _)| *key).collect()
    }

    /// The requests that wait for an id, with their places.
    pub(super) fn queue(&self, id: &str) -> impl Iterator<Item = (u64, Key)> {
        let waits =
            move |request: &Request| request.stage == Stage::Waiting && request.ask.id == id;
        let waiting = self.requests.iter().filter(move |(_, request)| waits(request));
        waiting.map(|(key, request)| (request.place, *key))
    }

    pub(super) fn waiting(&self, id: &str) -> usize {
        self.queue(id).count()
    }

    fn leave(&mut self, now: Time, key: Key, last_word: Option<Told>) {
        let request = self.requests.remove(&key).expect("a live request");
        self.told.extend(last_word.map(|word| (key, word)));
        let mut turns = Vec::new();
        while let Some((place, head)) = self.queue(request.ask.id).min()
            && self.blockers(self.requests[&head].ask, place).next().is_none()
        {
            self.hold(now, head);
            turns.push(head);
        }
        turns.into_iter().for_each(|key| self.tell(key));
    }
}

fn same(one: Ask<'_>, other: Ask<'_>) -> bool {
    (one.id, one.mode, one.owner) == (other.id, other.mode, other.owner)
}
