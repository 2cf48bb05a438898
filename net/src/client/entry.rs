//! [`Entry`]: one request of a client: what it asked for, how far it came, and who waits for it.

use std::{
    iter,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lockcore::{Mode, manager::Refusal};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{
    Error, convert,
    proto::v1::{self, claim::State},
    refusal::whole_millis,
};

/// What is asked for, but the ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) mode: Mode,
    pub(super) wait_limit: Option<Duration>,
    pub(super) hold_limit: Option<Duration>,
    pub(super) owner: Option<u64>,
}

/// What the client knows of a hold.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) request: u64,
    pub(super) id: Arc<str>,
    pub(super) token: u64,
    /// Its further ids, with their tokens.
    pub(super) more: Box<[(Arc<str>, u64)]>,
    pub(super) limit: Option<Duration>,
    /// When its hold limit passes, by this client's clock.
    pub(super) end: Option<Instant>,
    pub(super) loss: Arc<Loss>,
}

/// Whether a hold is lost, and why.
#[derive(Debug, Default)]
pub(super) struct Loss {
    reason: OnceLock<Error>,
    told: Notify,
}

impl Loss {
    /// Says that the hold is lost. The first reason is the one that counts.
    pub(super) fn tell(&self, reason: Error) {
        if self.reason.set(reason).is_ok() {
            self.told.notify_waiters();
        }
    }

    pub(super) fn reason(&self) -> Option<&Error> {
        self.reason.get()
    }

    /// Resolves once the hold is lost.
    pub(super) async fn told(&self) {
        // Counts from here on, so that what is said after the look is not missed.
        let told = self.told.notified();
        if self.reason.get().is_none() {
            told.await;
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    /// Those that are locked together with it, each once.
    pub(super) more_ids: Box<[Arc<str>]>,
    pub(super) terms: Terms,
    /// When the present stage ends by its limit, if there is one.
    pub(super) deadline: Option<Instant>,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for its turn, by the token that it was promised on this line, if it was.
    Asked { answer: oneshot::Sender<Result<Hold, Error>>, place: u64, promise: Option<u64> },
    /// Holds; nobody waits for the end.
    Holding { token: u64, more_tokens: Vec<u64>, loss: Arc<Loss> },
    /// Was released on this line; somebody waits for the end.
    Ending { ended: oneshot::Sender<Result<(), Error>>, line: u64 },
}

impl Entry {
    /// Its ids with the tokens by which it holds them or will hold.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let (first, more): (_, &[u64]) = match &self.stage {
            Stage::Asked { promise, .. } => (*promise, &[]),
            Stage::Holding { token, more_tokens, .. } => (Some(*token), more_tokens),
            Stage::Ending { .. } => (None, &[]),
        };
        let tokens = first.into_iter().chain(more.iter().copied());
        iter::once(&self.id).chain(&self.more_ids).zip(tokens)
    }

    pub(super) fn lock(&self, request: u64) -> v1::Lock {
        let Terms { mode, wait_limit, hold_limit, owner } = self.terms;
        v1::Lock {
            request,
            id: self.id.to_string(),
            mode: convert::mode(mode).into(),
            wait_limit_ms: wait_limit.map(whole_millis),
            hold_limit_ms: hold_limit.map(whole_millis),
            owner,
            more_ids: self.more_ids.iter().map(|id| id.to_string()).collect(),
        }
    }

    /// As how many requests the server counts it if it is claimed: what is released is not.
    pub(super) fn ids(&self) -> usize {
        match self.stage {
            Stage::Asked { .. } | Stage::Holding { .. } => 1 + self.more_ids.len(),
            Stage::Ending { .. } => 0,
        }
    }

    /// What is claimed, with what is left of the limit of the present stage.
    pub(super) fn claim(&self, request: u64) -> Option<v1::Claim> {
        let mut lock = self.lock(request);
        let mut claimed = Vec::new();
        let left = |limit: &mut Option<u64>| {
            let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
            *limit = left.map(whole_millis).or(*limit);
        };
        let state = match &self.stage {
            Stage::Asked { place, .. } => {
                left(&mut lock.wait_limit_ms);
                State::Place(*place)
            }
            Stage::Holding { token, more_tokens, .. } => {
                claimed.clone_from(more_tokens);
                left(&mut lock.hold_limit_ms);
                State::Token(*token)
            }
            Stage::Ending { .. } => return None,
        };
        Some(v1::Claim { lock: Some(lock), state: Some(state), more_tokens: claimed })
    }

    /// Tells whoever waits for this request that it has failed, or that its hold is lost.
    pub(super) fn fail(self, error: Error) {
        match self.stage {
            Stage::Asked { answer, .. } => drop(answer.send(Err(error))),
            Stage::Holding { loss, .. } => loss.tell(error),
            Stage::Ending { ended, .. } => drop(ended.send(Err(error))),
        }
    }

    /// Tells whoever waits for this request what the server said last of it.
    pub(super) fn refused(self, reason: Result<Refusal, Box<str>>) {
        // A hold that was passed on here and released before the line broke is not claimed; a server that
        // has heard of neither cancels the wait.
        if let (Ok(Refusal::Cancelled), Stage::Ending { .. }) = (&reason, &self.stage) {
            return self.ended();
        }
        let id = (*self.id).into();
        let error = match (reason, &self.stage) {
            (Err(message), _) => Error::RefusedOtherwise { id, message },
            (Ok(reason), Stage::Asked { .. }) => Error::Refused { id, reason },
            (Ok(reason), Stage::Holding { .. } | Stage::Ending { .. }) => {
                Error::Revoked { id, reason }
            }
        };
        self.fail(error);
    }

    /// Tells whoever waits for the end of this hold that it has ended as asked for.
    pub(super) fn released(self, request: u64) {
        match self.stage {
            Stage::Ending { .. } => self.ended(),
            Stage::Asked { .. } | Stage::Holding { .. } => {
                self.refused(Ok(Refusal::NotHeld { request }));
            }
        }
    }

    fn ended(self) {
        if let Stage::Ending { ended, .. } = self.stage {
            let _ = ended.send(Ok(()));
        }
    }
}

/// When a limit that begins now has passed.
pub(super) fn deadline(limit: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(limit?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_what_was_passed_on_and_nobody_has_heard_of_has_ended_well() {
        let (ended, mut end) = oneshot::channel();
        let terms =
            Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };
        let stage = Stage::Ending { ended, line: 1 };
        let (id, more_ids) = ("123".into(), Box::default());
        Entry { id, more_ids, terms, deadline: None, stage }.refused(Ok(Refusal::Cancelled));
        assert!(matches!(end.try_recv(), Ok(Ok(()))));
    }
}
