//! [`Client`]: locks over the network.
//!
//! | module | what |
//! |---|---|
//! | `request`, `transaction`, `guard` | what users have in their hands |
//! | `book`, `entry` | the requests: what they are told, and what is said of them on another connection |
//! | `run` | passing a lock on from one request to the next |
//! | `driver`, `reconnect` | the task that reads, keeps the lease alive and comes back |
//! | `lease` | until when the client may believe that it holds |
//! | `shared`, `wire` | what handles and driver have in common; connections |

mod book;
mod driver;
mod entry;
mod guard;
mod lease;
mod reconnect;
mod request;
mod run;
mod shared;
mod transaction;
mod wire;

use std::{sync::Arc, time::Duration};

use lockcore::manager::Refusal;
use tonic::Status;

use self::{driver::Driver, shared::Shared, wire::Address};
pub use self::{guard::Guard, request::Request, transaction::Transaction};
use crate::{
    Error,
    proto::v1::{StatusReply, StatusRequest},
};

/// How a client is made: with a lease of 10 s and with runs, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "nothing is connected before `connect`"]
pub struct ClientOptions {
    lease: Duration,
    runs: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { lease: Duration::from_secs(10), runs: true }
    }
}

impl ClientOptions {
    /// A lease of 10 s, and runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the session is to outlive silence between client and server, in whole
    /// milliseconds; the server brings it within its limits.
    ///
    /// A longer lease survives longer cuts. A shorter one lets others go on earlier if this client dies,
    /// and after a restart of the server, which gives no turns for as long as the longest lease.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets whether the client may pass a lock on by itself among requests of its own that are next to
    /// each other in the queue: nobody waits longer for that, and an id that many tasks of one client want
    /// is handed on without a round trip for each of them. Without runs, the server says each turn.
    pub fn runs(mut self, runs: bool) -> Self {
        self.runs = runs;
        self
    }

    /// Connects to a server, such as `http://127.0.0.1:9999`, and opens a session.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if it is no address, [`Error::Connect`] if nobody answers there,
    /// [`Error::Open`] if what answers opens no session.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time and network.
    pub async fn connect(self, address: &str) -> Result<Client, Error> {
        let (driver, inbound) = Driver::connect(Address::parse(address)?, self).await?;
        let handle = Arc::new(Handle { shared: driver.shared.clone() });
        tokio::spawn(driver.run(inbound));
        Ok(Client { handle })
    }
}

/// A session with a lock server. Clones share it; it ends when the last clone and the last
/// [`Guard`] are gone, or by [`close`](Self::close), and the server then releases all that it held.
///
/// The client keeps the session alive. If the connection breaks, or the server is started again, it
/// comes back by itself: holds, and places in queues, are kept as long as the server was heard within
/// the lease. What was asked, released and cancelled meanwhile is made good then.
///
/// If that fails for the length of the lease, all holds are lost, [`Guard::lost`] resolves, and requests
/// that wait fail with [`Error::SessionExpired`]. The next request opens another session.
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
    handle: Arc<Handle>,
}

