//! [`Model`]: what a fair lock by id ought to do, in as few words as possible.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use lockcore::Mode;

use super::{
    event::Event,
    op::{IDS, WAKERS},
};
use crate::events::Events;

/// Who asks: the place of a future or guard, not used twice at a time.
pub(super) type Who = usize;

/// All ids, and how often each waker ought to have been woken.
#[derive(Default)]
pub(super) struct Model {
    pub(super) ids: [Line; IDS],
    pub(super) woken: [usize; WAKERS],
    pub(super) events: Events<Event>,
    pub(super) closed: bool,
    pub(super) watchers: Vec<Watcher>,
}

/// What a poll finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Holds,
    Waits,
    Closed,
}

/// Who is to be told when an id is free, or when all those of a table are.
pub(super) struct Watcher {
    /// Its place, not used twice at a time.
    pub(super) who: Who,
    ids: Vec<usize>,
    pub(super) waker: usize,
    pub(super) told: bool,
}

/// One id: who holds it and who waits.
#[derive(Default)]
pub(super) struct Line {
    pub(super) holders: Vec<Holder>,
    pub(super) queue: VecDeque<Waiter>,
    /// Whose wait was ended, and who has not looked since.
    ended: Vec<Who>,
    holds: usize,
    /// The tokens that were seen, by the number of the hold.
    tokens: BTreeMap<usize, u64>,
}

pub(super) struct Holder {
    who: Who,
    pub(super) mode: Mode,
    /// Which hold of the id it is.
    number: usize,
    turn: Turn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Taken,
    /// Handed over and not looked at; so many turns were dropped just before it. With the waker.
    HandedOver(usize, usize),
}

pub(super) struct Waiter {
    who: Who,
    mode: Mode,
    first_waker: usize,
    pub(super) waker: usize,
}

impl Line {
    pub(super) fn is_in_use(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Whether a request of this mode goes with the holders.
    fn admits(&self, mode: Mode) -> bool {
        self.holders.iter().all(|holder| holder.mode == Mode::Shared && mode == Mode::Shared)
    }

    /// Returns whether the wait of `who` was ended, and forgets it, as it is told once.
    fn has_ended(&mut self, who: Who) -> bool {
        let at = self.ended.iter().position(|ended| *ended == who);
        at.map(|at| self.ended.swap_remove(at)).is_some()
    }

    fn hold(&mut self, who: Who, mode: Mode, turn: Turn) {
        self.holders.push(Holder { who, mode, number: self.holds, turn });
        self.holds += 1;
    }

    fn holder(&mut self, who: Who) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.who == who)
    }

    /// Asserts that the token of a hold is between those of earlier and later holds.
    pub(super) fn saw_token(&mut self, who: Who, token: u64) {
        let number = self.holder(who).expect("the model says that it holds").number;
        let earlier = self.tokens.range(..number).next_back();
        assert!(earlier.is_none_or(|(_, earlier)| *earlier < token), "tokens rise");
        let later = self.tokens.range(number + 1..).next();
        assert!(later.is_none_or(|(_, later)| token < *later), "tokens rise");
        let seen = *self.tokens.entry(number).or_insert(token);
        assert_eq!(seen, token, "a hold keeps its token");
    }
}

impl Model {
    /// A request that nobody knows yet is polled.
    pub(super) fn lock(&mut self, id: usize, who: Who, mode: Mode, waker: usize) -> Found {
        let Self { ids, events, closed, .. } = self;
        let line = &mut ids[id];
        if *closed {
            events.met(Event::RefusedBecauseClosed);
            return Found::Closed;
        }
        if line.queue.is_empty() && line.admits(mode) {
            let joins = line.is_in_use();
            events.met(if joins { Event::JoinSharedHolders } else { Event::HoldAtOnce });
            line.hold(who, mode, Turn::Taken);
            return Found::Holds;
        }
        let alone = line.queue.is_empty();
        events.met(if alone { Event::QueueFirst } else { Event::QueueBehind });
        events.met_if(line.admits(mode), Event::SharedQueuesBehindExclusive);
        line.queue.push_back(Waiter { who, mode, first_waker: waker, waker });
        Found::Waits
    }

