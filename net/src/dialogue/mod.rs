//! What a server hears and says on one client's stream, without transport, clock and chance.

mod budget;
mod claims;
mod fault;

use std::{fmt, mem, sync::Arc, time::Duration};

use lockcore::{
    LockManager,
    manager::{self, Claim, Event, Limits, Link, Refusal, Resume, Secret, SessionId, Time},
};

pub use self::fault::Fault;
use self::{
    budget::Budget,
    claims::{CLAIMS_IN_ALL, Claims},
};
use crate::{
    convert,
    proto::v1::{
        self, ClientMessage, client_message::Message as FromClient,
        server_message::Message as FromServer,
    },
    refusal,
};

/// How many bytes a secret has.
pub const SECRET_BYTES: usize = 16;

/// What the dialogues of a server have in common.
#[derive(Debug)]
pub struct Dialogues {
    limits: Limits,
    /// For the claims of streams whose sessions are not known yet.
    claims: Arc<Budget>,
}

impl Dialogues {
    /// Those of a server whose manager has these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, claims: Budget::new(CLAIMS_IN_ALL) }
    }

    /// Begins the dialogue of a stream.
    pub fn begin(&self) -> Dialogue {
        let Limits { requests_per_session, id_bytes, .. } = self.limits;
        let claims = Claims::new(self.claims.clone(), requests_per_session, id_bytes);
        Dialogue { requests: requests_per_session as u64, stage: Stage::Unopened(claims) }
    }
}

/// What a server hears and says on one client's stream.
///
/// The adapter passes on what the client says by [`hear`](Self::hear) and does what that returns. Once
/// the stream is the connection of a session, the adapter passes on the events of that connection by
/// [`tell`](Self::tell), and says by [`opened`](Self::opened) that the session is open: behind the events
/// that are there when it is attached, and before it reads more. However the stream ends, it does what
/// [`part`](Self::part) says.
pub struct Dialogue {
    /// How many requests a session may have.
    requests: u64,
    stage: Stage,
}

enum Stage {
    /// No session yet; what is claimed of the one to be resumed.
    Unopened(Claims),
    /// The connection of a session, which the client is to be told.
    Attached { link: Link, opened: Option<v1::Opened> },
    /// Nothing is heard or said any more.
    Over,
}

/// What a message leads to, beside what the manager tells.
#[derive(Debug)]
#[must_use]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// The stream is the connection of a session, whose lease is to be where a restart finds it before
    /// the client is told.
    Attached(manager::Opened),
    /// An answer, to be said behind what the manager tells.
    Say(FromServer),
    /// The last answer of the stream.
    Last(FromServer),
    /// The client wants no more: the stream ends.
    Close(Parting),
}

/// What becomes of the session of a stream that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Parting {
    /// There was none, or it goes on without this stream's doing.
    Nothing,
    /// It waits for its client to come back: [`LockManager::detach`].
    Detach(Link),
    /// It ends: [`LockManager::close`].
    Close(Link),
}

impl Dialogue {
    /// Hears a message. `secret` draws bytes that nobody can guess, if they are needed.
    ///
    /// # Errors
    ///
    /// The stream is to end, and is heard no longer.
    ///
    /// # Panics
    ///
    /// If the stream has ended.
    pub fn hear(
        &mut self,
        manager: &mut LockManager,
        now: Time,
        secret: impl FnOnce() -> Result<[u8; SECRET_BYTES], Fault>,
        message: ClientMessage,
    ) -> Result<Heard, Fault> {
        let message = message.message.ok_or_else(unknown_message)?;
        match &mut self.stage {
            Stage::Unopened(claims) => match message {
                FromClient::Open(open) => {
                    let bytes = secret()?;
                    let secret = Secret::new(u128::from_be_bytes(bytes));
                    let lease = Duration::from_millis(open.lease_ms);
                    let opened =
                        manager.open(now, manager::Open { lease, secret, runs: open.runs });
                    Ok(self.attach(opened, bytes.to_vec()))
                }
                FromClient::Claims(more) => claims.take_in(more.claims).map(|()| Heard::Nothing),
                FromClient::Resume(mut resume) => {
                    claims.take_in(mem::take(&mut resume.claims))?;
                    resume.claims = claims.take();
                    self.resume(manager, now, &resume)
                }
                FromClient::KeepAlive(_)
                | FromClient::Lock(_)
                | FromClient::Cancel(_)
                | FromClient::Release(_)
                | FromClient::Close(_) => Err(not_open()),
            },
            Stage::Attached { link, .. } => {
                let heard = request(manager, now, *link, &message)?;
                if let Heard::Close(_) = heard {
                    self.stage = Stage::Over;
                }
                Ok(heard)
            }
            Stage::Over => unreachable!("nothing is heard when it is over"),
        }
    }

    fn resume(
        &mut self,
        manager: &mut LockManager,
        now: Time,
        resume: &v1::Resume,
    ) -> Result<Heard, Fault> {
        let claims = resume.claims.iter();
        let more_ids: Vec<Vec<&str>> = claims.clone().map(convert::more_ids_of_claim).collect();
        let claims = claims.zip(&more_ids).map(|(claim, more)| convert::claim(claim, more));
        let claims: Vec<Claim<'_>> = claims.collect::<Result<_, _>>()?;
        let opened = manager.resume(
            now,
            Resume {
                session: SessionId::new(resume.session),
                secret: convert::secret(&resume.secret)?,
                attempt: resume.attempt,
                lease: Duration::from_millis(resume.lease_ms),
                runs: resume.runs,
                claims: &claims,
            },
        );
        Ok(self.attach(opened, Vec::new()))
    }

