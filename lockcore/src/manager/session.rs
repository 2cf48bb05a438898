//! What the manager knows of a session: its lease, its connection, its requests.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{cmp::Reverse, fmt, time::Duration};

use super::{OwnerId, RequestId, Time, request::Request};

/// A session of a manager; never used twice, restarts included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

impl SessionId {
    /// The session of this number, as a client says it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number of the session.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a client has to show to resume its session: 128 bits that nobody can guess.
///
/// The manager has no randomness: the adapter draws it when it opens the session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(u128);

impl Secret {
    /// The secret of these bits.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One connection of a session, given by [`LockManager::open`](super::LockManager::open) and
/// [`LockManager::resume`](super::LockManager::resume): whoever calls for the session shows it.
///
/// Only the one given last is good, so that late calls of an earlier connection do no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    pub(super) session: SessionId,
    /// The attempt by which it was made: 0 for the one that opened the session.
    pub(super) number: u64,
}

impl Link {
    /// Returns the session.
    pub const fn session(self) -> SessionId {
        self.session
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

/// A request of a session, as the manager's other parts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) session: SessionId,
    pub(super) request: RequestId,
}

pub(super) struct Session {
    /// `None` for the adapter's own, which lasts until it is closed and cannot be resumed.
    pub(super) lease: Option<Lease>,
    pub(super) link: Link,
    /// Whether the connection of `link` is there.
    pub(super) attached: bool,
    /// Whether its client understands runs.
    pub(super) runs: bool,
    /// How many requests it may have.
    pub(super) limit: usize,
    /// How many of the requests wait, each as often as it waits for an id.
    pub(super) waiting: usize,
    /// How many ids the requests have beyond one for each.
    pub(super) further: usize,
    /// Ordered, so that what is done to all of them is done in the same order each time.
    pub(super) requests: BTreeMap<RequestId, Request>,
    /// The requests that have an owner, by owner.
    pub(super) owned: BTreeSet<(OwnerId, RequestId)>,
}

#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) secret: Secret,
    pub(super) length: Duration,
    /// When the session expires.
    pub(super) end: Time,
    /// When the manager looks whether it has. It is set again only then, so that renewing costs O(1).
    pub(super) timer: Time,
}

impl Session {
    pub(super) fn new(link: Link, lease: Option<Lease>, limit: usize) -> Self {
        Self {
            lease,
            link,
            attached: true,
            runs: false,
            limit,
            waiting: 0,
            further: 0,
            requests: BTreeMap::new(),
            owned: BTreeSet::new(),
        }
    }

    /// How many requests it has, each as often as it has an id.
    pub(super) fn ids(&self) -> usize {
        self.requests.len() + self.further
    }

    /// The client was heard.
    pub(super) fn renew(&mut self, now: Time) {
        if let Some(lease) = &mut self.lease {
            lease.end = now.after(lease.length);
        }
    }

    /// Returns those of `requests` that are to leave: who waits, the last first, then who holds.
    ///
    /// In this order, no turn comes to one that is to leave later.
    pub(super) fn in_leaving_order(
        &self,
        leaves: impl Fn(RequestId, &Request) -> bool,
    ) -> Vec<RequestId> {
        let leaving = self.requests.iter().filter(|(number, request)| leaves(**number, request));
        let mut leaving: Vec<_> = leaving
            .map(|(number, request)| (request.is_holding(), Reverse(request.place), *number))
            .collect();
        leaving.sort_unstable();
        leaving.into_iter().map(|(.., number)| number).collect()
    }
}
