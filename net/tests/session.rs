//! The `Session` stream, message by message.

mod support;

use lockcore_net::proto::v1::{
    self, ClientMessage, client_message::Message as Say, refusal::Reason,
};
use support::{RawSession, TestServer, lock};
use tonic::Code;

#[tokio::test]
async fn turns_come_in_order_of_arrival_over_all_sessions() {
    let server = TestServer::start().await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let mut session = server.session().await;
        session.lock(1, "123");
        if sessions.is_empty() {
            assert_eq!(session.granted(1).await, 1);
        }
        session.handled().await;
        sessions.push(session);
    }
    for turn in 0..4 {
        sessions[turn].release(1, turn as u64 + 1);
        sessions[turn].released(1).await;
        assert_eq!(sessions[turn + 1].granted(1).await, turn as u64 + 2);
    }
}

#[tokio::test]
async fn shared_requests_hold_together_and_do_not_overtake() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    let shared = |request| {
        let mode = v1::Mode::Shared.into();
        Say::Lock(v1::Lock { mode, ..lock(request, "123") })
    };
    session.say(shared(1));
    session.say(shared(2));
    session.granted(1).await;
    let second = session.granted(2).await;
    session.lock(3, "123");
    session.say(shared(4));
    session.handled().await;
    session.cancel(1);
    session.released(1).await;
    session.release(2, second);
    session.released(2).await;
    let third = session.granted(3).await;
    session.release(3, third);
    session.released(3).await;
    session.granted(4).await;
}

#[tokio::test]
async fn a_session_that_closes_releases_and_leaves_its_queues() {
    let server = TestServer::start().await;
    let (mut first, mut second, mut third) =
        (server.session().await, server.session().await, server.session().await);
    first.lock(1, "held");
    first.granted(1).await;
    second.lock(1, "held");
    second.lock(2, "other");
    second.granted(2).await;
    third.lock(1, "held");
    third.handled().await;
    second.close().await;
    assert_eq!(server.status("other").await, (0, 0));
    assert_eq!(server.status("held").await, (1, 1));
    first.close().await;
    third.granted(1).await;
}

/// Scenario 1: cancelled between hand-off and the client's next look; so are the second and third.
#[tokio::test]
async fn cancelling_after_the_hand_off_passes_the_turn_on_and_on() {
    let server = TestServer::start().await;
    let (mut holder, mut others, mut last) =
        (server.session().await, server.session().await, server.session().await);
    holder.lock(1, "123");
    let token = holder.granted(1).await;
    (1..=3).for_each(|request| others.lock(request, "123"));
    others.handled().await;
    last.lock(1, "123");
    last.handled().await;
    holder.release(1, token);
    holder.released(1).await;
    for request in 1..=3 {
        others.granted(request).await;
        others.cancel(request);
        others.released(request).await;
    }
    assert_eq!(last.granted(1).await, token + 4);
}

/// Scenario 5: a repeated unlock meets a later hold of the same session.
#[tokio::test]
async fn a_repeated_release_does_not_touch_a_later_hold() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    session.lock(1, "123");
    let first = session.granted(1).await;
    session.release(1, first);
    session.released(1).await;
    session.lock(1, "123");
    let second = session.granted(1).await;
    session.release(1, first);
    let wrong = Reason::WrongToken(v1::WrongToken { given: first, held: second });
    assert_eq!(session.refused(1).await, wrong);
    assert_eq!(server.status("123").await, (1, 0));
    session.release(1, second);
    session.released(1).await;
    session.release(1, second);
    assert_eq!(session.refused(1).await, Reason::NotHeld(1));
}

/// Scenario 11: a failed request leaves no ghost in the queue.
#[tokio::test]
async fn a_refused_or_cancelled_request_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let (mut holder, mut other) = (server.session().await, server.session().await);
    holder.lock(1, "123");
    let token = holder.granted(1).await;
    other.say(Say::Lock(v1::Lock { wait_limit_ms: Some(0), ..lock(1, "123") }));
    assert_eq!(other.refused(1).await, Reason::Busy(v1::Nothing {}));
    other.say(Say::Lock(v1::Lock { wait_limit_ms: Some(1), ..lock(2, "123") }));
    assert_eq!(other.refused(2).await, Reason::WaitLimitMs(1));
    other.lock(3, "123");
    other.cancel(3);
    assert_eq!(other.refused(3).await, Reason::Cancelled(v1::Nothing {}));
    other.cancel(3);
    other.cancel(77);
    other.handled().await;
    assert_eq!(server.status("123").await, (1, 0));
    holder.release(1, token);
    holder.released(1).await;
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_hold_limit_revokes_the_hold_and_passes_the_turn_on() {
    let server = TestServer::start().await;
    let (mut holder, mut waiter) = (server.session().await, server.session().await);
    holder.say(Say::Lock(v1::Lock { hold_limit_ms: Some(1), ..lock(1, "123") }));
    let token = holder.granted(1).await;
    waiter.lock(1, "123");
    waiter.granted(1).await;
    assert_eq!(holder.revoked(1).await, Reason::HoldLimitMs(1));
    holder.release(1, token);
    assert_eq!(holder.refused(1).await, Reason::NotHeld(1));
}

