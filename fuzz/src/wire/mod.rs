//! Streams of a server on which anything is said: the dialogues and the manager behind them.

mod contract;
mod op;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::Duration,
};

use lockcore::{
    LockManager,
    manager::{Epoch, Event, Limits, Link, Outcome, SessionId, Time},
};
use lockcore_net::{
    dialogue::{Dialogue, Dialogues, Fault, Heard, Parting, SECRET_BYTES},
    proto::v1::{
        self, ClientMessage, claim::State, client_message::Message as Said,
        server_message::Message as Told,
    },
};
use prost::Message as _;

use self::{
    contract::Contract,
    op::{IDS, Kind, LINES, Op, Say},
};
use crate::events::{Events, events};

/// How many operations a run has at most.
const OPS: usize = 256;

events! {
    /// Something that a client can be told, or a way in which a stream can end.
    pub enum Met {
        /// A session is open.
        Opened,
        /// A session came back by another stream.
        Resumed,
        /// It claimed something.
        ResumedWithClaims,
        /// A session came back after a restart.
        ResumedAfterRestart,
        /// A keep-alive is answered.
        KeptAlive,
        /// A request waits.
        Queued,
        /// A request holds.
        Granted,
        /// A request for several ids holds them all.
        GrantedAll,
        /// It is told again to a session that came back.
        GrantedAllAgain,
        /// A request is promised its turn.
        Promised,
        /// It is told again to a session that came back.
        PromisedAgain,
        /// A request that was promised its turn had it, and is released.
        PassedOn,
        /// A request is refused.
        Refused,
        /// A hold ended as asked for.
        Released,
        /// A hold ended otherwise.
        Revoked,
        /// A session is over for its stream.
        Ended,
        /// A client closed its session.
        Closed,
        /// A session ended with a stream on which it was not told.
        ClosedUntold,
        /// Bytes are no message.
        Undecodable,
        /// Garbled bytes are a message.
        Garbled,
        /// A message makes no sense.
        Senseless,
        /// A message may not come at that point.
        OutOfPlace,
        /// More was claimed than there is room for.
        TooMuch,
    }
}

/// A server and the streams of its clients.
struct World {
    manager: LockManager,
    dialogues: Dialogues,
    epoch: u32,
    now: Time,
    lines: [Option<Line>; LINES],
    contracts: BTreeMap<SessionId, Contract>,
    /// The sessions that were told, and of which run they are.
    opened: Vec<(v1::Opened, u32)>,
    /// The tokens and places that were told.
    numbers: Vec<u64>,
    attempts: u64,
    met: Events<Met>,
}

/// A stream, as the server has it.
struct Line {
    dialogue: Dialogue,
    link: Option<Link>,
    /// What is to be told.
    events: VecDeque<Event>,
    /// How many of these come before the client is told that its session is open.
    answers: Option<usize>,
    /// What was claimed before the session is known.
    claimed: Vec<v1::Lock>,
}

/// Does what `bytes` say, and returns what was met.
///
/// # Panics
///
/// If a client is told what it may not be told, is not told what it must be, or something is left behind
/// when all streams have ended and all leases have passed.
pub fn run(mut bytes: &[u8]) -> Events<Met> {
    let mut world = World {
        manager: LockManager::new(limits()),
        dialogues: Dialogues::new(limits()),
        epoch: 1,
        now: Time::ZERO,
        lines: [const { None }; LINES],
        contracts: BTreeMap::new(),
        opened: Vec::new(),
        numbers: vec![0, 1],
        attempts: 0,
        met: Events::default(),
    };
    for _ in 0..OPS {
        let Some(op) = Op::take(&mut bytes) else { break };
        world.step(op);
        world.manager.check();
    }
    // Each end meets some.
    let met = world.met.clone();
    world.end();
    met
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.sessions, limits.ids, limits.id_bytes) = (4, 3, 8);
    (limits.waiters, limits.requests_per_session) = (8, 7);
    limits.ids_per_request = 3;
    limits.longest_lease = Duration::from_secs(20);
    limits
}

impl World {
    fn step(&mut self, op: Op<'_>) {
        match op {
            Op::Say { line, say } => self.say(line, &say),
            Op::Bytes { line, bytes } => self.arrive(line, bytes),
            Op::Read { line } => self.read(line),
            Op::Break { line } => self.end_line(line),
            Op::RevokeId { id } => {
                self.manager.revoke_id(self.now, id, "for the test");
            }
            Op::Expel { session } => {
                let sessions: Vec<_> = self.manager.sessions().collect();
                if let Some(at) = usize::from(session).checked_rem(sessions.len()) {
                    self.manager.expel(self.now, sessions[at].session, "for the test");
                }
            }
            Op::Restart => self.restart(),
            Op::Pass { time } => {
                self.now = self.now.after(time);
                self.manager.handle_timeout(self.now);
            }
        }
        self.route();
    }