/// What clones and guards share: the client is over when the last is gone.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Client {
    /// Connects to a server with the default options.
    ///
    /// # Errors, panics
    ///
    /// As [`ClientOptions::connect`].
    pub async fn connect(address: &str) -> Result<Self, Error> {
        ClientOptions::new().connect(address).await
    }

    /// Locks `id`, waiting until every earlier request for it is gone.
    ///
    /// Dropping the [`Guard`] releases the id in the background; [`Guard::unlock`] waits until the
    /// server has done so.
    ///
    /// # Fairness
    ///
    /// The place in the queue is taken when the request reaches the server; requests of one client
    /// reach it in the order in which their futures were first polled. Nobody overtakes. A broken
    /// connection or a restart of the server costs no place.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future costs its place in the queue and nothing else. A turn that was already on
    /// its way passes on.
    ///
    /// # Deadlocks
    ///
    /// Locking an id again while holding it waits for good, as does locking two ids in two orders: use
    /// a [`transaction`](Self::transaction), which is refused then, or [`lock_all`](Self::lock_all).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for an empty id, one of more than 1024 bytes, too many requests, or by an
    /// administrator; [`Error::SessionExpired`] or [`Error::SessionEnded`] if the session was over
    /// before the turn came; [`Error::Connect`] or [`Error::Open`] if another session is needed and
    /// cannot be opened; [`Error::Closed`] if the client was closed.
    pub async fn lock(&self, id: &str) -> Result<Guard, Error> {
        self.request(id).lock().await
    }

    /// Locks `id` if nobody holds it or waits for it, and returns `None` otherwise: one round trip.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`Error::Refused`] with [`Refusal::Recovering`] after a restart of
    /// the server, when it is not known yet who holds.
    pub async fn try_lock(&self, id: &str) -> Result<Option<Guard>, Error> {
        none_if(self.request(id).wait_limit(Duration::ZERO).lock().await, |reason| {
            matches!(reason, Refusal::Busy)
        })
    }

    /// Locks `id` if its turn comes within `limit`, in whole milliseconds, and returns `None` otherwise.
    ///
    /// The server counts the limit. While it cannot be reached, the answer may come later: at the latest
    /// when the lease ends.
    ///
    /// # Fairness, cancel safety, deadlocks
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub async fn lock_timeout(&self, id: &str, limit: Duration) -> Result<Option<Guard>, Error> {
        none_if(self.request(id).wait_limit(limit).lock().await, |reason| {
            matches!(reason, Refusal::Busy | Refusal::WaitLimit { .. })
        })
    }

    /// Locks several ids together, by one request. The guard holds all of them, in the order in which
    /// they are named; [`Guard::tokens`] has a token for each. One that is named twice is locked once.
    ///
    /// [`request`](Self::request) with [`and`](Request::and) has limits and shares.
    ///
    /// # Fairness
    ///
    /// By id, as [`lock`](Self::lock). The places in all queues are taken in one step, and each id is
    /// held from its own turn on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future costs its places, and passes on the ids that were held already.
    ///
    /// # Deadlocks
    ///
    /// None among those who hold nothing else: whoever came first is ahead at each id. In a circle with
    /// transactions, theirs is the request that is refused.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), for any of the ids: nothing is held then. [`Error::Refused`] with
    /// [`Refusal::IdEmpty`] if there is none, and with [`Refusal::TooManyIdsOfRequest`] if there are more
    /// than the server takes: 1000 unless it says otherwise.
    pub async fn lock_all<I>(&self, ids: impl IntoIterator<Item = I>) -> Result<Guard, Error>
    where
        I: AsRef<str>,
    {
        let ids: Vec<I> = ids.into_iter().collect();
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let (first, more_ids) = ids.split_first().unwrap_or((&"", &[]));
        self.request(first).and(more_ids).lock().await
    }

    /// Begins a request with terms of its own.
    pub fn request<'a>(&'a self, id: &'a str) -> Request<'a> {
        Request::new(self, id, None)
    }

    /// Begins a group of locks that are held together, so that a deadlock is found.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.clone(), self.handle.shared.with(|book| book.number()))
    }

    /// Returns how many hold `id` and how many wait for it, at the moment of the call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Unanswered`] if the server cannot be reached or refuses to answer.
    pub async fn status(&self, id: &str) -> Result<StatusReply, Error> {
        let mut channel = self.handle.shared.channel();
        let request = StatusRequest { id: id.to_owned() };
        // A call that is dropped half-way resets its stream, and a peer that sees too many of these
        // ends the connection: so the call goes on by itself.
        let answer = tokio::spawn(async move { channel.status(request).await }).await;
        answer
            .unwrap_or_else(|_| Err(Status::cancelled("the runtime has ended")))
            .map(|reply| reply.into_inner())
            .map_err(|status| Error::Unanswered { source: status.into() })
    }

    /// Closes the session for all clones: what they hold is released, requests that wait fail with
    /// [`Error::Closed`]. Resolves when the server has done so.
    ///
    /// If the connection is broken, it is tried to tell the server until the lease ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: the session is closed all the same, from the first poll on.
    ///
    /// # Errors
    ///
    /// [`Error::NotToldClosed`] if the server could not be told within the lease, or if the lease had run
    /// out before and no other session was opened since.
    pub async fn close(&self) -> Result<(), Error> {
        self.handle.shared.close();
        let mut over = self.handle.shared.over.subscribe();
        let over = over.wait_for(Option::is_some).await;
        let told = over.is_ok_and(|told| *told == Some(true));
        if told { Ok(()) } else { Err(Error::NotToldClosed) }
    }
}

/// Lets a refusal for such a reason be an answer.
fn none_if(
    locked: Result<Guard, Error>,
    is_none: impl FnOnce(&Refusal) -> bool,
) -> Result<Option<Guard>, Error> {
    match locked {
        Ok(guard) => Ok(Some(guard)),
        Err(Error::Refused { reason, .. }) if is_none(&reason) => Ok(None),
        Err(error) => Err(error),
    }
}
