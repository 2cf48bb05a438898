//! Peers that read nothing of what they are told.

mod support;

use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};

use lockcore_net::{
    Server,
    proto::v1::{
        self, RevokeRequest, claim::State, client_message::Message as Say,
        locks_client::LocksClient, revoke_request::Target, server_message::Message as Told,
    },
};
use support::{RawSession, TestServer, claim, in_time, lock};
use tokio::{runtime, sync::oneshot};
use tonic::Code;

const PATIENCE: Duration = Duration::from_millis(200);

/// Longer than the test.
const LEASE: Duration = Duration::from_secs(300);

/// How many bytes are taken in unread.
const WINDOW: u32 = 1024;

async fn impatient() -> TestServer {
    TestServer::start_with(Server::new().patience(PATIENCE)).await
}

fn shared(request: u64) -> Say {
    let mode = v1::Mode::Shared.into();
    Say::Lock(v1::Lock { mode, ..lock(request, "123") })
}

async fn slow(server: &TestServer) -> RawSession {
    RawSession::with_window(server.address, Some(WINDOW)).await.open_here(LEASE, false).await
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_cut_off_and_its_session_stays() {
    let server = impatient().await;
    let mut slow = slow(&server).await;
    slow.lock(1, "123");
    let token = slow.granted(1).await;
    // More answers than the window takes.
    (2..200).for_each(|request| slow.release(request, 0));
    slow.is_cut_off().await;
    assert_eq!(server.status("123").await, (1, 0), "it has its lease to come back");
    let mut back = slow.resume(server.address, 1, vec![claim(1, "123", State::Token(token))]).await;
    assert_eq!(back.granted(1).await, token);
    back.handled().await;
}

#[tokio::test]
async fn a_peer_that_reads_and_has_nothing_to_read_is_kept() {
    let server = impatient().await;
    let (mut slow, mut probe) = (slow(&server).await, server.session().await);
    slow.lock(1, "123");
    slow.granted(1).await;
    for _ in 0..3 {
        let wait = lock(9, "123");
        let limit = Some(PATIENCE.as_millis() as u64);
        probe.say(Say::Lock(v1::Lock { wait_limit_ms: limit, ..wait }));
        probe.refused(9).await;
        (2..200).for_each(|request| slow.release(request, 0));
        for request in 2..200 {
            slow.refused(request).await;
        }
    }
    slow.handled().await;
}

/// Such a stream is never polled, not for its first message either.
#[tokio::test]
async fn a_peer_that_makes_room_for_nothing_is_cut_off() {
    let server = impatient().await;
    let mute = RawSession::with_window(server.address, Some(0)).await;
    mute.say(Say::Open(v1::Open { lease_ms: 1000, runs: false }));
    mute.is_cut_off().await;
    let sessions = server.client().await;
    assert_eq!(sessions.status("123").await.unwrap().holders, 0);
}

/// How many requests hold at once.
const WAITING: u64 = 2000;

/// One that is told more than it takes in: that all its requests hold.
async fn with_much_to_read(server: &TestServer) -> RawSession {
    let (mut slow, mut holder) = (slow(server).await, server.session().await);
    holder.lock(1, "123");
    let token = holder.granted(1).await;
    (1..=WAITING).for_each(|request| slow.say(shared(request)));
    for request in 1..=WAITING {
        slow.queued(request).await;
    }
    holder.release(1, token);
    holder.released(1).await;
    slow
}

#[tokio::test]
async fn a_peer_that_is_cut_off_late_takes_nothing_from_the_connection_that_took_over() {
    let server = impatient().await;
    let slow = with_much_to_read(&server).await;
    let mut back = slow.resume(server.address, 1, Vec::new()).await;
    slow.is_cut_off().await;
    for request in (1..=WAITING).rev() {
        back.released(request).await;
    }
    back.handled().await;
}

#[tokio::test]
async fn a_stream_for_which_too_much_waits_ends_and_its_session_stays() {
    let server = TestServer::start_with(Server::new().unread(100_000)).await;
    let slow = with_much_to_read(&server).await;
    let status = slow.ended().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "too much waited that was not read; come back");
    assert_eq!(
        server.status("123").await,
        (WAITING, 0),
        "they have their turn until the lease ends"
    );
}

/// With `Opened` the client would count its lease anew, and believe what is refused.
#[tokio::test]
async fn claims_whose_answers_find_no_room_resume_nothing() {
    let server = TestServer::start_with(Server::new().unread(10_000)).await;
    let session = RawSession::open_for(server.address, LEASE).await;
    let claims = (1..=1000).map(|request| claim(request, "123", State::Token(7))).collect();
    let back = RawSession::unopened(server.address).await;
    back.say(Say::Resume(session.how_to_resume(1, claims)));
    let (told, status) = back.all_told().await;
    let is_opened = told.iter().any(|told| matches!(told, Told::Opened(_)));
    assert!(!is_opened, "{} of 1000 claims are answered", told.len() - 1);
    assert_eq!(status.code(), Code::ResourceExhausted);
    let mut back = session.resume(server.address, 2, Vec::new()).await;
    back.handled().await;
}

/// Holds an id a hundred times, makes room for whatever comes, and reads none of it until it may go on.
fn hold_and_read_nothing(
    address: SocketAddr,
    holds: oneshot::Sender<u64>,
    go_on: &mpsc::Receiver<()>,
) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let room = Some(i32::MAX as u32);
        let session = RawSession::with_windows(address, room, room).await;
        let mut session = session.open_here(LEASE, false).await;
        (1..=100).for_each(|request| session.say(shared(request)));
        for request in 1..=100 {
            session.granted(request).await;
        }
        holds.send(session.opened.session).unwrap();
        // Nothing is read meanwhile: this blocks the runtime.
        let _ = go_on.recv();
    });
}

/// Its stream has room for all of it: what is full is the socket.
#[tokio::test]
async fn a_peer_whose_connection_is_full_is_cut_off() {
    let server = Server::new().patience(5 * PATIENCE).keep_alive(LEASE);
    let server = TestServer::start_with(server).await;
    let (address, (holds, held), (go_on, may_go_on)) =
        (server.address, oneshot::channel(), mpsc::channel());
    let mute = thread::spawn(move || hold_and_read_nothing(address, holds, &may_go_on));
    let session = in_time(held).await.unwrap();
    // As often as it holds, the note is more than the sockets and the buffers before them take.
    let (target, note) = (Some(Target::Id("123".to_owned())), "n".repeat(200_000));
    let mut locks = LocksClient::connect(server.url()).await.unwrap();
    locks.revoke(RevokeRequest { target, note }).await.unwrap();
    let is_attached = async || {
        let Ok(mut locks) = LocksClient::connect(server.url()).await else { return true };
        let listed = locks.list_sessions(v1::ListSessionsRequest { limit: 0 }).await;
        listed.is_err()
            || listed
                .unwrap()
                .into_inner()
                .sessions
                .iter()
                .any(|s| s.session == session && s.attached)
    };
    in_time(async { while is_attached().await {} }).await;
    drop(go_on);
    mute.join().unwrap();
}
