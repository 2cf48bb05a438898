//! Futures and guards of a `KeyedRwLock`, made, polled and dropped in any order.

mod event;
mod model;
mod op;
mod wakers;

use std::{
    future::Future,
    hash::{BuildHasherDefault, Hasher},
    pin::Pin,
    task::{Context, Poll},
};

use lockcore::{DefaultRawMutex, Guard, KeyedRwLock, Lock, Mode, Status};

pub use self::event::Event;
use self::{
    model::{Model, Who},
    op::{IDS, Op, WAKERS},
    wakers::CountingWaker,
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

/// A request, from its future to the end of its guard.
struct Request<'a> {
    id: usize,
    mode: Mode,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Unpolled(Lock<'a, 'a, u64, u64, Hash, DefaultRawMutex>),
    /// With the waker of its last poll.
    Polled(Lock<'a, 'a, u64, u64, Hash, DefaultRawMutex>, usize),
    Holding(Guard<'a, u64, Hash, DefaultRawMutex>),
}

impl Stage<'_> {
    fn is_unpolled(&self) -> bool {
        matches!(self, Self::Unpolled(_))
    }

    fn is_polled(&self) -> bool {
        matches!(self, Self::Polled(..))
    }

    fn is_holding(&self) -> bool {
        matches!(self, Self::Holding(_))
    }
}

/// The real lock beside its model.
struct World<'a> {
    lock: &'a KeyedRwLock<u64, Hash>,
    ids: &'a [u64; IDS],
    wakers: [CountingWaker; WAKERS],
    places: [Option<Request<'a>>; PLACES],
    model: Model,
}

/// Does what `bytes` say, two bytes an operation, and returns what was met.
///
/// # Panics
///
/// If the lock and the model disagree, or an invariant is broken.
pub fn run(bytes: &[u8]) -> Events<Event> {
    let (lock, ids) = (KeyedRwLock::default(), [0, 1, 2, 3]);
    let wakers = std::array::from_fn(|_| CountingWaker::new());
    let places = std::array::from_fn(|_| None);
    let mut world = World { lock: &lock, ids: &ids, wakers, places, model: Model::default() };
    for bytes in bytes.as_chunks().0.iter().take(OPS) {
        let used_before = lock.len();
        world.step(Op::decode(*bytes));
        world.compare();
        world.note(used_before);
    }
    for who in 0..PLACES {
        world.drop_request(Some(who));
        world.compare();
    }
    assert!(lock.is_empty(), "nothing is left behind");
    world.model.events
}

impl<'a> World<'a> {
    fn step(&mut self, op: Op) {
        match op {
            Op::Start { id, mode } => _ = self.start(id, mode),
            Op::StartAndPoll { id, mode, waker } => {
                let who = self.start(id, mode);
                self.poll(who, |_| waker);
            }
            Op::PollUnpolled { nth, waker } => {
                self.poll(self.find(nth, Stage::is_unpolled), |_| waker);
            }
            Op::PollAgain { nth } => self.poll(self.find(nth, Stage::is_polled), |last| last),
            Op::PollWith { nth, waker } => self.poll(self.find(nth, Stage::is_polled), |_| waker),
            Op::Drop { nth } => self.drop_request(self.find(nth, |stage| !stage.is_holding())),
            Op::Release { nth } => self.drop_request(self.find(nth, Stage::is_holding)),
            Op::TryLock { id, mode } => self.try_lock(id, mode),
        }
    }

    fn start(&mut self, id: usize, mode: Mode) -> Option<Who> {
        let who = self.free_place()?;
        let future = match mode {
            Mode::Exclusive => self.lock.write(&self.ids[id]),
            Mode::Shared => self.lock.read(&self.ids[id]),
        };
        self.places[who] = Some(Request { id, mode, stage: Stage::Unpolled(future) });
        self.model.events.met(Event::Start);
        Some(who)
    }