#[tokio::test]
async fn limits_beyond_all_time_are_no_limits() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    let forever = Some(u64::MAX);
    session.say(Say::Lock(v1::Lock {
        wait_limit_ms: forever,
        hold_limit_ms: forever,
        ..lock(1, "123")
    }));
    session.granted(1).await;
    session.say(Say::Lock(v1::Lock { wait_limit_ms: forever, ..lock(2, "123") }));
    session.handled().await;
    session.cancel(1);
    session.released(1).await;
    session.granted(2).await;
}

#[tokio::test]
async fn bad_ids_are_refused_and_the_session_goes_on() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    session.lock(1, "");
    assert_eq!(session.refused(1).await, Reason::IdEmpty(v1::Nothing {}));
    session.lock(2, &"x".repeat(1025));
    let too_long = Reason::IdTooLong(v1::TooLong { length: 1025, limit: 1024 });
    assert_eq!(session.refused(2).await, too_long);
    session.lock(3, &"x".repeat(1024));
    session.granted(3).await;
    session.lock(3, "123");
    assert_eq!(session.refused(3).await, Reason::RequestInUse(3));
    session.release(4, 1);
    assert_eq!(session.refused(4).await, Reason::NotHeld(4));
}

#[tokio::test]
async fn a_second_open_ends_the_stream_and_nothing_else() {
    let server = TestServer::start().await;
    let (mut good, bad) = (server.session().await, server.session().await);
    bad.lock(1, "held");
    bad.say(Say::Open(v1::Open::default()));
    let status = bad.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "this stream is of session 3; it can be of no other");
    assert_eq!(server.status("held").await, (1, 0), "the session waits for its client");
    good.lock(1, "123");
    good.granted(1).await;
}

#[tokio::test]
async fn a_first_message_other_than_open_ends_the_stream() {
    let server = TestServer::start().await;
    let session = RawSession::unopened(server.address).await;
    session.lock(1, "123");
    let status = session.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "a stream begins with open or resume");
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_message_of_no_known_kind_ends_the_stream() {
    let server = TestServer::start().await;
    let session = server.session().await;
    session.say_any(ClientMessage { message: None });
    let status = session.ended().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("a client message must be one of: open, "), "{status}");
    server.session().await;
}

#[tokio::test]
async fn ten_thousand_requests_of_one_session_are_all_answered() {
    const REQUESTS: u64 = 10_000;
    let server = TestServer::start().await;
    let mut session = server.session().await;
    (1..=REQUESTS).for_each(|request| session.lock(request, "123"));
    for request in 1..=REQUESTS {
        let token = session.granted(request).await;
        session.release(request, token);
        session.released(request).await;
    }
    assert_eq!(server.status("123").await, (0, 0));
}

/// Found: the channel of answers rests after 128 of them, and more was read meanwhile.
#[tokio::test]
async fn every_answer_arrives_before_a_half_closed_stream_ends() {
    const REQUESTS: u64 = 1000;
    let server = TestServer::start().await;
    let session = server.session().await;
    (1..=REQUESTS).for_each(|request| session.release(request, 0));
    assert_eq!(session.answers_until_the_end().await, REQUESTS);
}

/// A nearer limit behind one that is far away must not wait for it.
#[tokio::test]
async fn the_nearest_limit_is_the_next() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    let hold = |request, id: &str, limit| {
        Say::Lock(v1::Lock { hold_limit_ms: Some(limit), ..lock(request, id) })
    };
    session.say(hold(1, "far", 3_600_000));
    session.granted(1).await;
    session.say(hold(2, "near", 1));
    session.granted(2).await;
    assert_eq!(session.revoked(2).await, Reason::HoldLimitMs(1));
}

#[tokio::test]
async fn an_unknown_mode_ends_the_stream() {
    let server = TestServer::start().await;
    let session = server.session().await;
    session.say(Say::Lock(v1::Lock { mode: 77, ..lock(1, "123") }));
    let status = session.ended().await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "mode 77 is unknown"));
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn a_session_has_a_limited_number_of_requests() {
    let mut limits = lockcore_net::Limits::default();
    limits.requests_per_session = 2;
    let server = TestServer::start_with(lockcore_net::Server::new().limits(limits)).await;
    let mut session = server.session().await;
    (1..=3).for_each(|request| session.lock(request, "123"));
    let token = session.granted(1).await;
    assert_eq!(session.refused(3).await, Reason::TooManyRequests(2));
    session.release(1, token);
    session.released(1).await;
    session.granted(2).await;
}

#[tokio::test]
async fn a_stopping_server_without_a_state_directory_ends_its_sessions() {
    let server = TestServer::start().await;
    let (mut session, unopened) =
        (server.session().await, RawSession::unopened(server.address).await);
    session.lock(1, "123");
    session.granted(1).await;
    server.stop().await;
    let note = "the server stops, and keeps no state".to_owned();
    assert_eq!(session.is_ended().await, Reason::Administrator(note));
    drop(unopened);
}

#[tokio::test]
async fn a_stream_that_is_faster_than_it_may_be_is_read_later_and_answered_in_full() {
    let server = lockcore_net::Server::new().pace(100.try_into().unwrap());
    let server = TestServer::start_with(server).await;
    let mut session = server.session().await;
    let begun = std::time::Instant::now();
    (1..=50).for_each(|request| session.release(request, 0));
    for request in 1..=50 {
        assert_eq!(session.refused(request).await, Reason::NotHeld(request));
    }
    assert!(begun.elapsed() >= std::time::Duration::from_millis(300));
}
