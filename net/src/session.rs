//! One client's stream: [`SessionStream`].

use std::{
    future::Future,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, Stream, future::BoxFuture};
use lockcore::manager::{self, Claim, Event, Link, Refusal, Resume, Secret, SessionId};
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::{
    claims::Claims,
    convert,
    hub::{Hub, NotOpened, Opened},
    outlet::{Closed, Outlet},
    pace::Pace,
    proto::v1::{
        self, client_message::Message as FromClient, server_message::Message as FromServer,
    },
    refusal,
};

/// Reads a client's messages and is the stream of answers, in one task: a request that can be
/// answered at once costs no hop to another task, and answers that are ready go out in one write.
///
/// The session is detached when the stream is dropped, which is when it ends, however it ends; a
/// client that says so closes it before. While the peer reads no answers, nothing more is read from
/// it.
pub(crate) struct SessionStream<S> {
    hub: Arc<Hub>,
    inbound: S,
    /// `None` if it may be read as fast as it comes.
    pace: Option<Pace>,
    /// Ends a stream that has no session by then.
    opening: Option<Pin<Box<Sleep>>>,
    stage: Stage,
}

/// How far a stream has come. What dropping it does to the session is said in [`Stage::leave`].
enum Stage {
    /// No session yet; what is claimed of the one to be resumed.
    Unopened(Claims),
    /// The client is told once its lease is where a restart finds it.
    Opening { connected: Connected, told: v1::Opened, kept: BoxFuture<'static, io::Result<()>> },
    /// So many answers, all that there are to claims, come before the client is told that it has a lease
    /// again: cut off in between, it would believe for so long what is refused.
    Answering { connected: Connected, told: v1::Opened, answers: usize },
    /// Requests are handled.
    Open(Connected),
    /// The stream ends.
    Over,
}

struct Connected {
    link: Link,
    outlet: Outlet,
}

/// What one look at the stream leads to.
enum Step {
    Say(FromServer),
    Go,
    Fail(Status),
    End,
}

impl<S> SessionStream<S>
where
    S: Stream<Item = Result<v1::ClientMessage, Status>> + Unpin,
{
    pub(crate) fn new(hub: Arc<Hub>, inbound: S) -> Self {
        let claims = hub.claims();
        Self { hub, inbound, pace: None, opening: None, stage: Stage::Unopened(claims) }
    }

    /// Reads no faster than that.
    pub(crate) fn paced(mut self, pace: Option<Pace>) -> Self {
        self.pace = pace;
        self
    }

    /// Gives the client so long to open or resume a session.
    pub(crate) fn opened_within(mut self, limit: Duration) -> Self {
        self.opening = Some(Box::pin(sleep(limit)));
        self
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        match &mut self.stage {
            Stage::Unopened(_) => {
                if let Some(opening) = &mut self.opening
                    && opening.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Step::Fail(opened_too_late()));
                }
            }
            Stage::Opening { kept, .. } => {
                let kept = ready!(kept.poll_unpin(cx));
                return Poll::Ready(self.kept(kept));
            }
            Stage::Answering { answers: 0, .. } => return Poll::Ready(self.opened()),
            Stage::Answering { connected, answers, .. } => {
                let answer = ready!(connected.outlet.poll_read(cx));
                *answers -= 1;
                return Poll::Ready(answer.map_or_else(closed, |answer| self.tell(answer)));
            }
            Stage::Open(Connected { outlet, .. }) => match outlet.poll_read(cx) {
                Poll::Ready(Ok(event)) => return Poll::Ready(self.tell(event)),
                Poll::Ready(Err(why)) => return Poll::Ready(closed(why)),
                // This task has used up its turn: what is there goes out before more is read.
                Poll::Pending if outlet.len() > 0 => return Poll::Pending,
                Poll::Pending => {}
            },
            Stage::Over => return Poll::Ready(Step::End),
        }
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll_ready(cx));
        }
        let read = ready!(Pin::new(&mut self.inbound).poll_next(cx));
        if let Some(pace) = &mut self.pace {
            pace.pass(count(&read));
        }
        Poll::Ready(match read {
            Some(Ok(message)) => self.handle(message).unwrap_or_else(Step::Fail),
            Some(Err(status)) => Step::Fail(status),
            None => Step::End,
        })
    }

    fn tell(&mut self, event: Event) -> Step {
        Step::Say(match event {
            Event::Request { request, outcome, .. } => convert::outcome(request, outcome),
            Event::Ended { reason, .. } => self.ended(&reason),
        })
    }

    /// Tells the client that its session is over, or over for this connection.
    fn ended(&mut self, reason: &Refusal) -> FromServer {
        self.leave();
        FromServer::Ended(v1::Ended { reason: Some(refusal::to_message(reason)) })
    }

    fn handle(&mut self, message: v1::ClientMessage) -> Result<Step, Status> {
        let message = message.message.ok_or_else(unknown_message)?;
        match &mut self.stage {
            Stage::Unopened(claims) => match message {
                FromClient::Open(open) => self.open(&open),
                FromClient::Claims(more) => claims.take_in(more.claims).map(|()| Step::Go),
                FromClient::Resume(mut resume) => {
                    claims.take_in(mem::take(&mut resume.claims))?;
                    resume.claims = claims.take();
                    self.resume(&resume)
                }
                FromClient::KeepAlive(_)
                | FromClient::Lock(_)
                | FromClient::Cancel(_)
                | FromClient::Release(_)
                | FromClient::Close(_) => Err(not_open()),
            },
            Stage::Open(Connected { link, .. }) => {
                let link = *link;
                self.request(link, &message)
            }
            Stage::Opening { .. } | Stage::Answering { .. } | Stage::Over => {
                unreachable!("nothing is read in these stages")
            }
        }
    }

    fn open(&mut self, open: &v1::Open) -> Result<Step, Status> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)
            .map_err(|error| Status::unavailable(format!("no secret can be drawn: {error}")))?;
        let opened = self.hub.open(manager::Open {
            lease: Duration::from_millis(open.lease_ms),
            secret: Secret::new(u128::from_be_bytes(secret)),
            runs: false,
        });
        self.connected(opened, secret.to_vec())
    }

    fn resume(&mut self, resume: &v1::Resume) -> Result<Step, Status> {
        let claims: Vec<Claim<'_>> =
            resume.claims.iter().map(convert::claim).collect::<Result<_, _>>()?;
        let opened = self.hub.resume(Resume {
            session: SessionId::new(resume.session),
            secret: convert::secret(&resume.secret)?,
            attempt: resume.attempt,
            lease: Duration::from_millis(resume.lease_ms),
            runs: false,
            claims: &claims,
        });
        self.connected(opened, Vec::new())
    }

    fn connected(
        &mut self,
        opened: Result<Opened, NotOpened>,
        secret: Vec<u8>,
    ) -> Result<Step, Status> {
        let Opened { link, lease, outlet } = match opened {
            Ok(opened) => opened,
            Err(NotOpened::Refused(reason)) => return Ok(Step::Say(self.ended(&reason))),
            Err(NotOpened::Closed) => return Err(shutting_down()),
        };
        let told = v1::Opened {
            session: link.session().get(),
            secret,
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            requests: self.hub.requests_per_session() as u64,
        };
        self.opening = None;
        let kept = self.hub.clone().keep_leases().boxed();
        self.stage = Stage::Opening { connected: Connected { link, outlet }, told, kept };
        Ok(Step::Go)
    }

    fn kept(&mut self, kept: io::Result<()>) -> Step {
        if let Err(error) = kept {
            tracing::error!("a lease cannot be written to the state directory: {error}");
            return Step::Fail(Status::unavailable(format!("the lease cannot be kept: {error}")));
        }
        let Stage::Opening { connected, told, .. } = mem::replace(&mut self.stage, Stage::Over)
        else {
            unreachable!("only an opening is polled for what is kept")
        };
        let answers = connected.outlet.len();
        self.stage = Stage::Answering { connected, told, answers };
        Step::Go
    }

    fn opened(&mut self) -> Step {
        let Stage::Answering { connected, told, .. } = mem::replace(&mut self.stage, Stage::Over)
        else {
            unreachable!("only what is answered is opened")
        };
        self.stage = Stage::Open(connected);
        Step::Say(FromServer::Opened(told))
    }

    fn request(&mut self, link: Link, message: &FromClient) -> Result<Step, Status> {
        let asked = self.hub.ask(|manager, now| {
            Ok(match message {
                FromClient::Lock(lock) => {
                    manager.lock(now, link, lock.request, convert::ask(lock)?)
                }
                FromClient::Cancel(cancel) => manager.cancel(now, link, cancel.request),
                FromClient::Release(release) => {
                    manager.release(now, link, release.request, release.token)
                }
                FromClient::KeepAlive(_) | FromClient::Close(_) => manager.keep_alive(now, link),
                FromClient::Open(_) | FromClient::Claims(_) | FromClient::Resume(_) => {
                    return Err(opened_before(link.session()));
                }
            })
        })?;
        Ok(match (asked, message) {
            // The session has ended, or is another connection's: the outlet says so.
            (Err(_), _) => Step::Go,
            (Ok(()), FromClient::KeepAlive(v1::KeepAlive { number })) => {
                Step::Say(FromServer::KeptAlive(v1::KeptAlive { number: *number }))
            }
            (Ok(()), FromClient::Close(_)) => {
                self.hub.close(link);
                self.stage = Stage::Over;
                Step::End
            }
            (Ok(()), _) => Step::Go,
        })
    }
}

