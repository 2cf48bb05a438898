//! [`Model`]: what sessions ought to be told, in as few words as possible.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use lockcore::{
    Mode,
    manager::{Ask, Claimed, Refusal, SessionId, Time},
};

use super::op::{ID_BYTES, IDS_OF_REQUEST, LEASE, REQUESTS, WAITERS};

/// A session by the number of its opening, and a request of it.
pub(super) type Key = (usize, u64);

/// A request that a client claims.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) request: u64,
    pub(super) ask: Ask<'static>,
    pub(super) state: Claimed,
    pub(super) more_tokens: Vec<u64>,
}

impl Claim {
    /// The same as the manager is told it.
    pub(super) fn of_manager(&self) -> lockcore::manager::Claim<'_> {
        let &Self { request, ask, state, ref more_tokens } = self;
        lockcore::manager::Claim { request, ask, state, more_tokens }
    }

    /// The tokens by which it is said to hold.
    fn tokens(&self) -> Option<Vec<u64>> {
        let Claimed::Held { token } = self.state else { return None };
        Some([&[token], &*self.more_tokens].concat())
    }
}

/// What a session is told; tokens are compared apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Granted { waiting: usize },
    Queued { place: u64, waiting: usize },
    Promised,
    PromisedTurn { waiting: usize },
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
    /// The token by which a request holds an id, as far as it was told or seen, or was promised its turn.
    pub(super) tokens: BTreeMap<(Key, &'static str), u64>,
    /// Whoever was behind a request for several ids was promised its turn when that left.
    pub(super) promised_behind_several: bool,
    places: u64,
    /// How many circles went over what a request without an owner held while it waited.
    pub(super) circles_half_way: u64,
    /// When the recovery window ends.
    pub(super) window: Option<Time>,
    /// What was claimed in the window.
    claimed: BTreeSet<(&'static str, u64, Mode)>,
    /// How many waits of earlier runs were claimed in the window.
    returned: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) open: bool,
    pub(super) attached: bool,
    pub(super) attempt: u64,
    /// `None` if it has no lease.
    pub(super) lease_end: Option<Time>,
    /// Whether its client understands runs.
    pub(super) runs: bool,
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
    /// Those of its ids that it holds: all, once it is not waiting any more.
    pub(super) held: BTreeSet<&'static str>,
    pub(super) place: u64,
    /// Its turn was promised.
    pub(super) promised: bool,
    deadline: Option<Time>,
}

impl Request {
    fn deferred(ask: Ask<'static>, place: u64, deadline: Option<Time>) -> Self {
        let (stage, held) = (Stage::Deferred, BTreeSet::new());
        Self { ask, stage, held, place, promised: false, deadline }
    }

    /// Whether it is for one id alone, so that its turn and those behind it may be promised.
    fn is_for_one_alone(&self) -> bool {
        self.ask.mode == Mode::Exclusive && ids(self.ask).len() == 1
    }

    fn may_be_promised(&self) -> bool {
        self.is_for_one_alone() && self.ask.wait_limit.is_none()
    }

