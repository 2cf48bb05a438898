//! One client's stream: [`SessionStream`].

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;
use lockcore::manager::{Link, Outcome, SessionId};
use tonic::{Status, Streaming};

use crate::{
    convert,
    hub::{Closed, Hub, Outlet},
    proto::v1::{
        self, client_message::Message as FromClient, server_message::Message as FromServer,
    },
};

/// Reads a client's messages and is the stream of answers, in one task: a request that can be
/// answered at once costs no hop to another task, and answers that are ready go out in one write.
///
/// The session is closed when the stream is dropped, which is when it ends, however it ends. While
/// the peer reads no answers, nothing more is read from it.
#[derive(Debug)]
pub(crate) struct SessionStream {
    hub: Arc<Hub>,
    inbound: Streaming<v1::ClientMessage>,
    opened: Option<Opened>,
    ended: bool,
}

#[derive(Debug)]
struct Opened {
    link: Link,
    outlet: Outlet,
}

impl SessionStream {
    pub(crate) fn new(hub: Arc<Hub>, inbound: Streaming<v1::ClientMessage>) -> Self {
        Self { hub, inbound, opened: None, ended: false }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(opened) = &mut self.opened {
            match opened.outlet.poll_recv(cx) {
                Poll::Ready(Some((request, outcome))) => {
                    return Poll::Ready(told(request, outcome));
                }
                Poll::Ready(None) => return Poll::Ready(Step::Fail(shutting_down())),
                // This task has used up its turn: what is there goes out before more is read.
                Poll::Pending if !opened.outlet.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(match ready!(Pin::new(&mut self.inbound).poll_next(cx)) {
            Some(Ok(message)) => match self.handle(message) {
                Ok(step) => step,
                Err(status) => Step::Fail(status),
            },
            Some(Err(status)) => Step::Fail(status),
            None => Step::End,
        })
    }

    fn handle(&mut self, message: v1::ClientMessage) -> Result<Step, Status> {
        let message = message.message.ok_or_else(unknown_message)?;
        let Some(Opened { link, .. }) = self.opened else {
            return self.open(&message);
        };
        self.hub.ask(|manager, now| {
            let asked = match &message {
                FromClient::Open(_) => return Err(second_open(link.session())),
                FromClient::Lock(lock) => {
                    manager.lock(now, link, lock.request, convert::ask(lock)?)
                }
                FromClient::Cancel(cancel) => manager.cancel(now, link, cancel.request),
                FromClient::Release(release) => {
                    manager.release(now, link, release.request, release.token)
                }
            };
            asked.map_err(|refusal| Status::internal(refusal.to_string()))
        })?;
        Ok(Step::Go)
    }

    fn open(&mut self, message: &FromClient) -> Result<Step, Status> {
        let FromClient::Open(v1::Open {}) = message else {
            return Err(not_open(message));
        };
        let (link, outlet) = self.hub.open().map_err(|Closed| shutting_down())?;
        self.opened = Some(Opened { link, outlet });
        Ok(Step::Say(FromServer::Opened(v1::Opened { session: link.session().get() })))
    }

    fn close(&mut self) {
        self.ended = true;
        if let Some(Opened { link, .. }) = self.opened.take() {
            self.hub.close(link);
        }
    }
}

/// What one look at the stream leads to.
enum Step {
    Say(FromServer),
    Go,
    Fail(Status),
    End,
}

fn told(request: u64, outcome: Outcome) -> Step {
    convert::outcome(request, outcome).map_or(Step::Go, Step::Say)
}

impl Stream for SessionStream {
    type Item = Result<v1::ServerMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.ended {
            match ready!(self.poll_step(cx)) {
                Step::Go => {}
                Step::Say(message) => {
                    return Poll::Ready(Some(Ok(v1::ServerMessage { message: Some(message) })));
                }
                Step::Fail(status) => {
                    self.close();
                    return Poll::Ready(Some(Err(status)));
                }
                Step::End => self.close(),
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

fn unknown_message() -> Status {
    Status::invalid_argument("a client message must be one of: open, lock, cancel, release")
}

fn second_open(session: SessionId) -> Status {
    Status::failed_precondition(format!(
        "this stream has opened session {session}; it can open no other"
    ))
}

fn not_open(message: &FromClient) -> Status {
    let kind = match message {
        FromClient::Open(_) => "open",
        FromClient::Lock(_) => "lock",
        FromClient::Cancel(_) => "cancel",
        FromClient::Release(_) => "release",
    };
    Status::failed_precondition(format!("the first message of a stream must be open, not {kind}"))
}