    /// A request that was polled before is polled.
    pub(super) fn poll(&mut self, id: usize, who: Who, waker: usize) -> Found {
        let Self { ids, events, closed, .. } = self;
        let line = &mut ids[id];
        if line.has_ended(who) {
            events.met(Event::PollEnded);
            return Found::Closed;
        }
        if let Some(holder) = line.holder(who) {
            let Turn::HandedOver(_, woken) = mem::replace(&mut holder.turn, Turn::Taken) else {
                unreachable!("a future whose turn was taken is a guard");
            };
            events.met(Event::TakeTurn);
            events.met_if(woken != waker, Event::TakeTurnWithOtherWaker);
            events.met_if(*closed, Event::TakeTurnOfClosed);
            return Found::Holds;
        }
        let waiter = line.queue.iter_mut().find(|waiter| waiter.who == who);
        let waiter = waiter.expect("who was polled and does not hold, waits");
        let same = mem::replace(&mut waiter.waker, waker) == waker;
        events.met(if same { Event::PollWithSameWaker } else { Event::PollWithOtherWaker });
        Found::Waits
    }

    /// Returns whether `who` may hold all of `ids` at once.
    pub(super) fn try_lock_all(&mut self, ids: &[usize], who: Who, mode: Mode) -> bool {
        let admits = |id: &usize| self.ids[*id].queue.is_empty() && self.ids[*id].admits(mode);
        let refused = ids.iter().position(|id| self.closed || !admits(id));
        self.events.met_if(refused.is_none(), Event::TryAllHolds);
        self.events.met_if(refused > Some(0), Event::TryAllRefusedHalfWay);
        if refused.is_none() {
            ids.iter().for_each(|id| self.ids[*id].hold(who, mode, Turn::Taken));
        }
        refused.is_none()
    }

    /// Returns whether `who` may hold at once.
    pub(super) fn try_lock(&mut self, id: usize, who: Who, mode: Mode) -> bool {
        let Self { ids, events, closed, .. } = self;
        let line = &mut ids[id];
        let (free, admits) = (!line.is_in_use(), line.admits(mode));
        if *closed {
            events.met_if(free, Event::TryRefusedBecauseClosed);
            return false;
        }
        if !line.queue.is_empty() || !admits {
            events.met_if(admits, Event::TryRefusedBecauseOfQueue);
            let handed_over = line.holders.iter().any(|holder| holder.turn != Turn::Taken);
            events.met_if(handed_over, Event::TryRefusedBecauseOfTurn);
            events.met_if(
                line.queue.is_empty(),
                match mode {
                    Mode::Exclusive => Event::TryExclusiveRefused,
                    Mode::Shared => Event::TrySharedRefused,
                },
            );
            return false;
        }
        events.met(match (mode, free) {
            (Mode::Exclusive, _) => Event::TryExclusiveHolds,
            (Mode::Shared, true) => Event::TrySharedHolds,
            (Mode::Shared, false) => Event::TrySharedJoins,
        });
        line.hold(who, mode, Turn::Taken);
        true
    }

    /// An exclusive hold becomes a shared one.
    pub(super) fn downgrade(&mut self, id: usize, who: Who) {
        let holder = self.ids[id].holder(who).expect("who has a guard holds");
        let was = mem::replace(&mut holder.mode, Mode::Shared);
        let joined = self.advance(id, 0);
        self.events.met(match (was, joined) {
            (Mode::Shared, _) => Event::DowngradeShared,
            (Mode::Exclusive, 0) => Event::DowngradeAlone,
            (Mode::Exclusive, _) => Event::DowngradeLetsSharedJoin,
        });
    }

    /// Nobody waits any more, and nobody begins to hold.
    pub(super) fn close(&mut self) {
        self.events.met_if(self.closed, Event::CloseAgain);
        self.closed = true;
        for line in &mut self.ids {
            self.events.met_if(!line.queue.is_empty(), Event::CloseEndsWaiters);
            let has_turn = line.holders.iter().any(|holder| holder.turn != Turn::Taken);
            self.events.met_if(has_turn, Event::CloseLeavesTurn);
            for waiter in line.queue.drain(..) {
                self.woken[waiter.waker] += 1;
                line.ended.push(waiter.who);
            }
        }
    }

    /// Begins to watch, unless the ids are free: returns whether it does.
    pub(super) fn watch(&mut self, who: Who, ids: Vec<usize>, waker: usize) -> bool {
        let watches = ids.iter().any(|id| self.ids[*id].is_in_use());
        if watches {
            self.watchers.push(Watcher { who, ids, waker, told: false });
        }
        watches
    }

    /// Returns whether who watches was told, and ends the watch if so.
    pub(super) fn poll_watch(&mut self, who: Who, waker: usize) -> bool {
        let watcher = self.watcher(who).expect("who is polled again watches");
        if !watcher.told {
            let other = mem::replace(&mut watcher.waker, waker) != waker;
            self.events.met_if(other, Event::WatchAgain);
            return false;
        }
        self.unwatch(who);
        true
    }