    fn attach(&mut self, opened: Result<manager::Opened, Refusal>, secret: Vec<u8>) -> Heard {
        let attached = match opened {
            Ok(attached) => attached,
            Err(reason) => return Heard::Last(self.ended(&reason)),
        };
        let manager::Opened { link, lease } = attached;
        let opened = v1::Opened {
            session: link.session().get(),
            secret,
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            requests: self.requests,
        };
        self.stage = Stage::Attached { link, opened: Some(opened) };
        Heard::Attached(attached)
    }

    /// Says an event of the stream's session; whether that was the last word, [`is_over`](Self::is_over)
    /// says.
    pub fn tell(&mut self, event: Event) -> FromServer {
        match event {
            Event::Request { request, outcome, .. } => convert::outcome(request, outcome),
            Event::Ended { reason, .. } => self.ended(&reason),
        }
    }

    /// Says that the session is open, if there is one and it was not said.
    pub fn opened(&mut self) -> Option<FromServer> {
        match &mut self.stage {
            Stage::Attached { opened, .. } => opened.take().map(FromServer::Opened),
            Stage::Unopened(_) | Stage::Over => None,
        }
    }

    /// Says that the session is over, or over for this connection.
    fn ended(&mut self, reason: &Refusal) -> FromServer {
        self.stage = Stage::Over;
        FromServer::Ended(v1::Ended { reason: Some(refusal::to_message(reason)) })
    }

    /// Returns whether nothing is heard or said any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Ends the dialogue. A session of which nobody was told ends with it.
    pub fn part(&mut self) -> Parting {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Attached { link, opened: Some(opened) } if !opened.secret.is_empty() => {
                Parting::Close(link)
            }
            Stage::Attached { link, .. } => Parting::Detach(link),
            Stage::Unopened(_) | Stage::Over => Parting::Nothing,
        }
    }
}

impl fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Unopened(_) => "unopened",
            Stage::Attached { .. } => "attached",
            Stage::Over => "over",
        };
        f.debug_tuple("Dialogue").field(&stage).finish()
    }
}

/// Hears what a session's client asks for.
fn request(
    manager: &mut LockManager,
    now: Time,
    link: Link,
    message: &FromClient,
) -> Result<Heard, Fault> {
    let asked = match message {
        FromClient::Lock(lock) => {
            let more_ids = convert::more_ids(lock);
            manager.lock(now, link, lock.request, convert::ask(lock, &more_ids)?)
        }
        FromClient::Cancel(cancel) => manager.cancel(now, link, cancel.request),
        FromClient::Release(release) => manager.release(now, link, release.request, release.token),
        FromClient::KeepAlive(_) | FromClient::Close(_) => manager.keep_alive(now, link),
        FromClient::Open(_) | FromClient::Claims(_) | FromClient::Resume(_) => {
            return Err(opened_before(link.session()));
        }
    };
    Ok(match (asked, message) {
        // The session has ended, or is another connection's: an event says so.
        (Err(_), _) => Heard::Nothing,
        (Ok(()), FromClient::KeepAlive(v1::KeepAlive { number })) => {
            Heard::Say(FromServer::KeptAlive(v1::KeptAlive { number: *number }))
        }
        (Ok(()), FromClient::Close(_)) => Heard::Close(Parting::Close(link)),
        (Ok(()), _) => Heard::Nothing,
    })
}

fn unknown_message() -> Fault {
    let kinds = "open, claims, resume, keep_alive, lock, cancel, release, close";
    Fault::Senseless(format!("a client message must be one of: {kinds}"))
}

fn opened_before(session: SessionId) -> Fault {
    Fault::OutOfPlace(format!("this stream is of session {session}; it can be of no other"))
}

fn not_open() -> Fault {
    Fault::OutOfPlace("a stream begins with open or resume".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; SECRET_BYTES] = [7; SECRET_BYTES];

    fn hear(dialogue: &mut Dialogue, manager: &mut LockManager, message: FromClient) -> Link {
        let message = ClientMessage { message: Some(message) };
        match dialogue.hear(manager, Time::ZERO, || Ok(SECRET), message) {
            Ok(Heard::Attached(manager::Opened { link, .. })) => link,
            heard => panic!("it is not attached: {heard:?}"),
        }
    }

    #[test]
    fn a_session_of_which_nobody_was_told_ends_with_its_stream_and_one_that_comes_back_does_not() {
        let (mut manager, dialogues) = (LockManager::default(), Dialogues::new(Limits::default()));
        let open = || FromClient::Open(v1::Open { lease_ms: 10_000, runs: false });
        let mut untold = dialogues.begin();
        let link = hear(&mut untold, &mut manager, open());
        assert_eq!(untold.part(), Parting::Close(link));
        assert_eq!(untold.part(), Parting::Nothing);

        let mut told = dialogues.begin();
        let link = hear(&mut told, &mut manager, open());
        let Some(FromServer::Opened(opened)) = told.opened() else { panic!("it is open") };
        assert_eq!(told.opened(), None);
        assert_eq!(told.part(), Parting::Detach(link));

        let v1::Opened { session, secret, lease_ms, .. } = opened;
        let resume = v1::Resume { session, secret, attempt: 1, lease_ms, ..v1::Resume::default() };
        let mut back = dialogues.begin();
        let link = hear(&mut back, &mut manager, FromClient::Resume(resume));
        assert_eq!(back.part(), Parting::Detach(link), "its client knows of it");
    }
}
