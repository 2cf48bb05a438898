//! [`Events`]: what a run has met, so that a test can say what was never met.

use std::collections::BTreeMap;

/// Makes an enum that knows all its variants.
macro_rules! events {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$event_doc:meta])* $event:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$event_doc])* $event,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$event,)*];
        }
    };
}
pub(crate) use events;

/// How often each event was met.
#[derive(Clone, Debug)]
pub struct Events<E>(BTreeMap<E, u64>);

impl<E: Copy + Ord> Events<E> {
    /// Counts an event.
    pub fn met(&mut self, event: E) {
        *self.0.entry(event).or_default() += 1;
    }

    /// Counts an event if it took place.
    pub fn met_if(&mut self, took_place: bool, event: E) {
        if took_place {
            self.met(event);
        }
    }

    /// Adds what another run has met.
    pub fn add(&mut self, other: Self) {
        for (event, times) in other.0 {
            *self.0.entry(event).or_default() += times;
        }
    }

    /// Returns whether an event was met.
    pub fn has(&self, event: E) -> bool {
        self.0.contains_key(&event)
    }

    /// Returns those of `all` that were never met.
    pub fn missing(&self, all: &[E]) -> Vec<E> {
        all.iter().copied().filter(|event| !self.has(*event)).collect()
    }
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}
