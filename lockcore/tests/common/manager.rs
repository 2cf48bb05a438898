//! A manager that is checked after every call, and its events in short.

use std::time::Duration;

use lockcore::{
    LockManager, Mode,
    manager::{Ask, Outcome, Refusal, RequestId, SessionId, Time},
};

pub(crate) const ID: &str = "payment-123";

/// The moment so many seconds after the origin.
pub(crate) fn second(number: u64) -> Time {
    Time::new(Duration::from_secs(number))
}

/// A limit of so many seconds.
pub(crate) const fn seconds(number: u64) -> Option<Duration> {
    Some(Duration::from_secs(number))
}

/// A manager that is checked after every call.
pub(crate) struct Manager(pub(crate) LockManager);

/// An outcome in short, with the number of its session and request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Granted(u64, RequestId),
    Queued(u64, RequestId, usize),
    Released(u64, RequestId),
    Revoked(u64, RequestId),
    Refused(u64, RequestId, Refusal),
}
use Said::*;

impl Manager {
    pub(crate) fn new() -> Self {
        Self(LockManager::default())
    }

    pub(crate) fn lock(&mut self, now: u64, session: SessionId, request: RequestId, ask: Ask<'_>) {
        self.0.lock(second(now), session, request, ask).unwrap();
        self.0.check();
    }

    pub(crate) fn cancel(&mut self, now: u64, session: SessionId, request: RequestId) {
        self.0.cancel(second(now), session, request).unwrap();
        self.0.check();
    }

    pub(crate) fn release(&mut self, now: u64, session: SessionId, request: RequestId, token: u64) {
        self.0.release(second(now), session, request, token).unwrap();
        self.0.check();
    }

    pub(crate) fn close(&mut self, now: u64, session: SessionId) {
        self.0.close(second(now), session).unwrap();
        self.0.check();
    }

    pub(crate) fn timeout(&mut self, now: u64) {
        self.0.handle_timeout(second(now));
        self.0.check();
    }

    /// All that is to be told, and the token that was granted last.
    pub(crate) fn said_with_token(&mut self) -> (Vec<Said>, u64) {
        let mut last_token = 0;
        let events = std::iter::from_fn(|| self.0.poll_event());
        let said = events.map(|event| {
            let (session, request) = (event.session.get(), event.request);
            match event.outcome {
                Outcome::Granted { token, .. } => {
                    last_token = token;
                    Granted(session, request)
                }
                Outcome::Queued { waiting, .. } => Queued(session, request, waiting),
                Outcome::Released { .. } => Released(session, request),
                Outcome::Revoked { .. } => Revoked(session, request),
                Outcome::Refused(refusal) => Refused(session, request, refusal),
            }
        });
        (said.collect(), last_token)
    }

    pub(crate) fn said(&mut self) -> Vec<Said> {
        self.said_with_token().0
    }

    pub(crate) fn status(&self) -> Option<(Mode, usize, usize)> {
        self.0.status(ID).map(|status| (status.mode, status.holders, status.waiting))
    }
}

pub(crate) fn exclusive() -> Ask<'static> {
    Ask::exclusive(ID)
}

pub(crate) fn shared() -> Ask<'static> {
    Ask { mode: Mode::Shared, ..exclusive() }
}
