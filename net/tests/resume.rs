//! Sessions that are resumed, message by message.

mod support;

use std::time::{Duration, Instant};

use lockcore_net::proto::v1::{
    self, claim::State, client_message::Message as Say, refusal::Reason,
    server_message::Message as Told,
};
use support::{RawSession, TestServer, claim, in_time, with_short_leases};
use tonic::Code;

const LEASE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_stream_that_is_dropped_keeps_holds_and_places_until_the_lease_ends() {
    let server = TestServer::start_with(with_short_leases()).await;
    let (mut near, mut next) = (server.session().await, server.session().await);
    let mut gone = RawSession::open_for(server.address, LEASE).await;
    near.lock(1, "theirs");
    near.granted(1).await;
    gone.lock(1, "held");
    let token = gone.granted(1).await;
    gone.lock(2, "theirs");
    let before_heard = Instant::now();
    gone.handled().await;
    drop(gone);
    next.lock(1, "held");
    next.handled().await;
    assert!(next.granted(1).await > token);
    assert!(before_heard.elapsed() >= LEASE, "not before the lease ended");
    server.until("theirs", 1, 0).await;
}

#[tokio::test]
async fn a_silent_session_is_told_that_it_has_expired() {
    let server = TestServer::start_with(with_short_leases()).await;
    let mut session = RawSession::open_for(server.address, LEASE).await;
    let number = session.opened.session;
    session.lock(1, "123");
    session.granted(1).await;
    assert_eq!(session.is_ended().await, Reason::SessionExpired(number));
    assert_eq!(server.status("123").await, (0, 0));
}

#[tokio::test]
async fn every_message_renews_the_lease() {
    let server = TestServer::start_with(with_short_leases()).await;
    let mut session = RawSession::open_for(server.address, LEASE).await;
    session.lock(1, "123");
    session.granted(1).await;
    let opened = Instant::now();
    for number in 1.. {
        session.say(Say::KeepAlive(v1::KeepAlive { number }));
        assert_eq!(session.told().await, Told::KeptAlive(v1::KeptAlive { number }));
        if opened.elapsed() > 3 * LEASE {
            break;
        }
    }
    session.release(1, 1);
    session.released(1).await;
}

/// A client that was told `Opened` first, and cut off before the rest, would believe for a lease more.
#[tokio::test]
async fn claims_are_answered_before_the_session_is_open() {
    let server = TestServer::start().await;
    let (mut session, mut near) = (server.session().await, server.session().await);
    session.lock(1, "kept");
    let kept = session.granted(1).await;
    near.lock(1, "theirs");
    near.granted(1).await;
    let claims = vec![
        claim(1, "kept", State::Token(kept)),
        claim(2, "theirs", State::Token(7)),
        claim(3, "theirs", State::Place(0)),
    ];
    let mut back = RawSession::unopened(server.address).await;
    back.say(Say::Resume(session.how_to_resume(1, claims)));
    assert_eq!(back.granted(1).await, kept);
    assert_eq!(back.revoked(2).await, Reason::NotHeld(2));
    back.queued(3).await;
    assert!(matches!(back.told_any().await, Told::Opened(_)));
    back.handled().await;
}

/// Scenario 7.
#[tokio::test]
async fn another_connection_takes_over_and_late_messages_of_the_first_do_nothing() {
    let server = TestServer::start().await;
    let mut first = server.session().await;
    let session = first.opened.session;
    first.lock(1, "123");
    let token = first.granted(1).await;
    let mut second =
        first.resume(server.address, 1, vec![claim(1, "123", State::Token(token))]).await;
    assert_eq!(second.granted(1).await, token);
    first.say_late(Say::Release(v1::Release { request: 1, token }));
    first.say_late(Say::Close(v1::Close {}));
    assert_eq!(first.is_ended().await, Reason::Stale(session));
    second.handled().await;
    assert_eq!(server.status("123").await, (1, 0));

    for (attempt, secret, reason) in [
        (1, first.opened.secret.clone(), Reason::Stale(session)),
        (2, vec![7; 16], Reason::SessionExpired(session)),
    ] {
        let mut late = RawSession::unopened(server.address).await;
        let resume = v1::Resume { secret, ..first.how_to_resume(attempt, Vec::new()) };
        late.say(Say::Resume(resume));
        assert_eq!(late.is_ended().await, reason);
    }
    second.handled().await;
    second.release(1, token);
    second.released(1).await;
}

#[tokio::test]
async fn what_is_claimed_and_what_is_known_become_one() {
    let server = TestServer::start().await;
    let (mut near, mut session) = (server.session().await, server.session().await);
    near.lock(1, "theirs");
    near.granted(1).await;
    let mut tokens = Vec::new();
    for (request, id) in [(1, "kept"), (2, "given up"), (3, "released")] {
        session.lock(request, id);
        tokens.push(session.granted(request).await);
    }
    session.lock(4, "theirs");
    let place = session.queued(4).await;
    session.lock(5, "theirs");
    session.queued(5).await;
    session.cancel(3);
    session.released(3).await;

    let claims = vec![
        claim(1, "kept", State::Token(tokens[0])),
        claim(3, "released", State::Token(tokens[2])),
        claim(4, "theirs", State::Place(place)),
        claim(6, "asked", State::Place(0)),
    ];
    let mut back = session.resume(server.address, 1, claims).await;
    assert_eq!(back.granted(1).await, tokens[0]);
    assert_eq!(back.queued(4).await, place);
    assert!(matches!(back.told().await, Told::Refused(v1::Refused { request: 5, .. })));
    back.released(2).await;
    assert_eq!(back.revoked(3).await, Reason::NotHeld(3));
    back.granted(6).await;
    assert_eq!(server.status("given up").await, (0, 0));
    assert_eq!(server.status("theirs").await, (1, 1));
}

