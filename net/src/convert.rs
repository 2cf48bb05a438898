//! Between the words of the protocol and those of the manager: one function each way.

use std::time::Duration;

use lockcore::{
    Mode, Status as IdStatus,
    manager::{Ask, Outcome, Refusal},
};
use tonic::Status;

use crate::proto::v1::{self, server_message::Message};

pub(crate) fn ask(lock: &v1::Lock) -> Ask<'_> {
    Ask {
        id: &lock.id,
        mode: match lock.mode() {
            v1::Mode::Exclusive => Mode::Exclusive,
            v1::Mode::Shared => Mode::Shared,
        },
        wait_limit: lock.wait_limit_ms.map(Duration::from_millis),
        hold_limit: lock.hold_limit_ms.map(Duration::from_millis),
    }
}

pub(crate) fn id_status(status: Option<IdStatus>) -> v1::StatusReply {
    let Some(IdStatus { mode, holders, waiting, .. }) = status else {
        return v1::StatusReply::default();
    };
    let mode = match mode {
        Mode::Exclusive => v1::Mode::Exclusive,
        Mode::Shared => v1::Mode::Shared,
    };
    v1::StatusReply { mode: mode.into(), holders: holders as u64, waiting: waiting as u64 }
}

/// What a session's client is told; `None` for what is of interest to logs only.
pub(crate) fn outcome(request: u64, outcome: Outcome) -> Option<Message> {
    Some(match outcome {
        Outcome::Granted { token, .. } => Message::Granted(v1::Granted { request, token }),
        Outcome::Released { .. } => Message::Released(v1::Released { request }),
        Outcome::Revoked { .. } => Message::Revoked(v1::Revoked { request }),
        Outcome::Refused(refusal) => Message::Refused(v1::Refused {
            request,
            reason: reason(&refusal).into(),
            message: refusal.to_string(),
        }),
        Outcome::Queued { .. } => return None,
    })
}

fn reason(refusal: &Refusal) -> v1::Reason {
    match refusal {
        Refusal::IdEmpty => v1::Reason::IdEmpty,
        Refusal::IdTooLong { .. } => v1::Reason::IdTooLong,
        Refusal::RequestInUse => v1::Reason::RequestInUse,
        Refusal::TooManyRequests { .. } => v1::Reason::TooManyRequests,
        Refusal::Busy => v1::Reason::Busy,
        Refusal::WaitLimit { .. } => v1::Reason::WaitLimit,
        Refusal::Cancelled => v1::Reason::Cancelled,
        Refusal::NotHeld => v1::Reason::NotHeld,
        Refusal::WrongToken { .. } => v1::Reason::WrongToken,
    }
}

/// A refusal as the status of a go-syncer call. The original answers an empty id with UNKNOWN.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::IdEmpty => tonic::Code::Unknown,
        Refusal::IdTooLong { .. } => tonic::Code::InvalidArgument,
        Refusal::TooManyRequests { .. } => tonic::Code::ResourceExhausted,
        Refusal::Cancelled => tonic::Code::Cancelled,
        Refusal::Busy | Refusal::WaitLimit { .. } => tonic::Code::DeadlineExceeded,
        Refusal::RequestInUse | Refusal::NotHeld | Refusal::WrongToken { .. } => {
            tonic::Code::FailedPrecondition
        }
    };
    Status::new(code, refusal.to_string())
}
