//! [`Refusal`] in the protocol and back, and as a status.

use std::time::Duration;

use lockcore::manager::{Refusal, SessionId, Wait};
#[cfg(feature = "transport")]
use tonic::Status;

use crate::proto::v1::{self, refusal::Reason};

pub(crate) fn to_message(refusal: &Refusal) -> v1::Refusal {
    let nothing = v1::Nothing {};
    let reason = match *refusal {
        Refusal::IdEmpty => Reason::IdEmpty(nothing),
        Refusal::IdTooLong { length, limit } => {
            Reason::IdTooLong(v1::TooLong { length: length as u64, limit: limit as u64 })
        }
        Refusal::TooManyIdsOfRequest { count, limit } => {
            let (count, limit) = (count as u64, limit as u64);
            Reason::TooManyIdsOfRequest(v1::TooMany { count, limit })
        }
        Refusal::TooManySessions { limit } => Reason::TooManySessions(limit as u64),
        Refusal::TooManyIds { limit } => Reason::TooManyIds(limit as u64),
        Refusal::TooManyWaiters { limit } => Reason::TooManyWaiters(limit as u64),
        Refusal::TooManyRequests { limit } => Reason::TooManyRequests(limit as u64),
        Refusal::TooManyWaitersOfSession { limit } => Reason::TooManyWaitersOfSession(limit as u64),
        Refusal::RequestInUse { request } => Reason::RequestInUse(request),
        Refusal::Busy => Reason::Busy(nothing),
        Refusal::Recovering { remaining } => Reason::RecoveringMs(whole_millis(remaining)),
        Refusal::Deadlock { ref circle } => Reason::Deadlock(deadlock(circle)),
        Refusal::WaitLimit { limit } => Reason::WaitLimitMs(whole_millis(limit)),
        Refusal::HoldLimit { limit } => Reason::HoldLimitMs(whole_millis(limit)),
        Refusal::Cancelled => Reason::Cancelled(nothing),
        Refusal::NotHeld { request } => Reason::NotHeld(request),
        Refusal::WrongToken { given, held } => Reason::WrongToken(v1::WrongToken { given, held }),
        Refusal::LaterHold { token } => Reason::LaterHold(token),
        Refusal::TokenNotGiven { token } => Reason::TokenNotGiven(token),
        Refusal::SessionExpired { session } => Reason::SessionExpired(session.get()),
        Refusal::Stale { session } => Reason::Stale(session.get()),
        Refusal::Administrator { ref note } => Reason::Administrator(note.to_string()),
    };
    v1::Refusal { reason: Some(reason), message: refusal.to_string() }
}

/// What a server says; what its reason says to people, if this client does not know the reason.
pub(crate) fn from_message(message: Option<v1::Refusal>) -> Result<Refusal, Box<str>> {
    let v1::Refusal { reason, message } = message.unwrap_or_default();
    Ok(match reason.ok_or(message)? {
        Reason::IdEmpty(_) => Refusal::IdEmpty,
        Reason::IdTooLong(v1::TooLong { length, limit }) => {
            Refusal::IdTooLong { length: size(length), limit: size(limit) }
        }
        Reason::TooManyIdsOfRequest(v1::TooMany { count, limit }) => {
            Refusal::TooManyIdsOfRequest { count: size(count), limit: size(limit) }
        }
        Reason::TooManySessions(limit) => Refusal::TooManySessions { limit: size(limit) },
        Reason::TooManyIds(limit) => Refusal::TooManyIds { limit: size(limit) },
        Reason::TooManyWaiters(limit) => Refusal::TooManyWaiters { limit: size(limit) },
        Reason::TooManyRequests(limit) => Refusal::TooManyRequests { limit: size(limit) },
        Reason::TooManyWaitersOfSession(limit) => {
            Refusal::TooManyWaitersOfSession { limit: size(limit) }
        }
        Reason::RequestInUse(request) => Refusal::RequestInUse { request },
        Reason::Busy(_) => Refusal::Busy,
        Reason::RecoveringMs(left) => {
            Refusal::Recovering { remaining: Duration::from_millis(left) }
        }
        Reason::Deadlock(v1::Deadlock { circle }) => {
            let wait =
                |wait: v1::Wait| Wait { session: SessionId::new(wait.session), id: wait.id.into() };
            Refusal::Deadlock { circle: circle.into_iter().map(wait).collect() }
        }
        Reason::WaitLimitMs(limit) => Refusal::WaitLimit { limit: Duration::from_millis(limit) },
        Reason::HoldLimitMs(limit) => Refusal::HoldLimit { limit: Duration::from_millis(limit) },
        Reason::Cancelled(_) => Refusal::Cancelled,
        Reason::NotHeld(request) => Refusal::NotHeld { request },
        Reason::WrongToken(v1::WrongToken { given, held }) => Refusal::WrongToken { given, held },
        Reason::LaterHold(token) => Refusal::LaterHold { token },
        Reason::TokenNotGiven(token) => Refusal::TokenNotGiven { token },
        Reason::SessionExpired(session) => {
            Refusal::SessionExpired { session: SessionId::new(session) }
        }
        Reason::Stale(session) => Refusal::Stale { session: SessionId::new(session) },
        Reason::Administrator(note) => Refusal::Administrator { note: note.into() },
    })
}

