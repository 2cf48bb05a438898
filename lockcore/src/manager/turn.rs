//! The way of a request: it joins, waits, has its turn, leaves.

use core::mem;

use super::{
    Ask, Event, LockManager, Outcome, Refusal, Time,
    parts::{Part, PartKey, Parts},
    request::{Left, Request, Stage},
    session::Key,
};
use crate::handles::{Hold, Joined};

impl LockManager {
    /// Makes a request, or repeats the answer to it if it is made already.
    pub(super) fn ask(&mut self, now: Time, key: Key, ask: Ask<'_>) {
        match self.sessions[&key.session].requests.get(&key.request) {
            None => self.make(now, key, ask, None),
            Some(made) if made.is_for(&ask) => self.tell(key),
            Some(_) => {
                let refusal = Refusal::RequestInUse { request: key.request };
                self.say(key, Outcome::Refused(refusal));
            }
        }
    }

    /// Makes a request, at the place that it had before a restart if it had one.
    pub(super) fn make(&mut self, now: Time, key: Key, ask: Ask<'_>, place: Option<u64>) {
        let made = self.admit(key, &ask).and_then(|()| {
            let mut request = self.draft(ask, place);
            self.join(now, key, &mut request, false)?;
            Ok(request)
        });
        match made {
            Ok(request) => self.enter(now, key, request),
            Err(refusal) => self.say(key, Outcome::Refused(refusal)),
        }
    }

    /// A request that has its place and is nowhere yet.
    pub(super) fn draft(&mut self, ask: Ask<'_>, place: Option<u64>) -> Request {
        let Ask { mode, wait_limit, hold_limit, owner, .. } = ask;
        let place = place.unwrap_or_else(|| {
            self.places_given += 1;
            self.epoch.number(self.places_given)
        });
        let parts = Parts::new(&ask, |id| self.table.hash(id));
        let (deadline, promise) = (None, None);
        Request { parts, mode, owner, place, wait_limit, hold_limit, deadline, promise }
    }

    /// Lets a request hold, or join what it has to wait in. One that has waited before has its room.
    pub(super) fn join(
        &mut self,
        now: Time,
        key: Key,
        request: &mut Request,
        has_waited: bool,
    ) -> Result<(), Refusal> {
        if let Some(recovery) = &self.recovery {
            if request.is_try() {
                return Err(Refusal::Recovering { remaining: recovery.remaining(now) });
            }
            return self.admit_waiters(key, request.place, request.parts.len());
        }
        self.admit_ids(request)?;
        if request.parts.are_several() {
            return self.join_all(key, request, has_waited);
        }
        request.parts.first.stage = self.join_one(key, request, has_waited)?;
        Ok(())
    }

    fn join_one(
        &mut self,
        key: Key,
        request: &Request,
        has_waited: bool,
    ) -> Result<Stage, Refusal> {
        let Request { parts: Parts { first: Part { id, hash, .. }, .. }, mode, .. } = request;
        if let Some(hold) = self.table.try_lock(*hash, id, *mode) {
            return Ok(self.holding(hold));
        }
        if request.is_try() {
            return Err(Refusal::Busy);
        }
        if !has_waited {
            self.admit_waiters(key, request.place, 1)?;
        }
        self.admit_wait(key, request)?;
        Ok(match self.table.lock(*hash, id, *mode, PartKey::only(key)) {
            Joined::Closed(_) => unreachable!("a manager never closes its table"),
            Joined::Holds(hold, _) => self.holding(hold),
            Joined::Waits(ticket) => Stage::Waiting(ticket),
        })
    }

    /// Lets a request enter its stage, tells the session, and promises what that brings next to it.
    pub(super) fn enter(&mut self, now: Time, key: Key, request: Request) {
        let waits = matches!(request.parts.first.stage, Stage::Waiting(_));
        self.begin_stage(now, key, request);
        self.tell(key);
        if waits {
            self.promise_from(Some(key));
        }
    }

    /// Files a request in its stage, and starts the stage's limit.
    fn begin_stage(&mut self, now: Time, key: Key, mut request: Request) {
        let limit = if request.is_holding() { request.hold_limit } else { request.wait_limit };
        request.deadline = limit.map(|limit| now.after(limit));
        self.put(key, request);
    }

    /// Says what stage a live request is in.
    pub(super) fn tell(&mut self, key: Key) {
        let request = self.live(key);
        let part = request.parts.slowest();
        let (id, place) = (part.id.clone(), request.place);
        let queued = || self.queued(part);
        let outcome = match &part.stage {
            Stage::Deferred => {
                let waiting = self.recovery.as_ref().map_or(0, |recovery| recovery.deferred.len());
                Outcome::Queued { id, place, waiting }
            }
            Stage::Waiting(_) => Outcome::Queued { waiting: queued(), id, place },
            Stage::Holding(_, token) => {
                let more = request.parts.more();
                Outcome::Granted { waiting: queued(), token: *token, id, more }
            }
        };
        let promise = request.promise;
        self.say(key, outcome);
        if let Some(token) = promise {
            self.say_promised(key, token);
        }
    }

