//! How a client comes back: to its session as long as that lives, then to another if somebody asks.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::transport::Channel;
use tracing::debug;

use super::{
    book::say,
    driver::{Driver, KEEP_ALIVES, Session},
    shared::fail,
    wire::{Failure, Inbound},
};
use crate::{
    Error,
    proto::v1::{self, client_message::Message, locks_client::LocksClient},
    refusal::whole_millis,
};

/// How long a try to connect may take, at most.
pub(super) const TRY: Duration = Duration::from_secs(10);

/// How long to wait between two tries to connect, at least and at most, before jitter.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

impl Driver {
    /// Returns a connection to the session, or to another; `None` once the client is closed and the
    /// server knows, or its lease has run out.
    pub(super) async fn connect_again(&mut self) -> Option<Inbound> {
        loop {
            if self.session.is_none() && !self.is_wanted().await {
                return None;
            }
            match self.reach().await {
                Ok(inbound) => return Some(inbound),
                Err(Failure::Over(error)) => self.lose(&error),
                Err(Failure::Passing(error)) => self.failed(&error),
            }
        }
    }

    /// Waits until somebody asks for something, or the client is closed: returns false then.
    async fn is_wanted(&self) -> bool {
        loop {
            let (closed, wanted) = self.shared.with(|book| (book.closed, book.needs_line()));
            if closed || wanted {
                return !closed;
            }
            self.shared.look.notified().await;
        }
    }

    /// Tries to connect, for as long as the session lives if there is one.
    async fn reach(&mut self) -> Result<Inbound, Failure> {
        let Some(session) = self.session.clone() else {
            return self.try_once(TRY, None).await;
        };
        let end = self.shared.lease.end();
        let limit = TRY.min(session.lease / KEEP_ALIVES);
        tokio::select! {
            biased;
            () = sleep_until(end) => Err(Failure::Over(self.expired())),
            reached = self.try_once(limit, Some(session)) => reached,
        }
    }

    async fn try_once(
        &mut self,
        limit: Duration,
        session: Option<Session>,
    ) -> Result<Inbound, Failure> {
        sleep(self.pause()).await;
        let nobody = self.address.nobody(None);
        let trying = async {
            let channel = self.address.connect().await.map_err(Failure::Passing)?;
            self.shared.set_channel(channel.clone());
            match session {
                None => self.open(channel).await,
                Some(session) => self.resume(channel, session).await,
            }
        };
        timeout(limit, trying).await.unwrap_or(Err(Failure::Passing(nobody)))
    }

    /// Nothing before the first try, then more and more.
    fn pause(&mut self) -> Duration {
        let Some(pauses) = &mut self.pauses else {
            let (least, most) = PAUSES;
            let pauses = ExponentialBuilder::new().with_min_delay(least).with_max_delay(most);
            self.pauses = Some(pauses.with_jitter().without_max_times().build());
            return Duration::ZERO;
        };
        pauses.next().expect("there is no last try")
    }

    /// Opens a session.
    pub(super) async fn open(&mut self, channel: LocksClient<Channel>) -> Result<Inbound, Failure> {
        let (line, messages) = mpsc::unbounded_channel();
        let sent = Instant::now();
        let open = v1::Open { lease_ms: whole_millis(self.wanted.lease), runs: self.wanted.runs };
        line.send(say(Message::Open(open))).expect("the receiver is here");
        let (opened, inbound) = self.address.begin(channel, messages, &self.shared).await?;
        let v1::Opened { session: number, secret, lease_ms, requests } = opened;
        let lease = Duration::from_millis(lease_ms);
        debug!("session {number} is open, with a lease of {lease:?}");
        self.session = Some(Session { number, secret, lease, attempts: 0 });
        self.told = true;
        self.shared.lease.start(sent, lease);
        // Requests follow only here: if the opening fails, nothing is left at the server that holds.
        self.shared.with(|book| {
            book.set_limit(requests);
            book.opened(line);
        });
        Ok(inbound)
    }

    /// Comes back to the session.
    async fn resume(
        &mut self,
        channel: LocksClient<Channel>,
        mut session: Session,
    ) -> Result<Inbound, Failure> {
        let (excess, reason) = self.shared.with(|book| (book.excess(), book.too_many()));
        for entry in excess {
            entry.refused(Ok(reason.clone()));
        }
        session.attempts += 1;
        self.session = Some(session.clone());
        let sent = Instant::now();
        let resume = v1::Resume {
            session: session.number,
            secret: session.secret.clone(),
            attempt: session.attempts,
            lease_ms: whole_millis(session.lease),
            runs: self.wanted.runs,
            claims: Vec::new(),
        };
        let messages = self.shared.with(|book| book.resume(resume));
        let (opened, inbound) = self.address.begin(channel, messages, &self.shared).await?;
        let lease = Duration::from_millis(opened.lease_ms);
        debug!("session {} goes on, with a lease of {lease:?}", session.number);
        self.session = Some(Session { lease, ..session });
        if !self.shared.lease.renew(sent, lease) {
            return Err(Failure::Over(self.expired()));
        }
        self.shared.with(|book| book.set_limit(opened.requests));
        for (request, entry) in self.shared.with(|book| book.heard()) {
            entry.released(request);
        }
        Ok(inbound)
    }

    /// A try has failed. Without a session, nobody waits for the next one: it may never succeed.
    fn failed(&self, error: &Error) {
        debug!("{error}");
        if self.session.is_some() {
            self.shared.with(|book| book.cut());
        } else {
            fail(self.shared.with(|book| book.give_up()), error);
        }
    }
}
