//! [`Guard`]: a hold on the server.

use std::{iter, sync::Arc};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{Handle, entry::Hold};
use crate::Error;

/// Holds an id on the server, or several together, until it is unlocked or dropped, or the hold is
/// lost.
///
/// A hold is lost when the server could not be heard for the length of the lease, when its hold limit
/// passed, or when the server says so. It is looked up, and counts the lease, by this machine's clock: a
/// process that was stopped for long sees it at once. Look at [`is_held`](Self::is_held) before each
/// step that needs the lock, and let what the step writes to check the [`token`](Self::token): between
/// look and step, time may pass.
///
/// What was asked for by one request is held, released and lost as one.
#[must_use = "the id is released when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    handle: Arc<Handle>,
    hold: Hold,
    released: bool,
}

impl Guard {
    pub(super) fn new(handle: Arc<Handle>, hold: Hold) -> Self {
        Self { handle, hold, released: false }
    }

    /// Returns the id; of several, the first.
    pub fn id(&self) -> &str {
        &self.hold.id
    }

    /// Returns the fencing token of this hold: greater than that of every earlier hold of the id. A
    /// store that remembers the greatest token it saw can refuse late writes of earlier holders.
    pub fn token(&self) -> u64 {
        self.hold.token
    }

    /// Iterates over the ids that are held together, in the order of the request, each with the fencing
    /// token of its hold.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, u64)> {
        let Hold { id, token, more, .. } = &self.hold;
        let more = more.iter().map(|(id, token)| (&**id, *token));
        iter::once((&**id, *token)).chain(more)
    }

    /// Returns whether the server cannot have given the id, or one of them, to anybody else, as far as this client
    /// knows. Once false, it stays so.
    ///
    /// It compares the clock, so that it needs neither the network nor the runtime: a client that was
    /// stopped or blocked past its lease sees false.
    pub fn is_held(&self) -> bool {
        // The clock is looked at first: it runs again for a later session only after this one's holds
        // were marked as lost.
        if !self.handle.shared.lease.is_running() {
            self.hold.loss.tell(Error::SessionExpired);
        }
        let in_limit = self.hold.end.is_none_or(|end| Instant::now() < end);
        in_limit && self.hold.loss.reason().is_none()
    }

    /// Resolves when the hold is lost, with the reason.
    ///
    /// It needs no network: the lease counts by this machine's clock. While the runtime is blocked
    /// nothing resolves; [`is_held`](Self::is_held) tells then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does nothing.
    pub async fn lost(&self) -> Error {
        let lost = self.hold.loss.told();
        match self.hold.end {
            None => lost.await,
            Some(end) => tokio::select! {
                () = lost => {}
                () = sleep_until(end) => {}
            },
        }
        self.why_lost()
    }

    /// Releases the id, or all of them, and waits until the server has done so.
    ///
    /// If the connection breaks meanwhile, it is released as soon as there is another, or at the end of
    /// the lease.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases the id all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Revoked`], [`Error::SessionExpired`] or [`Error::SessionEnded`] if the hold was lost
    /// before, or may have been; [`Error::Closed`] if the client was closed.
    pub async fn unlock(mut self) -> Result<(), Error> {
        self.released = true;
        let (sender, ended) = oneshot::channel();
        if !self.handle.shared.release(&self.hold, Some(sender)) {
            // Whoever took it out of the book is about to say why.
            return Err(self.lost().await);
        }
        ended.await.unwrap_or(Err(Error::Closed))
    }

    fn why_lost(&self) -> Error {
        let limit_passed = || {
            let (id, limit) = ((*self.hold.id).into(), self.hold.limit.unwrap_or_default());
            Error::Revoked { id, reason: lockcore::manager::Refusal::HoldLimit { limit } }
        };
        self.hold.loss.reason().cloned().unwrap_or_else(limit_passed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.released {
            self.handle.shared.release(&self.hold, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::client::shared::{fail, tests::holding};

    #[tokio::test]
    async fn an_unlock_that_meets_a_loss_says_its_reason() {
        let (shared, hold, _said) = holding();
        let guard = Guard::new(Arc::new(Handle { shared: shared.clone() }), hold);
        let lost = shared.with(|book| book.give_up());
        let mut unlocking = Box::pin(guard.unlock());
        assert!((&mut unlocking).now_or_never().is_none(), "the reason is yet to be told");
        fail(lost, &Error::SessionExpired);
        assert!(matches!(unlocking.await, Err(Error::SessionExpired)));
    }
}
