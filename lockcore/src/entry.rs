//! What a table stores for an id in use: the id and one word.

use core::num::NonZeroU64;

use slab::Slab;

use crate::{
    handles::Hold,
    queue::{Holders, Queue},
};

pub(crate) struct Entry<I> {
    pub(crate) id: I,
    pub(crate) state: State,
}

impl<I> Entry<I> {
    /// Returns the queue of the id, made if there is none.
    #[inline]
    pub(crate) fn queue(&mut self, queues: &mut Slab<Queue>) -> usize {
        match self.state.view() {
            View::Queue(index) => index,
            View::Lone(token) => {
                let index = Queue::insert(queues, Holders::Exclusive(token));
                self.state = State::queue(index);
                index
            }
        }
    }

    #[inline]
    pub(crate) fn is_held_by(&self, hold: &Hold, queues: &Slab<Queue>) -> bool {
        match (self.state.view(), hold.queue()) {
            (View::Lone(token), None) => token == hold.token,
            (View::Queue(index), None) => queues[index].holders() == Holders::Exclusive(hold.token),
            (View::Queue(index), Some(queue)) => index == queue,
            (View::Lone(_), Some(_)) => false,
        }
    }
}

/// A lone exclusive holder's token or the index of a queue, in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

pub(crate) enum View {
    Lone(NonZeroU64),
    Queue(usize),
}

impl State {
    #[inline]
    pub(crate) fn lone(token: NonZeroU64) -> Self {
        Self(token.get() << 1)
    }

    #[inline]
    pub(crate) fn queue(index: usize) -> Self {
        Self((index as u64) << 1 | 1)
    }

    #[inline]
    pub(crate) fn view(self) -> View {
        match NonZeroU64::new(self.0 >> 1) {
            Some(token) if self.0 & 1 == 0 => View::Lone(token),
            _ => View::Queue((self.0 >> 1) as usize),
        }
    }
}
