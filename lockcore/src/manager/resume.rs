//! A client comes back: what it believes and what the manager knows become one.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use super::{
    Claim, Claimed, Event, Link, LockManager, Opened, Outcome, Refusal, RequestId, Secret,
    SessionId, Time, request::Left, session::Key,
};

/// What a client that comes back says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    /// Its session.
    pub session: SessionId,
    /// What it was given when it opened the session.
    pub secret: Secret,
    /// Counts up what the client sends to resume this session, from 1: one that arrives after a later
    /// one does no harm.
    pub attempt: u64,
    /// The lease that was granted, for a server that has restarted.
    pub lease: Duration,
    /// Whether the client understands runs, for a server that has restarted.
    pub runs: bool,
    /// All live requests of the client. One that it has asked to release or cancel is not live.
    pub claims: &'a [Claim<'a>],
}

impl LockManager {
    /// Attaches a session to another connection of its client, which claims all its live requests.
    ///
    /// What the client and the manager both know is told again: [`Queued`](Outcome::Queued), or
    /// [`Granted`](Outcome::Granted) with the same token. What the client does not list, it has given
    /// up: it is released or cancelled. What the client waits for and the manager does not know is a
    /// request as by [`lock`](Self::lock). What the client believes to hold and does not is told as
    /// [`Revoked`](Outcome::Revoked). An earlier connection is cut off by [`Event::Ended`].
    ///
    /// A claim to hold by a promised token fits if what was ahead is given up. Promises that live are
    /// told again, by the same tokens; until then the client must let no promised request hold, from
    /// when it takes down what it claims.
    ///
    /// In the recovery window, a session of an earlier run is made again, with the lease brought
    /// within the [`Limits`](super::Limits) and with what is claimed; so look at
    /// [`longest_lease`](Self::longest_lease) before the client is told. Otherwise the session keeps
    /// the lease of its opening.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) if the session is over or the secret is not its
    /// own: the client holds nothing. [`Stale`](Refusal::Stale): a later attempt came first.
    /// [`TooManySessions`](Refusal::TooManySessions): the client may try again.
    pub fn resume(&mut self, now: Time, resume: Resume<'_>) -> Result<Opened, Refusal> {
        self.handle_timeout(now);
        let Resume { session, claims, .. } = resume;
        if !self.sessions.contains_key(&session) {
            return self.resume_earlier(now, resume);
        }
        let opened = self.attach(now, resume)?;
        let known = self.reconcile(now, session, claims);
        for (claim, _) in claims.iter().zip(known).filter(|(_, known)| !known) {
            self.claim_unknown(now, session, claim);
        }
        Ok(opened)
    }

    /// Gives a live session a connection, and cuts the one before off.
    fn attach(&mut self, now: Time, resume: Resume<'_>) -> Result<Opened, Refusal> {
        let Resume { session, secret, attempt, .. } = resume;
        let found = self.sessions.get_mut(&session);
        let (found, lease) = found
            .and_then(|found| found.lease.map(|lease| (found, lease)))
            .filter(|(_, lease)| lease.secret == secret)
            .ok_or(Refusal::SessionExpired { session })?;
        if attempt <= found.link.number {
            return Err(Refusal::Stale { session });
        }
        let (before, was_attached) = (found.link, found.attached);
        found.link = Link { session, number: attempt };
        found.attached = true;
        found.renew(now);
        let opened = Opened { link: found.link, lease: lease.length };
        self.hush(session);
        if was_attached {
            let reason = Refusal::Stale { session };
            self.events.push_back(Event::Ended { link: before, reason });
        }
        Ok(opened)
    }

    /// Tells the claims that fit their request again, in the order of their places, ends the other
    /// requests, and says of each claim whether it fitted.
    fn reconcile(&mut self, now: Time, session: SessionId, claims: &[Claim<'_>]) -> Vec<bool> {
        let mut known: Vec<bool> = claims.iter().map(|claim| self.fits(session, claim)).collect();
        let mut listed = BTreeMap::<RequestId, bool>::new();
        for (claim, known) in claims.iter().zip(&known) {
            *listed.entry(claim.request).or_default() |= known;
        }
        let passed: BTreeSet<RequestId> = claims
            .iter()
            .filter(|claim| !listed[&claim.request] && self.fits_promise(session, claim))
            .map(|claim| claim.request)
            .collect();
        let given_up = self.sessions[&session].in_leaving_order(|request, _| {
            listed.get(&request).is_none_or(|known| !known) && !passed.contains(&request)
        });
        self.tell_in_order(
            session,
            listed.iter().filter(|(_, known)| **known).map(|(key, _)| *key),
        );
        for request in given_up {
            self.give_up(now, Key { session, request }, !listed.contains_key(&request));
        }
        self.judge_passed(now, session, &passed);
        for (claim, known) in claims.iter().zip(&mut known) {
            *known |= passed.contains(&claim.request) && self.fits(session, claim);
        }
        known
    }

    fn fits(&self, session: SessionId, claim: &Claim<'_>) -> bool {
        let request = self.request(Key { session, request: claim.request });
        request.is_some_and(|request| request.fits(claim))
    }

    /// Ends what a client has given up. A word about a number that it uses for something else would
    /// mislead it.
    pub(super) fn give_up(&mut self, now: Time, key: Key, is_told: bool) {
        let last_word: &dyn Fn(Left) -> Outcome = &Left::ended;
        self.leave(now, key, is_told.then_some(last_word));
    }

    /// Tells what stages requests are in, in the order of their places, which is that of promises.
    fn tell_in_order(&mut self, session: SessionId, requests: impl Iterator<Item = RequestId>) {
        let keys = requests.map(|request| Key { session, request });
        let mut keys: Vec<_> = keys.map(|key| (self.live(key).place, key)).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            self.tell(key);
        }
    }

    /// Answers a claim of something that the manager does not know.
    fn claim_unknown(&mut self, now: Time, session: SessionId, claim: &Claim<'_>) {
        let key = Key { session, request: claim.request };
        match claim.state {
            Claimed::Waiting { .. } => self.ask(now, key, claim.ask),
            Claimed::Held { .. } => {
                let reason = Refusal::NotHeld { request: claim.request };
                self.say(key, Outcome::Revoked { id: claim.ask.id.into(), reason });
            }
        }
    }
}