impl<S> SessionStream<S> {
    /// Ends the stream. Its session waits for its client to come back, unless nobody was told of it.
    fn leave(&mut self) {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Opening { connected, told, .. } | Stage::Answering { connected, told, .. }
                if !told.secret.is_empty() =>
            {
                self.hub.close(connected.link);
            }
            Stage::Opening { connected, .. }
            | Stage::Answering { connected, .. }
            | Stage::Open(connected) => self.hub.detach(connected.link),
            Stage::Unopened(_) | Stage::Over => {}
        }
    }
}

impl<S> Stream for SessionStream<S>
where
    S: Stream<Item = Result<v1::ClientMessage, Status>> + Unpin,
{
    type Item = Result<v1::ServerMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.poll_step(cx)) {
                Step::Go => {}
                Step::Say(message) => {
                    return Poll::Ready(Some(Ok(v1::ServerMessage { message: Some(message) })));
                }
                Step::Fail(status) => {
                    self.leave();
                    return Poll::Ready(Some(Err(status)));
                }
                Step::End => {
                    self.leave();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<S> Drop for SessionStream<S> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// As how many messages what was read counts: each claim is work, as a request is.
fn count(read: &Option<Result<v1::ClientMessage, Status>>) -> usize {
    let message = read.as_ref().and_then(|read| read.as_ref().ok()?.message.as_ref());
    match message {
        Some(
            FromClient::Claims(v1::Claims { claims })
            | FromClient::Resume(v1::Resume { claims, .. }),
        ) => claims.len(),
        Some(_) | None => 1,
    }
}

fn closed(why: Closed) -> Step {
    Step::Fail(match why {
        Closed::Over => shutting_down(),
        Closed::Full => Status::resource_exhausted("too much waited that was not read; come back"),
    })
}

pub(crate) fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

fn unknown_message() -> Status {
    Status::invalid_argument(
        "a client message must be one of: open, claims, resume, keep_alive, lock, cancel, release, \
         close",
    )
}

fn opened_before(session: SessionId) -> Status {
    Status::failed_precondition(format!(
        "this stream is of session {session}; it can be of no other"
    ))
}

fn opened_too_late() -> Status {
    Status::deadline_exceeded("no session was opened or resumed in time")
}

fn not_open() -> Status {
    Status::failed_precondition("a stream begins with open or resume")
}
