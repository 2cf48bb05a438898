//! Locks by id across machines: a gRPC server and client over [`lockcore`].
//!
//! ```no_run
//! # async fn example() -> Result<(), lockcore_net::Error> {
//! let client = lockcore_net::Client::connect("http://127.0.0.1:9999").await?;
//! let guard = client.lock("payment-123").await?;
//! // everybody else who locks "payment-123", on any machine, waits in order of arrival
//! guard.unlock().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | you want | use |
//! |---|---|
//! | to lock | [`Client`] |
//! | to serve | the binary `syncer`, or [`Server`] |
//! | to know what holds when things break | [`guarantees`] |
//! | to write a client in another language | `proto/syncer/v1/syncer.proto`, or go-syncer's `pb.proto` |

mod calls;
mod client;
mod compat;
mod connection;
mod convert;
pub mod dialogue;
mod error;
mod go_duration;
mod hub;
mod outlet;
mod pace;
mod patience;
pub mod proto;
mod refusal;
mod server;
mod service;
mod session;
mod state;
#[cfg(test)]
mod wire_tests;

#[doc = include_str!("../GUARANTEES.md")]
pub mod guarantees {}

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use client::{Client, ClientOptions, Guard, Request, Transaction};
pub use error::Error;
pub use lockcore::{
    Mode,
    manager::{Limits, Refusal, SessionId, Wait},
};
pub use server::Server;