    fn poll(&mut self, who: Option<Who>, waker: impl FnOnce(usize) -> usize) {
        let Some(who) = who else { return };
        let Request { id, mode, stage } = self.places[who].take().expect("a place in use");
        let (mut future, last_waker) = match stage {
            Stage::Unpolled(future) => (future, None),
            Stage::Polled(future, waker) => (future, Some(waker)),
            Stage::Holding(_) => unreachable!("guards are not polled"),
        };
        let waker = waker(last_waker.unwrap_or_default());
        let holds = match last_waker {
            None => self.model.lock(id, who, mode, waker),
            Some(_) => self.model.poll(id, who, waker),
        };
        let polled =
            Pin::new(&mut future).poll(&mut Context::from_waker(&self.wakers[waker].waker));
        assert_eq!(polled.is_ready(), holds, "ready means that it holds");
        let stage = match polled {
            Poll::Pending => Stage::Polled(future, waker),
            Poll::Ready(guard) => Stage::Holding(guard),
        };
        self.places[who] = Some(Request { id, mode, stage });
    }

    fn try_lock(&mut self, id: usize, mode: Mode) {
        let Some(who) = self.free_place() else { return };
        let guard = match mode {
            Mode::Exclusive => self.lock.try_write(&self.ids[id]),
            Mode::Shared => self.lock.try_read(&self.ids[id]),
        };
        assert_eq!(guard.is_some(), self.model.try_lock(id, who, mode), "try_lock on {id}");
        self.places[who] = guard.map(|guard| Request { id, mode, stage: Stage::Holding(guard) });
    }

    fn drop_request(&mut self, who: Option<Who>) {
        let Some(who) = who else { return };
        let Some(Request { id, stage, .. }) = self.places[who].take() else { return };
        if stage.is_unpolled() {
            self.model.events.met(Event::DropUnpolled);
        } else {
            self.model.leave(id, who);
        }
        drop(stage);
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

    /// Compares all that can be seen from outside with the model.
    fn compare(&mut self) {
        self.lock.check();
        self.compare_guards();
        for (id, line) in self.ids.iter().zip(&self.model.ids) {
            let (holders, waiting) = (line.holders.len(), line.queue.len());
            let seen = self
                .lock
                .status(id)
                .map(|Status { mode, holders, waiting, .. }| (mode, holders, waiting));
            let expected = line.holders.first().map(|holder| (holder.mode, holders, waiting));
            assert_eq!(seen, expected, "mode, holders and waiting of {id}");
        }
        let in_use = self.model.ids.iter().filter(|line| line.is_in_use()).count();
        assert_eq!(self.lock.len(), in_use, "ids in use");
        self.compare_wakers();
    }

    fn compare_guards(&mut self) {
        for (who, place) in self.places.iter().enumerate() {
            let Some(Request { id, mode, stage: Stage::Holding(guard) }) = place else { continue };
            assert_eq!((guard.id(), guard.mode()), (self.ids[*id], *mode), "a guard's id and mode");
            self.model.ids[*id].saw_token(who, guard.token());
        }
    }

    fn note(&mut self, used_before: usize) {
        let Model { events, .. } = &mut self.model;
        events.met_if(self.lock.len() == IDS, Event::AllIdsInUse);
        events.met_if(used_before > 0 && self.lock.is_empty(), Event::Idle);
        events.met_if(self.places.iter().all(Option::is_some), Event::AllPlacesTaken);
    }

    /// Each waker was woken as often as it ought to be, and is stored by those in a queue alone.
    fn compare_wakers(&self) {
        let mut stored = [0; WAKERS];
        for waiter in self.model.ids.iter().flat_map(|line| &line.queue) {
            stored[waiter.waker] += 1;
        }
        for (number, waker) in self.wakers.iter().enumerate() {
            assert_eq!(waker.woken(), self.model.woken[number], "wake-ups of waker {number}");
            assert_eq!(waker.stored(), stored[number], "clones of waker {number}");
        }
    }
}
