//! [`Watching`]: who waits until an id, or all, is free.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use lockcore::{Drained, Free};

use super::{
    Hash, World,
    event::Event,
    model::{Model, Who},
    op::IDS,
};

/// How many watch at a time.
pub(super) const WATCHERS: usize = 4;
/// How many tables have ids: those of odd and those of even ids.
const TABLES: usize = 2;

pub(super) enum Watching<'a> {
    One(Free<'a, 'a, u64, u64, Hash>, usize),
    /// With the number of tables that were seen empty.
    All(Drained<'a, u64, Hash>, usize),
}

impl<'a> World<'a> {
    /// Begins to watch an id, or all.
    pub(super) fn watch(&mut self, id: Option<usize>, waker: usize) {
        let Some(who) = self.watching.iter().position(Option::is_none) else { return };
        let (watching, ends) = match id {
            Some(id) => {
                let ends = !self.model.watch(who, vec![id], waker);
                (Watching::One(self.lock.free(&self.ids[id]), id), ends)
            }
            None => {
                let seen = self.model.watch_next_table(who, 0, waker);
                (Watching::All(self.lock.drained(), seen), seen == TABLES)
            }
        };
        self.model.events.met(match (id, ends) {
            (Some(_), true) => Event::WatchFree,
            (Some(_), false) => Event::WatchHeld,
            (None, true) => Event::WatchAllFree,
            (None, false) => Event::WatchAllBegins,
        });
        self.look(who, watching, waker, ends);
    }

    pub(super) fn poll_watch(&mut self, who: Option<Who>, waker: usize) {
        let Some(who) = who else { return };
        let mut watching = self.watching[who].take().expect("it was found");
        let told = self.model.poll_watch(who, waker);
        let ends = match &mut watching {
            Watching::One(_, id) => {
                let in_use = self.model.ids[*id].is_in_use();
                self.model.events.met_if(told && in_use, Event::ToldButHeldAgain);
                told
            }
            Watching::All(_, seen) if told => {
                *seen = self.model.watch_next_table(who, *seen + 1, waker);
                self.model.note_watched_all(*seen);
                *seen == TABLES
            }
            Watching::All(..) => false,
        };
        self.look(who, watching, waker, ends);
    }

    /// Polls who watches, and keeps it if it is not to end.
    fn look(&mut self, who: Who, mut watching: Watching<'a>, waker: usize, ends: bool) {
        let cx = &mut Context::from_waker(&self.wakers[waker].waker);
        let polled = match &mut watching {
            Watching::One(free, _) => Pin::new(free).poll(cx),
            Watching::All(drained, _) => Pin::new(drained).poll(cx),
        };
        assert_eq!(polled == Poll::Ready(()), ends, "ready means that it was free");
        self.watching[who] = (!ends).then_some(watching);
    }

    pub(super) fn drop_watch(&mut self, who: Option<Who>) {
        let Some(who) = who else { return };
        let Some(watching) = self.watching[who].take() else { return };
        let told = self.model.watcher(who).expect("it was not ready").told;
        self.model.events.met(if told { Event::DropTold } else { Event::DropWatcher });
        self.model.unwatch(who);
        drop(watching);
    }

    /// Finds the `nth` who watches, from the start again after the last.
    pub(super) fn find_watch(&self, nth: usize) -> Option<Who> {
        let found: Vec<Who> = (0..WATCHERS).filter(|who| self.watching[*who].is_some()).collect();
        found.get(nth.checked_rem(found.len())?).copied()
    }
}

impl Model {
    /// Watches the first table from `table` on that is in use, and returns its number; all tables are
    /// empty if there is none.
    fn watch_next_table(&mut self, who: Who, table: usize, waker: usize) -> usize {
        let ids = |table: usize| (table..IDS).step_by(TABLES).collect();
        (table..TABLES).find(|table| self.watch(who, ids(*table), waker)).unwrap_or(TABLES)
    }

    fn note_watched_all(&mut self, seen: usize) {
        self.events.met(if seen < TABLES { Event::WatchAllGoesOn } else { Event::WatchAllEnds });
        self.events.met_if(seen == TABLES && self.closed, Event::WatchAllEndsOfClosed);
    }
}
