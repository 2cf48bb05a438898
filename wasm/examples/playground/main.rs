//! Serves the playground: queues of ids, hand-offs and cancellation, as they happen in your browser.
//!
//! Run it by `wasm/run play`, which builds the module first; an argument names another port than
//! 8080. It listens on the loopback address only.

mod files;

use std::{env, io, net::TcpListener};

fn main() -> io::Result<()> {
    let port = env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .map_err(|error| io::Error::other(format!("cannot listen on port {port}: {error}")))?;
    println!("The playground is at http://{}/ (Ctrl-C ends it)", listener.local_addr()?);
    files::serve(&listener)
}
