//! Does a lock with slots do what a list of holders and a queue for each id do? Whoever looks at a lock
//! moves holders to their table, so here nobody looks unless it is an operation of its own.

#![cfg(feature = "std")]

mod common;

use std::{
    collections::VecDeque,
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
};

use common::{Strict, Task};
use lockcore::{Config, Guard, KeyedRwLock, Lock, Mode};

/// Gives an id the slot of its number.
#[derive(Default)]
struct Numbered(u64);

impl Hasher for Numbered {
    fn write(&mut self, _: &[u8]) {
        unreachable!("ids are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number << 40;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Hash = BuildHasherDefault<Numbered>;

static IDS: [u64; 4] = [0, 1, 2, 3];

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

/// Who holds an id and who waits for it, by number.
#[derive(Default)]
struct Model {
    holders: Vec<(usize, Mode)>,
    queue: VecDeque<(usize, Mode)>,
    last_token: u64,
}

impl Model {
    fn admits(&self, mode: Mode) -> bool {
        let shared = self.holders.iter().all(|(_, held)| *held == Mode::Shared);
        self.holders.is_empty() || (mode == Mode::Shared && shared)
    }

    fn hand_over(&mut self) {
        while let Some(head) = self.queue.front().copied().filter(|(_, mode)| self.admits(*mode)) {
            self.queue.pop_front();
            self.holders.push(head);
        }
    }

    fn join(&mut self, who: usize, mode: Mode) {
        self.queue.push_back((who, mode));
        if self.queue.len() == 1 {
            self.hand_over();
        }
    }

    fn leave(&mut self, who: usize) {
        self.holders.retain(|(holder, _)| *holder != who);
        self.queue.retain(|(waiter, _)| *waiter != who);
        self.hand_over();
    }

    fn downgrade(&mut self, who: usize) {
        let holder = self.holders.iter_mut().find(|(holder, _)| *holder == who);
        holder.expect("it holds").1 = Mode::Shared;
        self.hand_over();
    }

    fn holds(&self, who: usize) -> bool {
        self.holders.iter().any(|(holder, _)| *holder == who)
    }
}

enum Stage<'a> {
    Waits(Task<Lock<'a, 'static, u64, u64, Hash, Strict>>),
    Holds(Guard<'a, u64, Hash, Strict>),
}

struct World<'a> {
    lock: &'a KeyedRwLock<u64, Hash, Strict>,
    models: [Model; IDS.len()],
    requests: Vec<(usize, usize, Stage<'a>)>,
    next: usize,
    random: Random,
}

impl World<'_> {
    fn step(&mut self) {
        let id = self.random.below(IDS.len());
        let mode = [Mode::Exclusive, Mode::Exclusive, Mode::Shared][self.random.below(3)];
        match self.random.below(24) {
            0..5 if self.requests.len() < 6 => self.start(id, mode),
            5..9 => self.attempt(id, mode),
            9..12 => self.poll(),
            12..19 => self.leave(),
            19..21 => self.downgrade(),
            21 => self.ask(),
            22 => self.look(id),
            _ => self.look_at_all(),
        }
    }

    /// Counts a hold that has begun. Tokens rise in the order of the holds, which is not that in which
    /// they are seen where several readers hold.
    fn began(&mut self, id: usize, guard: &Guard<'_, u64, Hash, Strict>) {
        let model = &mut self.models[id];
        if guard.mode() == Mode::Exclusive {
            assert!(guard.token() > model.last_token, "tokens rise");
        }
        model.last_token = model.last_token.max(guard.token());
    }

    fn start(&mut self, id: usize, mode: Mode) {
        let future = match mode {
            Mode::Exclusive => self.lock.write(&IDS[id]),
            Mode::Shared => self.lock.read(&IDS[id]),
        };
        self.models[id].join(self.next, mode);
        self.requests.push((self.next, id, Stage::Waits(Task::new(future))));
        self.next += 1;
        self.poll_at(self.requests.len() - 1);
    }

    fn attempt(&mut self, id: usize, mode: Mode) {
        let model = &mut self.models[id];
        let expected = model.queue.is_empty() && model.admits(mode);
        let guard = match mode {
            Mode::Exclusive => self.lock.try_write(&IDS[id]),
            Mode::Shared => self.lock.try_read(&IDS[id]),
        };
        assert_eq!(guard.is_some(), expected);
        let Some(guard) = guard else { return };
        model.join(self.next, mode);
        self.began(id, &guard);
        self.requests.push((self.next, id, Stage::Holds(guard)));
        self.next += 1;
    }

    fn poll(&mut self) {
        if !self.requests.is_empty() {
            let nth = self.random.below(self.requests.len());
            self.poll_at(nth);
        }
    }

    fn poll_at(&mut self, nth: usize) {
        let (who, id, stage) = &mut self.requests[nth];
        let (who, id) = (*who, *id);
        let Stage::Waits(task) = stage else { return };
        if !self.models[id].holds(who) {
            return task.assert_waits();
        }
        let guard = task.ready();
        self.began(id, &guard);
        self.requests[nth].2 = Stage::Holds(guard);
    }

    fn leave(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let (who, id, stage) = self.requests.swap_remove(self.random.below(self.requests.len()));
        drop(stage);
        self.models[id].leave(who);
        for (who, of_id, stage) in &self.requests {
            if let Stage::Waits(task) = stage
                && *of_id == id
            {
                assert_eq!(task.woken() > 0, self.models[id].holds(*who));
            }
        }
    }

    fn downgrade(&mut self) {
        let holds = |(_, _, stage): &(_, _, Stage<'_>)| matches!(stage, Stage::Holds(_));
        let Some(nth) = self.requests.iter().position(holds) else { return };
        let (who, id, stage) = self.requests.remove(nth);
        let Stage::Holds(guard) = stage else { unreachable!() };
        self.models[id].downgrade(who);
        let token = guard.token();
        let guard = guard.downgrade();
        assert_eq!((guard.token(), guard.mode()), (token, Mode::Shared));
        self.requests.push((who, id, Stage::Holds(guard)));
    }

    fn ask(&self) {
        for (_, id, stage) in &self.requests {
            if let Stage::Holds(guard) = stage {
                assert_eq!(guard.id(), IDS[*id]);
            }
        }
    }

    fn look(&self, id: usize) {
        let model = &self.models[id];
        let status = self.lock.status(&IDS[id]);
        let seen = status.map(|status| (status.mode, status.holders, status.waiting));
        let mode = model.holders.first().map(|(_, mode)| *mode);
        assert_eq!(seen, mode.map(|mode| (mode, model.holders.len(), model.queue.len())));
    }

    fn look_at_all(&mut self) {
        let used = self.models.iter().filter(|model| !model.holders.is_empty()).count();
        assert_eq!(self.lock.len(), used);
        self.lock.check();
        if self.random.below(2) == 0 {
            assert_eq!(self.lock.snapshot().len(), used);
            self.lock.check();
        }
    }
}

fn run(seeds: Range<u64>, shards: usize, slots: usize) {
    for seed in seeds {
        let config = Config { shards, slots, ..Config::<Hash>::default() };
        let lock = KeyedRwLock::with_config(config);
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let models = std::array::from_fn(|_| Model::default());
        let mut world = World { lock: &lock, models, requests: Vec::new(), next: 0, random };
        (0..200).for_each(|_| world.step());
        drop(world.requests);
        lock.check();
        assert!(lock.is_empty(), "nothing is left behind");
    }
}

#[test]
fn all_ids_in_one_slot() {
    run(1..200, 1, 1);
}

#[test]
fn two_ids_in_each_slot_of_one_table() {
    run(1..200, 1, 2);
}

#[test]
fn a_slot_for_each_id_and_two_tables() {
    run(1..200, 2, 4);
}

#[test]
fn no_slots() {
    run(1..200, 1, 0);
}