fn deadlock(circle: &[Wait]) -> v1::Deadlock {
    let wait = |wait: &Wait| v1::Wait { session: wait.session.get(), id: wait.id.to_string() };
    v1::Deadlock { circle: circle.iter().map(wait).collect() }
}

/// Rounds up, so that only zero is zero.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn size(size: u64) -> usize {
    size.try_into().unwrap_or(usize::MAX)
}

/// A refusal as the status of a go-syncer call. The original answers an empty id with UNKNOWN.
#[cfg(feature = "transport")]
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::IdEmpty => tonic::Code::Unknown,
        Refusal::IdTooLong { .. } | Refusal::TooManyIdsOfRequest { .. } => {
            tonic::Code::InvalidArgument
        }
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

#[cfg(all(test, feature = "transport"))]
mod tests {
    use std::{collections::HashSet, mem::discriminant};

    use super::*;

    /// One of each; the match keeps the list whole.
    fn refusals() -> Vec<Refusal> {
        match Refusal::Busy {
            Refusal::IdEmpty
            | Refusal::IdTooLong { .. }
            | Refusal::TooManyIdsOfRequest { .. }
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
        let session = SessionId::new(7);
        let wait = |id: &str| Wait { session, id: id.into() };
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
            Refusal::HoldLimit { limit: Duration::from_millis(8) },
            Refusal::LaterHold { token: 5 },
            Refusal::TokenNotGiven { token: 6 },
            Refusal::SessionExpired { session },
            Refusal::Stale { session },
            Refusal::Administrator { note: "maintenance".into() },
            Refusal::Deadlock { circle: [wait("a"), wait("b")].into() },
            Refusal::TooManyIdsOfRequest { count: 1001, limit: 1000 },
        ]
    }

    #[test]
    fn each_refusal_comes_back_as_it_was_said() {
        for refusal in refusals() {
            let message = to_message(&refusal);
            assert_eq!(message.message, refusal.to_string());
            assert_eq!(from_message(Some(message)), Ok(refusal));
        }
    }

    #[test]
    fn each_refusal_has_a_reason_of_its_own() {
        let all = refusals();
        let kinds: HashSet<_> = all.iter().map(discriminant).collect();
        let reasons: HashSet<_> = all
            .iter()
            .map(|refusal| to_message(refusal).reason.as_ref().map(discriminant))
            .collect();
        assert_eq!((kinds.len(), reasons.len()), (all.len(), all.len()));
    }

    #[test]
    fn a_reason_that_is_not_known_is_told_in_its_own_words() {
        let newer = v1::Refusal { reason: None, message: "of a later version".to_owned() };
        assert_eq!(from_message(Some(newer)), Err("of a later version".into()));
    }

    #[test]
    fn each_refusal_says_its_values_as_a_status() {
        for refusal in refusals() {
            assert_eq!(status(&refusal).message(), refusal.to_string());
            assert_ne!(status(&refusal).code(), tonic::Code::Ok);
        }
        assert_eq!(refusals()[1].to_string(), "id is 1025 bytes long; the limit is 1024");
        assert_eq!(refusals()[8].to_string(), "token 3 is not that of the hold, which is 4");
    }
}
