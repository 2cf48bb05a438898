//! A payment service of which any number of processes may run: all requests for one payment, over
//! all processes, are served one at a time and in the order in which they reached the lock server.
//!
//! Run it: `cargo run --release -- --port 9999`, and in other terminals
//! `cargo run --example payment -- --port 8001` and `cargo run --example payment -- --port 8002`.
//! Then: `curl 'http://127.0.0.1:8001/payment?payment_id=123'`, a few times at once, on both ports.

use std::{error::Error, process::ExitCode, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    routing::get,
};
use clap::Parser;
use lockcore_net::Client;
use serde::Deserialize;
use tokio::net::TcpListener;

/// Serves `GET /payment?payment_id=…`.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 8001)]
    port: u16,
    /// Address of the lock server
    #[arg(long, default_value = "http://127.0.0.1:9999")]
    syncer: String,
    /// How long a payment takes, in milliseconds
    #[arg(long, default_value_t = 1000)]
    work: u64,
}

#[derive(Deserialize)]
struct Payment {
    payment_id: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("payment: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let Arguments { port, syncer: address, work } = Arguments::parse();
    let client = Client::connect(&address).await?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let state = (client, Duration::from_millis(work));
    let app = Router::new().route("/payment", get(pay)).with_state(state);
    Ok(axum::serve(listener, app).await?)
}

async fn pay(
    State((client, work)): State<(Client, Duration)>,
    Query(Payment { payment_id: id }): Query<Payment>,
) -> Result<String, (StatusCode, String)> {
    let guard = client.lock(&id).await.map_err(failed)?;
    println!("begins {id} {}", guard.token());
    tokio::time::sleep(work).await;
    println!("ends {id} {}", guard.token());
    let answer = format!("payment {id} is done, turn {}\n", guard.token());
    guard.unlock().await.map_err(failed)?;
    Ok(answer)
}

fn failed(error: lockcore_net::Error) -> (StatusCode, String) {
    let bad_id = matches!(error, lockcore_net::Error::Refused { .. });
    let status = if bad_id { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, error.to_string())
}
