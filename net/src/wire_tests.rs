//! Whatever arrives on streams: nothing panics, nothing is stuck, nothing is left behind.
//!
//! `LOCKCORE_SEEDS=100000 cargo test --release -p lockcore-net wire_tests -- --nocapture` runs as many.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures::{Stream, StreamExt, channel::mpsc};
use lockcore::manager::{Limits, SessionStatus};
use prost::Message as _;
use tonic::Status;

use crate::{
    hub::{Hub, UNREAD},
    proto::v1::{
        self, ClientMessage, claim::State, client_message::Message, server_message::Message as Told,
    },
    session::SessionStream,
};

type Inbound = mpsc::UnboundedReceiver<Result<ClientMessage, Status>>;

/// Xorshift: the same seed, the same run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

/// A client that says anything.
struct Line {
    says: mpsc::UnboundedSender<Result<ClientMessage, Status>>,
    stream: SessionStream<Inbound>,
    is_open: bool,
    /// The requests that were claimed and not told of, until the session is open.
    claimed: BTreeSet<u64>,
}

impl Line {
    fn claims(&mut self, message: &Result<ClientMessage, Status>) {
        let message = message.as_ref().ok().and_then(|message| message.message.as_ref());
        if let Some(
            Message::Claims(v1::Claims { claims }) | Message::Resume(v1::Resume { claims, .. }),
        ) = message
        {
            let claimed = claims.iter().filter_map(|claim| claim.lock.as_ref());
            self.claimed.extend(claimed.map(|lock| lock.request));
        }
    }

    /// All claims are answered before the session is open.
    fn hears(&mut self, told: &Told) {
        match told {
            Told::Queued(v1::Queued { request, .. })
            | Told::Granted(v1::Granted { request, .. })
            | Told::Refused(v1::Refused { request, .. })
            | Told::Released(v1::Released { request })
            | Told::Revoked(v1::Revoked { request, .. }) => drop(self.claimed.remove(request)),
            Told::Opened(v1::Opened { secret, .. }) if !secret.is_empty() => {}
            Told::Opened(_) => assert!(self.claimed.is_empty(), "unanswered: {:?}", self.claimed),
            Told::KeptAlive(_) | Told::Run(_) | Told::Ended(_) => {}
        }
    }
}