    /// The ids that it does not hold yet, in its order.
    pub(super) fn pending(&self) -> impl Iterator<Item = &'static str> {
        ids(self.ask).into_iter().filter(|id| !self.held.contains(id))
    }

    pub(super) fn is_half_way(&self) -> bool {
        self.stage == Stage::Waiting && !self.held.is_empty()
    }
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
        self.requests.insert(key, Request::deferred(ask, place, deadline));
        if let Err(refusal) = self.join(now, key, false) {
            self.requests.remove(&key);
            return self.told.push((key, Told::Refused(refusal)));
        }
        self.tell(key);
        self.promise(ask.id);
    }

    /// Promises their turns to all who have only their own session ahead of them.
    fn promise(&mut self, id: &str) {
        let [holder] = self.holders(id)[..] else { return };
        if !self.requests[&holder].is_for_one_alone() {
            return;
        }
        let mut queue: Vec<_> = self.queue(id).collect();
        queue.sort_unstable();
        let queue = queue.into_iter().map(|(_, key)| key);
        let own = queue.take_while(|key| key.0 == holder.0 && self.requests[key].may_be_promised());
        for key in own.collect::<Vec<_>>() {
            let request = self.requests.get_mut(&key).expect("it is in the queue");
            if self.sessions[key.0].runs && !request.promised {
                request.promised = true;
                self.told.push((key, Told::Promised));
            }
        }
    }

    /// Whether a request that could be promised its turn waits directly behind one of its session for
    /// several ids.
    pub(super) fn is_behind_several(&self, id: &str) -> bool {
        let mut queue: Vec<_> = self.queue(id).collect();
        queue.sort_unstable();
        queue.windows(2).any(|pair| {
            let [ahead, behind] = [pair[0].1, pair[1].1];
            let is_run = ahead.0 == behind.0 && self.sessions[behind.0].runs;
            let are_several = ids(self.requests[&ahead].ask).len() > 1;
            is_run && are_several && self.requests[&behind].may_be_promised()
        })
    }

    /// Lets a deferred request hold or wait, unless it is refused.
    fn join(&mut self, now: Time, key: Key, has_waited: bool) -> Result<(), Refusal> {
        let &Request { ask, place, .. } = &self.requests[&key];
        let is_try = ask.wait_limit == Some(Duration::ZERO);
        let others = self.requests.iter().filter(|(other, _)| **other != key);
        let others: usize = others.map(|(_, other)| other.pending().count()).sum();
        let is_full = |more: usize| others + more > WAITERS;
        if let Some(end) = self.window {
            let remaining = end.since_origin().saturating_sub(now.since_origin());
            let (ids, returns) = (ids(ask).len(), place < self.run << 43);
            let full = if returns { self.returned + ids > WAITERS } else { is_full(ids) };
            self.returned += if returns && !is_try && !full { ids } else { 0 };
            return match (is_try, full) {
                (true, _) => Err(Refusal::Recovering { remaining }),
                (false, true) => Err(Refusal::TooManyWaiters { limit: WAITERS }),
                (false, false) => Ok(()),
            };
        }
        let is_free = |id: &&'static str| {
            self.blockers(id, ask.mode, place).next().is_none() && self.queue(id).next().is_none()
        };
        let (free, busy): (BTreeSet<_>, BTreeSet<_>) = ids(ask).into_iter().partition(is_free);
        if is_try && !busy.is_empty() {
            return Err(Refusal::Busy);
        }
        if !busy.is_empty() && is_full(busy.len()) && !has_waited {
            return Err(Refusal::TooManyWaiters { limit: WAITERS });
        }
        if self.waits_for_itself(key, true) {
            self.circles_half_way += u64::from(!self.waits_for_itself(key, false));
            return Err(Refusal::Deadlock { circle: [].into() });
        }
        let request = self.requests.get_mut(&key).expect("it is there");
        (request.stage, request.held) = (Stage::Waiting, free);
        self.hold_if_all(now, key);
        Ok(())
    }

    /// Lets a request that holds all its ids hold; returns whether it does.
    fn hold_if_all(&mut self, now: Time, key: Key) -> bool {
        let request = self.requests.get_mut(&key).expect("it is there");
        let holds = request.pending().next().is_none();
        if holds {
            request.stage = Stage::Holding;
            request.deadline = request.ask.hold_limit.map(|limit| now.after(limit));
        }
        holds
    }

    /// Whom a request at this place waits for at an id.
    fn blockers(&self, id: &'static str, mode: Mode, place: u64) -> impl Iterator<Item = Key> {
        let is_ahead = move |other: &Request| {
            other.held.contains(id)
                || other.stage == Stage::Waiting
                    && ids(other.ask).contains(&id)
                    && other.place < place
        };
        let goes_with =
            move |other: &Request| (other.ask.mode, mode) == (Mode::Shared, Mode::Shared);
        let requests = self.requests.iter();
        let blockers = requests.filter(move |(_, other)| is_ahead(other) && !goes_with(other));
        blockers.map(|(key, _)| *key)
    }

    /// Whether a request would wait for one of its own owner; `over_half_way` says whether a way over
    /// what a request without an owner holds while it waits counts.
    fn waits_for_itself(&self, joining: Key, over_half_way: bool) -> bool {
        let node = |key: Key| match self.requests[&key].ask.owner {
            Some(owner) => (key.0, true, owner),
            None => (key.0, false, key.1),
        };
        let mut reached = BTreeSet::new();
        let mut ahead = vec![joining];
        while let Some(key) = ahead.pop() {
            let request = &self.requests[&key];
            let blockers =
                request.pending().flat_map(|id| self.blockers(id, request.ask.mode, request.place));
            for blocker in blockers {
                if node(blocker) == node(joining) {
                    return true;
                }
                let waits = |key: &Key| {
                    let request = &self.requests[key];
                    let counts =
                        over_half_way || request.ask.owner.is_some() || request.held.is_empty();
                    request.stage == Stage::Waiting && counts
                };
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
        let request = &self.requests[&key];
        let Request { ask, stage, place, promised, .. } = request;
        let (place, promised) = (*place, *promised);
        let waiting = self.waiting(request.pending().next().unwrap_or(ask.id));
        let deferred = self.requests.values().filter(|other| other.stage == Stage::Deferred);
        let told = match stage {
            Stage::Deferred => Told::Queued { place, waiting: deferred.count() },
            Stage::Waiting => Told::Queued { place, waiting },
            Stage::Holding => Told::Granted { waiting },
        };
        let waits = *stage == Stage::Waiting;
        self.told.push((key, told));
        if waits && promised {
            self.told.push((key, Told::Promised));
        }
    }

    fn refusal(&self, key: Key, ask: Ask<'static>) -> Option<Refusal> {
        let bad = |id: &str| match id.len() {
            0 => Some(Refusal::IdEmpty),
            1..=ID_BYTES => None,
            length => Some(Refusal::IdTooLong { length, limit: ID_BYTES }),
        };
        let (count, limit) = (1 + ask.more_ids.len(), IDS_OF_REQUEST);
        let many = (count > limit).then_some(Refusal::TooManyIdsOfRequest { count, limit });
        let requests = self.requests.iter().filter(|(other, _)| other.0 == key.0);
        let present: usize = requests.map(|(_, request)| ids(request.ask).len()).sum();
        let full = present + ids(ask).len() > REQUESTS;
        bad(ask.id)
            .or(many)
            .or_else(|| ask.more_ids.iter().find_map(|id| bad(id)))
            .or_else(|| full.then_some(Refusal::TooManyRequests { limit: REQUESTS }))
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
            claims.iter().for_each(|claim| self.claim(now, session, claim));
        }
        Ok(())
    }

    fn reconcile(&mut self, now: Time, session: usize, claims: &[Claim]) {
        let (known, unknown): (Vec<&Claim>, Vec<&Claim>) =
            claims.iter().partition(|claim| self.fits(session, claim));
        let known: BTreeSet<u64> = known.into_iter().map(|claim| claim.request).collect();
        let passed: BTreeSet<u64> = unknown
            .iter()
            .filter(|claim| !known.contains(&claim.request) && self.is_pass(session, claim))
            .map(|claim| claim.request)
            .collect();
        let given_up = self.in_leaving_order(session, |request| {
            !known.contains(&request) && !passed.contains(&request)
        });
        let mut known: Vec<Key> = known.iter().map(|request| (session, *request)).collect();
        known.sort_unstable_by_key(|key| self.requests[key].place);
        known.into_iter().for_each(|key| self.tell(key));
        for key in given_up {
            match claims.iter().any(|claim| claim.request == key.1) {
                true => self.leave(now, key, None),
                false => self.end(now, key),
            }
        }
        let passed = self.in_leaving_order(session, |request| passed.contains(&request));
        let (had_turn, lies): (Vec<Key>, Vec<Key>) =
            passed.into_iter().partition(|key| self.holds(*key));
        had_turn.iter().for_each(|key| self.tell(*key));
        lies.into_iter().for_each(|key| self.leave(now, key, None));
        for claim in unknown {
            let &Claim { request, ask, state, .. } = claim;
            let key = (session, request);
            match state {
                Claimed::Waiting { .. } => self.lock(now, key, ask),
                Claimed::Held { .. } if had_turn.contains(&key) && self.fits(session, claim) => {}
                Claimed::Held { .. } => {
                    let reason = Refusal::NotHeld { request };
                    self.told.push((key, Told::Revoked(reason)));
                }
            }
        }
    }

    /// Whether a client may believe a claim.
    fn fits(&self, session: usize, claim: &Claim) -> bool {
        let key = (session, claim.request);
        self.requests.get(&key).is_some_and(|known| {
            let lies = claim.tokens().is_some_and(|claimed| {
                known.stage != Stage::Holding || claimed != self.tokens_of(key)
            });
            same(known.ask, claim.ask) && !lies
        })
    }

    /// Whether a claim is to hold by the token of a promise.
    pub(super) fn is_pass(&self, session: usize, claim: &Claim) -> bool {
        let key = (session, claim.request);
        self.requests.get(&key).is_some_and(|known| {
            let promised = known.stage == Stage::Waiting && known.promised;
            promised
                && same(known.ask, claim.ask)
                && claim.tokens().is_some_and(|claimed| claimed == self.tokens_of(key))
        })
    }

    /// A session of an earlier run claims a request.
    fn claim(&mut self, now: Time, session: usize, claim: &Claim) {
        let &Claim { request, ask, state, .. } = claim;
        let key = (session, request);
        if self.requests.contains_key(&key) {
            return self.lock(now, key, ask);
        }
        let earlier = |number: u64| number < self.run << 43;
        match state {
            Claimed::Waiting { place } => {
                self.make(now, key, ask, place.filter(|place| earlier(*place)));
            }
            Claimed::Held { .. } => {
                let tokens = claim.tokens().expect("it is said to hold");
                let not_given =
                    tokens.iter().copied().find(|token| !earlier(*token) || *token == 0);
                let refusal = not_given
                    .map(|token| Refusal::TokenNotGiven { token })
                    .or_else(|| self.refusal(key, ask))
                    .or_else(|| self.claim_hold(now, key, ask, &tokens));
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
        tokens: &[u64],
    ) -> Option<Refusal> {
        let (place, ids) = (self.next_place(), ids(ask));
        if tokens.len() != ids.len() {
            return Some(Refusal::NotHeld { request: key.1 });
        }
        let claimed = ids.iter().copied().zip(tokens.iter().copied());
        let later = claimed.clone().map(|(id, token)| self.contest(now, id, ask.mode, token));
        if let Some(token) = later.collect::<Vec<_>>().into_iter().flatten().next() {
            return Some(Refusal::LaterHold { token });
        }
        self.tokens.extend(claimed.map(|(id, token)| ((key, id), token)));
        let held = ids.into_iter().collect();
        self.requests.insert(key, Request { held, ..Request::deferred(ask, place, None) });
        self.hold_if_all(now, key);
        self.tell(key);
        None
    }

    /// An id was held by `token`: who held it earlier holds no more, and the token of who held it later
    /// or by the same one is returned.
    fn contest(&mut self, now: Time, id: &'static str, mode: Mode, token: u64) -> Option<u64> {
        let apart = |other| (other, mode) != (Mode::Shared, Mode::Shared);
        let rivals = self.claimed.iter().filter(|(other, _, mode)| *other == id && apart(*mode));
        let rival = rivals.map(|(_, token, _)| *token).max().unwrap_or_default();
        let twice = self.holders(id).into_iter().any(|other| self.tokens[&(other, id)] == token);
        self.claimed.insert((id, token, mode));
        for holder in self.holders(id) {
            if apart(self.requests[&holder].ask.mode) && self.tokens[&(holder, id)] < token {
                self.revoke(now, holder, Refusal::LaterHold { token });
            }
        }
        (token <= rival || twice).then_some(rival.max(token))
    }

    /// The tokens by which a request holds its ids, in their order.
    pub(super) fn tokens_of(&self, key: Key) -> Vec<u64> {
        let ids = ids(self.requests[&key].ask).into_iter();
        ids.filter_map(|id| self.tokens.get(&(key, id)).copied()).collect()
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
            if let Err(refusal) = self.join(now, key, true) {
                self.requests.remove(&key);
                self.told.push((key, Told::Refused(refusal)));
            } else if self.requests[&key].stage == Stage::Holding {
                self.tell(key);
            } else {
                self.promise(self.requests[&key].ask.id);
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

    pub(super) fn holds(&self, key: Key) -> bool {
        self.requests.get(&key).is_some_and(|request| request.stage == Stage::Holding)
    }

    pub(super) fn holders(&self, id: &str) -> Vec<Key> {
        let requests = self.requests.iter();
        requests.filter(|(_, request)| request.held.contains(id)).map(|(key, _)| *key).collect()
    }

    /// The requests that were granted an id.
    pub(super) fn granted(&self, id: &str) -> Vec<Key> {
        let holders = self.holders(id).into_iter();
        holders.filter(|key| self.requests[key].stage == Stage::Holding).collect()
    }

    /// The requests that wait for an id, with their places.
    pub(super) fn queue(&self, id: &str) -> impl Iterator<Item = (u64, Key)> {
        let waits = move |request: &Request| {
            request.stage == Stage::Waiting && request.pending().any(|pending| pending == id)
        };
        let waiting = self.requests.iter().filter(move |(_, request)| waits(request));
        waiting.map(|(key, request)| (request.place, *key))
    }

    pub(super) fn waiting(&self, id: &str) -> usize {
        self.queue(id).count()
    }

    fn leave(&mut self, now: Time, key: Key, last_word: Option<Told>) {
        let request = self.requests.remove(&key).expect("a live request");
        self.tokens.retain(|(other, _), _| *other != key);
        self.told.extend(last_word.map(|word| (key, word)));
        let mut turns = VecDeque::new();
        for id in ids(request.ask) {
            while let Some((place, head)) = self.queue(id).min()
                && self.blockers(id, self.requests[&head].ask.mode, place).next().is_none()
            {
                self.requests.get_mut(&head).expect("it waits").held.insert(id);
                turns.push_back(head);
            }
        }
        // One that has several turns by this holds with the last of them.
        while let Some(key) = turns.pop_front() {
            if !turns.contains(&key) && self.hold_if_all(now, key) {
                self.tell_turn(key);
            }
        }
        self.promise_behind_all(&request);
    }

    /// Tells a request that it has its turn, which may have been promised.
    fn tell_turn(&mut self, key: Key) {
        let Request { ask, promised, .. } = &self.requests[&key];
        let id = ask.id;
        if *promised {
            let waiting = self.waiting(id);
            return self.told.push((key, Told::PromisedTurn { waiting }));
        }
        self.tell(key);
        self.promise(id);
    }

    /// Promises their turns to those who were behind a request that has left.
    fn promise_behind_all(&mut self, left: &Request) {
        let told = self.told.len();
        let ids = ids(left.ask);
        ids.iter().for_each(|id| self.promise(id));
        self.promised_behind_several |= ids.len() > 1 && self.told.len() > told;
    }
}

/// The ids of a request, each once.
pub(super) fn ids(ask: Ask<'static>) -> Vec<&'static str> {
    let mut ids = vec![ask.id];
    for id in ask.more_ids {
        if !ids.contains(id) {
            ids.push(id);
        }
    }
    ids
}

fn same(one: Ask<'static>, other: Ask<'static>) -> bool {
    (ids(one), one.mode, one.owner) == (ids(other), other.mode, other.owner)
}
