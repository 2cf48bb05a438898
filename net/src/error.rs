//! [`Error`]: what can go wrong, and whose fault it is.

use std::{io, net::SocketAddr};

use crate::proto::v1::Reason;

/// What can go wrong between a client and a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the server is none, or begins with anything but `http://`: there is no TLS.
    /// Mend it; nothing was sent.
    #[error("{address:?} is no address of a server, such as http://127.0.0.1:9999")]
    Address {
        /// What was given.
        address: Box<str>,
    },
    /// No server answers at the address. Start one, or try again later; nothing is held.
    #[error("no server answers at {address}")]
    Connect {
        /// Where.
        address: Box<str>,
        /// What the connection died of.
        source: tonic::transport::Error,
    },
    /// The server answers, but opens no session. Nothing is held.
    #[error("the server at {address} opens no session: {}", .source.message())]
    Open {
        /// Where.
        address: Box<str>,
        /// Its answer.
        source: Box<tonic::Status>,
    },
    /// The server refused the request; the reason says what to do. Nothing is held by it.
    #[error("{id:?} is refused: {message}")]
    Refused {
        /// The id that was asked for.
        id: Box<str>,
        /// Why, for programs.
        reason: Reason,
        /// Why, for people: with the value and the limit.
        message: Box<str>,
    },
    /// The connection to the server is gone, and with it all that was held and waited for.
    /// Connect again.
    #[error("the connection to the server is gone")]
    Disconnected {
        /// What it died of, if the server or the transport said so.
        source: Option<Box<tonic::Status>>,
    },
    /// The server does not answer a question about an id. All that is held and waited for goes on.
    #[error("the server does not say: {}", .source.message())]
    Unanswered {
        /// Its answer.
        source: Box<tonic::Status>,
    },
    /// The hold had ended before it was unlocked, because its hold limit passed.
    #[error("the hold of {id:?} ended before it was unlocked: its hold limit passed")]
    Revoked {
        /// The id.
        id: Box<str>,
    },
    /// The server cannot listen at the address: the port is in use, or not allowed.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The server failed while it served.
    #[error("the server failed")]
    Serve(#[source] tonic::transport::Error),
    /// The descriptors of the protocol are broken, so the server cannot describe itself.
    #[error("the descriptors of the protocol are broken")]
    Descriptors(#[source] tonic_reflection::server::Error),
}
