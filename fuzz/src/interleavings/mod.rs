//! Futures and guards of a `KeyedRwLock`, made, polled and dropped in any order, until it is closed.

mod event;
mod model;
mod op;
mod request;
mod wakers;
mod watch;

use std::{
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
    task::Poll,
};

use lockcore::{Config, KeyedRwLock, Mode, Status};

pub use self::event::Event;
use self::{
    model::{Found, Model, Who},
    op::{IDS, Op, WAKERS},
    request::{Held, How, Locking, Request, Stage, jumble},
    wakers::CountingWaker,
    watch::{WATCHERS, Watching},
};
use crate::events::Events;

/// How many futures and guards there are at a time.
const PLACES: usize = 12;
/// How many operations a run has at most: longer ones find the same, slower.
const OPS: usize = 256;

/// The ids in two pairs: the two of a pair have the same hash, the pairs are in two tables.
#[derive(Clone, Copy, Debug, Default)]
struct Colliding(u64);

impl Hasher for Colliding {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.wrapping_add(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        (self.0 & 1) << 40
    }
}

type Hash = BuildHasherDefault<Colliding>;

/// The real lock beside its model.
struct World<'a> {
    lock: &'a KeyedRwLock<u64, Hash>,
    ids: &'a [u64; IDS],
    wakers: [CountingWaker; WAKERS],
    places: [Option<Request<'a>>; PLACES],
    watching: [Option<Watching<'a>>; WATCHERS],
    model: Model,
}

/// Does what `bytes` say, two bytes an operation, and returns what was met.
///
/// # Panics
///
/// If the lock and the model disagree, or an invariant is broken.
pub fn run(bytes: &[u8]) -> Events<Event> {
    // As many tables and slots as there are hashes: the fewer, the faster is each check.
    let config = Config { shards: 2, slots: 2, ..Config::default() };
    let (lock, ids) = (KeyedRwLock::with_config(config), [0, 1, 2, 3]);
    let wakers = std::array::from_fn(|_| CountingWaker::new());
    let places = std::array::from_fn(|_| None);
    let watching = std::array::from_fn(|_| None);
    let model = Model::default();
    let mut world = World { lock: &lock, ids: &ids, wakers, places, watching, model };
    for bytes in bytes.as_chunks().0.iter().take(OPS) {
        let used_before = lock.len();
        world.step(Op::decode(*bytes));
        world.compare();
        if (bytes[0] ^ bytes[1]).count_ones() % 4 == 0 {
            world.compare_ids();
        }
        world.note(used_before);
    }
    for who in 0..PLACES {
        world.drop_request(Some(who));
        world.compare();
    }
    for who in 0..WATCHERS {
        world.drop_watch(Some(who));
        world.compare();
    }
    assert!(lock.is_empty(), "nothing is left behind");
    world.model.events
}

impl<'a> World<'a> {
    fn step(&mut self, op: Op) {
        match op {
            Op::Start { id, mode } => _ = self.start(&[id], mode, How::Borrowed),
            Op::StartAndPoll { id, mode, waker } => {
                self.start_and_poll(&[id], mode, How::Borrowed, waker);
            }
            Op::PollUnpolled { nth, waker } => {
                self.poll(self.find(nth, Stage::is_unpolled), |_| waker);
            }
            Op::PollAgain { nth } => self.poll(self.find(nth, Stage::is_polled), |last| last),
            Op::PollWith { nth, waker } => self.poll(self.find(nth, Stage::is_polled), |_| waker),
            Op::Drop { nth } => self.drop_request(self.find(nth, |stage| !stage.is_holding())),
            Op::Release { nth } => self.drop_request(self.find(nth, Stage::is_holding)),
            Op::TryLock { id, mode } => self.try_lock(id, mode),
            Op::StartOwned { id, mode } => _ = self.start(&[id], mode, How::Owned),
            Op::StartOwnedAndPoll { id, mode, waker } => {
                self.start_and_poll(&[id], mode, How::Owned, waker);
            }
            Op::StartAllAndPoll { ids, mode, waker } => {
                self.start_and_poll(ids, mode, How::All, waker);
            }
            Op::TryLockAll { ids, mode } => self.try_lock_all(ids, mode),
            Op::Downgrade { nth } => self.downgrade(self.find(nth, Stage::is_holding)),
            Op::Watch { id, waker } => self.watch(Some(id), waker),
            Op::WatchAll { waker } => self.watch(None, waker),
            Op::PollWatch { nth, waker } => self.poll_watch(self.find_watch(nth), waker),
            Op::DropWatch { nth } => self.drop_watch(self.find_watch(nth)),
            Op::Close => {
                self.lock.close();
                self.model.close();
            }
        }
    }

    fn start(&mut self, ids: &[usize], mode: Mode, how: How) -> Option<Who> {
        let who = self.free_place()?;
        let locking = Locking::new(self.lock, &self.refs(ids), mode, how);
        let stage = Stage::Unpolled(locking);
        self.places[who] = Some(Request { ids: ids.to_vec(), held: 0, mode, stage });
        self.model.events.met(Event::Start);
        Some(who)
    }

    fn start_and_poll(&mut self, ids: &[usize], mode: Mode, how: How, waker: usize) {
        let who = self.start(ids, mode, how);
        self.poll(who, |_| waker);
    }

    fn poll(&mut self, who: Option<Who>, waker: impl FnOnce(usize) -> usize) {
        let Some(who) = who else { return };
        let mut request = self.places[who].take().expect("a place in use");
        let (mut locking, last_waker) = match request.stage {
            Stage::Unpolled(locking) => (locking, None),
            Stage::Polled(locking, waker) => (locking, Some(waker)),
            Stage::Holding(_) => unreachable!("guards are not polled"),
        };
        let waker = waker(last_waker.unwrap_or_default());
        let held_before = request.held;
        let found = loop {
            let (id, at) = (request.ids[request.held], request.held);
            let found = match last_waker {
                Some(_) if at == held_before => self.model.poll(id, who, waker),
                Some(_) | None => self.model.lock(id, who, request.mode, waker),
            };
            request.held += usize::from(found == Found::Holds);
            if found != Found::Holds || request.held == request.ids.len() {
                break found;
            }
        };
        self.note_poll(&request.ids, held_before..request.held, found, last_waker.is_some());
        let polled = locking.poll(&self.wakers[waker].waker);
        request.stage = match (polled, found) {
            (Poll::Pending, Found::Waits) => Stage::Polled(locking, waker),
            (Poll::Ready(Ok(held)), Found::Holds) => {
                let owned = matches!(locking, Locking::Owned(_));
                self.model.events.met_if(owned, Event::OwnedHolds);
                Stage::Holding(held)
            }
            (Poll::Ready(Err(_)), Found::Closed) => {
                let held = &request.ids[..request.held];
                held.iter().for_each(|id| self.model.leave(*id, who));
                return;
            }
            (polled, found) => panic!("{found:?} is expected, and is_ready {}", polled.is_ready()),
        };
        self.places[who] = Some(request);
    }

    fn note_poll(&mut self, ids: &[usize], held: Range<usize>, found: Found, again: bool) {
        let Model { events, .. } = &mut self.model;
        let (several, more) = (ids.len() > 1, !held.is_empty());
        events.met_if(several && !again && found == Found::Holds, Event::AllHoldAtOnce);
        events.met_if(!again && more && found == Found::Waits, Event::AllHoldsAndWaits);
        events.met_if(again && more && found == Found::Waits, Event::AllGoesOn);
        events.met_if(held.end > 0 && found == Found::Closed, Event::AllEndsHalfWay);
    }

    fn try_lock(&mut self, id: usize, mode: Mode) {
        let Some(who) = self.free_place() else { return };
        let guard = match mode {
            Mode::Exclusive => self.lock.try_write(&self.ids[id]),
            Mode::Shared => self.lock.try_read(&self.ids[id]),
        };
        assert_eq!(guard.is_some(), self.model.try_lock(id, who, mode), "try_lock on {id}");
        self.hold(who, &[id], mode, guard.map(|guard| vec![guard.into()]));
    }

    fn try_lock_all(&mut self, ids: &[usize], mode: Mode) {
        let Some(who) = self.free_place() else { return };
        let jumbled = jumble(&self.refs(ids));
        let guards = match mode {
            Mode::Exclusive => self.lock.try_write_all(jumbled),
            Mode::Shared => self.lock.try_read_all(jumbled),
        };
        assert_eq!(guards.is_some(), self.model.try_lock_all(ids, who, mode), "all of {ids:?}");
        let held = guards.map(|guards| guards.into_iter().map(Held::from).collect());
        self.hold(who, ids, mode, held);
    }

    fn hold(&mut self, who: Who, ids: &[usize], mode: Mode, held: Option<Vec<Held<'a>>>) {
        let stage = held.map(Stage::Holding);
        self.places[who] =
            stage.map(|stage| Request { ids: ids.to_vec(), held: ids.len(), mode, stage });
    }

    fn downgrade(&mut self, who: Option<Who>) {
        let Some(request) = who.and_then(|who| self.places[who].as_mut()) else { return };
        let Stage::Holding(held) = &mut request.stage else { unreachable!("it was found holding") };
        *held = std::mem::take(held).into_iter().map(Held::downgrade).collect();
        request.mode = Mode::Shared;
        for id in &request.ids {
            self.model.downgrade(*id, who.expect("it was found"));
        }
    }

    fn drop_request(&mut self, who: Option<Who>) {
        let Some(who) = who else { return };
        let Some(Request { ids, held, stage, .. }) = self.places[who].take() else { return };
        let asked_for = match stage {
            Stage::Unpolled(_) => {
                self.model.events.met(Event::DropUnpolled);
                0
            }
            Stage::Polled(..) => {
                self.model.events.met_if(held > 0, Event::DropAllHalfWay);
                held + 1
            }
            Stage::Holding(_) => held,
        };
        ids[..asked_for].iter().for_each(|id| self.model.leave(*id, who));
        drop(stage);
    }

    /// The real ids.
    fn refs(&self, ids: &[usize]) -> Vec<&'a u64> {
        ids.iter().map(|id| &self.ids[*id]).collect()
    }

    fn free_place(&self) -> Option<Who> {
        self.places.iter().position(Option::is_none)
    }

    /// Finds the `nth` request in such a stage, from the start again after the last.
    fn find(&self, nth: usize, is_meant: impl Fn(&Stage<'a>) -> bool) -> Option<Who> {
        let places = self.places.iter().enumerate();
        let found = places.filter(|(_, place)| place.as_ref().is_some_and(|r| is_meant(&r.stage)));
        let found: Vec<Who> = found.map(|(who, _)| who).collect();
        found.get(nth.checked_rem(found.len())?).copied()
    }

    /// Compares what can be seen without moving anybody from a slot to a table with the model.
    fn compare(&mut self) {
        self.lock.check();
        self.compare_guards();
        let in_use = self.model.ids.iter().filter(|line| line.is_in_use()).count();
        assert_eq!(self.lock.len(), in_use, "ids in use");
        assert_eq!(self.lock.is_closed(), self.model.closed);
        self.compare_wakers();
    }

    /// Compares what is known of each id with the model, which diverts the slots of those in use.
    fn compare_ids(&self) {
        for (id, line) in self.ids.iter().zip(&self.model.ids) {
            let (holders, waiting) = (line.holders.len(), line.queue.len());
            let seen = self
                .lock
                .status(id)
                .map(|Status { mode, holders, waiting, .. }| (mode, holders, waiting));
            let expected = line.holders.first().map(|holder| (holder.mode, holders, waiting));
            assert_eq!(seen, expected, "mode, holders and waiting of {id}");
        }
    }

    fn compare_guards(&mut self) {
        for (who, place) in self.places.iter().enumerate() {
            let Some(Request { ids, mode, stage: Stage::Holding(held), .. }) = place else {
                continue;
            };
            assert_eq!(held.len(), ids.len(), "a guard for each id");
            for (id, held) in ids.iter().zip(held) {
                let (seen, seen_mode, token) = held.seen();
                assert_eq!((seen, seen_mode), (self.ids[*id], *mode), "a guard's id and mode");
                self.model.ids[*id].saw_token(who, token);
            }
        }
    }

    fn note(&mut self, used_before: usize) {
        let Model { events, .. } = &mut self.model;
        events.met_if(self.lock.len() == IDS, Event::AllIdsInUse);
        events.met_if(used_before > 0 && self.lock.is_empty(), Event::Idle);
        events.met_if(self.places.iter().all(Option::is_some), Event::AllPlacesTaken);
    }

    /// Each waker was woken as often as it ought to be, and is stored by those who wait or watch.
    fn compare_wakers(&self) {
        let mut stored = [0; WAKERS];
        for waiter in self.model.ids.iter().flat_map(|line| &line.queue) {
            stored[waiter.waker] += 1;
        }
        for watcher in self.model.watchers.iter().filter(|watcher| !watcher.told) {
            stored[watcher.waker] += 1;
        }
        for (number, waker) in self.wakers.iter().enumerate() {
            assert_eq!(waker.woken(), self.model.woken[number], "wake-ups of waker {number}");
            assert_eq!(waker.stored(), stored[number], "clones of waker {number}");
        }
    }
}
