//! The ids of a request: mostly one; several are joined in one step and held together.
//!
//! A request for several ids has one place in all their queues and holds each id from its own turn on;
//! it is granted when it holds all of them. Whatever ends it ends all of that in one step.

use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};
use core::{iter, mem};

use super::{
    Ask, LockManager, Refusal, Time,
    request::{Request, Stage},
    session::{Key, Session},
};
use crate::{
    due::Due,
    handles::{Joined, Mode, Status},
};

/// A request and one of its ids, as queues and holders name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartKey {
    pub(super) key: Key,
    /// Counts the ids of the request from 1; 0 is the only one.
    pub(super) number: u32,
}

impl PartKey {
    /// The only part of a request.
    pub(super) const fn only(key: Key) -> Self {
        Self { key, number: 0 }
    }

    /// Where the part is among the further ones, if it is not the first.
    fn further(self) -> Option<usize> {
        (self.number as usize).checked_sub(2)
    }
}

/// One id of a request, and how far the request came there.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: Arc<str>,
    pub(super) hash: u64,
    pub(super) stage: Stage,
}

/// The ids of a request, each once. One alone takes no allocation.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) first: Part,
    further: Box<[Part]>,
}

/// What a part that has left makes due.
type PartDue = Option<Due<Arc<str>, PartKey>>;

impl<'a> Ask<'a> {
    /// The ids besides the first, each once, in the order in which they are named.
    fn further_ids(&self) -> impl Iterator<Item = &'a str> {
        let mut named = BTreeSet::new();
        let first = self.id;
        self.more_ids.iter().copied().filter(move |id| *id != first && named.insert(*id))
    }

    /// How many ids it asks for.
    pub(super) fn ids(&self) -> usize {
        1 + self.further_ids().count()
    }
}

impl Parts {
    /// Those of `ask`, which are nowhere yet.
    pub(super) fn new(ask: &Ask<'_>, hash: impl Fn(&str) -> u64) -> Self {
        let part = |id: &str| Part { id: id.into(), hash: hash(id), stage: Stage::Deferred };
        let mut parts = Self { first: part(ask.id), further: Box::default() };
        if !ask.more_ids.is_empty() {
            parts.further = ask.further_ids().map(part).collect();
        }
        parts
    }

    pub(super) fn len(&self) -> usize {
        1 + self.further.len()
    }

    pub(super) fn are_several(&self) -> bool {
        !self.further.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Part> {
        iter::once(&self.first).chain(&self.further)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        iter::once(&mut self.first).chain(&mut self.further)
    }

    /// The names of the parts of the request `key`, in their order.
    fn names(&self, key: Key) -> impl Iterator<Item = PartKey> + use<> {
        (u32::from(self.are_several())..).map(move |number| PartKey { key, number })
    }

    /// Iterates over the parts of the request `key` with their names.
    pub(super) fn named(&self, key: Key) -> impl Iterator<Item = (PartKey, &Part)> {
        self.names(key).zip(self.iter())
    }

    pub(super) fn get(&self, name: PartKey) -> &Part {
        match name.further() {
            None => &self.first,
            Some(index) => &self.further[index],
        }
    }

    pub(super) fn get_mut(&mut self, name: PartKey) -> &mut Part {
        match name.further() {
            None => &mut self.first,
            Some(index) => &mut self.further[index],
        }
    }

    /// The part that says how far the request came: the first that does not hold, if there is one.
    pub(super) fn slowest(&self) -> &Part {
        self.iter().find(|part| part.token().is_none()).unwrap_or(&self.first)
    }

    /// Returns whether `ask` names the same ids in the same order.
    pub(super) fn are_of(&self, ask: &Ask<'_>) -> bool {
        let further = self.further.iter().map(|part| &*part.id);
        *self.first.id == *ask.id && further.eq(ask.further_ids())
    }

    /// The ids besides the first with their tokens, if the request holds.
    pub(super) fn more(&self) -> Box<[(Arc<str>, u64)]> {
        if self.further.is_empty() {
            return Box::default();
        }
        let held = self.further.iter().filter_map(|part| Some((part.id.clone(), part.token()?)));
        held.collect()
    }
}

impl Part {
    /// Returns the token if the request holds this id.
    pub(super) fn token(&self) -> Option<u64> {
        match &self.stage {
            Stage::Deferred | Stage::Waiting(_) => None,
            Stage::Holding(_, token) => Some(*token),
        }
    }
}

impl LockManager {
    /// Lets a request for several ids hold those that are free and join the queues of the others, or
    /// changes nothing.
    pub(super) fn join_all(
        &mut self,
        key: Key,
        request: &mut Request,
        has_waited: bool,
    ) -> Result<(), Refusal> {
        let is_busy = |part: &&Part| !self.is_free(part, request.mode);
        let busy = request.parts.iter().filter(is_busy).count();
        if busy > 0 {
            if request.is_try() {
                return Err(Refusal::Busy);
            }
            if !has_waited {
                self.admit_waiters(key, request.place, busy)?;
            }
            self.admit_wait(key, request)?;
        }
        let names = request.parts.names(key);
        for (name, part) in names.zip(request.parts.iter_mut()) {
            part.stage = match self.table.lock(part.hash, &part.id, request.mode, name) {
                Joined::Closed(_) => unreachable!("a manager never closes its table"),
                Joined::Holds(hold, _) => self.holding(hold),
                Joined::Waits(ticket) => Stage::Waiting(ticket),
            };
        }
        Ok(())
    }