    pub(super) fn watcher(&mut self, who: Who) -> Option<&mut Watcher> {
        self.watchers.iter_mut().find(|watcher| watcher.who == who)
    }

    pub(super) fn unwatch(&mut self, who: Who) {
        self.watchers.retain(|watcher| watcher.who != who);
    }

    /// Tells who watches what is free: returns whether anybody did.
    fn tell(&mut self) -> bool {
        let Self { ids, watchers, woken, .. } = self;
        let mut any = false;
        for watcher in watchers {
            if !watcher.told && watcher.ids.iter().all(|id| !ids[*id].is_in_use()) {
                watcher.told = true;
                woken[watcher.waker] += 1;
                any = true;
            }
        }
        any
    }

    /// A guard, or a future that was polled before, is dropped.
    pub(super) fn leave(&mut self, id: usize, who: Who) {
        let line = &mut self.ids[id];
        if line.has_ended(who) {
            self.events.met(Event::DropEnded);
            return;
        }
        if let Some(at) = line.queue.iter().position(|waiter| waiter.who == who) {
            self.events.met(match (at, line.queue.len()) {
                (0, 1) => Event::DropOnlyWaiter,
                (0, _) => Event::DropHead,
                (at, len) if at + 1 == len => Event::DropTail,
                _ => Event::DropMiddle,
            });
            line.queue.remove(at);
            let joined = self.advance(id, 0);
            self.events.met_if(joined > 0, Event::DropHeadLetsSharedJoin);
            return;
        }
        let at = line.holders.iter().position(|holder| holder.who == who);
        let left = line.holders.remove(at.expect("who leaves was there"));
        let dropped = match left.turn {
            Turn::Taken => 0,
            Turn::HandedOver(dropped, _) => dropped + 1,
        };
        let others = line.holders.len();
        let successors = self.advance(id, dropped);
        let tells = self.tell();
        match left.turn {
            Turn::Taken => {
                self.events.met_if(tells, Event::ReleaseTellsWatcher);
                self.note_release(id, left.mode, others, successors);
            }
            Turn::HandedOver(..) => {
                self.events.met_if(tells, Event::DropTurnTellsWatcher);
                self.note_dropped_turn(dropped, others, successors);
            }
        }
    }

    /// Lets everybody hold who may, head first: returns how many.
    fn advance(&mut self, id: usize, dropped: usize) -> usize {
        let line = &mut self.ids[id];
        let (mut count, mut woken) = (0, [0; WAKERS]);
        while line.queue.front().is_some_and(|head| line.admits(head.mode)) {
            let head = line.queue.pop_front().expect("a head was seen");
            self.events.met_if(head.waker != head.first_waker, Event::WakeLatest);
            line.hold(head.who, head.mode, Turn::HandedOver(dropped, head.waker));
            woken[head.waker] += 1;
            count += 1;
        }
        for (total, woken) in self.woken.iter_mut().zip(woken) {
            *total += woken;
            self.events.met_if(woken > 1, Event::WakeSharedTwice);
        }
        count
    }

    fn note_release(&mut self, id: usize, mode: Mode, others: usize, successors: usize) {
        let line = &self.ids[id];
        let next = line.holders.first().map(|holder| holder.mode);
        self.events.met(match (mode, next, others, successors) {
            (_, None, ..) => Event::ReleaseToNobody,
            (_, Some(_), 1.., _) => Event::ReleaseOneOfShared,
            (Mode::Shared, Some(_), 0, _) => Event::SharedToExclusive,
            (Mode::Exclusive, Some(Mode::Exclusive), 0, _) => Event::ExclusiveToExclusive,
            (Mode::Exclusive, Some(Mode::Shared), 0, 1) => Event::ExclusiveToOneShared,
            (Mode::Exclusive, Some(Mode::Shared), 0, _) => Event::ExclusiveToSharedRun,
        });
        let run = mode == Mode::Exclusive && next == Some(Mode::Shared);
        self.events.met_if(run && !line.queue.is_empty(), Event::SharedRunStopsAtExclusive);
    }

    fn note_dropped_turn(&mut self, dropped: usize, others: usize, successors: usize) {
        self.events.met(match (others, successors, dropped) {
            (1.., ..) => Event::DropOneOfSharedTurns,
            (0, 0, _) => Event::DropTurnOfLast,
            (0, _, 1) => Event::DropTurnPassesOn,
            (0, _, 2) => Event::DropSecondTurnPassesOn,
            (0, _, _) => Event::DropThirdTurnPassesOn,
        });
    }
}
