//! [`Error`]: what can go wrong, and whose fault it is.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use lockcore::manager::Refusal;

/// What can go wrong between a client and a server.
#[derive(Clone, Debug, thiserror::Error)]
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
        /// What the connection died of; `None` if there was no answer in time.
        source: Option<Arc<tonic::transport::Error>>,
    },
    /// The server answers, but opens no session. Try again later; nothing is held.
    #[error("the server at {address} opens no session: {}", .source.message())]
    Open {
        /// Where.
        address: Box<str>,
        /// Its answer.
        source: Box<tonic::Status>,
    },
    /// The server refuses the request; the reason says what to do. Nothing is held by it.
    #[error("{id:?} is refused: {reason}")]
    Refused {
        /// The id that was asked for.
        id: Box<str>,
        /// Why.
        reason: Refusal,
    },
    /// The server refuses the request for a reason that this client does not know. Update the client;
    /// nothing is held by the request.
    #[error("{id:?} is refused: {message}")]
    RefusedOtherwise {
        /// The id that was asked for.
        id: Box<str>,
        /// What the server says.
        message: Box<str>,
    },
    /// The server could not be heard for the length of the lease, or has forgotten the session: all
    /// that was held is lost and all that was waited for is given up. Ask again: that opens another
    /// session.
    #[error("the session has expired: all that it held is lost")]
    SessionExpired,
    /// The server or its administrator ended the session, or somebody else has taken it over: all that
    /// was held is lost and all that was waited for is given up. If the reason does not speak against
    /// it, ask again: that opens another session.
    #[error("the session was ended: {reason}")]
    SessionEnded {
        /// Why.
        reason: Refusal,
    },
    /// The client was closed, or the runtime that it was made in has ended: nothing is held. Make
    /// another one.
    #[error("the client is closed")]
    Closed,
    /// The server could not be told that the client is closed: it releases what was held when the lease
    /// ends.
    #[error("the server could not be told that the client is closed; it finds out by the lease")]
    NotToldClosed,
    /// The server does not answer a question about an id. All that is held and waited for goes on.
    #[error("the server does not say: {}", .source.message())]
    Unanswered {
        /// Its answer.
        source: Box<tonic::Status>,
    },
    /// The hold had ended before it was unlocked: by its limit, or by an administrator.
    #[error("the hold of {id:?} ended before it was unlocked: {reason}")]
    Revoked {
        /// The id.
        id: Box<str>,
        /// Why.
        reason: Refusal,
    },
    /// The server cannot listen at the address: the port is in use, or not allowed.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The server failed while it served.
    #[error("the server failed")]
    Serve(#[source] Arc<tonic::transport::Error>),
    /// The state directory cannot be read or written. Mend that; nobody was served.
    #[error("the state at {} cannot be used", .path.display())]
    State {
        /// The file or directory.
        path: Box<Path>,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Another server uses the state directory. Stop it, or give this one a directory of its own.
    #[error("the state directory {} is another server's, which runs", .path.display())]
    StateInUse {
        /// The directory.
        path: Box<Path>,
    },
    /// The state file is not as a server writes it. Restore it; or, once no client of earlier runs
    /// believes to hold anything, and if tokens may begin anew, remove it.
    #[error("the state file {} is damaged: it is not as a server writes it", .path.display())]
    StateDamaged {
        /// The file.
        path: Box<Path>,
    },
    /// The server was started as often as it can be with this state directory: 1,048,576 times.
    #[error("the state directory {} has no numbers for one more start", .path.display())]
    StateUsedUp {
        /// The directory.
        path: Box<Path>,
    },
    /// The descriptors of the protocol are broken, so the server cannot describe itself.
    #[error("the descriptors of the protocol are broken")]
    Descriptors(#[source] Arc<tonic_reflection::server::Error>),
}
