//! A manager that is checked after every call, and its events in short.

use std::time::Duration;

use lockcore::{
    LockManager, Mode,
    manager::{
        Ask, Claim, Claimed, Epoch, Event, Limits, Link, Open, Outcome, Refusal, RequestId, Resume,
        Secret, SessionId, Time,
    },
};

pub(crate) const ID: &str = "payment-123";
pub(crate) const LEASE: Duration = Duration::from_secs(10);
pub(crate) const SECRET: Secret = Secret::new(0x5ec7e7);
/// What a client asks for that does not understand runs.
pub(crate) const OPEN: Open = Open { lease: LEASE, secret: SECRET, runs: false };

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
    Promised(u64, RequestId),
    PromisedTurn(u64, RequestId),
    Released(u64, RequestId),
    Revoked(u64, RequestId, Refusal),
    Refused(u64, RequestId, Refusal),
    Ended(u64, Refusal),
    /// With the sessions and ids of the circle.
    Deadlock(u64, RequestId, Vec<(u64, String)>),
}
use Said::*;

impl Manager {
    pub(crate) fn new() -> Self {
        Self(LockManager::default())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self(LockManager::new(limits))
    }

    /// The run after so many others, whose longest lease was that of [`open`](Self::open).
    pub(crate) fn recover(now: u64, epoch: u32) -> Self {
        let epoch = Epoch::new(epoch).unwrap();
        Self(LockManager::recover(Limits::default(), epoch, second(now), LEASE))
    }

    /// A session that lasts until it is closed.
    pub(crate) fn open(&mut self) -> Link {
        self.0.open_unleased(100_000)
    }

    /// A session with a lease of [`LEASE`].
    pub(crate) fn open_leased(&mut self, now: u64) -> Link {
        self.open_as(now, OPEN)
    }

    /// A session with a lease of [`LEASE`] whose client understands runs.
    pub(crate) fn open_with_runs(&mut self, now: u64) -> Link {
        self.open_as(now, Open { runs: true, ..OPEN })
    }

    fn open_as(&mut self, now: u64, open: Open) -> Link {
        let opened = self.0.open(second(now), open).unwrap();
        self.0.check();
        opened.link
    }

    pub(crate) fn keep_alive(&mut self, now: u64, link: Link) {
        self.0.keep_alive(second(now), link).unwrap();
        self.0.check();
    }

    pub(crate) fn detach(&mut self, now: u64, link: Link) {
        self.0.detach(second(now), link).unwrap();
        self.0.check();
    }

    pub(crate) fn resume(
        &mut self,
        now: u64,
        session: SessionId,
        attempt: u64,
        claims: &[Claim<'_>],
    ) -> Result<Link, Refusal> {
        let Open { lease, secret, runs } = OPEN;
        self.resume_as(now, Resume { session, secret, attempt, lease, runs, claims })
    }

    /// As [`resume`](Self::resume), by a client that understands runs.
    pub(crate) fn resume_with_runs(
        &mut self,
        now: u64,
        session: SessionId,
        attempt: u64,
        claims: &[Claim<'_>],
    ) -> Result<Link, Refusal> {
        let Open { lease, secret, .. } = OPEN;
        self.resume_as(now, Resume { session, secret, attempt, lease, runs: true, claims })
    }

    fn resume_as(&mut self, now: u64, resume: Resume<'_>) -> Result<Link, Refusal> {
        let opened = self.0.resume(second(now), resume);
        self.0.check();
        opened.map(|opened| opened.link)
    }

    pub(crate) fn lock(&mut self, now: u64, link: Link, request: RequestId, ask: Ask<'_>) {
        self.0.lock(second(now), link, request, ask).unwrap();
        self.0.check();
    }

    pub(crate) fn cancel(&mut self, now: u64, link: Link, request: RequestId) {
        self.0.cancel(second(now), link, request).unwrap();
        self.0.check();
    }

    pub(crate) fn release(&mut self, now: u64, link: Link, request: RequestId, token: u64) {
        self.0.release(second(now), link, request, token).unwrap();
        self.0.check();
    }

    pub(crate) fn close(&mut self, now: u64, link: Link) {
        self.0.close(second(now), link).unwrap();
        self.0.check();
    }

    pub(crate) fn timeout(&mut self, now: u64) {
        self.0.handle_timeout(second(now));
        self.0.check();
    }

    /// All that is to be told, and the token that was granted or promised last.
    pub(crate) fn said_with_token(&mut self) -> (Vec<Said>, u64) {
        let mut last_token = 0;
        let events = std::iter::from_fn(|| self.0.poll_event());
        let said = events.map(|event| {
            let session = event.link().session().get();
            let (request, outcome) = match event {
                Event::Request { request, outcome, .. } => (request, outcome),
                Event::Ended { reason, .. } => return Ended(session, reason),
            };
            match outcome {
                Outcome::Granted { token, .. } => {
                    last_token = token;
                    Granted(session, request)
                }
                Outcome::Promised { token, .. } => {
                    last_token = token;
                    Promised(session, request)
                }
                Outcome::PromisedTurn { .. } => PromisedTurn(session, request),
                Outcome::Queued { waiting, .. } => Queued(session, request, waiting),
                Outcome::Released { .. } => Released(session, request),
                Outcome::Revoked { reason, .. } => Revoked(session, request, reason),
                Outcome::Refused(Refusal::Deadlock { circle }) => {
                    let circle =
                        circle.iter().map(|wait| (wait.session.get(), wait.id.to_string()));
                    Deadlock(session, request, circle.collect())
                }
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

/// The claim that a request for [`ID`] holds it.
pub(crate) fn held(request: RequestId, token: u64) -> Claim<'static> {
    let state = Claimed::Held { token };
    Claim { request, ask: exclusive(), state, more_tokens: &[] }
}

/// The claim that a request for [`ID`] waits, at a place if it knows one.
pub(crate) fn waiting(request: RequestId, place: Option<u64>) -> Claim<'static> {
    let state = Claimed::Waiting { place };
    Claim { request, ask: exclusive(), state, more_tokens: &[] }
}

/// The refusal of calls for a session that is over.
pub(crate) fn expired(session: SessionId) -> Refusal {
    Refusal::SessionExpired { session }
}

/// The refusal of calls by an earlier connection.
pub(crate) fn stale(session: SessionId) -> Refusal {
    Refusal::Stale { session }
}
