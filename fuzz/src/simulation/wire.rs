//! What clients and server say to each other, over connections that keep order until they break.

use std::{collections::VecDeque, iter, time::Duration};

use lockcore::{
    Mode,
    manager::{Ask, Claim, Claimed, OwnerId, Refusal, RequestId, Secret, SessionId},
};

/// A request as its client knows it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) id: &'static str,
    pub(super) more_ids: &'static [&'static str],
    pub(super) mode: Mode,
    pub(super) wait_limit: Option<Duration>,
    pub(super) owner: Option<OwnerId>,
    pub(super) state: Claimed,
    /// If it holds several ids, the tokens of those after the first.
    pub(super) more_tokens: Vec<u64>,
}

impl Wanted {
    pub(super) fn ask(&self) -> Ask<'static> {
        let &Self { id, more_ids, mode, wait_limit, owner, .. } = self;
        Ask { id, more_ids, mode, wait_limit, hold_limit: None, owner }
    }

    pub(super) fn claim(&self, request: RequestId) -> Claim<'_> {
        Claim { request, ask: self.ask(), state: self.state, more_tokens: &self.more_tokens }
    }

    /// The ids that it holds, with its tokens.
    pub(super) fn held(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let (first, more) = match self.state {
            Claimed::Held { token } => (Some(token), &*self.more_tokens),
            Claimed::Waiting { .. } => (None, &[][..]),
        };
        self.ids().zip(first.into_iter().chain(more.iter().copied()))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &'static str> {
        iter::once(self.id).chain(self.more_ids.iter().copied())
    }
}

#[derive(Clone, Debug)]
pub(super) enum ToServer {
    Open {
        secret: Secret,
        runs: bool,
    },
    Resume {
        session: SessionId,
        secret: Secret,
        attempt: u64,
        runs: bool,
        claims: Vec<(RequestId, Wanted)>,
    },
    /// Answered with the same number.
    KeepAlive {
        number: u64,
    },
    Lock {
        request: RequestId,
        wanted: Wanted,
    },
    Release {
        request: RequestId,
        token: u64,
    },
    Cancel {
        request: RequestId,
    },
    Close,
}

#[derive(Clone, Debug)]
pub(super) enum ToClient {
    Opened {
        session: SessionId,
        lease: Duration,
    },
    Alive {
        number: u64,
    },
    Granted {
        request: RequestId,
        token: u64,
        more_tokens: Vec<u64>,
    },
    Queued {
        request: RequestId,
        place: u64,
    },
    Promised {
        request: RequestId,
        token: u64,
    },
    /// Released, refused, revoked: the request is over.
    Over {
        request: RequestId,
    },
    /// The last that comes on a connection.
    Ended {
        reason: Refusal,
    },
}

/// A connection, with what is under way on it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) client: usize,
    /// Of which start of the server.
    pub(super) start: u32,
    pub(super) to_server: VecDeque<ToServer>,
    pub(super) to_client: VecDeque<ToClient>,
    /// The client has given it up: what it sent may still arrive.
    pub(super) client_gone: bool,
    /// The server has: what it sent may still arrive.
    pub(super) server_gone: bool,
}