#[tokio::test]
async fn claims_that_do_not_fit_one_message_come_before() {
    let server = TestServer::start().await;
    let session = server.session().await;
    let mut back = RawSession::unopened(server.address).await;
    for request in 1..=3 {
        let claims = vec![claim(request, "123", State::Place(0))];
        back.say(Say::Claims(v1::Claims { claims }));
    }
    back.say(Say::Resume(session.how_to_resume(1, vec![claim(4, "123", State::Place(0))])));
    back.is_resumed().await;
    back.granted(1).await;
    for request in 2..=4 {
        back.queued(request).await;
    }
}

#[tokio::test]
async fn more_claims_than_there_is_room_for_are_not_taken_in() {
    let mut limits = lockcore_net::Limits::default();
    limits.requests_per_session = 2;
    let server = TestServer::start_with(lockcore_net::Server::new().limits(limits)).await;
    let claims = |count| (1..=count).map(|request| claim(request, "123", State::Place(0)));
    let session = server.session().await;
    let mut back = session.resume(server.address, 1, claims(3).collect()).await;
    back.granted(1).await;
    back.queued(2).await;
    assert_eq!(back.refused(3).await, Reason::TooManyRequests(2));

    let endless = RawSession::unopened(server.address).await;
    for _ in 0..5 {
        endless.say_late(Say::Claims(v1::Claims { claims: claims(10_000).collect() }));
    }
    let status = endless.ended().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("there are too many claims: "), "{status}");
}

/// Two bytes in a message are some hundred in memory.
#[tokio::test]
async fn empty_claims_are_refused_before_more_is_read() {
    let server = TestServer::start().await;
    let empty = RawSession::unopened(server.address).await;
    empty.say(Say::Claims(v1::Claims { claims: vec![v1::Claim::default(); 1000] }));
    let status = empty.ended().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "a claim must have a lock, and a state that is known");

    let large = RawSession::unopened(server.address).await;
    large.say(Say::Claims(v1::Claims { claims: vec![v1::Claim::default(); 200_000] }));
    assert_eq!(large.ended().await.code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_stream_that_opens_nothing_ends_in_time_and_others_go_on() {
    let patience = Duration::from_millis(100);
    let server = TestServer::start_with(lockcore_net::Server::new().patience(patience)).await;
    let mut session = server.session().await;
    let begun = Instant::now();
    let unopened = RawSession::unopened(server.address).await;
    unopened.say(Say::Claims(v1::Claims { claims: vec![claim(1, "123", State::Place(0))] }));
    let status = unopened.ended().await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "no session was opened or resumed in time");
    assert!(begun.elapsed() >= patience);
    session.handled().await;
}

#[tokio::test]
async fn claims_are_read_no_faster_than_as_many_requests() {
    let pace = std::num::NonZeroU32::new(100).unwrap();
    let server = TestServer::start_with(lockcore_net::Server::new().pace(pace)).await;
    let session = server.session().await;
    let mut back = RawSession::unopened(server.address).await;
    let begun = Instant::now();
    for message in 0..5u64 {
        let request = |claim| message * 100 + claim;
        let claims = (0..100u64).map(|number| claim(request(number), "123", State::Place(0)));
        back.say(Say::Claims(v1::Claims { claims: claims.collect() }));
    }
    back.say(Say::Resume(session.how_to_resume(1, Vec::new())));
    back.is_resumed().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    for request in 0..500 {
        let told = back.told_any().await;
        assert!(matches!(told, Told::Granted(_) | Told::Queued(_)), "{request}: {told:?}");
    }
}

#[tokio::test]
async fn a_closed_session_cannot_be_resumed() {
    let server = TestServer::start().await;
    let mut session = server.session().await;
    session.lock(1, "123");
    session.granted(1).await;
    let resume = session.how_to_resume(1, Vec::new());
    let reason = Reason::SessionExpired(resume.session);
    session.close().await;
    let mut back = RawSession::unopened(server.address).await;
    back.say(Say::Resume(resume));
    assert_eq!(back.is_ended().await, reason);
}

#[tokio::test]
async fn leases_are_brought_within_the_limits_and_secrets_differ() {
    let server = TestServer::start().await;
    let shortest = RawSession::open_for(server.address, Duration::ZERO).await.opened;
    let longest = RawSession::open_for(server.address, Duration::MAX / 1000).await.opened;
    assert_eq!((shortest.lease_ms, longest.lease_ms), (1_000, 600_000));
    assert_eq!((shortest.secret.len(), longest.secret.len()), (16, 16));
    assert_ne!(shortest.secret, longest.secret);
}

#[tokio::test]
async fn too_many_sessions_are_refused_and_detached_ones_count() {
    let mut limits = lockcore_net::Limits::default();
    limits.sessions = 3; // one is that of go-syncer's callers
    let server = TestServer::start_with(lockcore_net::Server::new().limits(limits)).await;
    let (first, second) = (server.session().await, server.session().await);
    drop(first);
    let mut third = RawSession::unopened(server.address).await;
    third.say(Say::Open(v1::Open { lease_ms: 1000, runs: false }));
    assert_eq!(third.is_ended().await, Reason::TooManySessions(3));
    second.close().await;
    in_time(server.session()).await;
}
