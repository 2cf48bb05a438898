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

/// As how many bytes a further id counts beside its own: what says how long it is, and the token by which
/// it is claimed once it is held.
const ID_BYTES: usize = 4 + 9;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;

    use super::*;
    use crate::{
        client::{
            book::say,
            entry::{Entry, Stage},
        },
        proto::v1::{self, client_message::Message},
    };

    /// How many bytes a message has that claims so many ids of this length, held by the greatest tokens.
    fn claimed(ids: usize, length: usize) -> usize {
        let id: Arc<str> = "x".repeat(length).into();
        let limit = Some(Duration::MAX);
        let terms = Terms {
            mode: Mode::Shared,
            wait_limit: limit,
            hold_limit: limit,
            owner: Some(u64::MAX),
        };
        let token = u64::MAX >> 1;
        let (more_ids, more_tokens) = (vec![id.clone(); ids - 1], vec![token; ids - 1]);
        let stage = Stage::Holding { token, more_tokens, loss: Arc::default() };
        let entry = Entry { id, more_ids: more_ids.into(), terms, deadline: None, stage };
        let claims = entry.claim(u64::MAX).into_iter().collect();
        let secret = vec![0; 16];
        let most = u64::MAX;
        let (session, attempt, lease_ms, runs) = (most, most, most, true);
        let resume = v1::Resume { session, secret, attempt, lease_ms, runs, claims };
        say(Message::Resume(resume)).encoded_len()
    }

    /// Otherwise a break of the line would cost the session.
    #[test]
    fn what_may_be_asked_for_by_one_request_can_be_claimed_by_one_message() {
        for length in [1, 18, 127, 128, 250, 1024, 20_000] {
            let id = "x".repeat(length);
            let many = vec![&*id; MESSAGE_BYTES];
            let most = too_many(&id, &many).expect("not all of them fit");
            assert_eq!(too_many(&id, &many[..most - 1]), None);
            let bytes = claimed(most, length);
            assert!(bytes <= MESSAGE_BYTES, "{most} ids of {length} bytes take {bytes}");
        }
    }
}
