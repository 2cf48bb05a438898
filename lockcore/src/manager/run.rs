//! Runs: requests of one session that are next to each other in a queue are promised their turns.
//!
//! A request is promised its turn when all that is ahead of it is of its own session: the one directly
//! ahead holds alone or was promised. Nobody gets in between, since nobody overtakes, so a promise is
//! never taken back while its request lives. It reserves the token of the hold to come: all ahead have
//! lesser tokens, and whoever is behind has a greater one, for theirs are given later.
//!
//! Requests for several ids take no part, nor does who is behind one, as they hold an id before they are
//! granted.
//!
//! Each request that can be promised is: those that join look ahead, and where somebody leaves or gets a
//! turn of another session's, the ones behind are looked at, until one that cannot be promised. So each
//! request is looked at as often as it joins, is promised, and has a neighbour that leaves: O(1).
//!
//! The client lets a promised request hold when it has itself ended what is ahead, and says so at the same
//! time. Its messages come in order, so the manager gives the turn when it hears of that, and to the same
//! request: what it sees is what the client did, a little later. A hold limit counts from there, so it
//! passes later than the client believes. The search for deadlocks sees a wait that is over for as long as
//! it would without promises: until the release that ended it is heard. A request comes behind the
//! releases that its client sent before, so none is refused for what its own client had already let go.

use alloc::{collections::BTreeSet, vec::Vec};

use super::{
    Claim, Claimed, LockManager, Outcome, RequestId, SessionId, Time,
    parts::{Part, PartKey, Parts},
    request::{Request, Stage},
    session::Key,
};
use crate::handles::Mode;

impl LockManager {
    /// Returns who is directly behind a request in its queues.
    pub(super) fn behind_parts(&self, parts: &Parts) -> impl Iterator<Item = Key> + use<> {
        let mut parts = parts.iter().map(|part| self.behind(&part.stage));
        let first = parts.next().flatten();
        first.into_iter().chain(parts.flatten().collect::<Vec<_>>())
    }

    /// Returns who is directly behind a request in this stage, if that waits in a queue.
    fn behind(&self, stage: &Stage) -> Option<Key> {
        match stage {
            Stage::Waiting(ticket) => self.table.behind(ticket).map(|behind| behind.key),
            Stage::Deferred | Stage::Holding(..) => None,
        }
    }

    /// Promises their turns to a request and to those behind it, up to one that cannot be promised.
    pub(super) fn promise_from(&mut self, first: Option<Key>) {
        let mut next = first;
        while let Some(key) = next.filter(|key| self.is_to_be_promised(*key)) {
            let token = self.epoch.number(self.table.reserve_token());
            let session = self.sessions.get_mut(&key.session).expect("it was seen");
            let request = session.requests.get_mut(&key.request).expect("it was seen");
            request.promise = Some(token);
            self.say_promised(key, token);
            next = self.behind(&self.live(key).parts.first.stage);
        }
    }

    /// Promises their turns to those behind a request that has just had its own without a promise.
    pub(super) fn promise_behind_holder(&mut self, holder: Key) {
        if self.sessions[&holder.session].runs {
            let Part { id, hash, .. } = &self.live(holder).parts.first;
            let head = self.table.queue(*hash, &**id).next().map(|head| head.key);
            self.promise_from(head);
        }
    }

    pub(super) fn say_promised(&mut self, key: Key, token: u64) {
        let id = self.live(key).parts.first.id.clone();
        self.say(key, Outcome::Promised { id, token });
    }

    pub(super) fn say_promised_turn(&mut self, key: Key, token: u64) {
        let part = &self.live(key).parts.first;
        let (id, waiting) = (part.id.clone(), self.queued(part));
        self.say(key, Outcome::PromisedTurn { id, token, waiting });
    }

    /// Returns whether a claim is to hold by the token that its request was promised.
    pub(super) fn fits_promise(&self, session: SessionId, claim: &Claim<'_>) -> bool {
        let Claimed::Held { token } = claim.state else { return false };
        let request = self.request(Key { session, request: claim.request });
        request.is_some_and(|made| {
            made.is_for(&claim.ask) && made.promise == Some(token) && claim.more_tokens.is_empty()
        })
    }

    /// Tells those that a client has passed a lock to, as it claims, and that hold after what it has
    /// given up is over. The others cannot have had their turns: they end, and their claims are unknown.
    pub(super) fn judge_passed(
        &mut self,
        now: Time,
        session: SessionId,
        passed: &BTreeSet<RequestId>,
    ) {
        let (holding, waiting): (Vec<RequestId>, Vec<RequestId>) = self.sessions[&session]
            .in_leaving_order(|request, _| passed.contains(&request))
            .into_iter()
            .partition(|request| self.live(Key { session, request: *request }).is_holding());
        for request in holding {
            self.tell(Key { session, request });
        }
        for request in waiting {
            self.give_up(now, Key { session, request }, false);
        }
    }

    fn is_to_be_promised(&self, key: Key) -> bool {
        let session = &self.sessions[&key.session];
        session.runs && {
            let request = &session.requests[&key.request];
            let is_promised = request.promise.is_some();
            request.may_be_promised() && !is_promised && self.follows_its_own(key, request)
        }
    }

    /// Returns whether the one directly ahead is of the same session, and holds alone or was promised.
    fn follows_its_own(&self, key: Key, request: &Request) -> bool {
        let Part { id, stage, .. } = &request.parts.first;
        let Stage::Waiting(ticket) = stage else { return false };
        match self.table.ahead(ticket) {
            Some(PartKey { key: ahead, .. }) => {
                ahead.session == key.session && self.live(*ahead).promise.is_some()
            }
            None => self.holders_of(id).next().is_some_and(|PartKey { key: holder, .. }| {
                holder.session == key.session && self.live(holder).is_for_one_alone()
            }),
        }
    }
}

impl Request {
    /// Returns whether its turn is one that can be promised: a wait that has a limit may end before.
    pub(super) fn may_be_promised(&self) -> bool {
        self.is_for_one_alone() && self.wait_limit.is_none()
    }

    /// Returns whether it is for one id alone: several take no part in runs.
    pub(super) fn is_for_one_alone(&self) -> bool {
        self.mode == Mode::Exclusive && !self.parts.are_several()
    }
}
