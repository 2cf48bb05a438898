//! [`Server`]: all services on one port.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use lockcore::manager::Limits;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_stream::StreamExt;
use tonic::transport::server::{Router, TcpIncoming};
use tracing::{info, warn};

use crate::{
    Error,
    compat::Compat,
    connection::Connection,
    hub::{Hub, UNREAD},
    proto::{self, MESSAGE_BYTES, pb::syncer_server::SyncerServer, v1::locks_server::LocksServer},
    service::LocksService,
    state::{State, StateDir},
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
    state_dir: Option<PathBuf>,
    pace: Option<NonZeroU32>,
    patience: Duration,
    unread: usize,
}

impl Default for Server {
    fn default() -> Self {
        let keep_alive = Duration::from_secs(10);
        let (patience, limits) = (Duration::from_secs(30), Limits::default());
        Self { limits, keep_alive, state_dir: None, pace: None, patience, unread: UNREAD }
    }
}

impl Server {
    /// A server with default limits that pings silent peers after 10 s and whose locks do not survive
    /// it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what clients may ask for at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets after how long a silence a peer is pinged, and how long it has to answer. So a connection
    /// whose peer is gone is found and closed within twice this time; what its session holds lives as
    /// long as the lease. One over which no peer ever spoke HTTP/2 stays.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Sets how many messages of a stream are read in a second, its keep-alives included: those beyond
    /// wait unread. A stream that rested may send those of a tenth of a second at once, and at least one.
    /// Each claim counts as a message; those that come in one message are read together, and what follows
    /// waits for a tenth of a second at most, so that keep-alives are heard in time. A stream may be read
    /// as fast as it comes unless this is set.
    #[must_use]
    pub fn pace(mut self, per_second: NonZeroU32) -> Self {
        self.pace = Some(per_second);
        self
    }

    /// Sets how long a stream has to open or resume a session before it ends with DEADLINE_EXCEEDED, and
    /// how long a peer may read nothing of a stream that has more to say before its connection is closed,
    /// which then happens within twice this time: 30 s unless it is set. Sessions have what is left of
    /// their leases to come back.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Sets how many bytes may wait to be read by clients, over all sessions: 256 MiB unless it is set.
    /// Beyond that, the streams for which most waits end with RESOURCE_EXHAUSTED; their sessions have what
    /// is left of their leases to come back.
    #[must_use]
    pub fn unread(mut self, bytes: usize) -> Self {
        self.unread = bytes;
        self
    }

    /// Sets where the server keeps what a restart has to know, in a directory of its own: which run this
    /// is, and the longest lease. A server that is killed and started again on the same directory loses
    /// no lock of a session.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// Listens at an address; port 0 picks a free one.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the port is in use or not allowed.
    pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
        TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen { address, source: Arc::new(source) })
    }

    /// Serves until `shutdown` is ready; all streams and waiting calls then end at once. With a state
    /// directory, sessions go on with the server that is started next; without one, their clients are
    /// told that they are over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends all streams and waiting calls, too, and closes no connection.
    ///
    /// # Errors
    ///
    /// [`Error::State`], [`Error::StateInUse`], [`Error::StateDamaged`] or [`Error::StateUsedUp`] if
    /// the state directory cannot be used: nobody was served. [`Error::Serve`] if the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let state = self.open_state().await?;
        let hub = Hub::new(self.limits, self.unread, state);
        if let Ok(address) = listener.local_addr() {
            info!("listening on {address}");
        }
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
        let settled = async {
            hub.clone().settle().await;
            pending::<()>().await;
        };
        tokio::select! {
            served = router.serve_with_incoming_shutdown(incoming, stop) => served.map_err(|error| Error::Serve(Arc::new(error))),
            () = grace => Ok(()),
            () = hub.tick() => unreachable!("the clock ticks for good"),
            () = settled => unreachable!("it rests"),
        }
    }

    async fn open_state(&self) -> Result<Option<(StateDir, Option<State>)>, Error> {
        let Some(path) = self.state_dir.clone() else {
            warn!(
                "there is no state directory: if this server stops, its locks are lost, and after a \
                 restart ids may be given away while their holders believe that they hold, by tokens \
                 that were given before"
            );
            return Ok(None);
        };
        let open = tokio::task::spawn_blocking(move || StateDir::open(&path));
        let (dir, before) = open.await.expect("opening a directory does not panic")?;
        let window = before.map_or(Duration::ZERO, |before| before.longest_lease);
        if !window.is_zero() {
            info!("clients of earlier runs may come back; nobody has a turn for {window:?}");
        }
        Ok(Some((dir, before)))
    }

    async fn router(&self, hub: &Arc<Hub>) -> Result<Router, Error> {
        type Sessions = LocksServer<LocksService>;
        type Calls = SyncerServer<Compat>;
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<Sessions>().await;
        health.set_serving::<Calls>().await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let (pace, patience) = (self.pace, self.patience);
        let sessions = Sessions::new(LocksService { hub: hub.clone(), pace, patience })
            .max_decoding_message_size(MESSAGE_BYTES.saturating_add(self.limits.id_bytes));
        let broken = |error| Error::Descriptors(Arc::new(error));
        let router = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(self.keep_alive))
            .http2_keepalive_timeout(Some(self.keep_alive))
            // A caller that waits must not keep the one who unlocks from calling.
            .max_concurrent_streams(u32::MAX)
            // Callers with short deadlines must not end the calls of others on their connection.
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
            .add_service(sessions)
            .add_service(Calls::new(Compat::new(hub.clone())))
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(broken)?)
            .add_service(reflection().build_v1alpha().map_err(broken)?);
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

async fn pause_if_failed(accepted: io::Result<TcpStream>) -> io::Result<Connection> {
    if let Err(error) = &accepted {
        warn!("cannot accept a connection: {error}");
        tokio::time::sleep(ACCEPT_AGAIN).await;
    }
    accepted.map(Connection::new)
}
