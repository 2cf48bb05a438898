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
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::{
    dialogue::{Dialogue, Heard},
    hub::{Hub, shutting_down},
    outlet::Closed,
    pace::Pace,
    proto::v1::{
        self, client_message::Message as FromClient, server_message::Message as FromServer,
    },
    run::{RunOutlet, Told},
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
    dialogue: Dialogue,
    stage: Stage,
}

/// What a stream is about.
enum Stage {
    /// It has no session yet.
    Unopened,
    /// The client is told once its lease is where a restart finds it.
    Keeping { outlet: RunOutlet, kept: BoxFuture<'static, io::Result<()>> },
    /// So many answers, all that there are to claims, come before the client is told that it has a lease
    /// again: cut off in between, it would believe for so long what is refused.
    Answering { outlet: RunOutlet, answers: usize },
    /// Requests are handled.
    Open(RunOutlet),
    /// It ends.
    Over,
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
        let dialogue = hub.begin();
        Self { hub, inbound, pace: None, opening: None, dialogue, stage: Stage::Unopened }
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
            Stage::Unopened => {
                if let Some(opening) = &mut self.opening
                    && opening.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Step::Fail(opened_too_late()));
                }
            }
            Stage::Keeping { kept, .. } => {
                let kept = ready!(kept.poll_unpin(cx));
                return Poll::Ready(self.kept(kept));
            }
            Stage::Answering { answers: 0, .. } => return Poll::Ready(self.opened()),
            Stage::Answering { outlet, answers } => {
                let read = ready!(outlet.poll_read(cx));
                let told = read.as_ref().map_or(0, Told::events);
                *answers = answers.saturating_sub(told);
                return Poll::Ready(self.tell(read));
            }
            Stage::Open(outlet) => match outlet.poll_read(cx) {
                Poll::Ready(read) => return Poll::Ready(self.tell(read)),
                // This task has used up its turn: what is there goes out before more is read.
                Poll::Pending if outlet.len() > 0 => return Poll::Pending,
                Poll::Pending => {}
            },
            Stage::Over => return Poll::Ready(Step::End),
        }
        self.poll_inbound(cx)
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll_ready(cx));
        }
        let read = ready!(Pin::new(&mut self.inbound).poll_next(cx));
        if let Some(pace) = &mut self.pace {
            pace.pass(count(&read));
        }
        Poll::Ready(match read {
            Some(Ok(message)) => self.handle(message),
            Some(Err(status)) => Step::Fail(status),
            None => Step::End,
        })
    }

    fn handle(&mut self, message: v1::ClientMessage) -> Step {
        let (heard, outlet) = match self.hub.hear(&mut self.dialogue, message) {
            Ok(heard) => heard,
            Err(fault) => return Step::Fail(fault.into()),
        };
        if let Some(outlet) = outlet {
            self.opening = None;
            let kept = self.hub.clone().keep_leases().boxed();
            self.stage = Stage::Keeping { outlet: RunOutlet::new(outlet), kept };
        }
        match heard {
            Heard::Nothing | Heard::Attached(_) => Step::Go,
            Heard::Say(answer) | Heard::Last(answer) => Step::Say(answer),
            Heard::Close(parting) => {
                self.stage = Stage::Over;
                self.hub.part(parting);
                Step::End
            }
        }
    }

    fn tell(&mut self, read: Result<Told, Closed>) -> Step {
        match read {
            Ok(Told::Run(run)) => Step::Say(FromServer::Run(run)),
            Ok(Told::Event(event)) => Step::Say(self.dialogue.tell(event)),
            Err(why) => closed(why),
        }
    }

    fn kept(&mut self, kept: io::Result<()>) -> Step {
        if let Err(error) = kept {
            tracing::error!("a lease cannot be written to the state directory: {error}");
            return Step::Fail(Status::unavailable(format!("the lease cannot be kept: {error}")));
        }
        let Stage::Keeping { outlet, .. } = mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("only a lease that is kept is waited for")
        };
        match outlet.all() {
            Ok(answers) => {
                self.stage = Stage::Answering { outlet, answers };
                Step::Go
            }
            Err(why) => closed(why),
        }
    }

    fn opened(&mut self) -> Step {
        let Stage::Answering { outlet, .. } = mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("what is opened has answered all claims")
        };
        self.stage = Stage::Open(outlet);
        self.dialogue.opened().map_or(Step::Go, Step::Say)
    }
}

impl<S> SessionStream<S> {
    /// Ends the stream. Its session waits for its client to come back, unless nobody was told of it.
    fn leave(&mut self) {
        self.stage = Stage::Over;
        self.hub.part(self.dialogue.part());
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
                    if self.dialogue.is_over() {
                        self.stage = Stage::Over;
                    }
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
        Closed::Over => shutting_down().into(),
        Closed::Full => Status::resource_exhausted("too much waited that was not read; come back"),
    })
}

fn opened_too_late() -> Status {
    Status::deadline_exceeded("no session was opened or resumed in time")
}
