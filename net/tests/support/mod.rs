//! What the tests of this crate share: a server, a raw session, a way to wait without a clock.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::{collections::VecDeque, future::Future, net::SocketAddr, time::Duration};

use lockcore_net::{
    Client, ClientOptions, Limits, Server,
    proto::{
        pb::syncer_client::SyncerClient,
        v1::{
            self, ClientMessage, ServerMessage, claim::State, client_message::Message as Say,
            locks_client::LocksClient, refusal::Reason, server_message::Message as Told,
        },
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

pub mod process;
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

    pub async fn client_for(&self, lease: Duration) -> Client {
        ClientOptions::new().lease(lease).connect(&self.url()).await.unwrap()
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
    /// Answers to claims that came before `Opened` and are not looked at yet.
    answers: VecDeque<Told>,
    pub opened: v1::Opened,
}

impl RawSession {
    /// Opens a session that outlives the test.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_for(address, 2 * TOO_LONG).await
    }

    pub async fn open_for(address: SocketAddr, lease: Duration) -> Self {
        Self::unopened(address).await.open_here(lease, false).await
    }

    /// Opens a session that understands runs.
    pub async fn open_with_runs(address: SocketAddr) -> Self {
        Self::unopened(address).await.open_here(2 * TOO_LONG, true).await
    }

    /// Opens a session on this stream.
    pub async fn open_here(self, lease: Duration, runs: bool) -> Self {
        let mut session = self;
        session.say(Say::Open(v1::Open { lease_ms: lease.as_millis() as u64, runs }));
        let Told::Opened(opened) = session.told().await else { panic!("it is not opened") };
        session.opened = opened;
        session
    }

    /// Comes back to the session of another connection.
    pub async fn resume(&self, address: SocketAddr, attempt: u64, claims: Vec<v1::Claim>) -> Self {
        let mut session = Self::unopened(address).await;
        session.say(Say::Resume(self.how_to_resume(attempt, claims)));
        let opened = session.is_resumed().await;
        assert_eq!(opened, v1::Opened { secret: Vec::new(), ..self.opened.clone() });
        session.opened = self.opened.clone();
        session
    }

    /// Reads up to `Opened`, and keeps the answers to claims that come before for later.
    pub async fn is_resumed(&mut self) -> v1::Opened {
        let mut answers = VecDeque::new();
        loop {
            let answer = self.told_any().await;
            if let Told::Opened(opened) = answer {
                self.answers = answers;
                return opened;
            }
            assert!(!matches!(answer, Told::Ended(_)), "it is not resumed: {answer:?}");
            answers.push_back(answer);
        }
    }

    pub fn how_to_resume(&self, attempt: u64, claims: Vec<v1::Claim>) -> v1::Resume {
        let v1::Opened { session, secret, lease_ms, .. } = self.opened.clone();
        v1::Resume { session, secret, attempt, lease_ms, runs: false, claims }
    }

    pub async fn unopened(address: SocketAddr) -> Self {
        Self::with_window(address, None).await
    }

    /// Begins a stream on which the server may say so many bytes before somebody reads them.
    pub async fn with_window(address: SocketAddr, window: Option<u32>) -> Self {
        Self::with_windows(address, window, None).await
    }

    /// Begins a stream with so much room for itself, on a connection with so much room.
    pub async fn with_windows(
        address: SocketAddr,
        window: Option<u32>,
        of_connection: Option<u32>,
    ) -> Self {
        let endpoint = Endpoint::from_shared(url(address)).unwrap();
        let endpoint = endpoint.initial_stream_window_size(window);
        let endpoint = endpoint.initial_connection_window_size(of_connection);
        let channel = endpoint.connect().await.unwrap();
        let mut client = LocksClient::new(channel);
        let (say, messages) = mpsc::unbounded_channel();
        let told = client.session(UnboundedReceiverStream::new(messages)).await.unwrap();
        let (answers, opened) = Default::default();
        Self { say, told: told.into_inner(), answers, opened }
    }

    pub fn say(&self, message: Say) {
        self.say_any(ClientMessage { message: Some(message) });
    }

    pub fn say_any(&self, message: ClientMessage) {
        self.say.send(message).unwrap();
    }

    /// Says something on a stream that the server may have ended.
    pub fn say_late(&self, message: Say) {
        let _ = self.say.send(ClientMessage { message: Some(message) });
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

    /// The next message but `Queued`.
    pub async fn told(&mut self) -> Told {
        loop {
            let told = self.told_any().await;
            if !matches!(told, Told::Queued(_)) {
                return told;
            }
        }
    }

    pub async fn told_any(&mut self) -> Told {
        if let Some(answer) = self.answers.pop_front() {
            return answer;
        }
        in_time(self.told.message()).await.unwrap().unwrap().message.unwrap()
    }

    pub async fn queued(&mut self, request: u64) -> u64 {
        let told = self.told_any().await;
        let Told::Queued(queued) = &told else { panic!("request {request} is told {told:?}") };
        assert_eq!(queued.request, request);
        queued.place
    }

    pub async fn granted(&mut self, request: u64) -> u64 {
        let told = self.told().await;
        let Told::Granted(granted) = &told else { panic!("request {request} is told {told:?}") };
        assert_eq!(granted.request, request);
        granted.token
    }

    pub async fn refused(&mut self, request: u64) -> Reason {
        let told = self.told().await;
        let Told::Refused(refused) = told else { panic!("request {request} is told {told:?}") };
        assert_eq!(refused.request, request);
        refused.reason.unwrap().reason.unwrap()
    }

    pub async fn revoked(&mut self, request: u64) -> Reason {
        let told = self.told().await;
        let Told::Revoked(revoked) = told else { panic!("request {request} is told {told:?}") };
        assert_eq!(revoked.request, request);
        revoked.reason.unwrap().reason.unwrap()
    }

    /// Reads the end of the session for this connection.
    pub async fn is_ended(&mut self) -> Reason {
        let told = self.told().await;
        let Told::Ended(ended) = told else { panic!("it is told {told:?}") };
        assert!(in_time(self.told.message()).await.unwrap().is_none());
        ended.reason.unwrap().reason.unwrap()
    }

    pub async fn released(&mut self, request: u64) {
        let told = self.told().await;
        assert_eq!(told, Told::Released(v1::Released { request }));
    }

    /// Waits until the server has handled all that was said before: it handles it in order.
    pub async fn handled(&mut self) {
        const PROBE: u64 = u64::MAX;
        self.release(PROBE, 0);
        assert_eq!(self.refused(PROBE).await, Reason::NotHeld(PROBE));
    }

    /// Waits until the server has closed the connection, and reads nothing.
    pub async fn is_cut_off(&self) {
        in_time(self.say.closed()).await;
    }

    /// Reads on to the status that ends the stream.
    pub async fn ended(self) -> Status {
        self.all_told().await.1
    }

    /// Reads on to the status that ends the stream, and returns what comes before, too.
    pub async fn all_told(mut self) -> (Vec<Told>, Status) {
        let mut all = Vec::new();
        loop {
            match in_time(self.told.message()).await {
                Ok(Some(told)) => all.extend(told.message),
                Ok(None) => return (all, Status::ok("")),
                Err(status) => return (all, status),
            }
        }
    }

    /// Closes the session, and waits until the server has done so.
    pub async fn close(self) {
        self.say(Say::Close(v1::Close {}));
        self.answers_until_the_end().await;
    }

    /// Says no more, and returns how many answers came before the end of the stream.
    pub async fn answers_until_the_end(self) -> u64 {
        let Self { say, mut told, .. } = self;
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

/// Claims a request for an id, alone.
pub fn claim(request: u64, id: &str, state: State) -> v1::Claim {
    v1::Claim { lock: Some(lock(request, id)), state: Some(state), more_tokens: Vec::new() }
}

/// A server that grants leases as short as tests need.
pub fn with_short_leases() -> Server {
    let mut limits = Limits::default();
    limits.shortest_lease = Duration::from_millis(1);
    Server::new().limits(limits)
}
