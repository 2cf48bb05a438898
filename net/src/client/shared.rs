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
use crate::{
    Error,
    proto::v1::{self, locks_client::LocksClient, server_message::Message as Told},
    refusal,
};

/// What is said of a server that does not know of further ids.
const ONE_ID: &str = "the server locks one id by a request";

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
        more_ids: &[&str],
        terms: Terms,
        answer: oneshot::Sender<Result<Hold, Error>>,
    ) -> Result<u64, Error> {
        let (asked, needs_line) = {
            let mut book = self.book.lock();
            let asked = book.ask(id, more_ids, terms, answer)?;
            (asked, book.needs_line())
        };
        let (request, mail) = asked;
        mail.send();
        if needs_line {
            self.look.notify_one();
        }
        Ok(request)
    }

    /// Tells whoever asked that the request holds.
    pub(super) fn granted(&self, granted: v1::Granted) {
        let v1::Granted { request, token, more_tokens } = granted;
        let too_little = self.with(|book| book.granted_too_little(request, &more_tokens));
        if let Some(entry) = too_little {
            entry.refused(Err(ONE_ID.into()));
        } else if let Some((answer, hold)) =
            self.with(|book| book.granted(request, token, more_tokens))
        {
            let _ = answer.send(Ok(hold));
        }
    }

    /// Gives a request up, whether it waits or its turn has come.
    pub(super) fn cancel(&self, request: u64) {
        if let Some(removed) = self.with(|book| book.cancel(request)) {
            self.pass_all(&removed.id, &removed.more_ids);
        }
    }

    /// Releases a hold; returns false if it is over.
    pub(super) fn release(
        &self,
        hold: &Hold,
        ended: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> bool {
        let released = self.with(|book| book.release(hold, ended));
        let is_held = released.is_some();
        if is_held {
            self.pass(&hold.id);
            hold.more.iter().for_each(|(id, _)| self.pass(id));
        }
        is_held
    }

    /// Closes the session. What is held is lost by it, and what is waited for fails: before the server
    /// hears of it, which gives away then what was held.
    pub(super) fn close(&self) {
        let (failed, mail) = self.with(Book::close);
        fail(failed, &Error::Closed);
        mail.send();
        self.look.notify_one();
    }

    /// Passes an answer to a request on, and returns what is none.
    pub(super) fn answered(&self, told: Told) -> Option<OfSession> {
        match told {
            Told::Queued(v1::Queued { request, place }) => {
                self.with(|book| book.queued(request, place));
            }
            Told::Granted(granted) => self.granted(granted),
            Told::Run(run) => {
                if let Some(id) = self.with(|book| book.promised(&run)) {
                    self.pass(&id);
                }
            }
            Told::Released(v1::Released { request }) => {
                self.over(request, |entry| entry.released(request));
            }
            Told::Refused(v1::Refused { request, reason })
            | Told::Revoked(v1::Revoked { request, reason }) => {
                self.over(request, |entry| entry.refused(refusal::from_message(reason)));
            }
            Told::Opened(opened) => return Some(OfSession::Opened(opened)),
            Told::KeptAlive(v1::KeptAlive { number }) => return Some(OfSession::KeptAlive(number)),
            Told::Ended(v1::Ended { reason }) => return Some(OfSession::Ended(reason)),
        }
        None
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

/// What a server says of the session, and not of a request.
#[derive(Debug)]
pub(super) enum OfSession {
    Opened(v1::Opened),
    KeptAlive(u64),
    Ended(Option<v1::Refusal>),
}

/// Tells all of these the same.
pub(super) fn fail(entries: Vec<Entry>, error: &Error) {
    for entry in entries {
        entry.fail(error.clone());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicBool, Ordering},
        task::{Context, Wake, Waker},
    };

    use lockcore::Mode;
    use tokio::sync::mpsc;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::proto::v1::ClientMessage;

    type Said = mpsc::UnboundedReceiver<ClientMessage>;

    /// A session with one hold, and what is said to the server from there on.
    pub(in super::super) fn holding() -> (Arc<Shared>, Hold, Said) {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let shared = Shared::new(LocksClient::new(channel));
        let (line, mut said) = mpsc::unbounded_channel();
        shared.with(|book| book.opened(line));
        shared.lease.start(tokio::time::Instant::now(), std::time::Duration::from_secs(300));
        let terms =
            Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };
        let (sender, _answer) = oneshot::channel();
        let request = shared.ask("123", &[], terms, sender).unwrap();
        said.try_recv().unwrap();
        let (_, hold) = shared.with(|book| book.granted(request, 1, Vec::new())).unwrap();
        (shared, hold, said)
    }

    /// The server has locked the first alone: nobody is to believe more.
    #[tokio::test]
    async fn a_server_that_locks_one_id_by_a_request_is_seen_through() {
        let (shared, _hold, mut said) = holding();
        let terms =
            Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };
        let (sender, mut answer) = oneshot::channel();
        let request = shared.ask("a", &["b", "c", "b"], terms, sender).unwrap();
        said.try_recv().unwrap();
        shared.granted(v1::Granted { request, token: 7, more_tokens: vec![8] });
        let Err(Error::RefusedOtherwise { message, .. }) = answer.try_recv().unwrap() else {
            panic!("it does not hold all")
        };
        assert_eq!(&*message, ONE_ID);
        let told = said.try_recv().unwrap().message;
        assert_eq!(told, Some(v1::client_message::Message::Cancel(v1::Cancel { request })));

        let (sender, mut answer) = oneshot::channel();
        let request = shared.ask("a", &["b", "c", "b"], terms, sender).unwrap();
        shared.granted(v1::Granted { request, token: 9, more_tokens: vec![10, 11] });
        let more = answer.try_recv().unwrap().unwrap().more;
        assert_eq!(*more, [("b".into(), 10), ("c".into(), 11)]);
    }

    /// Looks, when it is woken, whether the server was told something.
    struct Looks {
        said: Mutex<Said>,
        woken: AtomicBool,
    }

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            assert!(self.said.lock().try_recv().is_err(), "the server was told before");
            self.woken.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn closing_loses_what_is_held_before_the_server_can_give_it_away() {
        let (shared, hold, said) = holding();
        let looks = Arc::new(Looks { said: Mutex::new(said), woken: AtomicBool::new(false) });
        let waker = Waker::from(looks.clone());
        let mut lost = pin!(hold.loss.told());
        assert!(lost.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        shared.close();
        assert!(looks.woken.load(Ordering::Relaxed));
        let told = looks.said.lock().try_recv().unwrap().message;
        assert_eq!(told, Some(v1::client_message::Message::Close(v1::Close {})));
    }
}
