//! A client of go-syncer's own protocol, `pb.Syncer`, as any language can generate one: existing
//! clients of go-syncer work with this server as they are.
//!
//! Run it: `cargo run --release -- --port 9999`, and in another terminal
//! `cargo run --example go_syncer_client` (or with another address behind `--`).

use std::{env, error::Error};

use lockcore_net::proto::pb::{LockRequest, syncer_client::SyncerClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:9999".to_owned());
    let mut syncer = SyncerClient::connect(address).await?;
    let request = LockRequest { id: "123".to_owned(), locktimeout: "10s".to_owned() };

    let reply = syncer.lock(request.clone()).await?.into_inner();
    println!("lock 123: {}", reply.message);

    let reply = syncer.unlock(request).await?.into_inner();
    println!("unlock 123: {}", reply.message);

    let empty = LockRequest { id: String::new(), locktimeout: String::new() };
    let status = syncer.lock(empty).await.expect_err("an empty id is refused");
    println!("lock without an id: {}", status.message());
    Ok(())
}
