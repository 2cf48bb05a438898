//! Between the words of the protocol and those of the manager: one function each way.

use std::time::Duration;

use lockcore::{
    Mode, Status as IdStatus,
    manager::{Ask, Outcome, Refusal},
};
use tonic::Status;

use crate::proto::v1::{self, server_message::Message};

pub(crate) fn ask(lock: &v1::Lock) -> Result<Ask<'_>, Status> {
    let mode = match v1::Mode::try_from(lock.mode) {
        Ok(v1::Mode::Exclusive) => Mode::Exclusive,
        Ok(v1::Mode::Shared) => Mode::Shared,
        Err(_) => return Err(Status::invalid_argument(format!("mode {} is unknown", lock.mode))),
    };
    Ok(Ask {
        id: &lock.id,
        mode,
        wait_limit: lock.wait_limit_ms.map(Duration::from_millis),
        hold_limit: lock.hold_limit_ms.map(Duration::from_millis),
        owner: None,
    })
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
        Refusal::RequestInUse { .. } => v1::Reason::RequestInUse,
        Refusal::TooManyRequests { .. } => v1::Reason::TooManyRequests,
        Refusal::Busy => v1::Reason::Busy,
        Refusal::WaitLimit { .. } => v1::Reason::WaitLimit,
        Refusal::Cancelled => v1::Reason::Cancelled,
        Refusal::NotHeld { .. } => v1::Reason::NotHeld,
        Refusal::WrongToken { .. } => v1::Reason::WrongToken,
        Refusal::TooManySessions { .. } => v1::Reason::TooManySessions,
        Refusal::TooManyIds { .. } => v1::Reason::TooManyIds,
        Refusal::TooManyWaiters { .. } => v1::Reason::TooManyWaiters,
        Refusal::TooManyWaitersOfSession { .. } => v1::Reason::TooManyWaitersOfSession,
        Refusal::Recovering { .. } => v1::Reason::Recovering,
        Refusal::HoldLimit { .. } => v1::Reason::HoldLimit,
        Refusal::LaterHold { .. } => v1::Reason::LaterHold,
        Refusal::TokenNotGiven { .. } => v1::Reason::TokenNotGiven,
        Refusal::SessionExpired { .. } => v1::Reason::SessionExpired,
        Refusal::Stale { .. } => v1::Reason::Stale,
        Refusal::Administrator { .. } => v1::Reason::Administrator,
        Refusal::Deadlock { .. } => v1::Reason::Deadlock,
    }
}

