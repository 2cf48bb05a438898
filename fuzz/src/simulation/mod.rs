//! A simulation: the real `LockManager`, clients that follow the rules, and everything that breaks.
//!
//! Messages are late, repeated and lost with their connection, whose end each side notices in its own
//! time; clocks run at their own pace, timers come late; clients crash and pause, the server restarts.
//! Some clients lock several ids at once, some pass a lock on among their own requests.
//! After each step, nobody believes to hold what another has alone, turns come in order, also those of
//! requests that wait for others of their ids, tokens rise, and nobody holds past its lease. In the end
//! everybody was served or refused, and nothing is left.

mod client;
mod random;
mod server;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::Duration,
};

use lockcore::{Mode, manager::Claimed};

use self::{
    client::Client,
    random::Random,
    server::Server,
    wire::{Connection, ToServer, Wanted},
};

const IDS: [&str; 3] = ["a", "b", "c"];

/// Whether somebody holds exclusively.
type Alone = bool;

/// What a request for several ids is for beside the first of them, which is that of [`IDS`].
const MORE_IDS: [[&[&str]; 3]; IDS.len()] =
    [[&["b"], &["c"], &["c", "b"]], [&["a"], &["c"], &["a", "c"]], [&["a"], &["b"], &["b", "a"]]];

/// How many steps a run has before all heals.
const STEPS: u64 = 60;

/// How many rounds all may take to end well once nothing breaks any more.
const ROUNDS: usize = 200;

/// Runs the simulation of a seed, with a line for each step if `trace` is set.
///
/// # Panics
///
/// If a promise is broken.
pub fn run(seed: u64, trace: bool) {
    let mut world = World::new(seed, trace);
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
    world.heal();
}

struct World {
    random: Random,
    /// In milliseconds.
    now: u64,
    server: Server,
    clients: Vec<Client>,
    connections: Vec<Connection>,
    /// By which tokens anybody ever believed to hold an id.
    believed: BTreeMap<&'static str, BTreeSet<(Alone, u64)>>,
    trace: bool,
}