    /// Brings what the manager says to the streams. The end of a session is all that is left to read.
    fn route(&mut self) {
        while let Some(event) = self.manager.poll_event() {
            let lines = self.lines.iter_mut().flatten();
            let Some(line) = lines.into_iter().find(|line| line.link == Some(event.link())) else {
                continue;
            };
            // Its client knows.
            if let Event::Request { outcome: Outcome::PromisedTurn { .. }, .. } = event {
                continue;
            }
            if let Event::Ended { .. } = event {
                line.link = None;
                line.events.clear();
                line.answers = line.answers.map(|_| 1);
            }
            line.events.push_back(event);
        }
    }

    fn restart(&mut self) {
        self.lines = [const { None }; LINES];
        self.epoch += 1;
        let epoch = Epoch::new(self.epoch).expect("there are few restarts");
        let longest = self.manager.longest_lease();
        self.now = Time::ZERO;
        self.manager = LockManager::recover(limits(), epoch, self.now, longest);
        self.dialogues = Dialogues::new(limits());
        self.contracts.clear();
    }

    fn say(&mut self, line: usize, say: &Say) {
        let message = ClientMessage { message: self.message(line, say) };
        let Some(garbled) = say.garbled else { return self.hear(line, message) };
        let mut bytes = message.encode_to_vec();
        if let Some(at) = usize::from(garbled / 8).checked_rem(bytes.len()) {
            bytes[at] ^= 1 << (garbled % 8);
        }
        self.met.met_if(ClientMessage::decode(&bytes[..]).is_ok(), Met::Garbled);
        self.arrive(line, &bytes);
    }

    /// Bytes arrive; what cannot be decoded ends the stream.
    fn arrive(&mut self, line: usize, bytes: &[u8]) {
        match ClientMessage::decode(bytes) {
            Ok(message) => self.hear(line, message),
            Err(_) => {
                self.met.met(Met::Undecodable);
                self.end_line(line);
            }
        }
    }

    /// The server reads a message: a stream reads only when all is told.
    fn hear(&mut self, number: usize, message: ClientMessage) {
        let dialogues = &self.dialogues;
        self.lines[number].get_or_insert_with(|| Line::new(dialogues.begin()));
        self.read(number);
        let link = self.lines[number].as_ref().and_then(|line| line.link);
        // What is due by now comes first, and may end the session.
        self.manager.handle_timeout(self.now);
        self.route();
        self.read(number);
        let Some(mut line) = self.lines[number].take() else { return };
        if let (Some(link), Some(said)) = (link, &message.message) {
            self.contract(link).says(said);
        }
        let begins = message.message.as_ref().and_then(Begins::by);
        let (claims, secret) = (claimed(&message), [self.opened.len() as u8; SECRET_BYTES]);
        let heard = line.dialogue.hear(&mut self.manager, self.now, || Ok(secret), message);
        match heard {
            Err(fault) => {
                self.met.met(of_fault(&fault));
                assert!(!fault.to_string().is_empty());
                return self.part(line.dialogue.part());
            }
            Ok(Heard::Nothing) => line.claimed.extend(claims),
            Ok(Heard::Say(told)) => self.note(&line, &told),
            Ok(Heard::Last(told)) => return self.note(&line, &told),
            Ok(Heard::Close(parting)) => {
                self.met.met(Met::Closed);
                return self.part(parting);
            }
            Ok(Heard::Attached(opened)) => {
                line.claimed.extend(claims);
                let begins = begins.expect("only such a message attaches a stream");
                self.attach(&mut line, opened.link, begins);
            }
        }
        self.lines[number] = Some(line);
        self.route();
        self.settle_answers(number);
    }

    fn attach(&mut self, line: &mut Line, link: Link, begins: Begins) {
        line.link = Some(link);
        line.answers = Some(0);
        match begins {
            Begins::Open { runs } => self.contract(link).opened_for(runs),
            Begins::Resume { runs } => self.resumed(link, mem::take(&mut line.claimed), runs),
        }
    }

    fn resumed(&mut self, link: Link, claimed: Vec<v1::Lock>, runs: bool) {
        self.met.met_if(!claimed.is_empty(), Met::ResumedWithClaims);
        self.contract(link).resumed(claimed, runs);
        self.met.met(Met::Resumed);
        let session = link.session().get();
        let run = self.opened.iter().find(|(opened, _)| opened.session == session);
        self.met.met_if(run.is_some_and(|(_, run)| *run < self.epoch), Met::ResumedAfterRestart);
    }

    /// What there is to read right after a session is attached are the answers to its claims.
    fn settle_answers(&mut self, line: usize) {
        if let Some(line) = &mut self.lines[line]
            && line.answers == Some(0)
        {
            line.answers = Some(line.events.len());
        }
    }

