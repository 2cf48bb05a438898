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
//! | to speak the protocol over something else than gRPC | [`dialogue`] |
//! | to write a client in another language | `proto/syncer/v1/syncer.proto`, or go-syncer's `pb.proto` |

#![cfg_attr(
    not(feature = "transport"),
    allow(dead_code, reason = "the client and the inspection use the rest of what is converted")
)]

#[cfg(feature = "transport")]
mod calls;
#[cfg(feature = "transport")]
mod client;
#[cfg(feature = "transport")]
mod compat;
#[cfg(feature = "transport")]
mod connection;
mod convert;
pub mod dialogue;
#[cfg(feature = "transport")]
mod error;
#[cfg(feature = "transport")]
mod go_duration;
#[cfg(feature = "transport")]
mod hub;
#[cfg(feature = "transport")]
mod outlet;
#[cfg(feature = "transport")]
mod pace;
#[cfg(feature = "transport")]
mod patience;
pub mod proto;
mod refusal;
#[cfg(feature = "transport")]
mod run;
#[cfg(feature = "transport")]
mod server;
#[cfg(feature = "transport")]
mod service;
#[cfg(feature = "transport")]
mod session;
#[cfg(feature = "transport")]
mod state;
#[cfg(all(test, feature = "transport"))]
mod wire_tests;

#[cfg(feature = "transport")]
#[doc = include_str!("../GUARANTEES.md")]
pub mod guarantees {}

/// The README's examples are tests.
#[cfg(all(doctest, feature = "transport"))]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(feature = "transport")]
pub use client::{Client, ClientOptions, Guard, Request, Transaction};
#[cfg(feature = "transport")]
pub use error::Error;
pub use lockcore::{
    Mode,
    manager::{Limits, Refusal, SessionId, Wait},
};
#[cfg(feature = "transport")]
pub use server::Server;
