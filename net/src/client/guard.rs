//! [`Guard`]: a hold on the server.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::connection::{Connection, Ended, Hold};
use crate::{
    Error,
    proto::v1::{self, client_message::Message},
};

/// Holds an id on the server until it is unlocked or dropped.
#[must_use = "the id is released when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    connection: Arc<Connection>,
    id: Box<str>,
    hold: Hold,
    released: bool,
}

impl Guard {
    pub(super) fn new(connection: Arc<Connection>, id: &str, hold: Hold) -> Self {
        Self { connection, id: id.into(), hold, released: false }
    }

    /// Returns the id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the fencing token of this hold: greater than that of every earlier hold of the id. A
    /// store that remembers the greatest token it saw can refuse late writes of earlier holders.
    pub fn token(&self) -> u64 {
        self.hold.token
    }

    /// Returns whether nothing is known that ended the hold.
    pub fn is_held(&self) -> bool {
        !self.hold.lost.is_cancelled()
    }

    /// Resolves when the hold is lost: its hold limit passed, or the connection is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does nothing.
    pub async fn lost(&self) {
        self.hold.lost.cancelled().await;
    }

    /// Releases the id and waits until the server has done so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases the id all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Revoked`] or [`Error::Disconnected`] if the hold was lost before.
    pub async fn unlock(mut self) -> Result<(), Error> {
        let (sender, ended) = oneshot::channel();
        if !self.connection.expect_end(self.hold.request, sender) {
            return Err(self.why_lost());
        }
        self.release();
        match ended.await {
            Ok(Ended::Released) => Ok(()),
            Ok(Ended::Revoked) => Err(Error::Revoked { id: self.id.clone() }),
            Err(_) => Err(self.connection.disconnected()),
        }
    }

    fn why_lost(&self) -> Error {
        if self.connection.is_gone() {
            self.connection.disconnected()
        } else {
            Error::Revoked { id: self.id.clone() }
        }
    }

    fn release(&mut self) {
        self.released = true;
        let Hold { request, token, .. } = self.hold;
        self.connection.send(Message::Release(v1::Release { request, token }));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.released && self.is_held() {
            self.connection.forget(self.hold.request);
            self.release();
        }
    }
}
