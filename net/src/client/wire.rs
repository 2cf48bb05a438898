//! The way to the server: connections, and the first messages on them.

use std::{sync::Arc, time::Duration};

use lockcore::manager::Refusal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::shared::{OfSession, Shared};
use crate::{
    Error,
    proto::v1::{self, locks_client::LocksClient},
    refusal,
};

/// After how long a silence a server that answers a question is pinged, and how long it has to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) type Inbound = Streaming<v1::ServerMessage>;

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) struct Address {
    text: Box<str>,
    endpoint: Endpoint,
}

/// Why there is no connection to a session.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be there the next time.
    Passing(Error),
    /// The session is over.
    Over(Error),
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(text.to_owned()).ok();
        let endpoint = endpoint.filter(|endpoint| endpoint.uri().scheme_str() == Some("http"));
        let endpoint = endpoint
            .ok_or_else(|| Error::Address { address: text.into() })?
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .tcp_nodelay(true);
        Ok(Self { text: text.into(), endpoint })
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> Result<LocksClient<Channel>, Error> {
        let connected = self.endpoint.connect().await;
        let connected = connected.map_err(|source| self.nobody(Some(source)))?;
        // A circle of waits has no limit. One that is not taken in would be told again and again.
        Ok(LocksClient::new(connected).max_decoding_message_size(usize::MAX))
    }

    /// The error of a server that does not answer.
    pub(super) fn nobody(&self, source: Option<tonic::transport::Error>) -> Error {
        Error::Connect { address: self.text.clone(), source: source.map(Arc::new) }
    }

    /// Begins a stream with these messages, the first of which opens or resumes a session. Answers to
    /// claims come before it is open, and are passed on.
    pub(super) async fn begin(
        &self,
        mut client: LocksClient<Channel>,
        messages: mpsc::UnboundedReceiver<v1::ClientMessage>,
        shared: &Shared,
    ) -> Result<(v1::Opened, Inbound), Failure> {
        let failed = |status| Failure::Passing(self.not_opened(status));
        let stream = client.session(UnboundedReceiverStream::new(messages)).await;
        let mut inbound = stream.map_err(failed)?.into_inner();
        while let Some(told) = inbound.message().await.map_err(failed)? {
            match told.message.and_then(|told| shared.answered(told)) {
                Some(OfSession::Opened(opened)) => return Ok((opened, inbound)),
                Some(OfSession::Ended(reason)) => return Err(self.ended(reason)),
                Some(OfSession::KeptAlive(_)) | None => {}
            }
        }
        Err(failed(Status::internal("the stream ends before the session is open")))
    }

    fn ended(&self, reason: Option<v1::Refusal>) -> Failure {
        match refusal::from_message(reason) {
            Ok(reason @ Refusal::TooManySessions { .. }) => {
                Failure::Passing(self.not_opened(refusal::status(&reason)))
            }
            reason => Failure::Over(session_over(reason)),
        }
    }

    fn not_opened(&self, source: Status) -> Error {
        Error::Open { address: self.text.clone(), source: source.into() }
    }
}

/// The error of a session that the server has ended.
pub(super) fn session_over(reason: Result<Refusal, Box<str>>) -> Error {
    match reason {
        Ok(Refusal::SessionExpired { .. }) => Error::SessionExpired,
        Ok(reason) => Error::SessionEnded { reason },
        Err(message) => {
            let reason = Refusal::Administrator { note: (*message).into() };
            Error::SessionEnded { reason }
        }
    }
}
