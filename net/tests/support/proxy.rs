//! A line between clients and a server that can be cut, closed to newcomers, or go silent one way.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::in_time;

/// Which way what is sent gets lost, as in a network that lost its route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub to_server: bool,
    pub to_client: bool,
}

#[derive(Clone, Copy)]
struct Line {
    server: SocketAddr,
    /// Counts cuts: connections of before are closed.
    cuts: u64,
    refuses: bool,
    lost: Lost,
    /// Up to which connection things get lost.
    losing: u64,
    /// How many connections were passed on.
    connections: u64,
}

/// Passes connections on to a server, until told otherwise.
pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, losing, connections) = (0, 0, 0);
        let (refuses, lost) = (false, Lost::default());
        let line = Line { server, cuts, refuses, lost, losing, connections };
        let line = watch::Sender::new(line);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, line.clone()));
        Self { address, line, _tasks: tasks }
    }

    /// Loses from here on what is sent on the present connections, and closes nothing. Other
    /// connections are well.
    pub fn lose(&self, lost: Lost) {
        self.line.send_modify(|line| {
            line.lost = lost;
            line.losing = line.connections;
        });
    }

    /// Loses everything.
    pub fn silence(&self) {
        self.lose(Lost { to_server: true, to_client: true });
    }

    /// Connections from here on are passed on.
    pub fn mend(&self) {
        self.line.send_modify(|line| line.refuses = false);
    }

    /// Closes both sides of every connection.
    pub fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }

    /// Cuts, and closes other connections at once until mended.
    pub fn cut_for_good(&self) {
        self.line.send_modify(|line| line.refuses = true);
        self.cut();
    }

    /// Passes other connections on to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.line.send_modify(|line| line.server = server);
    }

    /// How many connections were passed on.
    pub fn connections(&self) -> u64 {
        self.line.borrow().connections
    }

    /// Waits until so many connections were passed on.
    pub async fn until_connections(&self, count: u64) {
        let mut line = self.line.subscribe();
        let _ = in_time(line.wait_for(|line| line.connections >= count)).await.unwrap();
    }

    /// Cuts, and waits until somebody has come back.
    pub async fn cut_and_come_back(&self) {
        let before = self.connections();
        self.cut();
        self.until_connections(before + 1).await;
    }
}

async fn accept(listener: TcpListener, line: watch::Sender<Line>) {
    let mut pipes = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        while pipes.try_join_next().is_some() {}
        let Line { server, cuts, refuses, .. } = *line.borrow();
        if refuses {
            continue;
        }
        let Ok(server) = TcpStream::connect(server).await else { continue };
        line.send_modify(|line| line.connections += 1);
        let number = line.borrow().connections;
        let born = (cuts, number);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (up, down) = (line.subscribe(), line.subscribe());
        pipes.spawn(async move {
            tokio::join!(
                pipe(from_client, to_server, up, born, |lost| lost.to_server),
                pipe(from_server, to_client, down, born, |lost| lost.to_client),
            );
        });
    }
}

/// Passes on what is read, until the end or a cut. A line that has lost something has no end.
async fn pipe(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
    (cuts, number): (u64, u64),
    is_lost: fn(Lost) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut silent = false;
    loop {
        let read = tokio::select! {
            biased;
            _ = line.wait_for(|line| line.cuts > cuts) => return,
            read = from.read(&mut buffer) => read,
        };
        let length = read.unwrap_or(0);
        silent |= number <= line.borrow().losing && is_lost(line.borrow().lost);
        if !silent && length > 0 && to.write_all(&buffer[..length]).await.is_ok() {
            continue;
        }
        if !silent {
            return;
        }
        if length == 0 {
            let _ = line.wait_for(|line| line.cuts > cuts).await;
            return;
        }
    }
}
