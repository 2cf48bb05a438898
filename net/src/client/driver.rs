//! [`Driver`]: the one task of a client, which keeps its session alive.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use backon::ExponentialBackoff;
use futures::StreamExt;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;
use tracing::debug;

use super::{
    ClientOptions,
    reconnect::TRY,
    shared::{OfSession, Shared, fail},
    wire::{self, Address, Failure, Inbound},
};
use crate::{Error, proto::v1, refusal};

/// How many keep-alives are sent in a lease.
pub(super) const KEEP_ALIVES: u32 = 3;

/// How many messages are handled before others have their turn.
const BATCH: usize = 128;

/// Connects, reads, keeps the lease alive, and comes back after a cut: until the client is closed.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) address: Address,
    /// What is asked for.
    pub(super) wanted: ClientOptions,
    pub(super) session: Option<Session>,
    /// The pauses between tries; `None` while the connection is well.
    pub(super) pauses: Option<ExponentialBackoff>,
    /// Whether the server knows of the end, if this is the end: not if the last session was given up
    /// unheard.
    pub(super) told: bool,
}

/// What it takes to resume a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) secret: Vec<u8>,
    pub(super) lease: Duration,
    /// How often it was tried to resume it.
    pub(super) attempts: u64,
}

/// Why a connection is no longer served.
enum End {
    /// It is broken or silent.
    Cut,
    /// The session is over.
    Over(Error),
    /// The server was told that the client is closed.
    Closed,
}

/// What keeps one connection alive.
struct KeepAlive {
    /// When to say something.
    next: Instant,
    number: u64,
    /// When the last one was sent, until it is answered.
    unanswered: Option<Instant>,
}

impl Driver {
    /// Opens a session, and returns what keeps it alive with its connection.
    pub(super) async fn connect(
        address: Address,
        wanted: ClientOptions,
    ) -> Result<(Self, Inbound), Error> {
        let nobody = address.nobody(None);
        let opening = async {
            let channel = address.connect().await?;
            let shared = Shared::new(channel.clone());
            let mut driver =
                Self { shared, address, wanted, session: None, pauses: None, told: true };
            match driver.open(channel).await {
                Ok(inbound) => Ok((driver, inbound)),
                Err(Failure::Passing(error) | Failure::Over(error)) => Err(error),
            }
        };
        timeout(TRY, opening).await.unwrap_or(Err(nobody))
    }

    /// Drives the client to its end.
    ///
    /// Dropping the future is the end, too, also before its first poll.
    pub(super) fn run(mut self, inbound: Inbound) -> impl Future<Output = ()> {
        let over = Over { shared: self.shared.clone(), told: false };
        async move {
            let mut over = over;
            over.told = self.drive(inbound).await;
        }
    }

    /// Returns whether the server knows of the end.
    async fn drive(&mut self, mut inbound: Inbound) -> bool {
        loop {
            match self.serve(inbound).await {
                End::Cut => self.shared.with(|book| book.cut()),
                End::Over(error) => self.lose(&error),
                End::Closed => return true,
            }
            inbound = match self.connect_again().await {
                Some(inbound) => inbound,
                None => return self.told,
            };
        }
    }

    /// Serves a connection to its end.
    async fn serve(&mut self, mut inbound: Inbound) -> End {
        let mut keep_alive = KeepAlive { next: self.pause_alive(), number: 0, unanswered: None };
        let mut timer = pin!(sleep_until(keep_alive.next));
        loop {
            let due = keep_alive.next.min(self.shared.lease.end());
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            let end = tokio::select! {
                // Whoever was stopped for long sees first that the lease has run out.
                biased;
                () = &mut timer => self.tick(&mut keep_alive),
                end = poll_fn(|cx| self.poll_read(&mut inbound, &mut keep_alive, cx)) => Some(end),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Reads what has arrived, until the connection is of no more use.
    fn poll_read(
        &mut self,
        inbound: &mut Inbound,
        keep_alive: &mut KeepAlive,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        for _ in 0..BATCH {
            let end = match ready!(inbound.poll_next_unpin(cx)) {
                Some(told) => self.told(told, keep_alive),
                None if self.shared.with(|book| book.closed) => Some(End::Closed),
                None => Some(End::Cut),
            };
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// When to say something again.
    fn pause_alive(&self) -> Instant {
        let lease = self.session.as_ref().map_or(self.wanted.lease, |session| session.lease);
        Instant::now() + lease / KEEP_ALIVES
    }

    /// Keeps the session alive, if it is, and the connection if it answers.
    fn tick(&mut self, keep_alive: &mut KeepAlive) -> Option<End> {
        if !self.shared.lease.is_running() {
            return Some(End::Over(self.expired()));
        }
        if keep_alive.unanswered.is_some() {
            debug!("the connection is silent");
            return Some(End::Cut);
        }
        keep_alive.number += 1;
        keep_alive.unanswered = Some(Instant::now());
        keep_alive.next = self.pause_alive();
        self.shared.with(|book| book.keep_alive(keep_alive.number)).send();
        None
    }

    /// The lease has run out by this client's clock. The server is told, so that it need not wait; nobody
    /// waits for whether it hears of it.
    pub(super) fn expired(&mut self) -> Error {
        self.told = false;
        self.shared.with(|book| book.say_close()).send();
        Error::SessionExpired
    }

    /// Passes on what the server says.
    fn told(
        &mut self,
        told: Result<v1::ServerMessage, Status>,
        keep_alive: &mut KeepAlive,
    ) -> Option<End> {
        let message = match told {
            Ok(told) => told.message,
            Err(status) => {
                debug!("the connection is gone: {status}");
                return Some(End::Cut);
            }
        };
        let Some(message) = message else {
            debug!("a message of a kind unknown to this client is passed over");
            return None;
        };
        match self.shared.answered(message)? {
            OfSession::KeptAlive(number) => self.kept_alive(number, keep_alive),
            OfSession::Ended(reason) => {
                Some(End::Over(wire::session_over(refusal::from_message(reason))))
            }
            OfSession::Opened(_) => {
                debug!("the session is opened once more, which changes nothing");
                None
            }
        }
    }

    fn kept_alive(&mut self, number: u64, keep_alive: &mut KeepAlive) -> Option<End> {
        let sent = keep_alive.unanswered.take_if(|_| number == keep_alive.number)?;
        self.pauses = None;
        let lease = self.session.as_ref()?.lease;
        (!self.shared.lease.renew(sent, lease)).then(|| End::Over(self.expired()))
    }

    /// The session is over, and everything with it.
    pub(super) fn lose(&mut self, error: &Error) {
        debug!("the session is over: {error}");
        self.session = None;
        self.shared.lease.stop();
        fail(self.shared.with(|book| book.give_up()), error);
    }
}

/// However the driver ends, nobody waits for it any more.
struct Over {
    shared: Arc<Shared>,
    told: bool,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.lease.stop();
        self.shared.over.send_replace(Some(self.told));
    }
}
