//! [`Shared`]: what the handles of a client and its driver have in common.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tonic::transport::Channel;

use super::{
    book::Book,
    entry::{Entry, Hold, Terms},
    lease::LeaseClock,
};
use crate::{Error, proto::v1::locks_client::LocksClient};

/// Borrowed for a moment by calls and by the driver; whom they have something to tell is told after.
#[derive(Debug)]
pub(super) struct Shared {
    book: Mutex<Book>,
    pub(super) lease: LeaseClock,
    /// Tells the driver to look at the book.
    pub(super) look: Notify,
    /// For questions beside the session.
    channel: Mutex<LocksClient<Channel>>,
    /// Whether the server was told of the end, once the driver has ended.
    pub(super) over: watch::Sender<Option<bool>>,
}

impl Shared {
    pub(super) fn new(channel: LocksClient<Channel>) -> Arc<Self> {
        Arc::new(Self {
            book: Mutex::default(),
            lease: LeaseClock::new(),
            look: Notify::new(),
            channel: Mutex::new(channel),
            over: watch::Sender::new(None),
        })
    }

    /// Asks the server for a lock, or will once it can be reached.
    pub(super) fn ask(
        &self,
        id: &str,
        terms: Terms,
        answer: oneshot::Sender<Result<Hold, Error>>,
    ) -> Result<u64, Error> {
        let (asked, needs_line) = {
            let mut book = self.book.lock();
            let asked = book.ask(id, terms, answer)?;
            (asked, book.needs_line())
        };
        let (request, mail) = asked;
        mail.send();
        if needs_line {
            self.look.notify_one();
        }
        Ok(request)
    }

    /// Gives a request up, whether it waits or its turn has come.
    pub(super) fn cancel(&self, request: u64) {
        let (_removed, mail) = self.with(|book| book.cancel(request));
        mail.send();
    }

    /// Releases a hold; returns false if it is over.
    pub(super) fn release(
        &self,
        hold: &Hold,
        ended: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> bool {
        let released = self.with(|book| book.release(hold, ended));
        let is_held = released.is_some();
        if let Some((_removed, mail)) = released {
            mail.send();
        }
        is_held
    }

    /// Closes the session. What is held is lost by it, and what is waited for fails.
    pub(super) fn close(&self) {
        let (failed, mail) = self.with(Book::close);
        mail.send();
        fail(failed, &Error::Closed);
        self.look.notify_one();
    }

    /// Does something with the book, which must not tell anybody.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.book.lock())
    }

    pub(super) fn channel(&self) -> LocksClient<Channel> {
        self.channel.lock().clone()
    }

    pub(super) fn set_channel(&self, channel: LocksClient<Channel>) {
        let _before = std::mem::replace(&mut *self.channel.lock(), channel);
    }
}

/// Tells all of these the same.
pub(super) fn fail(entries: Vec<Entry>, error: &Error) {
    for entry in entries {
        entry.fail(error.clone());
    }
}
