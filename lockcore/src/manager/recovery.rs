//! After a restart: who held what is known again when all who may still hold have come back.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::{iter, time::Duration};

use super::{
    Claim, Claimed, Epoch, Limits, Link, LockManager, Open, Opened, Outcome, Refusal, Resume,
    SessionId, Time,
    parts::{Part, PartKey},
    request::{Left, Stage},
    session::Key,
};
use crate::handles::Mode;

/// The time after a restart in which sessions of earlier runs come back and nobody has a turn.
#[derive(Default)]
pub(super) struct Recovery {
    pub(super) length: Duration,
    pub(super) end: Time,
    /// Who waits for the end, in the order in which they will join.
    pub(super) deferred: BTreeSet<(u64, Key)>,
    /// The greatest tokens that were claimed, by id.
    claimed: BTreeMap<Arc<str>, Greatest>,
    /// Sessions that ended in the window: they are not made again.
    pub(super) ended: BTreeSet<SessionId>,
    /// How many sessions were made again.
    returned: usize,
    /// How many waits were.
    pub(super) waiters_returned: usize,
}

/// The greatest tokens of an id that were claimed, by those who hold and by those who do not.
#[derive(Clone, Copy, Default)]
struct Greatest {
    exclusive: u64,
    shared: u64,
}

impl Greatest {
    fn note(&mut self, mode: Mode, token: u64) {
        let greatest = match mode {
            Mode::Exclusive => &mut self.exclusive,
            Mode::Shared => &mut self.shared,
        };
        *greatest = token.max(*greatest);
    }

    /// The greatest token of a hold that does not go with one in this mode.
    fn rival(self, mode: Mode) -> u64 {
        match mode {
            Mode::Exclusive => self.exclusive.max(self.shared),
            Mode::Shared => self.exclusive,
        }
    }
}

impl Recovery {
    pub(super) fn remaining(&self, now: Time) -> Duration {
        self.end.since_origin().saturating_sub(now.since_origin())
    }
}

impl LockManager {
    /// Creates the manager of a run that comes after others.
    ///
    /// `epoch` is greater than that of every earlier run, and `longest_lease` is what
    /// [`longest_lease`](Self::longest_lease) of the run before said last. For so long, whoever held
    /// something before may still believe so. In this recovery window, clients of earlier runs
    /// [`resume`](Self::resume) with what they held and waited for; all other requests wait, and tries
    /// are refused. At its end those who waited before join in the order of their places, then the
    /// others; only then does anybody have a turn.
    ///
    /// Of claims that do not go together, the one with the greatest token counts: the others ended
    /// before it began, each with all its ids. A request that held some of its ids only, and so was not
    /// granted, waited.
    pub fn recover(limits: Limits, epoch: Epoch, now: Time, longest_lease: Duration) -> Self {
        let mut manager = Self::new(limits);
        manager.epoch = epoch;
        manager.recovery = (longest_lease > Duration::ZERO).then(|| Recovery {
            length: longest_lease,
            end: now.after(longest_lease),
            ..Recovery::default()
        });
        manager
    }

    /// Returns when the recovery window ends, if there is one.
    pub fn recovers_until(&self) -> Option<Time> {
        self.recovery.as_ref().map(|recovery| recovery.end)
    }

    /// Makes a session of an earlier run again.
    pub(super) fn resume_earlier(
        &mut self,
        now: Time,
        resume: Resume<'_>,
    ) -> Result<Opened, Refusal> {
        let Resume { session, secret, attempt, lease, runs, claims } = resume;
        let limit = self.limits.sessions;
        let recovery = self.recovery.as_mut();
        let recovery = recovery.filter(|_| self.epoch.is_after(session.get()));
        let recovery = recovery
            .filter(|recovery| !recovery.ended.contains(&session))
            .ok_or(Refusal::SessionExpired { session })?;
        // Newcomers take no room from those who may hold.
        if recovery.returned >= limit {
            return Err(Refusal::TooManySessions { limit });
        }
        recovery.returned += 1;
        let link = Link { session, number: attempt };
        let opened = self.begin(now, link, Open { lease, secret, runs });
        for claim in claims {
            self.claim(now, Key { session, request: claim.request }, claim);
        }
        Ok(opened)
    }

