//! [`Request`]: a lock that is asked for with terms of its own.

use std::{iter, time::Duration};

use lockcore::{Mode, manager::Refusal};
use tokio::sync::oneshot;

use super::{Client, Guard, entry::Terms, shared::Shared};
use crate::{Error, proto::MESSAGE_BYTES};

/// A lock to be asked for: alone and for as long as it takes, unless said otherwise.
///
/// Made by [`Client::request`] and [`Transaction::request`](super::Transaction::request).
///
/// # Examples
///
/// ```no_run
/// # async fn example(client: lockcore_net::Client) -> Result<(), lockcore_net::Error> {
/// use std::time::Duration;
///
/// let request = client.request("report-7").shared().wait_limit(Duration::from_secs(5));
/// let guard = request.lock().await?;
/// # drop(guard); Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is asked for before `lock`"]
pub struct Request<'a> {
    client: &'a Client,
    id: &'a str,
    more_ids: &'a [&'a str],
    terms: Terms,
}

impl<'a> Request<'a> {
    pub(super) fn new(client: &'a Client, id: &'a str, owner: Option<u64>) -> Self {
        let terms = Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner };
        Self { client, id, more_ids: &[], terms }
    }

    /// Locks these ids, too, by the same request: the guard holds all of them. One that is named twice
    /// is locked once.
    ///
    /// The request joins the queues of all its ids in one step, holds each from its turn on, and is
    /// answered when it holds all. Limits go for all of them together.
    pub fn and(mut self, more_ids: &'a [&'a str]) -> Self {
        self.more_ids = more_ids;
        self
    }

    /// Holds together with other shared holders.
    pub fn shared(mut self) -> Self {
        self.terms.mode = Mode::Shared;
        self
    }

    /// Waits for so long at most, in whole milliseconds: then the request is refused with
    /// [`Refusal::WaitLimit`]. Zero asks for the lock only if it is free, and is refused with
    /// [`Refusal::Busy`].
    ///
    /// The server counts it. While it cannot be reached, the answer may come later: at the latest when
    /// the lease ends.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.terms.wait_limit = Some(limit);
        self
    }

    /// Holds for so long at most, in whole milliseconds, counted from the turn: then the server revokes
    /// the hold.
    pub fn hold_limit(mut self, limit: Duration) -> Self {
        self.terms.hold_limit = Some(limit);
        self
    }

    /// Locks the id, or all ids, on these terms.
    ///
    /// # Fairness, cancel safety, deadlocks
    ///
    /// As [`Client::lock`].
    ///
    /// # Errors
    ///
    /// As [`Client::lock`], and [`Error::Refused`] with [`Refusal::Busy`], [`Refusal::Recovering`] or
    /// [`Refusal::WaitLimit`] if there is a wait limit.
    pub async fn lock(self) -> Result<Guard, Error> {
        let Self { client, id, more_ids, terms } = self;
        if let Some(id) = iter::once(&id).chain(more_ids).find(|id| id.len() > MOST_BYTES) {
            return Err(too_long(id));
        }
        if let Some(limit) = too_many(id, more_ids) {
            let reason = Refusal::TooManyIdsOfRequest { count: 1 + more_ids.len(), limit };
            return Err(Error::Refused { id: id.into(), reason });
        }
        let shared = &client.handle.shared;
        let (sender, answer) = oneshot::channel();
        let request = shared.ask(id, more_ids, terms, sender)?;
        let mut asking = Asking { shared, request, answered: false };
        let answer = answer.await;
        asking.answered = true;
        let hold = answer.unwrap_or(Err(Error::Closed))?;
        Ok(Guard::new(client.handle.clone(), hold))
    }
}

/// A lock request under way: dropping it before its answer is taken cancels it at the server, which
/// passes the turn on if it has come.
struct Asking<'a> {
    shared: &'a Shared,
    request: u64,
    answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.cancel(self.request);
        }
    }
}

/// Of the ids of one request: more would not fit a message, with what else is in there, which would cut
/// the connection.
const MOST_BYTES: usize = MESSAGE_BYTES - 1024;

/// As how many bytes a further id counts beside its own.
const ID_BYTES: usize = 8;

/// Returns how many of the ids fit a message, if not all do.
fn too_many(id: &str, more_ids: &[&str]) -> Option<usize> {
    let mut room = MOST_BYTES.saturating_sub(id.len());
    let mut fits = |id: &&&str| {
        let left = room.checked_sub(id.len() + ID_BYTES);
        room = left.unwrap_or_default();
        left.is_some()
    };
    let fitting = more_ids.iter().take_while(|id| fits(id)).count();
    (fitting < more_ids.len()).then_some(1 + fitting)
}

fn too_long(id: &str) -> Error {
    let reason = Refusal::IdTooLong { length: id.len(), limit: MOST_BYTES };
    Error::Refused { id: id.chars().take(64).chain(['…']).collect(), reason }
}
