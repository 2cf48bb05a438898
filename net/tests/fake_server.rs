//! The client library against a server that says what a test lets it say.

mod support;

use std::{
    future::{Future, ready},
    net::SocketAddr,
    pin::Pin,
    time::Duration,
};

use futures::{Stream, StreamExt};
use lockcore_net::{
    Client, ClientOptions, Error, Guard, Refusal,
    proto::v1::{
        self, ClientMessage, ServerMessage,
        client_message::Message as Say,
        locks_server::{Locks, LocksServer},
        refusal::Reason,
        server_message::Message as Told,
    },
};
use support::{in_time, url};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// A stream that a client has begun, as its server has it.
struct Line {
    says: Streaming<ClientMessage>,
    told: mpsc::UnboundedSender<Result<ServerMessage, Status>>,
}

impl Line {
    async fn said(&mut self) -> Say {
        in_time(self.says.message()).await.unwrap().unwrap().message.unwrap()
    }

    fn tell(&self, message: Told) {
        self.told.send(Ok(ServerMessage { message: Some(message) })).unwrap();
    }
}

/// Hands each stream to the test.
struct Fake(mpsc::UnboundedSender<Line>);

#[tonic::async_trait]
impl Locks for Fake {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ServerMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (told, answers) = mpsc::unbounded_channel();
        self.0.send(Line { says: request.into_inner(), told }).unwrap();
        Ok(Response::new(UnboundedReceiverStream::new(answers).boxed()))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusReply> {
        Err(not_here())
    }

    async fn list_ids(&self, _: Request<v1::ListIdsRequest>) -> Answer<v1::ListIdsReply> {
        Err(not_here())
    }

    async fn list_sessions(
        &self,
        _: Request<v1::ListSessionsRequest>,
    ) -> Answer<v1::ListSessionsReply> {
        Err(not_here())
    }

    async fn revoke(&self, _: Request<v1::RevokeRequest>) -> Answer<v1::RevokeReply> {
        Err(not_here())
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn not_here() -> Status {
    Status::unimplemented("no test asks for it")
}

/// A server, and the streams that clients begin there.
async fn fake() -> (SocketAddr, mpsc::UnboundedReceiver<Line>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, lines) = mpsc::unbounded_channel();
    let router = Server::builder().add_service(LocksServer::new(Fake(sender)));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, lines)
}

fn opened() -> v1::Opened {
    v1::Opened { session: 1, secret: vec![7; 16], lease_ms: 300_000, requests: 10 }
}

/// A client with its line, whose session is opened once `pause` is over.
async fn connected(
    address: SocketAddr,
    lines: &mut mpsc::UnboundedReceiver<Line>,
    opened: v1::Opened,
    pause: impl Future<Output = ()>,
) -> (Client, Line) {
    let (url, lease) = (url(address), Duration::from_millis(opened.lease_ms));
    let connecting = ClientOptions::new().lease(lease).connect(&url);
    let opening = async {
        let mut line = lines.recv().await.unwrap();
        assert!(matches!(line.said().await, Say::Open(_)));
        pause.await;
        line.tell(Told::Opened(opened));
        line
    };
    let (client, line) = in_time(async { tokio::join!(connecting, opening) }).await;
    (client.unwrap(), line)
}

/// A guard of "123" by token 7.
async fn locked(client: &Client, line: &mut Line) -> (Guard, u64) {
    let locking = client.lock("123");
    let granting = async {
        let Say::Lock(lock) = line.said().await else { panic!("it asks for a lock") };
        let (request, more_tokens) = (lock.request, Vec::new());
        line.tell(Told::Granted(v1::Granted { request, token: 7, more_tokens }));
        request
    };
    let (guard, request) = in_time(async { tokio::join!(locking, granting) }).await;
    (guard.unwrap(), request)
}

/// The line breaks, or the server falls silent, before `Opened`: what was refused is lost all the same.
#[tokio::test]
async fn a_claim_that_is_refused_is_lost_before_the_session_is_resumed() {
    let (address, mut lines) = fake().await;
    let (client, mut line) = connected(address, &mut lines, opened(), ready(())).await;
    let (guard, request) = locked(&client, &mut line).await;
    drop(line);

    let mut line = in_time(lines.recv()).await.unwrap();
    let Say::Resume(resume) = line.said().await else { panic!("it comes back") };
    assert_eq!(resume.claims.len(), 1);
    assert!(guard.is_held());
    let reason = Some(v1::Refusal { reason: Some(Reason::LaterHold(8)), ..Default::default() });
    line.tell(Told::Revoked(v1::Revoked { request, reason }));
    let lost = in_time(guard.lost()).await;
    let Error::Revoked { reason: Refusal::LaterHold { token: 8 }, .. } = lost else {
        panic!("{lost:?}")
    };
    drop(line);

    let mut line = in_time(lines.recv()).await.unwrap();
    let Say::Resume(resume) = line.said().await else { panic!("it comes back again") };
    assert_eq!(resume.claims, []);
    line.tell(Told::Opened(v1::Opened { secret: Vec::new(), ..opened() }));
    assert!(!guard.is_held());
}

/// The server counts from when it heard the client, and may be slow to answer.
#[tokio::test]
async fn a_lease_is_over_for_its_client_when_it_is_for_a_server_that_answers_late() {
    let (address, mut lines) = fake().await;
    let lease = Duration::from_secs(3);
    let opened = v1::Opened { lease_ms: 3000, ..opened() };
    let mut heard = None;
    let late = async {
        heard = Some(Instant::now());
        sleep(lease / 3).await;
    };
    let (client, mut line) = connected(address, &mut lines, opened, late).await;
    let (guard, _) = locked(&client, &mut line).await;
    assert!(guard.is_held());
    sleep_until(heard.unwrap() + lease).await;
    assert!(!guard.is_held());
}
