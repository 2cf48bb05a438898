//! [`Server`]: all services on one port.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use lockcore::manager::Limits;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_stream::StreamExt;
use tonic::{
    Request, Response, Status, Streaming,
    transport::server::{Router, TcpIncoming},
};
use tracing::warn;

use crate::{
    Error,
    compat::Compat,
    convert,
    hub::Hub,
    proto::{
        self,
        pb::syncer_server::SyncerServer,
        v1::{
            ClientMessage, StatusReply, StatusRequest,
            locks_server::{Locks, LocksServer},
        },
    },
    session::SessionStream,
};

/// How long a stopping server waits for streams that no lock is about: health watches and the like.
const GRACE: Duration = Duration::from_secs(2);

/// How many calls of a connection may be cancelled before they are looked at: more end the connection.
const PENDING_RESETS: usize = 100_000;

/// How long a server that cannot accept waits for others to go: it has no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A lock server: sessions, go-syncer's protocol, health and reflection on one port.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), lockcore_net::Error> {
/// use lockcore_net::{Client, Server};
///
/// let listener = Server::listen("127.0.0.1:0".parse().unwrap()).await?;
/// let address = listener.local_addr().unwrap();
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let server = tokio::spawn(Server::new().serve(listener, async { drop(stopped.await) }));
///
/// let client = Client::connect(&format!("http://{address}")).await?;
/// client.lock("payment-123").await?.unlock().await?;
///
/// drop(stop);
/// server.await.unwrap()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    limits: Limits,
    keep_alive: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self { limits: Limits::default(), keep_alive: Duration::from_secs(10) }
    }
}

impl Server {
    /// A server with default limits that pings silent peers after 10 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what clients may ask for at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets after how long a silence a peer is pinged, and how long it has to answer. So a peer that
    /// is cut off is found, and what it holds released, within twice this time. A connection over which no peer
    /// ever spoke HTTP/2 holds nothing, and stays.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Listens at an address; port 0 picks a free one.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the port is in use or not allowed.
    pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
        TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
    }

    /// Serves until `shutdown` is ready; all sessions and waiting calls then end at once with
    /// UNAVAILABLE.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends all sessions and waiting calls, too, and closes no connection.
    ///
    /// # Errors
    ///
    /// [`Error::Serve`] if the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let hub = Hub::new(self.limits);
        let router = self.router(&hub).await?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).then(pause_if_failed);
        let _shut_down = ShutDown(&hub);
        let stopping = Notify::new();
        let stop = async {
            shutdown.await;
            hub.shut_down();
            stopping.notify_one();
        };
        let grace = async {
            stopping.notified().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = router.serve_with_incoming_shutdown(incoming, stop) => served.map_err(Error::Serve),
            () = grace => Ok(()),
            () = hub.tick() => unreachable!("the clock ticks for good"),
        }
    }

    async fn router(&self, hub: &Arc<Hub>) -> Result<Router, Error> {
        type Sessions = LocksServer<SessionService>;
        type Calls = SyncerServer<Compat>;
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<Sessions>().await;
        health.set_serving::<Calls>().await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let router = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(self.keep_alive))
            .http2_keepalive_timeout(Some(self.keep_alive))
            // A caller that waits must not keep the one who unlocks from calling.
            .max_concurrent_streams(u32::MAX)
            // Callers with short deadlines must not end the calls of others on their connection.
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
            .add_service(Sessions::new(SessionService(hub.clone())))
            .add_service(Calls::new(Compat::new(hub.clone())))
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(Error::Descriptors)?)
            .add_service(reflection().build_v1alpha().map_err(Error::Descriptors)?);
        Ok(router)
    }
}

/// Without its clock, a hub must serve nobody.
struct ShutDown<'a>(&'a Hub);

impl Drop for ShutDown<'_> {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

async fn pause_if_failed(accepted: io::Result<TcpStream>) -> io::Result<TcpStream> {
    if let Err(error) = &accepted {
        warn!("cannot accept a connection: {error}");
        tokio::time::sleep(ACCEPT_AGAIN).await;
    }
    accepted
}

/// Answers `syncer.v1.Locks`.
struct SessionService(Arc<Hub>);

#[tonic::async_trait]
impl Locks for SessionService {
    type SessionStream = SessionStream;

    async fn session(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<SessionStream>, Status> {
        Ok(Response::new(SessionStream::new(self.0.clone(), request.into_inner())))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        let status = self.0.status(&request.into_inner().id);
        Ok(Response::new(convert::id_status(status)))
    }
}
