//! [`Connection`]: one stream to the server, and what its answers mean to whom.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};
use tracing::debug;

use crate::{
    Error,
    proto::v1::{
        self, Reason, client_message::Message, locks_client::LocksClient,
        server_message::Message as Told,
    },
};

/// After how long a silence the server is pinged, and how long it has to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The answer to a lock request.
#[derive(Debug)]
pub(super) enum Answer {
    Granted(Hold),
    Refused { reason: Reason, message: Box<str> },
}

/// What the client knows of a hold.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) request: u64,
    pub(super) token: u64,
    /// Cancelled when the hold is lost.
    pub(super) lost: CancellationToken,
}

/// How a hold ended.
#[derive(Debug)]
pub(super) enum Ended {
    Released,
    Revoked,
}

/// One session on one stream.
#[derive(Debug)]
pub(super) struct Connection {
    client: LocksClient<Channel>,
    /// The stream of messages to the server, which ends when this is dropped.
    outbound: mpsc::UnboundedSender<v1::ClientMessage>,
    requests: Arc<Requests>,
    /// Stops the reader when the connection is dropped.
    _reader: DropGuard,
}

/// The requests that the server has to say something about.
///
/// Telling someone wakes a task, which may do anything: nobody is told while `state` is borrowed.
#[derive(Debug, Default)]
struct Requests {
    state: Mutex<State>,
    /// What the connection died of, if anybody said so.
    cause: OnceLock<Status>,
    /// Cancelled when the connection is gone; parent of each hold's `lost`.
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    live: HashMap<u64, Stage>,
}

#[derive(Debug)]
enum Stage {
    /// Sent; waits for its turn.
    Asked(oneshot::Sender<Answer>),
    /// Holds; nobody waits for the end.
    Holding(CancellationToken),
    /// Releasing; somebody waits for the end.
    Ending(oneshot::Sender<Ended>),
}

impl Connection {
    pub(super) async fn open(address: &str) -> Result<Arc<Self>, Error> {
        let mut client = LocksClient::new(connect(address).await?);
        let failed =
            |source: Status| Error::Open { address: address.into(), source: source.into() };

        let (outbound, messages) = mpsc::unbounded_channel();
        let _ = outbound.send(message(Message::Open(v1::Open {})));
        let stream = client.session(UnboundedReceiverStream::new(messages)).await;
        let mut inbound = stream.map_err(failed)?.into_inner();
        match inbound.message().await.map_err(failed)?.and_then(|answer| answer.message) {
            Some(Told::Opened(_)) => {}
            answer => {
                return Err(failed(Status::internal(format!("its first answer is {answer:?}"))));
            }
        }

        let requests = Arc::<Requests>::default();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(read(inbound, requests.clone())));
        Ok(Arc::new(Self { client, outbound, requests, _reader: stop.drop_guard() }))
    }

    /// Registers a lock request and returns its number.
    pub(super) fn expect_answer(&self, answer: oneshot::Sender<Answer>) -> Result<u64, Error> {
        let mut state = self.requests.state.lock();
        if self.is_gone() {
            return Err(self.disconnected());
        }
        state.last += 1;
        let request = state.last;
        state.live.insert(request, Stage::Asked(answer));
        Ok(request)
    }

    /// Registers who waits for the end of a hold, unless it is over already.
    pub(super) fn expect_end(&self, request: u64, ended: oneshot::Sender<Ended>) -> bool {
        self.requests.advance(request, Stage::Ending(ended)).is_some()
    }

    /// Takes no more interest in what the server says of a request.
    pub(super) fn forget(&self, request: u64) {
        drop(self.requests.remove(request));
    }

    /// Asks for the status of an id, beside the session's stream.
    pub(super) async fn status(&self, id: &str) -> Result<v1::StatusReply, Error> {
        if self.is_gone() {
            return Err(self.disconnected());
        }
        let mut client = self.client.clone();
        let request = v1::StatusRequest { id: id.to_owned() };
        // A call that is dropped half-way resets its stream, and a peer that sees too many of these
        // ends the connection, and with it the session: so the call goes on by itself.
        let answer = tokio::spawn(async move { client.status(request).await }).await;
        match answer {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) if !self.is_gone() => Err(Error::Unanswered { source: status.into() }),
            Ok(Err(_)) | Err(_) => Err(self.disconnected()),
        }
    }

    /// The error of whoever waits for an answer that will not come.
    pub(super) fn disconnected(&self) -> Error {
        Error::Disconnected { source: self.requests.cause.get().cloned().map(Box::new) }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.requests.gone.is_cancelled()
    }

    pub(super) fn send(&self, content: Message) {
        // Once the connection is gone, the server has ended the session by itself.
        let _ = self.outbound.send(message(content));
    }
}

