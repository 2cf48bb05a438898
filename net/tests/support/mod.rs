//! What the tests of this crate share: a server, a raw session, a way to wait without a clock.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::{future::Future, net::SocketAddr, time::Duration};

use lockcore_net::{
    Client, Server,
    proto::{
        pb::syncer_client::SyncerClient,
        v1::{
            self, ClientMessage, ServerMessage, client_message::Message as Say,
            locks_client::LocksClient, server_message::Message as Told,
        },
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

pub mod proxy;

/// Longer than anything here takes; reaching it is a failure.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A server on a port of its own, stopped when dropped.
pub struct TestServer {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), lockcore_net::Error>>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(Server::new()).await
    }

    pub async fn start_with(server: Server) -> Self {
        let listener = Server::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(listener, async { drop(stopped.await) }));
        Self { address, stop: Some(stop), served }
    }

    pub fn url(&self) -> String {
        url(self.address)
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.url()).await.unwrap()
    }

    pub async fn syncer(&self) -> SyncerClient<Channel> {
        SyncerClient::connect(self.url()).await.unwrap()
    }

    pub async fn session(&self) -> RawSession {
        RawSession::open(self.address).await
    }

    /// Stops the server and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        in_time(self.served).await.unwrap().unwrap();
    }

    /// Returns holders and waiters of an id.
    pub async fn status(&self, id: &str) -> (u64, u64) {
        status(&self.client().await, id).await
    }

    /// Waits until the id has so many holders and waiters.
    pub async fn until(&self, id: &str, holders: u64, waiting: u64) {
        let client = self.client().await;
        in_time(async { while status(&client, id).await != (holders, waiting) {} }).await;
    }
}

async fn status(client: &Client, id: &str) -> (u64, u64) {
    let status = client.status(id).await.unwrap();
    (status.holders, status.waiting)
}

pub fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Fails if it takes too long, so that a lost turn is a failure and not a hang.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TOO_LONG, future)
        .await
        .expect("takes too long: a turn or an answer is lost")
}

/// A session at the level of messages.
pub struct RawSession {
    say: mpsc::UnboundedSender<ClientMessage>,
    told: Streaming<ServerMessage>,
}

impl RawSession {
    pub async fn open(address: SocketAddr) -> Self {
        let mut session = Self::unopened(address).await;
        session.say(Say::Open(v1::Open {}));
        assert!(matches!(session.told().await, Told::Opened(_)));
        session
    }

    pub async fn unopened(address: SocketAddr) -> Self {
        let mut client = LocksClient::connect(url(address)).await.unwrap();
        let (say, messages) = mpsc::unbounded_channel();
        let told = client.session(UnboundedReceiverStream::new(messages)).await.unwrap();
        Self { say, told: told.into_inner() }
    }

    pub fn say(&self, message: Say) {
        self.say_any(ClientMessage { message: Some(message) });
    }

    pub fn say_any(&self, message: ClientMessage) {
        self.say.send(message).unwrap();
    }

    pub fn lock(&self, request: u64, id: &str) {
        self.say(Say::Lock(lock(request, id)));
    }

    pub fn release(&self, request: u64, token: u64) {
        self.say(Say::Release(v1::Release { request, token }));
    }

    pub fn cancel(&self, request: u64) {
        self.say(Say::Cancel(v1::Cancel { request }));
    }

    pub async fn told(&mut self) -> Told {
        in_time(self.told.message()).await.unwrap().unwrap().message.unwrap()
    }

    pub async fn granted(&mut self, request: u64) -> u64 {
        let told = self.told().await;
        let Told::Granted(granted) = &told else { panic!("request {request} is told {told:?}") };
        assert_eq!(granted.request, request);
        granted.token
    }

    pub async fn refused(&mut self, request: u64) -> (v1::Reason, String) {
        let told = self.told().await;
        let Told::Refused(refused) = told else { panic!("request {request} is told {told:?}") };
        assert_eq!(refused.request, request);
        (refused.reason(), refused.message)
    }

    pub async fn released(&mut self, request: u64) {
        let told = self.told().await;
        assert_eq!(told, Told::Released(v1::Released { request }));
    }

    /// Waits until the server has handled all that was said before: it handles it in order.
    pub async fn handled(&mut self) {
        const PROBE: u64 = u64::MAX;
        self.release(PROBE, 0);
        assert_eq!(self.refused(PROBE).await.0, v1::Reason::NotHeld);
    }

    /// Reads on to the status that ends the stream.
    pub async fn ended(mut self) -> Status {
        loop {
            match in_time(self.told.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    /// Says that no more will be said, and waits until the server has closed the session.
    pub async fn close(self) {
        self.answers_until_closed().await;
    }

    /// Closes the session and returns how many answers came before the end.
    pub async fn answers_until_closed(self) -> u64 {
        let Self { say, mut told } = self;
        drop(say);
        let mut answers = 0;
        while in_time(told.message()).await.unwrap().is_some() {
            answers += 1;
        }
        answers
    }
}

pub fn lock(request: u64, id: &str) -> v1::Lock {
    v1::Lock { request, id: id.to_owned(), ..v1::Lock::default() }
}
