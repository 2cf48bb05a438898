//! The protocol of go-syncer: `pb.Syncer`.

use std::{sync::Arc, time::Duration};

use lockcore::manager::{Ask, Refusal};
use tonic::{Request, Response, Status};
use tracing::warn;

use crate::{
    go_duration,
    hub::{Closed, Hub, shutting_down},
    proto::pb::{LockRequest, Reply, syncer_server::Syncer},
    refusal,
};

/// The hold limit where a request names none that can be read.
const DEFAULT_HOLD_LIMIT: Duration = Duration::from_secs(30);

/// How many characters of a time-out are repeated in messages.
const SHOWN: usize = 64;

/// Answers go-syncer's clients.
#[derive(Debug)]
pub(crate) struct Compat {
    hub: Arc<Hub>,
}

impl Compat {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

#[tonic::async_trait]
impl Syncer for Compat {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<Reply>, Status> {
        let LockRequest { id, locktimeout } = request.into_inner();
        named(&id)?;
        let hold_limit = Some(hold_limit(&locktimeout)?);
        let call = self.hub.call(Ask { hold_limit, ..Ask::exclusive(&id) });
        let granted = call.map_err(|Closed| Status::from(shutting_down()))?.granted().await;
        match granted.map_err(|Closed| Status::from(shutting_down()))? {
            Ok(()) => Ok(ok()),
            Err(reason) => Err(refusal::status(&reason)),
        }
    }

    async fn unlock(&self, request: Request<LockRequest>) -> Result<Response<Reply>, Status> {
        let id = request.into_inner().id;
        named(&id)?;
        self.hub.unlock(&id);
        Ok(ok())
    }
}

fn ok() -> Response<Reply> {
    Response::new(Reply { message: "OK".to_owned() })
}

/// The original looks at the id before all else.
fn named(id: &str) -> Result<(), Status> {
    if id.is_empty() { Err(refusal::status(&Refusal::IdEmpty)) } else { Ok(()) }
}

fn hold_limit(text: &str) -> Result<Duration, Status> {
    let parsed = go_duration::parse(text);
    let text: String = text.chars().take(SHOWN).collect();
    let Some(nanos) = parsed else {
        warn!("locktimeout {text:?} is no duration: {DEFAULT_HOLD_LIMIT:?} is used");
        return Ok(DEFAULT_HOLD_LIMIT);
    };
    match u64::try_from(nanos) {
        Ok(nanos @ 1..) => Ok(Duration::from_nanos(nanos)),
        _ => {
            Err(Status::invalid_argument(format!("locktimeout {text:?} is not greater than zero")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_that_cannot_be_read_is_thirty_seconds() {
        for text in ["", "soon", "10", "9223372036854775808ns"] {
            assert_eq!(hold_limit(text).unwrap(), DEFAULT_HOLD_LIMIT, "{text}");
        }
        assert_eq!(hold_limit("1m0.5s").unwrap(), Duration::from_millis(60_500));
    }

    #[test]
    fn a_time_out_of_zero_or_less_is_refused() {
        for text in ["0", "0s", "-1s", "-0.5h", "0.1ns"] {
            let status = hold_limit(text).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().contains(text), "{status}");
        }
        let status = hold_limit(&format!("-{}1s", "0".repeat(100_000))).unwrap_err();
        assert!(status.message().len() < 2 * SHOWN, "{status}");
    }
}