struct World {
    hub: Arc<Hub>,
    dice: Dice,
    lines: Vec<Line>,
    /// The sessions that were told, to be resumed.
    opened: Vec<v1::Opened>,
    /// The tokens and places that were told.
    numbers: Vec<u64>,
    told: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut limits = Limits::default();
        (limits.sessions, limits.ids, limits.id_bytes) = (5, 3, 8);
        (limits.waiters, limits.requests_per_session) = (6, 5);
        let (lines, opened, told) = Default::default();
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { hub: Hub::new(limits, UNREAD, None), dice, lines, opened, numbers: vec![0, 1], told }
    }

    fn step(&mut self) {
        match self.dice.below(12) {
            0 if self.lines.len() < 8 => self.connect(),
            1 if !self.lines.is_empty() => drop(self.any_line()),
            2 => self.revoke(),
            _ => self.talk(),
        }
        self.hub.look(|manager, _| manager.check());
    }

    fn connect(&mut self) {
        let (says, inbound) = mpsc::unbounded();
        let stream = SessionStream::new(self.hub.clone(), inbound);
        self.lines.push(Line { says, stream, is_open: false, claimed: BTreeSet::new() });
    }

    fn any_line(&mut self) -> Line {
        let at = self.dice.below(self.lines.len() as u64) as usize;
        self.lines.swap_remove(at)
    }

    /// Says some messages on a line, and listens until nothing comes.
    fn talk(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let mut line = self.any_line();
        for _ in 0..self.dice.below(4) {
            let was_open = line.is_open;
            let message = self.message(&mut line.is_open);
            if !was_open {
                line.claims(&message);
            }
            let _ = line.says.unbounded_send(message);
        }
        if self.dice.below(30) == 0 {
            line.says.close_channel();
        }
        if self.listen(&mut line) {
            self.lines.push(line);
        }
    }

    /// Returns whether the line goes on. One that has ended stays so.
    fn listen(&mut self, line: &mut Line) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match line.stream.poll_next_unpin(&mut context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(told))) => {
                    let told = told.message.expect("of some kind");
                    line.hears(&told);
                    self.note(told);
                }
                Poll::Ready(Some(Err(status))) => {
                    assert!(!status.message().is_empty(), "{status:?}");
                    *self.told.entry("failed").or_default() += 1;
                    assert!(is_over(&mut line.stream, &mut context));
                    return false;
                }
                Poll::Ready(None) => return false,
            }
        }
    }

    fn note(&mut self, told: Told) {
        let kind = match told {
            Told::Opened(opened) => {
                if !opened.secret.is_empty() {
                    self.opened.push(opened);
                }
                "opened"
            }
            Told::KeptAlive(_) => "kept alive",
            Told::Queued(v1::Queued { place, .. }) => {
                self.numbers.push(place);
                "queued"
            }
            Told::Granted(v1::Granted { token, more_tokens, .. }) => {
                self.numbers.push(token);
                self.numbers.extend(more_tokens);
                "granted"
            }
            Told::Run(v1::Run { first_token, requests }) => {
                assert!(!requests.is_empty(), "a run has requests");
                self.numbers.push(first_token);
                "run"
            }
            Told::Refused(_) => "refused",
            Told::Released(_) => "released",
            Told::Revoked(_) => "revoked",
            Told::Ended(_) => "ended",
        };
        *self.told.entry(kind).or_default() += 1;
    }

    fn revoke(&mut self) {
        let id = self.dice.of(&IDS);
        self.hub.ask(|manager, now| manager.revoke_id(now, id, "for the test"));
    }

    /// A message that makes sense, or bytes of one that were garbled on the way.
    fn message(&mut self, is_open: &mut bool) -> Result<ClientMessage, Status> {
        // Now and then a line says what it may not say at this point.
        let message = match self.dice.below(50) {
            0 => None,
            1 => Some(self.opening(is_open)),
            2 => Some(self.request()),
            _ if *is_open => Some(self.request()),
            _ => Some(self.opening(is_open)),
        };
        let message = ClientMessage { message };
        if self.dice.below(50) > 0 {
            return Ok(message);
        }
        let mut bytes = message.encode_to_vec();
        if !bytes.is_empty() {
            let at = self.dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.dice.below(8);
        }
        ClientMessage::decode(&bytes[..]).map_err(|error| Status::internal(error.to_string()))
    }

    fn opening(&mut self, is_open: &mut bool) -> Message {
        let kind = self.dice.below(5);
        *is_open |= kind > 0;
        match kind {
            0 => Message::Claims(v1::Claims { claims: self.claims() }),
            1 | 2 => Message::Resume(self.resume()),
            _ => {
                let (lease_ms, runs) = (self.dice.below(u64::MAX), self.dice.below(3) > 0);
                Message::Open(v1::Open { lease_ms, runs })
            }
        }
    }

    fn request(&mut self) -> Message {
        let request = self.dice.below(6);
        match self.dice.below(16) {
            0 => Message::KeepAlive(v1::KeepAlive { number: request }),
            1 | 2 => Message::Cancel(v1::Cancel { request }),
            3 if self.dice.below(4) == 0 => Message::Close(v1::Close {}),
            3..9 => {
                let token = self.dice.of(&self.numbers.clone());
                Message::Release(v1::Release { request, token })
            }
            _ => Message::Lock(self.lock()),
        }
    }

    fn lock(&mut self) -> v1::Lock {
        let limits = [None, None, Some(0), Some(3_600_000), Some(u64::MAX)];
        v1::Lock {
            request: self.dice.below(6),
            id: self.dice.of(&IDS).to_owned(),
            mode: if self.dice.below(100) == 0 { 77 } else { self.dice.below(2) as i32 },
            wait_limit_ms: self.dice.of(&limits),
            hold_limit_ms: self.dice.of(&limits[3..]),
            owner: self.dice.of(&[None, Some(1), Some(2)]),
            more_ids: self.more_ids(),
        }
    }

    fn more_ids(&mut self) -> Vec<String> {
        let count = self.dice.below(8).saturating_sub(4);
        (0..count).map(|_| self.dice.of(&IDS).to_owned()).collect()
    }

    fn claims(&mut self) -> Vec<v1::Claim> {
        let count = self.dice.below(4);
        let claim = |_| {
            let number = self.dice.of(&self.numbers.clone());
            let state = self.dice.of(&[
                Some(State::Place(number)),
                Some(State::Token(number)),
                Some(State::Token(number)),
            ]);
            let more_tokens = vec![number; self.dice.below(3) as usize / 2];
            v1::Claim { lock: Some(self.lock()), state, more_tokens }
        };
        (0..count).map(claim).collect()
    }

    fn resume(&mut self) -> v1::Resume {
        let mut opened = v1::Opened { session: 9, secret: vec![0; 16], lease_ms: 9, requests: 9 };
        if !self.opened.is_empty() {
            opened = self.dice.of(&self.opened.clone());
        }
        if self.dice.below(10) == 0 {
            opened.secret.pop();
        }
        let v1::Opened { session, secret, lease_ms, .. } = opened;
        let attempt = self.opened.len() as u64 + self.dice.below(200);
        let runs = self.dice.below(2) > 0;
        v1::Resume { session, secret, attempt, lease_ms, runs, claims: self.claims() }
    }

    /// Lets everybody go; then everything must be free.
    fn end(mut self) -> BTreeMap<&'static str, u64> {
        self.lines.clear();
        self.hub.ask(|manager, now| {
            let sessions: Vec<SessionStatus> = manager.sessions().skip(1).collect();
            for status in sessions {
                assert!(!status.attached, "its stream was dropped");
                assert!(manager.expel(now, status.session, "the end"));
            }
            manager.check();
            assert_eq!(manager.ids().count(), 0);
        });
        self.connect();
        let mut line = self.lines.pop().expect("it was made");
        let lock = v1::Lock { request: 1, id: "a".to_owned(), ..v1::Lock::default() };
        for message in [Message::Open(v1::Open { lease_ms: 1000, runs: true }), Message::Lock(lock)]
        {
            let _ = line.says.unbounded_send(Ok(ClientMessage { message: Some(message) }));
        }
        let before = self.told.get("granted").copied().unwrap_or_default();
        assert!(self.listen(&mut line), "the server goes on");
        assert_eq!(self.told["granted"], before + 1);
        self.told
    }
}

fn is_over(stream: &mut (impl Stream + Unpin), context: &mut Context<'_>) -> bool {
    matches!(stream.poll_next_unpin(context), Poll::Ready(None))
}

/// Too many, an empty one, and one that is too long.
const IDS: [&str; 6] = ["a", "b", "c", "d", "", "too long an id"];

#[test]
fn whatever_arrives_nothing_panics_and_nothing_is_left_behind() {
    let seeds = env::var("LOCKCORE_SEEDS").map_or(500, |seeds| seeds.parse().expect("a number"));
    let mut sums = BTreeMap::<&str, u64>::new();
    for seed in 1..=seeds {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
        }
        for (kind, count) in world.end() {
            *sums.entry(kind).or_default() += count;
        }
    }
    println!("{seeds} seeds: {sums:?}");
    assert_eq!(sums.len(), 10, "each kind of answer is reached: {sums:?}");
}