/// A refusal as the status of a go-syncer call. The original answers an empty id with UNKNOWN.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::IdEmpty => tonic::Code::Unknown,
        Refusal::IdTooLong { .. } => tonic::Code::InvalidArgument,
        Refusal::TooManySessions { .. }
        | Refusal::TooManyIds { .. }
        | Refusal::TooManyWaiters { .. }
        | Refusal::TooManyRequests { .. }
        | Refusal::TooManyWaitersOfSession { .. } => tonic::Code::ResourceExhausted,
        Refusal::Recovering { .. } => tonic::Code::Unavailable,
        Refusal::Cancelled => tonic::Code::Cancelled,
        Refusal::HoldLimit { .. }
        | Refusal::LaterHold { .. }
        | Refusal::TokenNotGiven { .. }
        | Refusal::SessionExpired { .. }
        | Refusal::Stale { .. }
        | Refusal::Administrator { .. }
        | Refusal::Deadlock { .. } => tonic::Code::Aborted,
        Refusal::Busy | Refusal::WaitLimit { .. } => tonic::Code::DeadlineExceeded,
        Refusal::RequestInUse { .. } | Refusal::NotHeld { .. } | Refusal::WrongToken { .. } => {
            tonic::Code::FailedPrecondition
        }
    };
    Status::new(code, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lockcore::manager::SessionId;

    use super::*;

    /// One of each; the match keeps the list whole.
    fn refusals() -> Vec<Refusal> {
        match Refusal::Busy {
            Refusal::IdEmpty
            | Refusal::IdTooLong { .. }
            | Refusal::RequestInUse { .. }
            | Refusal::TooManyRequests { .. }
            | Refusal::Busy
            | Refusal::WaitLimit { .. }
            | Refusal::Cancelled
            | Refusal::NotHeld { .. }
            | Refusal::WrongToken { .. }
            | Refusal::TooManySessions { .. }
            | Refusal::TooManyIds { .. }
            | Refusal::TooManyWaiters { .. }
            | Refusal::TooManyWaitersOfSession { .. }
            | Refusal::Recovering { .. }
            | Refusal::HoldLimit { .. }
            | Refusal::LaterHold { .. }
            | Refusal::TokenNotGiven { .. }
            | Refusal::SessionExpired { .. }
            | Refusal::Stale { .. }
            | Refusal::Administrator { .. }
            | Refusal::Deadlock { .. } => {}
        }
        vec![
            Refusal::IdEmpty,
            Refusal::IdTooLong { length: 1025, limit: 1024 },
            Refusal::RequestInUse { request: 9 },
            Refusal::TooManyRequests { limit: 2 },
            Refusal::Busy,
            Refusal::WaitLimit { limit: Duration::from_millis(7) },
            Refusal::Cancelled,
            Refusal::NotHeld { request: 9 },
            Refusal::WrongToken { given: 3, held: 4 },
            Refusal::TooManySessions { limit: 2 },
            Refusal::TooManyIds { limit: 2 },
            Refusal::TooManyWaiters { limit: 2 },
            Refusal::TooManyWaitersOfSession { limit: 2 },
            Refusal::Recovering { remaining: Duration::from_secs(3) },
            Refusal::HoldLimit { limit: Duration::from_millis(7) },
            Refusal::LaterHold { token: 5 },
            Refusal::TokenNotGiven { token: 5 },
            Refusal::SessionExpired { session: SessionId::new(1) },
            Refusal::Stale { session: SessionId::new(1) },
            Refusal::Administrator { note: "maintenance".into() },
            Refusal::Deadlock { circle: [].into() },
        ]
    }

    #[test]
    fn each_refusal_has_a_reason_of_its_own() {
        let reasons: HashSet<_> = refusals().iter().map(reason).collect();
        assert_eq!(reasons.len(), refusals().len());
        assert!(!reasons.contains(&v1::Reason::Unspecified));
        let known = (1..).map_while(|number| v1::Reason::try_from(number).ok());
        assert_eq!(known.collect::<HashSet<_>>(), reasons, "no reason is without a refusal");
    }

    #[test]
    fn each_refusal_says_its_values_as_message_and_as_status() {
        for refusal in refusals() {
            let Some(Message::Refused(refused)) = outcome(9, Outcome::Refused(refusal.clone()))
            else {
                panic!("{refusal:?} is told")
            };
            assert_eq!((refused.request, &refused.message), (9, &refusal.to_string()));
            assert_eq!(status(&refusal).message(), refused.message);
            assert_ne!(status(&refusal).code(), tonic::Code::Ok);
        }
        assert_eq!(refusals()[1].to_string(), "id is 1025 bytes long; the limit is 1024");
        assert_eq!(refusals()[8].to_string(), "token 3 is not that of the hold, which is 4");
    }

    #[test]
    fn an_ask_says_what_the_message_says() {
        let lock = v1::Lock {
            request: 1,
            id: "123".to_owned(),
            mode: v1::Mode::Shared.into(),
            wait_limit_ms: Some(0),
            hold_limit_ms: Some(u64::MAX),
        };
        let expected = Ask {
            id: "123",
            mode: Mode::Shared,
            wait_limit: Some(Duration::ZERO),
            hold_limit: Some(Duration::from_millis(u64::MAX)),
            owner: None,
        };
        assert_eq!(ask(&lock).unwrap(), expected);
        let plain = v1::Lock { id: "1".to_owned(), ..v1::Lock::default() };
        assert_eq!(ask(&plain).unwrap(), Ask::exclusive("1"));
        let status = ask(&v1::Lock { mode: 77, ..plain }).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(status.message(), "mode 77 is unknown");
    }
}