    fn claim(&mut self, now: Time, key: Key, claim: &Claim<'_>) {
        if self.sessions[&key.session].requests.contains_key(&key.request) {
            return self.ask(now, key, claim.ask);
        }
        match claim.state {
            Claimed::Waiting { place } => {
                let place = place.filter(|place| self.epoch.is_after(*place));
                self.make(now, key, claim.ask, place);
            }
            Claimed::Held { token } => {
                if let Err(reason) = self.claim_hold(now, key, claim, token) {
                    self.say(key, Outcome::Revoked { id: claim.ask.id.into(), reason });
                }
            }
        }
    }

    /// Lets a session hold again what it held by `token` and its further tokens, unless somebody held
    /// one of the ids later.
    fn claim_hold(
        &mut self,
        now: Time,
        key: Key,
        claim: &Claim<'_>,
        token: u64,
    ) -> Result<(), Refusal> {
        let Claim { request: number, ask, more_tokens, .. } = *claim;
        let tokens = || iter::once(token).chain(more_tokens.iter().copied());
        if let Some(token) = tokens().find(|token| !self.epoch.is_after(*token) || *token == 0) {
            return Err(Refusal::TokenNotGiven { token });
        }
        self.admit(key, &ask)?;
        let mut request = self.draft(ask, None);
        if tokens().count() != request.parts.len() {
            return Err(Refusal::NotHeld { request: number });
        }
        self.admit_ids(&request)?;
        let mut later = None;
        for (part, token) in request.parts.iter().zip(tokens()) {
            let found = self.contest(now, part, ask.mode, token);
            later = later.or(found);
        }
        if let Some(token) = later {
            return Err(Refusal::LaterHold { token });
        }
        for (part, token) in request.parts.iter_mut().zip(tokens()) {
            let hold = self.table.try_lock(part.hash, &part.id, ask.mode);
            let hold = hold.expect("what does not go with the greatest token has left");
            part.stage = Stage::Holding(hold, token);
        }
        self.enter(now, key, request);
        Ok(())
    }

    /// Notes that an id was held by `token`, ends the holds that ended before it began, and returns the
    /// token of one that began later, or is the same.
    fn contest(&mut self, now: Time, part: &Part, mode: Mode, token: u64) -> Option<u64> {
        let recovery = self.recovery.as_mut().expect("claims are made in the window");
        let greatest = recovery.claimed.entry(part.id.clone()).or_default();
        let rival = greatest.rival(mode);
        greatest.note(mode, token);
        self.revoke_earlier(now, &part.id, mode, token);
        if token <= rival {
            return Some(rival);
        }
        let is_same = |holder: PartKey| self.live_part(holder).token() == Some(token);
        self.holders_of(&part.id).any(is_same).then_some(token)
    }

    /// Revokes the holds that ended before one by `token` began.
    fn revoke_earlier(&mut self, now: Time, id: &str, mode: Mode, token: u64) {
        let ended = |holder: &PartKey| {
            let together = (self.live(holder.key).mode, mode) == (Mode::Shared, Mode::Shared);
            !together && self.live_part(*holder).token().is_some_and(|earlier| earlier < token)
        };
        let earlier: Vec<PartKey> = self.holders_of(id).filter(ended).collect();
        let reason = Refusal::LaterHold { token };
        for PartKey { key, .. } in earlier {
            self.leave(now, key, Some(&|left: Left| left.revoked(reason.clone())));
        }
    }

    /// Ends the recovery window: all who waited for that join, in the order of their places.
    pub(super) fn end_recovery(&mut self, now: Time) {
        let recovery = self.recovery.take().expect("its end is due");
        for (_, key) in recovery.deferred {
            let mut request = self.take(key);
            match self.join(now, key, &mut request, true) {
                Err(refusal) => self.say(key, Outcome::Refused(refusal)),
                Ok(()) if request.is_holding() => self.enter(now, key, request),
                Ok(()) => {
                    self.put(key, request);
                    self.promise_from(Some(key));
                }
            }
        }
    }
}
