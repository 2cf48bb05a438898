//! `syncer`: the lock server.

use std::{
    env,
    error::Error as _,
    ffi::{OsStr, OsString},
    future::{Future, pending},
    io::{self, IsTerminal},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use lockcore_net::{Error, Limits, Server};
use tracing::{info, level_filters::LevelFilter, warn};
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Serves locks by id: whoever locks the same id takes turns, in order of arrival.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 9999)]
    port: u16,

    /// Address to listen at; 0.0.0.0 for all networks of this machine
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// Log every hand-off and the length of the queue
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false)]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    debug: bool,

    /// Directory for what a restart has to know; this server's alone. With it, a server that is killed
    /// and started again loses no lock
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Messages of one stream, and claims, that are read in a second; those beyond wait unread, but for
    /// those of a tenth of a second after a rest [default: no limit]
    #[arg(long, value_name = "COUNT")]
    max_rate: Option<NonZeroU32>,

    /// How long a stream has to open or resume a session, and a peer may read nothing of what it is told:
    /// then its connection is closed, within twice this time [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    patience: Option<Duration>,

    /// Bytes that wait to be read by clients, over all sessions; beyond them, those who read least are
    /// cut off [default: 256 MiB]
    #[arg(long, value_name = "COUNT")]
    max_unread_bytes: Option<usize>,

    #[command(flatten)]
    limits: LimitFlags,

    /// What to log: error, warning, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    log_level: LevelFilter,
}

/// What clients may ask for at most.
#[derive(Debug, clap::Args)]
struct LimitFlags {
    /// Shortest lease: shorter ones are raised to it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    min_lease: Duration,

    /// Longest lease: longer ones are cut to it. So long may it take after a restart until there are
    /// turns again
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    max_lease: Duration,

    /// Sessions, connected or not
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().sessions)]
    max_sessions: usize,

    /// Ids in use
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().ids)]
    max_ids: usize,

    /// Bytes of an id
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().id_bytes)]
    max_id_bytes: usize,

    /// Ids that one request may name
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().ids_per_request)]
    max_ids_per_request: usize,

    /// Requests that wait, over all sessions
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().waiters)]
    max_waiters: usize,

    /// Requests of a session, waiting and holding
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().requests_per_session)]
    max_requests_per_session: usize,

    /// Requests of a session that wait
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().waiters_per_session)]
    max_waiters_per_session: usize,
}

impl LimitFlags {
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.shortest_lease = self.min_lease;
        limits.longest_lease = self.max_lease;
        limits.sessions = self.max_sessions;
        limits.ids = self.max_ids;
        limits.id_bytes = self.max_id_bytes;
        limits.ids_per_request = self.max_ids_per_request;
        limits.waiters = self.max_waiters;
        limits.requests_per_session = self.max_requests_per_session;
        limits.waiters_per_session = self.max_waiters_per_session;
        limits
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse_from(env::args_os().map(double_dash));
    let level = if arguments.debug { LevelFilter::DEBUG } else { arguments.log_level };
    // Nobody waits for a log that is read slowly, or not at all: lines are dropped then.
    let (log, _flushes_at_the_end) = tracing_appender::non_blocking(io::stderr());
    // The frames of HTTP/2 would bury the hand-offs.
    let ours = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_targets([("lockcore_net", level), ("syncer", level)]);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(log)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syncer: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Error> {
    let address = SocketAddr::new(arguments.host, arguments.port);
    let mut server = Server::new().limits(arguments.limits.limits());
    if let Some(limit) = arguments.patience {
        server = server.patience(limit);
    }
    if let Some(bytes) = arguments.max_unread_bytes {
        server = server.unread(bytes);
    }
    if let Some(dir) = arguments.state_dir {
        server = server.state_dir(dir);
    }
    if let Some(per_second) = arguments.max_rate {
        server = server.pace(per_second);
    }
    let listener = Server::listen(address).await?;
    let address = listener.local_addr().unwrap_or(address);
    if !address.ip().is_loopback() {
        warn!(
            "whoever reaches {address} can lock, and read what is sent: there is no TLS and no login"
        );
    }
    let stop = stop_signal();
    server.serve(listener, stop).await
}

/// Listens for signals from this call on; resolves when the process is asked to stop.
fn stop_signal() -> impl Future<Output = ()> {
    let terminated = terminated();
    async {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => if let Err(error) = interrupted {
                warn!("interrupts cannot be caught: {error}");
                pending::<()>().await;
            },
            () = terminated => {}
        }
        info!("stopping");
    }
}

#[cfg(unix)]
fn terminated() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    async {
        match terminate {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(error) => {
                warn!("SIGTERM cannot be caught: {error}");
                pending().await
            }
        }
    }
}

#[cfg(not(unix))]
fn terminated() -> impl Future<Output = ()> {
    pending()
}

/// go-syncer takes its flags with one dash, too.
fn double_dash(argument: OsString) -> OsString {
    const FLAGS: [&str; 4] = ["-port", "-host", "-debug", "-log-level"];
    let text = argument.to_string_lossy();
    let flag = text.split('=').next().unwrap_or_default();
    if !FLAGS.contains(&flag) {
        return argument;
    }
    [OsStr::new("-"), &argument].into_iter().collect()
}

fn level(text: &str) -> Result<LevelFilter, &'static str> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warning" | "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        _ => Err("use error, warning, info or debug"),
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