    /// The peer reads all that it is told.
    fn read(&mut self, number: usize) {
        let Some(mut line) = self.lines[number].take() else { return };
        loop {
            if line.answers == Some(0) {
                line.answers = None;
                let told = line.dialogue.opened().expect("it was attached and not told");
                self.note(&line, &told);
            }
            let Some(event) = line.events.pop_front() else { break };
            line.answers = line.answers.map(|answers| answers - 1);
            let told = line.dialogue.tell(event);
            self.note(&line, &told);
            if line.dialogue.is_over() {
                assert_eq!(line.events.len(), 0, "nothing follows the end");
                return;
            }
        }
        if let Some(link) = line.link {
            self.contract(link).has_read_all();
        }
        self.lines[number] = Some(line);
    }

    /// A client is told something.
    fn note(&mut self, line: &Line, told: &Told) {
        let met = line.link.and_then(|link| self.contract(link).told(told));
        if let Some(met) = met {
            self.met.met(met);
        }
        self.met.met(match told {
            Told::Opened(opened) => {
                if !opened.secret.is_empty() {
                    self.opened.push((opened.clone(), self.epoch));
                }
                Met::Opened
            }
            Told::KeptAlive(_) => Met::KeptAlive,
            Told::Queued(v1::Queued { place, .. }) => {
                self.numbers.push(*place);
                Met::Queued
            }
            Told::Granted(v1::Granted { token, more_tokens, .. }) => {
                self.numbers.push(*token);
                self.numbers.extend(more_tokens);
                Met::Granted
            }
            Told::Run(v1::Run { first_token, .. }) => {
                self.numbers.push(*first_token);
                Met::Promised
            }
            Told::Refused(_) => Met::Refused,
            Told::Released(_) => Met::Released,
            Told::Revoked(_) => Met::Revoked,
            Told::Ended(_) => Met::Ended,
        });
    }

    fn contract(&mut self, link: Link) -> &mut Contract {
        self.contracts.entry(link.session()).or_default()
    }

    /// A stream ends, however.
    fn end_line(&mut self, line: usize) {
        if let Some(mut line) = self.lines[line].take() {
            self.part(line.dialogue.part());
        }
    }

    fn part(&mut self, parting: Parting) {
        match parting {
            Parting::Nothing => {}
            // The session may be over, or another stream's.
            Parting::Detach(link) => drop(self.manager.detach(self.now, link)),
            Parting::Close(link) => {
                let untold =
                    self.opened.iter().all(|(opened, _)| opened.session != link.session().get());
                self.met.met_if(untold, Met::ClosedUntold);
                drop(self.manager.close(self.now, link));
            }
        }
    }

    fn message(&mut self, line: usize, say: &Say) -> Option<Said> {
        let &Say { kind, request, number, .. } = say;
        let is_open = self.lines[line].as_ref().is_some_and(|line| line.link.is_some());
        // What may not come at this point comes now and then: it ends the stream.
        if is_open == kind.opens() && number % 8 > 0 {
            return Some(if is_open { Said::Lock(lock(say, request)) } else { open(say) });
        }
        Some(match kind {
            Kind::Nothing => return None,
            Kind::Open => open(say),
            Kind::Resume { claims } => self.resume(say, claims)?,
            Kind::Claims { claims } => {
                Said::Claims(v1::Claims { claims: self.claims(say, claims.into()) })
            }
            Kind::ManyClaims => Said::Claims(v1::Claims { claims: self.claims(say, 5000) }),
            Kind::KeepAlive => Said::KeepAlive(v1::KeepAlive { number: number.into() }),
            Kind::Lock => Said::Lock(lock(say, request)),
            Kind::Cancel => Said::Cancel(v1::Cancel { request }),
            Kind::Release => {
                Said::Release(v1::Release { request, token: self.number(usize::from(number % 4)) })
            }
            Kind::Close => Said::Close(v1::Close {}),
        })
    }

    /// One that comes back to a session that was told, with an attempt that is late now and then.
    fn resume(&mut self, say: &Say, claims: u8) -> Option<Said> {
        let at = usize::from(say.number).checked_rem(self.opened.len())?;
        let v1::Opened { session, mut secret, lease_ms, .. } = self.opened[at].0.clone();
        self.attempts += 1;
        match say.more {
            250 => secret[0] ^= 1,
            251 => drop(secret.pop()),
            _ => {}
        }
        let late = if say.more % 16 == 15 { 2 } else { 0 };
        let attempt = self.attempts.saturating_sub(late);
        let claims = self.claims(say, claims.into());
        let runs = say.more % 8 < 4;
        Some(Said::Resume(v1::Resume { session, secret, attempt, lease_ms, claims, runs }))
    }

