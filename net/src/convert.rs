//! Between the words of the protocol and those of the manager: one function each way.

use std::time::Duration;

use lockcore::{
    Mode, Status as IdStatus,
    manager::{Ask, Claim, Claimed, Holder, Outcome, Secret, SessionStatus, Time, Waiter},
};

use crate::{
    dialogue::Fault,
    proto::v1::{self, claim::State, server_message::Message},
    refusal::{self, whole_millis},
};

/// The further ids of a lock, as [`ask`] takes them.
pub(crate) fn more_ids(lock: &v1::Lock) -> Vec<&str> {
    lock.more_ids.iter().map(|id| &**id).collect()
}

/// The further ids of a claim, as [`claim`] takes them.
pub(crate) fn more_ids_of_claim(claim: &v1::Claim) -> Vec<&str> {
    claim.lock.as_ref().map(more_ids).unwrap_or_default()
}

pub(crate) fn ask<'a>(lock: &'a v1::Lock, more_ids: &'a [&'a str]) -> Result<Ask<'a>, Fault> {
    let mode = match v1::Mode::try_from(lock.mode) {
        Ok(v1::Mode::Exclusive) => Mode::Exclusive,
        Ok(v1::Mode::Shared) => Mode::Shared,
        Err(_) => return Err(Fault::Senseless(format!("mode {} is unknown", lock.mode))),
    };
    Ok(Ask {
        id: &lock.id,
        more_ids,
        mode,
        wait_limit: lock.wait_limit_ms.map(Duration::from_millis),
        hold_limit: lock.hold_limit_ms.map(Duration::from_millis),
        owner: lock.owner,
    })
}

pub(crate) fn claim<'a>(claim: &'a v1::Claim, more_ids: &'a [&'a str]) -> Result<Claim<'a>, Fault> {
    let none =
        || Fault::Senseless("a claim must have a lock, and a state that is known".to_owned());
    let lock = claim.lock.as_ref().ok_or_else(none)?;
    let state = match *claim.state.as_ref().ok_or_else(none)? {
        State::Place(place) => Claimed::Waiting { place: (place > 0).then_some(place) },
        State::Token(token) => Claimed::Held { token },
    };
    let (ask, more_tokens) = (ask(lock, more_ids)?, &claim.more_tokens);
    Ok(Claim { request: lock.request, ask, state, more_tokens })
}

pub(crate) fn mode(mode: Mode) -> v1::Mode {
    match mode {
        Mode::Exclusive => v1::Mode::Exclusive,
        Mode::Shared => v1::Mode::Shared,
    }
}

pub(crate) fn secret(bytes: &[u8]) -> Result<Secret, Fault> {
    let bytes: [u8; 16] =
        bytes.try_into().map_err(|_| Fault::Senseless("a secret has 16 bytes".to_owned()))?;
    Ok(Secret::new(u128::from_be_bytes(bytes)))
}

/// What a session's client is told.
pub(crate) fn outcome(request: u64, outcome: Outcome) -> Message {
    match outcome {
        Outcome::Granted { token, more, .. } => {
            let more_tokens = more.iter().map(|(_, token)| *token).collect();
            Message::Granted(v1::Granted { request, token, more_tokens })
        }
        Outcome::Queued { place, .. } => Message::Queued(v1::Queued { request, place }),
        Outcome::Promised { token, .. } => {
            Message::Run(v1::Run { first_token: token, requests: vec![request] })
        }
        Outcome::PromisedTurn { .. } => unreachable!("it is logged, and told to nobody"),
        Outcome::Released { .. } => Message::Released(v1::Released { request }),
        Outcome::Revoked { reason, .. } => {
            let reason = Some(refusal::to_message(&reason));
            Message::Revoked(v1::Revoked { request, reason })
        }
        Outcome::Refused(refusal) => {
            let reason = Some(refusal::to_message(&refusal));
            Message::Refused(v1::Refused { request, reason })
        }
    }
}

pub(crate) fn id_status(status: Option<IdStatus>) -> v1::StatusReply {
    let Some(IdStatus { mode: held, holders, waiting, .. }) = status else {
        return v1::StatusReply::default();
    };
    v1::StatusReply { mode: mode(held).into(), holders: holders as u64, waiting: waiting as u64 }
}

pub(crate) fn holder(holder: Holder) -> v1::Holder {
    v1::Holder {
        session: holder.session.get(),
        request: holder.request,
        mode: mode(holder.mode).into(),
        token: holder.token,
    }
}

pub(crate) fn waiter(waiter: Waiter) -> v1::Waiter {
    v1::Waiter {
        session: waiter.session.get(),
        request: waiter.request,
        mode: mode(waiter.mode).into(),
        place: waiter.place,
    }
}

pub(crate) fn session_status(status: SessionStatus, now: Time) -> v1::SessionStatus {
    let left = |end: Time| whole_millis(end.since_origin().saturating_sub(now.since_origin()));
    v1::SessionStatus {
        session: status.session.get(),
        attached: status.attached,
        lease_left_ms: status.lease_end.map(left),
        requests: status.requests as u64,
        waiting: status.waiting as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_says_what_the_message_says() {
        let lock = v1::Lock {
            request: 1,
            id: "123".to_owned(),
            mode: v1::Mode::Shared.into(),
            wait_limit_ms: Some(0),
            hold_limit_ms: Some(u64::MAX),
            owner: Some(3),
            more_ids: vec!["45".to_owned(), "6".to_owned()],
        };
        let expected = Ask {
            id: "123",
            more_ids: &["45", "6"],
            mode: Mode::Shared,
            wait_limit: Some(Duration::ZERO),
            hold_limit: Some(Duration::from_millis(u64::MAX)),
            owner: Some(3),
        };
        assert_eq!(ask(&lock, &more_ids(&lock)).unwrap(), expected);
        let plain = v1::Lock { id: "1".to_owned(), ..v1::Lock::default() };
        assert_eq!(ask(&plain, &more_ids(&plain)).unwrap(), Ask::exclusive("1"));
        let fault = ask(&v1::Lock { mode: 77, ..plain }, &[]).unwrap_err();
        assert_eq!(fault, Fault::Senseless("mode 77 is unknown".to_owned()));
    }

    #[test]
    fn a_claim_says_what_the_message_says() {
        let message = |state| v1::Claim {
            lock: Some(v1::Lock { request: 4, id: "123".to_owned(), ..v1::Lock::default() }),
            state,
            more_tokens: vec![7],
        };
        for (state, expected) in [
            (State::Place(0), Claimed::Waiting { place: None }),
            (State::Place(5), Claimed::Waiting { place: Some(5) }),
            (State::Token(6), Claimed::Held { token: 6 }),
        ] {
            let (ask, more_tokens) = (Ask { more_ids: &["4"], ..Ask::exclusive("123") }, &[7]);
            let expected = Claim { request: 4, ask, state: expected, more_tokens };
            assert_eq!(claim(&message(Some(state)), &["4"]).unwrap(), expected);
        }
        assert!(claim(&message(None), &[]).is_err());
        assert!(claim(&v1::Claim { lock: None, ..message(Some(State::Place(0))) }, &[]).is_err());
    }

    #[test]
    fn a_secret_has_sixteen_bytes() {
        assert_eq!(secret(&[1; 16]).unwrap().get(), u128::from_be_bytes([1; 16]));
        assert!(secret(&[1; 15]).is_err());
        assert!(secret(&[]).is_err());
    }
}