async fn connect(address: &str) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(address.to_owned()).ok();
    let endpoint = endpoint.filter(|endpoint| endpoint.uri().scheme_str() == Some("http"));
    let endpoint = endpoint
        .ok_or_else(|| Error::Address { address: address.into() })?
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_timeout(KEEP_ALIVE)
        .tcp_nodelay(true);
    let connected = endpoint.connect().await;
    connected.map_err(|source| Error::Connect { address: address.into(), source })
}

fn message(message: Message) -> v1::ClientMessage {
    v1::ClientMessage { message: Some(message) }
}

/// Tells everybody what the server says of their requests, until it says no more.
async fn read(mut inbound: Streaming<v1::ServerMessage>, requests: Arc<Requests>) {
    let end = End(&requests);
    while let Some(told) = inbound.next().await {
        match told {
            Ok(v1::ServerMessage { message: Some(message) }) => end.0.tell(message),
            Ok(v1::ServerMessage { message: None }) => {
                debug!("a message of a kind unknown to this client is passed over");
            }
            Err(status) => {
                debug!("the connection is gone: {status}");
                let _ = end.0.cause.set(status);
                return;
            }
        }
    }
}

/// Ends everything when the reader ends, however it ends.
struct End<'a>(&'a Requests);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.gone.cancel();
        let live = mem::take(&mut self.0.state.lock().live);
        // Whoever waits for an answer is told by the drop of its sender.
        drop(live);
    }
}

impl Requests {
    fn tell(&self, told: Told) {
        match told {
            Told::Granted(v1::Granted { request, token }) => self.granted(request, token),
            Told::Refused(refused) => self.refused(refused),
            Told::Released(v1::Released { request }) => self.ended(request, Ended::Released),
            Told::Revoked(v1::Revoked { request }) => self.ended(request, Ended::Revoked),
            Told::Opened(_) => debug!("the session is opened once more, which changes nothing"),
        }
    }

    /// Hands a hold to the one who asked. One who is gone has sent a cancel behind its request, so
    /// the server passes the turn on.
    fn granted(&self, request: u64, token: u64) {
        let lost = self.gone.child_token();
        let asked = self.advance(request, Stage::Holding(lost.clone()));
        if let Some(Stage::Asked(asked)) = asked {
            let _ = asked.send(Answer::Granted(Hold { request, token, lost }));
        }
    }

    fn refused(&self, refused: v1::Refused) {
        let reason = refused.reason();
        match self.remove(refused.request) {
            Some(Stage::Asked(asked)) => {
                let _ = asked.send(Answer::Refused { reason, message: refused.message.into() });
            }
            Some(Stage::Ending(ended)) => drop(ended.send(Ended::Revoked)),
            Some(Stage::Holding(lost)) => lost.cancel(),
            None => {}
        }
    }

    fn ended(&self, request: u64, how: Ended) {
        match self.remove(request) {
            Some(Stage::Ending(ended)) => drop(ended.send(how)),
            Some(Stage::Holding(lost)) => lost.cancel(),
            Some(Stage::Asked(_)) | None => {}
        }
    }

    /// Puts a live request into another stage and returns the one it was in.
    fn advance(&self, request: u64, stage: Stage) -> Option<Stage> {
        let mut state = self.state.lock();
        Some(mem::replace(state.live.get_mut(&request)?, stage))
    }

    fn remove(&self, request: u64) -> Option<Stage> {
        self.state.lock().live.remove(&request)
    }
}