    /// Returns whether a request in this mode would hold at once.
    fn is_free(&self, part: &Part, mode: Mode) -> bool {
        self.table.status(part.hash, &part.id).is_none_or(
            |Status { mode: held, waiting, .. }| {
                waiting == 0 && (held, mode) == (Mode::Shared, Mode::Shared)
            },
        )
    }

    /// Takes all ids of a request out of the table; then whose turn that makes come holds.
    pub(super) fn quit(&mut self, now: Time, parts: Parts) {
        let Parts { first, further } = parts;
        let first = self.quit_one(first.stage);
        if further.is_empty() {
            return self.pass_on(now, first);
        }
        let further = further.into_iter().map(|part| self.quit_one(part.stage));
        let further: Vec<PartDue> = further.collect();
        self.pass_on(now, first);
        further.into_iter().for_each(|due| self.pass_on(now, due));
    }

    fn quit_one(&mut self, stage: Stage) -> PartDue {
        match stage {
            Stage::Deferred => None,
            Stage::Waiting(ticket) => Some(self.table.cancel(ticket)),
            Stage::Holding(hold, _) => Some(self.table.release(hold)),
        }
    }

    fn pass_on(&mut self, now: Time, due: PartDue) {
        let Some(due) = due else { return };
        for successor in due.into_turns() {
            self.hand_over(now, successor);
        }
    }

    /// Returns whether a request will still wait when `turn` was taken.
    pub(super) fn waits_elsewhere(&self, turn: PartKey) -> bool {
        if turn == PartKey::only(turn.key) {
            return false;
        }
        let mut parts = self.live(turn.key).parts.named(turn.key);
        parts.any(|(name, part)| name != turn && part.token().is_none())
    }

    /// Lets a request that goes on waiting hold one of its ids.
    pub(super) fn hold_part(&mut self, turn: PartKey) {
        let waited = mem::replace(&mut self.live_part_mut(turn).stage, Stage::Deferred);
        let stage = self.turn_taken(waited, None);
        let part = self.live_part_mut(turn);
        part.stage = stage;
        let hash = part.hash;
        self.holders.insert((hash, turn));
        self.waiting -= 1;
        self.live_session_mut(turn.key).waiting -= 1;
    }

    fn live_part_mut(&mut self, name: PartKey) -> &mut Part {
        let request = self.live_session_mut(name.key).requests.get_mut(&name.key.request);
        request.expect("a live request").parts.get_mut(name)
    }

    fn live_session_mut(&mut self, key: Key) -> &mut Session {
        self.sessions.get_mut(&key.session).expect("requests are of live sessions")
    }
}
