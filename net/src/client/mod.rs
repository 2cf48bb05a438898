//! [`Client`]: locks over the network.

mod connection;
mod guard;

use std::{sync::Arc, time::Duration};

use lockcore::Mode;
use tokio::sync::oneshot;

use self::connection::{Answer, Connection};
pub use self::guard::Guard;
use crate::{
    Error,
    proto::v1::{self, Reason, StatusReply, client_message::Message},
};

/// How a lock is asked for: alone and for as long as it takes, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "options do nothing by themselves"]
pub struct LockOptions {
    mode: Mode,
    wait_limit: Option<Duration>,
    hold_limit: Option<Duration>,
}

impl LockOptions {
    /// Alone, without limits.
    pub const fn new() -> Self {
        Self { mode: Mode::Exclusive, wait_limit: None, hold_limit: None }
    }

    /// Holds together with other shared holders.
    pub const fn shared(mut self) -> Self {
        self.mode = Mode::Shared;
        self
    }

    /// Waits for so long at most, in whole milliseconds: then the request is refused with
    /// [`Reason::WaitLimit`]. Zero asks for the lock only if it is free, and is refused with
    /// [`Reason::Busy`].
    pub const fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = Some(limit);
        self
    }

    /// Holds for so long at most, in whole milliseconds, counted from the turn: then the server
    /// revokes the hold.
    pub const fn hold_limit(mut self, limit: Duration) -> Self {
        self.hold_limit = Some(limit);
        self
    }

    fn message(self, request: u64, id: &str) -> v1::Lock {
        let mode = match self.mode {
            Mode::Exclusive => v1::Mode::Exclusive,
            Mode::Shared => v1::Mode::Shared,
        };
        v1::Lock {
            request,
            id: id.to_owned(),
            mode: mode.into(),
            wait_limit_ms: self.wait_limit.map(whole_millis),
            hold_limit_ms: self.hold_limit.map(whole_millis),
        }
    }
}

impl Default for LockOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A longer one would not fit a message, which would end the session.
const LONGEST_ID: usize = 1 << 20;

fn too_long(id: &str) -> Error {
    let message = format!("id is {} bytes long; a message has room for {LONGEST_ID}", id.len());
    let id = id.chars().take(64).chain(['…']).collect();
    Error::Refused { id, reason: Reason::IdTooLong, message: message.into() }
}

/// Rounds up, so that only zero is zero.
fn whole_millis(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A session with a lock server. Clones share it; it ends when the last clone and the last
/// [`Guard`] are gone, and the server then releases all that it held.
///
/// If the connection breaks, the server releases everything at once, [`Guard::lost`] resolves, and
/// every call ends with [`Error::Disconnected`]: connect again.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> Result<(), lockcore_net::Error> {
/// let client = lockcore_net::Client::connect("http://127.0.0.1:9999").await?;
/// let guard = client.lock("payment-123").await?;
/// println!("holds by token {}", guard.token());
/// guard.unlock().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Connects to a server, such as `http://127.0.0.1:9999`, and opens a session.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if it is no address, [`Error::Connect`] if nobody answers there,
    /// [`Error::Open`] if what answers opens no session.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Ok(Self { connection: Connection::open(address).await? })
    }

    /// Locks `id`, waiting until every earlier request for it is gone.
    ///
    /// Dropping the [`Guard`] releases the id in the background; [`Guard::unlock`] waits until the
    /// server has done so.
    ///
    /// # Fairness
    ///
    /// The place in the queue is taken when the request reaches the server; requests of one client
    /// reach it in the order in which their futures were first polled. Nobody overtakes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future costs its place in the queue and nothing else. A turn that was already on
    /// its way passes on.
    ///
    /// # Deadlocks
    ///
    /// Locking an id again while holding it waits for good, as does locking two ids in two orders.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for an empty id, one of more than 1024 bytes, or too many requests;
    /// [`Error::Disconnected`] if the connection is gone.
    pub async fn lock(&self, id: &str) -> Result<Guard, Error> {
        self.lock_with(id, LockOptions::new()).await
    }

    /// Locks `id` if nobody holds it or waits for it, and returns `None` otherwise: one round trip.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub async fn try_lock(&self, id: &str) -> Result<Option<Guard>, Error> {
        match self.lock_with(id, LockOptions::new().wait_limit(Duration::ZERO)).await {
            Ok(guard) => Ok(Some(guard)),
            Err(Error::Refused { reason: Reason::Busy, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks `id` as [`lock`](Self::lock) does, with options.
    ///
    /// # Fairness, cancel safety, deadlocks
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`Error::Refused`] with [`Reason::Busy`] or
    /// [`Reason::WaitLimit`] if there is a wait limit.
    pub async fn lock_with(&self, id: &str, options: LockOptions) -> Result<Guard, Error> {
        if id.len() > LONGEST_ID {
            return Err(too_long(id));
        }
        let (sender, answer) = oneshot::channel();
        let request = self.connection.expect_answer(sender)?;
        let mut asking = Asking { connection: &self.connection, request, answered: false };
        self.connection.send(Message::Lock(options.message(request, id)));
        let answer = answer.await;
        asking.answered = true;
        match answer {
            Ok(Answer::Granted(hold)) => Ok(Guard::new(self.connection.clone(), id, hold)),
            Ok(Answer::Refused { reason, message }) => {
                Err(Error::Refused { id: id.into(), reason, message })
            }
            Err(_) => Err(self.connection.disconnected()),
        }
    }

    /// Returns how many hold `id` and how many wait for it, at the moment of the call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the connection is gone, [`Error::Unanswered`] if the server refuses
    /// to answer.
    pub async fn status(&self, id: &str) -> Result<StatusReply, Error> {
        self.connection.status(id).await
    }
}

/// A lock request under way: dropping it before its answer is taken cancels it at the server, which
/// passes the turn on if it has come.
struct Asking<'a> {
    connection: &'a Connection,
    request: u64,
    answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.forget(self.request);
            self.connection.send(Message::Cancel(v1::Cancel { request: self.request }));
        }
    }
}
