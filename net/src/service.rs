//! What `syncer.v1.Locks` answers.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use lockcore::manager::{LockManager, SessionId};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    connection::Cut,
    convert,
    hub::Hub,
    pace::Pace,
    patience::Patient,
    proto::v1::{
        self, ClientMessage, ListIdsReply, ListIdsRequest, ListSessionsReply, ListSessionsRequest,
        RevokeReply, RevokeRequest, StatusReply, StatusRequest, locks_server::Locks,
        revoke_request::Target,
    },
    session::SessionStream,
};

/// How much is listed where nothing is said, and at most.
const LISTED: (usize, usize) = (1000, 10_000);

/// How many bytes of ids a reply has at most: a message has room for 4 MiB.
const BYTES_OF_IDS: usize = 2 << 20;

pub(crate) struct LocksService {
    pub(crate) hub: Arc<Hub>,
    /// How many messages of a stream are read in a second.
    pub(crate) pace: Option<NonZeroU32>,
    /// How long a stream has to open or resume a session, and a peer to read something.
    pub(crate) patience: Duration,
}

#[tonic::async_trait]
impl Locks for LocksService {
    type SessionStream = Patient<SessionStream<Streaming<ClientMessage>>>;

    async fn session(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let cut = request.extensions().get::<Cut>().cloned().unwrap_or_default();
        let stream = SessionStream::new(self.hub.clone(), request.into_inner())
            .paced(self.pace.map(Pace::new))
            .opened_within(self.patience);
        Ok(Response::new(Patient::new(stream, self.patience, cut)))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        let status = self.hub.look(|manager, _| manager.status(&request.into_inner().id));
        Ok(Response::new(convert::id_status(status)))
    }

    async fn list_ids(
        &self,
        request: Request<ListIdsRequest>,
    ) -> Result<Response<ListIdsReply>, Status> {
        let ListIdsRequest { prefix, limit } = request.into_inner();
        let reply = self.hub.look(|manager, _| list_ids(manager, &prefix, listed(limit)));
        Ok(Response::new(reply))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsReply>, Status> {
        let limit = listed(request.into_inner().limit);
        let reply = self.hub.look(|manager, now| {
            let sessions = manager.sessions();
            ListSessionsReply {
                more: sessions.len() > limit,
                sessions: sessions
                    .take(limit)
                    .map(|status| convert::session_status(status, now))
                    .collect(),
            }
        });
        Ok(Response::new(reply))
    }

    async fn revoke(
        &self,
        request: Request<RevokeRequest>,
    ) -> Result<Response<RevokeReply>, Status> {
        let RevokeRequest { target, note } = request.into_inner();
        let none =
            || Status::invalid_argument("it must say what to revoke: an id, request or session");
        let target = target.ok_or_else(none)?;
        let ended = self.hub.act(|desk, now| {
            let manager = &mut desk.manager;
            Ok(match target {
                Target::Id(id) => manager.revoke_id(now, &id, &note),
                Target::Request(v1::RequestOfSession { session, request }) => {
                    manager.revoke(now, SessionId::new(session), request, &note).into()
                }
                Target::Session(session) if session == desk.callers.session().get() => {
                    return Err(of_all_callers(session));
                }
                Target::Session(session) => {
                    manager.expel(now, SessionId::new(session), &note).into()
                }
            })
        })?;
        Ok(Response::new(RevokeReply { ended: ended as u64 }))
    }
}

/// Without their session, go-syncer's callers could not be served.
fn of_all_callers(session: u64) -> Status {
    Status::failed_precondition(format!(
        "session {session} is that of all callers of pb.Syncer, and lasts: end its ids or requests"
    ))
}

fn listed(limit: u32) -> usize {
    let (default, most) = LISTED;
    match limit {
        0 => default,
        limit => usize::try_from(limit).unwrap_or(most).min(most),
    }
}

/// Lists ids until `left` requests are told or the reply is full.
fn list_ids(manager: &LockManager, prefix: &str, mut left: usize) -> ListIdsReply {
    let mut reply = ListIdsReply::default();
    let mut bytes = BYTES_OF_IDS;
    for (id, status) in manager.ids().filter(|(id, _)| id.starts_with(prefix)) {
        if left == 0 || id.len() > bytes {
            reply.more = true;
            break;
        }
        bytes -= id.len();
        let holders: Vec<_> = manager.holders(id).map(convert::holder).take(left).collect();
        left -= holders.len();
        let queue: Vec<_> = manager.queue(id).map(convert::waiter).take(left).collect();
        left -= queue.len();
        reply.more |= holders.len() < status.holders || queue.len() < status.waiting;
        reply.ids.push(v1::IdInUse { id: id.to_owned(), holders, queue });
    }
    reply
}