    /// How many wait for an id of a request.
    pub(super) fn queued(&self, part: &Part) -> usize {
        self.table.status(part.hash, &part.id).map_or(0, |status| status.waiting)
    }

    /// Files a request under its session, its owner, its stage and its deadline.
    pub(super) fn put(&mut self, key: Key, request: Request) {
        self.timers.extend(request.deadline.map(|deadline| (deadline, key)));
        let session = self.sessions.get_mut(&key.session).expect("requests are of live sessions");
        session.owned.extend(request.owner.map(|owner| (owner, key.request)));
        session.further += request.parts.len() - 1;
        for (name, part) in request.parts.named(key) {
            match &part.stage {
                Stage::Holding(..) => drop(self.holders.insert((part.hash, name))),
                Stage::Deferred | Stage::Waiting(_) => {
                    session.waiting += 1;
                    self.waiting += 1;
                }
            }
        }
        if let (true, Some(recovery)) = (request.is_deferred(), &mut self.recovery) {
            recovery.deferred.insert((request.place, key));
        }
        session.requests.insert(key.request, request);
    }

    /// Takes a request out of everything that [`put`](Self::put) files it under.
    pub(super) fn take(&mut self, key: Key) -> Request {
        let session = self.sessions.get_mut(&key.session).expect("requests are of live sessions");
        let request = session.requests.remove(&key.request).expect("a live request");
        if let Some(deadline) = request.deadline {
            self.timers.remove(&(deadline, key));
        }
        if let Some(owner) = request.owner {
            session.owned.remove(&(owner, key.request));
        }
        session.further -= request.parts.len() - 1;
        for (name, part) in request.parts.named(key) {
            match &part.stage {
                Stage::Holding(..) => drop(self.holders.remove(&(part.hash, name))),
                Stage::Deferred | Stage::Waiting(_) => {
                    session.waiting -= 1;
                    self.waiting -= 1;
                }
            }
        }
        if let (true, Some(recovery)) = (request.is_deferred(), &mut self.recovery) {
            recovery.deferred.remove(&(request.place, key));
        }
        request
    }

    /// Removes a live request, with a last word to its session; whose turn that makes come holds.
    pub(super) fn leave(
        &mut self,
        now: Time,
        key: Key,
        last_word: Option<&dyn Fn(Left) -> Outcome>,
    ) {
        let request = self.take(key);
        let behind = self.behind_parts(&request.parts);
        if let Some(last_word) = last_word {
            self.say(key, last_word(Left::of(&request)));
        }
        self.quit(now, request.parts);
        behind.for_each(|behind| self.promise_from(Some(behind)));
    }

    /// Lets a waiting request take the turn that has come; its session knows of one that was promised.
    pub(super) fn hand_over(&mut self, now: Time, turn: PartKey) {
        if self.waits_elsewhere(turn) {
            return self.hold_part(turn);
        }
        let mut request = self.take(turn.key);
        let promise = request.promise.take();
        let stage = &mut request.parts.get_mut(turn).stage;
        let waited = mem::replace(stage, Stage::Deferred);
        *stage = self.turn_taken(waited, promise);
        if let Some(token) = promise {
            self.begin_stage(now, turn.key, request);
            return self.say_promised_turn(turn.key, token);
        }
        self.enter(now, turn.key, request);
        self.promise_behind_holder(turn.key);
    }

    /// The stage that follows on a wait whose turn has come, by the token that was promised for it if one
    /// was.
    pub(super) fn turn_taken(&mut self, waited: Stage, promise: Option<u64>) -> Stage {
        let Stage::Waiting(ticket) = waited else {
            unreachable!("a turn comes to a request that waits");
        };
        let hold = self.table.take_turn(ticket).expect("the turn has come");
        match promise {
            Some(token) => Stage::Holding(hold, token),
            None => self.holding(hold),
        }
    }

    /// The stage of a hold that the table gave, by this run's token for it.
    pub(super) fn holding(&self, hold: Hold) -> Stage {
        let token = self.epoch.number(hold.token());
        Stage::Holding(hold, token)
    }

    /// Ends a live request because its session asks for it.
    pub(super) fn end(&mut self, now: Time, key: Key) {
        self.leave(now, key, Some(&Left::ended));
    }

    pub(super) fn say(&mut self, Key { session, request }: Key, outcome: Outcome) {
        let link = self.sessions[&session].link;
        self.events.push_back(Event::Request { link, request, outcome });
    }
}
