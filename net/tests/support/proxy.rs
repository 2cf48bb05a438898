//! A connection between client and server that can be cut or go silent.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// Takes what is sent and passes nothing on, as a network that lost its route.
    Silent,
    /// Closed on both sides.
    Cut,
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
        let (line, state) = watch::channel(Line::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                pipes.spawn(pipe(from_client, to_server, state.clone()));
                pipes.spawn(pipe(from_server, to_client, state.clone()));
            }
        });
        Self { address, line, _tasks: tasks }
    }

    /// Passes nothing on any more, in either direction, and closes nothing.
    pub fn silence(&self) {
        self.line.send_replace(Line::Silent);
    }

    /// Closes both sides of every connection.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }
}

async fn pipe(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    while open {
        let read = tokio::select! {
            biased;
            _ = line.wait_for(|line| *line == Line::Cut) => return,
            read = from.read(&mut buffer) => read,
        };
        let length = read.unwrap_or(0);
        if *line.borrow() == Line::Open {
            open = length > 0 && to.write_all(&buffer[..length]).await.is_ok();
        } else if length == 0 {
            let _ = line.wait_for(|line| *line == Line::Cut).await;
        }
    }
}
