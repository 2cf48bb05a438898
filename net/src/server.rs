//! [`Server`]: all services on one port.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use lockcore::manager::Limits;
use tokio::{net::TcpListener, sync::Notify};
use tonic::{
    Request, Response, Status, Streaming,
    transport::server::{Router, TcpIncoming},
};

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
    /// is cut off is found, and what it holds released, within twice this time.
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
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
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
            .add_service(Sessions::new(SessionService(hub.clone())))
            .add_service(Calls::new(Compat::new(hub.clone())))
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(Error::Descriptors)?)
            .add_service(reflection().build_v1alpha().map_err(Error::Descriptors)?);
        Ok(router)
    }
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