impl World {
    fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let server = Server::new(random.within(990, 1010));
        let clients = (0..random.within(2, 4))
            .map(|_| Client::new(random.within(990, 1010), random.next(), random.percent(70)))
            .collect();
        let (connections, believed) = Default::default();
        Self { random, now: 0, server, clients, connections, believed, trace }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..40 => self.carry(),
            40..52 => self.pass(),
            52..92 => self.act(),
            92..94 => self.lose_connection(),
            94..96 => self.let_server_notice(),
            96..98 => self.pause_or_crash_client(),
            98 => self.crash_server(),
            _ => self.restart_server(),
        }
    }

    /// One message arrives, of those that are first on their connection.
    fn carry(&mut self) {
        let (server, start) = (&self.server, self.server.start);
        let up = |line: &Connection| server.manager.is_some() && line.start == start;
        let mut first = Vec::new();
        for (number, line) in self.connections.iter().enumerate() {
            if !line.to_server.is_empty() && !line.server_gone && up(line) {
                first.push((number, true));
            }
            let client = &self.clients[line.client];
            if !line.to_client.is_empty() && !line.client_gone && client.paused_until <= self.now {
                first.push((number, false));
            }
        }
        if !first.is_empty() {
            let (number, to_server) = first[self.random.index(first.len())];
            self.carry_on(number, to_server);
        }
    }

    fn carry_on(&mut self, number: usize, to_server: bool) {
        let line = &mut self.connections[number];
        if to_server {
            let message = line.to_server.pop_front().expect("something is under way");
            self.say("server hears", number, &message);
            self.server.hear(self.now, number, message, &mut self.connections);
        } else {
            let message = line.to_client.pop_front().expect("something is under way");
            let client = line.client;
            self.say("client hears", number, &message);
            self.clients[client].look_at_the_clock(self.now);
            let current = self.clients[client].connection.map(|(current, _)| current);
            if current == Some(number)
                && let Some(answer) = self.clients[client].hear(message)
            {
                self.send(number, answer);
            }
        }
    }

    /// Time passes; the server's timer may come late.
    fn pass(&mut self) {
        let time = match self.random.below(10) {
            0 => self.random.below(12_000),
            1..4 => self.random.below(3_000),
            _ => self.random.below(300),
        };
        self.now += time;
        self.say("time", self.now as usize, &time);
        if self.random.percent(80) {
            self.server.handle_timeout(self.now, &mut self.connections);
        }
    }

    /// A client does something.
    fn act(&mut self) {
        let number = self.random.index(self.clients.len());
        let now = self.now;
        if self.clients[number].paused_until > now {
            return;
        }
        self.clients[number].look_at_the_clock(now);
        let client = &mut self.clients[number];
        let Some((connection, attached)) = client.connection else { return self.connect(number) };
        if client.session.is_none() && attached {
            client.connection = None;
            return;
        }
        let message = match self.random.below(10) {
            0..5 => self.lock(number),
            5..8 => self.give_up(number),
            8 => self.clients[number].keep_alive(now),
            _ => self.repeat(number),
        };
        if let Some(message) = message {
            self.send(connection, message);
        }
    }

    fn connect(&mut self, number: usize) {
        if self.server.manager.is_none() {
            return;
        }
        let connection = self.connections.len();
        let start = self.server.start;
        self.connections.push(Connection { client: number, start, ..Connection::default() });
        let first = self.clients[number].connect(self.now, connection);
        self.send(connection, first);
    }

    fn send(&mut self, connection: usize, message: ToServer) {
        self.say("client says", connection, &message);
        self.connections[connection].to_server.push_back(message);
    }

    fn lock(&mut self, number: usize) -> Option<ToServer> {
        let random = &mut self.random;
        let wait_limit = match random.below(6) {
            0 => Some(0),
            1 => Some(random.below(5)),
            _ => None,
        };
        let id = random.index(IDS.len());
        let more_ids = MORE_IDS[id][random.index(MORE_IDS[id].len())];
        let wanted = Wanted {
            id: IDS[id],
            more_ids: if random.percent(30) { more_ids } else { &[] },
            mode: if random.percent(70) { Mode::Exclusive } else { Mode::Shared },
            wait_limit: wait_limit.map(Duration::from_secs),
            owner: random.percent(50).then(|| random.below(2)),
            state: Claimed::Waiting { place: None },
            more_tokens: Vec::new(),
        };
        self.clients[number].lock(wanted)
    }

    fn a_request(&mut self, number: usize) -> Option<(u64, Wanted)> {
        let requests = &self.clients[number].session.as_ref()?.requests;
        let index = self.random.index(requests.len().max(1));
        requests.iter().nth(index).map(|(request, wanted)| (*request, wanted.clone()))
    }

    fn give_up(&mut self, number: usize) -> Option<ToServer> {
        let (request, _) = self.a_request(number)?;
        self.clients[number].give_up(request)
    }

    /// A message that arrived may be sent again.
    fn repeat(&mut self, number: usize) -> Option<ToServer> {
        let (request, wanted) = self.a_request(number)?;
        Some(ToServer::Lock { request, wanted })
    }

    /// A client gives its connection up. Some of what is under way is lost, the rest arrives.
    fn lose_connection(&mut self) {
        let number = self.random.index(self.clients.len());
        if let Some((connection, _)) = self.clients[number].connection.take() {
            let line = &mut self.connections[connection];
            line.client_gone = true;
            let arrives = self.random.index(line.to_server.len() + 1);
            line.to_server.truncate(arrives);
            self.say("lost", connection, &arrives);
        }
    }

    /// The server notices that a connection is broken, or takes one for broken.
    fn let_server_notice(&mut self) {
        if self.connections.is_empty() {
            return;
        }
        let connection = self.random.index(self.connections.len());
        if self.connections[connection].client_gone || self.random.percent(20) {
            self.say("server loses", connection, &());
            self.server.lose(self.now, connection, &mut self.connections);
        }
    }

    fn pause_or_crash_client(&mut self) {
        let number = self.random.index(self.clients.len());
        if self.random.percent(60) {
            self.clients[number].paused_until = self.now + self.random.below(20_000);
            self.say("client pauses", number, &self.clients[number].paused_until);
        } else {
            let (pace, secret) = (self.clients[number].pace, self.random.next());
            self.clients[number] = Client::new(pace, secret, self.random.percent(70));
            self.say("client crashes", number, &());
        }
    }

    fn crash_server(&mut self) {
        if self.server.manager.is_some() {
            self.say("server crashes", self.server.start as usize, &());
            self.server.crash();
        }
    }

    /// A server that is down or up starts again.
    fn restart_server(&mut self) {
        self.server.crash();
        self.server.restart(self.now);
        self.say("server starts", self.server.start as usize, &());
    }

    /// Nobody believes to hold what another has alone, and whoever begins to believe so has a greater
    /// token than all before that do not go with it.
    fn check(&mut self) {
        for id in IDS {
            let believers = self.clients.iter().flat_map(|client| client.believes(self.now));
            let holds = believers.filter(|(held, ..)| *held == id);
            let holds: Vec<(Alone, u64)> =
                holds.map(|(_, mode, token)| (mode == Mode::Exclusive, token)).collect();
            let together = holds.len() <= 1 || holds.iter().all(|(alone, _)| !alone);
            assert!(together, "{} clients believe to hold {id}: {holds:?}", holds.len());
            let believed = self.believed.entry(id).or_default();
            for (alone, token) in holds {
                let rivals = believed.iter().filter(|(other, _)| alone || *other);
                let rival = rivals.map(|(_, rival)| *rival).max().unwrap_or_default();
                let begins = believed.insert((alone, token));
                assert!(!begins || token > rival, "a hold of {id} by {token} follows {rival}");
            }
        }
    }

    /// Nothing breaks any more, and nobody asks for more.
    fn heal(&mut self) {
        if self.server.manager.is_none() {
            self.restart_server();
        }
        let paused = self.clients.iter().map(|client| client.paused_until).max();
        self.now = self.now.max(paused.unwrap_or_default());
        self.say("all heals", 0, &());
        let mut rounds = 0..ROUNDS;
        while self.clients.iter().any(Client::is_busy) {
            rounds.next().expect("everybody is served or refused in the end");
            self.heal_round();
        }
        for number in 0..self.clients.len() {
            if let Some((connection, _)) = self.clients[number].connection {
                self.send(connection, ToServer::Close);
            }
        }
        self.carry_all();
        self.now += 100_000;
        self.server.handle_timeout(self.now, &mut self.connections);
        self.server.check_empty();
    }

    /// Everybody is connected and heard, and releases what it holds.
    fn heal_round(&mut self) {
        let start = self.server.start;
        for number in 0..self.clients.len() {
            self.clients[number].look_at_the_clock(self.now);
            let line = self.clients[number].connection.map(|(line, _)| &self.connections[line]);
            if line.is_none_or(|line| line.server_gone || line.start != start) {
                self.clients[number].connection = None;
                self.connect(number);
            }
        }
        self.carry_all();
        for number in 0..self.clients.len() {
            for message in self.clients[number].release_all(self.now) {
                if let Some((connection, _)) = self.clients[number].connection {
                    self.send(connection, message);
                }
            }
        }
        self.carry_all();
        self.now += 1_000;
        self.server.handle_timeout(self.now, &mut self.connections);
        self.check();
    }

    fn carry_all(&mut self) {
        let start = self.server.start;
        for number in 0..self.connections.len() {
            let up = |line: &Connection| line.start == start && !line.server_gone;
            while up(&self.connections[number]) && !self.connections[number].to_server.is_empty() {
                self.carry_on(number, true);
            }
        }
        for number in 0..self.connections.len() {
            while !self.connections[number].to_client.is_empty() {
                self.carry_on(number, false);
                self.check();
            }
        }
    }

    fn say(&self, what: &str, number: usize, details: &dyn Debug) {
        if self.trace {
            println!("{:>8} ms  {what} {number}: {details:?}", self.now);
        }
    }
}