    fn claims(&self, say: &Say, count: usize) -> Vec<v1::Claim> {
        let claim = |at: usize| {
            let back = usize::from(say.number) + at;
            let number = self.number(back);
            let state = match (usize::from(say.more) + at) % 3 {
                0 => State::Place(number),
                _ => State::Token(number),
            };
            let lock = lock(say, say.request + at as u64);
            // The tokens of one hold were told one after the other.
            let more = 1..=lock.more_ids.len().min(back);
            let more_tokens = more.map(|more| self.number(back - more)).collect();
            v1::Claim { lock: Some(lock), state: Some(state), more_tokens }
        };
        (0..count).map(claim).collect()
    }

    fn number(&self, at: usize) -> u64 {
        self.numbers[self.numbers.len() - 1 - at % self.numbers.len()]
    }

    /// Lets all streams end and all leases pass; then nothing is left, and the server goes on.
    fn end(&mut self) {
        (0..LINES).for_each(|line| self.read(line));
        (0..LINES).for_each(|line| self.end_line(line));
        assert!(self.manager.sessions().all(|session| !session.attached));
        let longest = limits().longest_lease;
        self.step(Op::Pass { time: 2 * longest });
        self.step(Op::Pass { time: longest });
        self.manager.check();
        assert_eq!(self.manager.sessions().len(), 0, "all leases have passed");
        assert_eq!((self.manager.ids().count(), self.manager.waiting()), (0, 0));
        assert_eq!(self.manager.poll_timeout(), None, "nothing is waited for");

        let lock = v1::Lock { request: 1, id: "a".to_owned(), ..v1::Lock::default() };
        for message in [Said::Open(v1::Open { lease_ms: 1000, runs: false }), Said::Lock(lock)] {
            self.hear(0, ClientMessage { message: Some(message) });
        }
        let line = self.lines[0].as_ref().expect("it goes on");
        let granted = line.events.back();
        assert!(matches!(granted, Some(Event::Request { .. })), "{granted:?}");
        self.read(0);
        assert_eq!(self.manager.status("a").map(|status| status.holders), Some(1));
    }
}

/// What makes a stream the connection of a session.
enum Begins {
    Open { runs: bool },
    Resume { runs: bool },
}

impl Begins {
    fn by(message: &Said) -> Option<Self> {
        match *message {
            Said::Open(v1::Open { runs, .. }) => Some(Self::Open { runs }),
            Said::Resume(v1::Resume { runs, .. }) => Some(Self::Resume { runs }),
            Said::Claims(_)
            | Said::KeepAlive(_)
            | Said::Lock(_)
            | Said::Cancel(_)
            | Said::Release(_)
            | Said::Close(_) => None,
        }
    }
}

impl Line {
    fn new(dialogue: Dialogue) -> Self {
        let (events, claimed) = Default::default();
        Self { dialogue, link: None, events, answers: None, claimed }
    }
}

fn open(say: &Say) -> Said {
    let (lease_ms, runs) = (u64::from(say.more) * 100, say.number % 2 == 1);
    Said::Open(v1::Open { lease_ms, runs })
}

fn lock(say: &Say, request: u64) -> v1::Lock {
    let limit = |bits: u8| {
        [None, None, None, None, Some(0), Some(5_000), Some(u64::MAX)][usize::from(bits) % 7]
    };
    let id = IDS.iter().position(|id| *id == say.id).unwrap_or_default() + request as usize / 8;
    // Some of the further ones are named before, and some are too many.
    let further = [0, 0, 0, 0, 0, 1, 2, 3][usize::from(say.number / 4) % 8];
    let stride = 1 + usize::from(say.number / 64);
    let more_ids = (1..=further).map(|at| IDS[(id + at * stride) % IDS.len()].to_owned());
    v1::Lock {
        request,
        id: IDS[id % IDS.len()].to_owned(),
        mode: if say.number == 255 { 77 } else { i32::from(say.number % 4 == 1) },
        wait_limit_ms: limit(say.more / 8),
        hold_limit_ms: limit(say.number / 8).filter(|limit| *limit > 0),
        owner: (say.more % 4 == 3).then_some(u64::from(say.number % 3)),
        more_ids: more_ids.collect(),
    }
}

/// The requests that a message claims.
fn claimed(message: &ClientMessage) -> Vec<v1::Lock> {
    let claims = match &message.message {
        Some(Said::Claims(v1::Claims { claims }) | Said::Resume(v1::Resume { claims, .. })) => {
            &claims[..]
        }
        Some(_) | None => &[],
    };
    claims.iter().filter_map(|claim| claim.lock.clone()).collect()
}

fn of_fault(fault: &Fault) -> Met {
    match fault {
        Fault::Senseless(_) => Met::Senseless,
        Fault::OutOfPlace(_) => Met::OutOfPlace,
        Fault::TooMuch(_) => Met::TooMuch,
        Fault::Unavailable(_) => unreachable!("the secrets are there"),
    }
}
