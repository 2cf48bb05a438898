//! How a session begins, lasts and ends.

use core::time::Duration;

use super::{
    Event, Link, LockManager, Refusal, Secret, SessionId, Time,
    session::{Key, Lease, Session},
};

/// What a client wants that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The lease, to be brought within the [`Limits`](super::Limits).
    pub lease: Duration,
    /// What whoever resumes the session has to show.
    pub secret: Secret,
    /// Whether the client understands runs: then its requests may be
    /// [`Promised`](super::Outcome::Promised) their turns.
    pub runs: bool,
}

/// A session that was opened or resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the link is what calls for the session show"]
pub struct Opened {
    /// What calls for the session show.
    pub link: Link,
    /// The lease that is granted: the session expires when its client was not heard for so long.
    pub lease: Duration,
}

impl LockManager {
    /// Opens a session for a client.
    ///
    /// Before the client is told, what [`longest_lease`](Self::longest_lease) says must be where a
    /// restart finds it.
    ///
    /// # Errors
    ///
    /// [`TooManySessions`](Refusal::TooManySessions).
    pub fn open(&mut self, now: Time, open: Open) -> Result<Opened, Refusal> {
        self.handle_timeout(now);
        self.admit_session()?;
        let link = self.next_link();
        Ok(self.begin(now, link, open))
    }

    /// Opens a session of the adapter's own, that may have so many requests: it has no lease, lasts
    /// until it is closed, cannot be resumed, and has no runs.
    pub fn open_unleased(&mut self, requests: usize) -> Link {
        let link = self.next_link();
        self.sessions.insert(link.session, Session::new(link, None, requests));
        link
    }

    /// Renews the lease, as each other call by the session does.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale).
    pub fn keep_alive(&mut self, now: Time, link: Link) -> Result<(), Refusal> {
        self.heard(now, link)
    }

    /// Says that the connection is broken. The session lives until its lease ends, which counts from
    /// when the client was last heard.
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale), which do no harm.
    pub fn detach(&mut self, now: Time, link: Link) -> Result<(), Refusal> {
        self.handle_timeout(now);
        self.session_of(link)?.attached = false;
        Ok(())
    }

    /// Closes a session: everything it holds is released and everything it waits for is cancelled, in
    /// one step. It is told nothing more, not even what is yet to be polled. O(its requests + events).
    ///
    /// # Errors
    ///
    /// [`SessionExpired`](Refusal::SessionExpired) or [`Stale`](Refusal::Stale).
    pub fn close(&mut self, now: Time, link: Link) -> Result<(), Refusal> {
        self.heard(now, link)?;
        self.hush(link.session);
        self.end_session(now, link.session);
        Ok(())
    }

    /// Returns the longest lease that anybody may still count on: what
    /// [`recover`](Self::recover) must be told after a restart.
    ///
    /// It grows when a session is opened or resumed, and falls at the end of the recovery window.
    pub fn longest_lease(&self) -> Duration {
        let before = self.recovery.as_ref().map_or(Duration::ZERO, |recovery| recovery.length);
        self.longest_lease.max(before)
    }

    /// The first connection of another session.
    fn next_link(&mut self) -> Link {
        self.sessions_opened += 1;
        Link { session: SessionId(self.epoch.number(self.sessions_opened)), number: 0 }
    }

    /// Begins a session with this connection.
    pub(super) fn begin(&mut self, now: Time, link: Link, open: Open) -> Opened {
        let Open { lease, secret, runs } = open;
        let length = self.limits.lease(lease);
        self.longest_lease = self.longest_lease.max(length);
        let end = now.after(length);
        let lease = Lease { secret, length, end, timer: end };
        let limit = self.limits.requests_per_session;
        let session = Session { runs, ..Session::new(link, Some(lease), limit) };
        self.sessions.insert(link.session, session);
        self.leases.insert((end, link.session));
        Opened { link, lease: length }
    }

    /// Does what is due, and renews the lease of the session that was heard by `link`.
    pub(super) fn heard(&mut self, now: Time, link: Link) -> Result<(), Refusal> {
        self.handle_timeout(now);
        self.session_of(link)?.renew(now);
        Ok(())
    }

    /// Returns the session if `link` is its present connection.
    fn session_of(&mut self, link: Link) -> Result<&mut Session, Refusal> {
        let session = link.session;
        match self.sessions.get_mut(&session) {
            None => Err(Refusal::SessionExpired { session }),
            Some(found) if found.link != link || !found.attached => Err(Refusal::Stale { session }),
            Some(found) => Ok(found),
        }
    }

    /// Expires a session whose timer has come, or sets the timer again if it was heard since.
    pub(super) fn lease_due(&mut self, now: Time, timer: (Time, SessionId)) {
        self.leases.remove(&timer);
        let (timed, session) = timer;
        let found = self.sessions.get_mut(&session).expect("a timer is of a session");
        let lease = found.lease.as_mut().expect("a timer is of a lease");
        if lease.end > timed {
            lease.timer = lease.end;
            self.leases.insert((lease.end, session));
            return;
        }
        let link = found.link;
        self.events.push_back(Event::Ended { link, reason: Refusal::SessionExpired { session } });
        self.end_session(now, session);
    }

    /// Ends a session and all its requests, without a word to it.
    pub(super) fn end_session(&mut self, now: Time, session: SessionId) {
        for request in self.sessions[&session].in_leaving_order(|_, _| true) {
            self.leave(now, Key { session, request }, None);
        }
        let ended = self.sessions.remove(&session).expect("it was there");
        if let Some(Lease { timer, .. }) = ended.lease {
            self.leases.remove(&(timer, session));
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.ended.insert(session);
        }
    }

    /// Drops what a session is yet to be told.
    pub(super) fn hush(&mut self, session: SessionId) {
        self.events.retain(|event| event.link().session != session);
    }
}
