//! Requests that would wait for each other in a circle are refused.
//!
//! Who waits for whom is not stored: it follows from holders and queues. A request waits for every
//! holder that it does not go with and for everybody ahead of it whose turn it cannot share. Requests of
//! one owner are one node, for what one of them holds lasts until the others had their turns. So are the
//! ids of one request, whether it has an owner or not.
//!
//! A circle can only be closed by a request that joins, since a hand-off or a leaver adds no wait. So
//! the search starts there, and only for an owner that has other requests: for any other nobody waits.
//! That goes for a request for several ids, too: it is the last in all its queues, and what it holds at
//! once nobody waits for.
//! What a client passes on by itself ends waits, as a release does: see `run`.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    sync::Arc,
    vec::Vec,
};
use core::iter::{self, Peekable};

use super::{
    LockManager, OwnerId, Refusal, RequestId, SessionId,
    parts::{Part, PartKey},
    request::{Request, Stage},
    session::Key,
};
use crate::handles::Mode;

/// One step of a circle: a session that waits for an id which the next one holds or is ahead at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The session that waits.
    pub session: SessionId,
    /// What it waits for.
    pub id: Arc<str>,
}

/// Somebody who waits or is waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Owner(SessionId, OwnerId),
    Request(Key),
}

impl Node {
    fn of(key: Key, request: &Request) -> Self {
        request.owner.map_or(Self::Request(key), |owner| Self::Owner(key.session, owner))
    }

    fn session(self) -> SessionId {
        match self {
            Self::Owner(session, _) | Self::Request(Key { session, .. }) => session,
        }
    }
}

/// Those whom a request in a mode waits for: holders, then the queue, each with its place.
type Blockers<'m> = Peekable<Box<dyn Iterator<Item = (u64, Key)> + 'm>>;

/// A search for a way from a node to itself, the shortest first: O(requests that are on ways from it).
struct Search<'m> {
    manager: &'m LockManager,
    goal: Node,
    /// By whose wait for which id a node was reached first.
    reached: BTreeMap<Node, (Node, &'m Arc<str>)>,
    ahead: VecDeque<Node>,
    /// What is yet to be looked at of each id: who waits further behind goes on from there.
    blockers: BTreeMap<(&'m str, Mode), Blockers<'m>>,
}

impl LockManager {
    /// Refuses a request that would wait for its own owner.
    pub(super) fn admit_wait(&self, key: Key, request: &Request) -> Result<(), Refusal> {
        let Some(owner) = request.owner else { return Ok(()) };
        if self.owned(key.session, owner).next().is_none() {
            return Ok(());
        }
        let goal = Node::Owner(key.session, owner);
        let (reached, ahead, blockers) = Default::default();
        let mut search = Search { manager: self, goal, reached, ahead, blockers };
        match search.circle(request) {
            Some(circle) => Err(Refusal::Deadlock { circle: circle.into() }),
            None => Ok(()),
        }
    }

    /// Iterates over the requests of an owner.
    fn owned(&self, session: SessionId, owner: OwnerId) -> impl Iterator<Item = Key> {
        let owned = &self.sessions[&session].owned;
        let owned = owned.range((owner, RequestId::MIN)..=(owner, RequestId::MAX));
        owned.map(move |(_, request)| Key { session, request: *request })
    }

    fn blockers<'m>(&'m self, id: &'m str, hash: u64, mode: Mode) -> Blockers<'m> {
        let holders = self.holders_of(id).map(|PartKey { key, .. }| (0, key));
        let queue = self.table.queue(hash, id);
        let queue = queue.map(|PartKey { key, .. }| (self.live(*key).place, *key));
        let blocks = move |(_, key): &(u64, Key)| {
            (mode, self.live(*key).mode) != (Mode::Shared, Mode::Shared)
        };
        let blockers: Box<dyn Iterator<Item = _>> = Box::new(holders.chain(queue).filter(blocks));
        blockers.peekable()
    }
}

impl<'m> Search<'m> {
    /// Returns the way from the goal to itself that a request of its would close.
    fn circle(&mut self, joining: &'m Request) -> Option<Vec<Wait>> {
        let mut closed =
            joining.parts.iter().find_map(|part| self.follow(self.goal, joining, part));
        while closed.is_none()
            && let Some(node) = self.ahead.pop_front()
        {
            let waits = self.waits(node);
            closed = waits.into_iter().find_map(|(request, part)| self.follow(node, request, part));
        }
        closed.map(|(last, id)| self.way_to(last, id))
    }

    /// The requests by which a node waits, with the ids for which they do.
    fn waits(&self, node: Node) -> Vec<(&'m Request, &'m Part)> {
        let keys: Vec<Key> = match node {
            Node::Owner(session, owner) => self.manager.owned(session, owner).collect(),
            Node::Request(key) => [key].into(),
        };
        let requests = keys.into_iter().map(|key| self.manager.live(key));
        let parts = requests.flat_map(|request| iter::repeat(request).zip(request.parts.iter()));
        parts.filter(|(_, part)| matches!(part.stage, Stage::Waiting(_))).collect()
    }

    /// Reaches those whom a request of `node` waits for at an id, until the goal is among them.
    fn follow(
        &mut self,
        node: Node,
        request: &Request,
        part: &'m Part,
    ) -> Option<(Node, &'m Arc<str>)> {
        let manager = self.manager;
        let (Part { id, hash, .. }, Request { mode, place, .. }) = (part, request);
        let blockers =
            self.blockers.entry((id, *mode)).or_insert_with(|| manager.blockers(id, *hash, *mode));
        while let Some((_, key)) = blockers.next_if(|(other, _)| other < place) {
            let blocker = Node::of(key, manager.live(key));
            if blocker == self.goal {
                return Some((node, id));
            }
            if let Entry::Vacant(vacant) = self.reached.entry(blocker) {
                vacant.insert((node, id));
                self.ahead.push_back(blocker);
            }
        }
        None
    }

    /// The way from the goal to `last`, which waits for `id`.
    fn way_to(&self, last: Node, id: &Arc<str>) -> Vec<Wait> {
        let step = |node: Node, id: &Arc<str>| Wait { session: node.session(), id: id.clone() };
        let mut way = Vec::from([step(last, id)]);
        let mut node = last;
        while node != self.goal {
            let (before, id) = self.reached[&node];
            way.push(step(before, id));
            node = before;
        }
        way.reverse();
        way
    }
}
