//! The callers of the go-syncer protocol, who share one session of the [`Hub`].

use std::sync::Arc;

use lockcore::manager::{Ask, Outcome, Refusal, RequestId};
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::hub::{Closed, Desk, Hub};

impl Hub {
    /// Locks for a caller of the go-syncer protocol, until the [`Call`] is dropped or answered.
    pub(crate) fn call(self: &Arc<Self>, ask: Ask<'_>) -> Result<Call, Closed> {
        let (sender, answer) = oneshot::channel();
        self.act(|desk, now| {
            if desk.closed {
                return Err(Closed);
            }
            desk.last_call += 1;
            let request = desk.last_call;
            desk.calls.insert(request, sender);
            let asked = desk.manager.lock(now, desk.callers, request, ask);
            asked.expect("the callers' session is open for good");
            Ok(Call { hub: self.clone(), request: Some(request), answer })
        })
    }

    /// Releases an id that a caller of the go-syncer protocol holds; returns whether one did.
    pub(crate) fn unlock(&self, id: &str) -> bool {
        self.act(|desk, now| {
            let released = desk.manager.release_id(now, desk.callers, id);
            released.expect("the callers' session is open for good")
        })
    }
}

impl Desk {
    /// Answers a call, if this is what it waits for. One who is gone cancels, so nobody is lost.
    pub(crate) fn answer(&mut self, request: RequestId, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Granted { .. } => Ok(()),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Queued { .. }
            | Outcome::Promised { .. }
            | Outcome::PromisedTurn { .. }
            | Outcome::Released { .. }
            | Outcome::Revoked { .. } => return,
        };
        if let Some(call) = self.calls.remove(&request) {
            let _ = call.send(answer);
        }
    }
}

/// A lock request of a caller of the go-syncer protocol.
///
/// Dropping it before it was answered cancels it, and passes on a turn that has just come.
#[derive(Debug)]
pub(crate) struct Call {
    hub: Arc<Hub>,
    /// `None` once answered.
    request: Option<RequestId>,
    answer: oneshot::Receiver<Result<(), Refusal>>,
}

impl Call {
    /// Waits for the turn.
    pub(crate) async fn granted(mut self) -> Result<Result<(), Refusal>, Closed> {
        let answer = match self.answer.try_recv() {
            Err(TryRecvError::Empty) => {
                let answer = (&mut self.answer).await;
                // The caller may have gone in the same moment, which the transport sees only while
                // the call is pending: it is then dropped here, and the turn passes on.
                tokio::task::yield_now().await;
                answer.map_err(|_| Closed)
            }
            answer => answer.map_err(|_| Closed),
        };
        self.request = None;
        answer
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(request) = self.request else { return };
        self.hub.act(|desk, now| {
            desk.calls.remove(&request);
            let cancelled = desk.manager.cancel(now, desk.callers, request);
            cancelled.expect("the callers' session is open for good");
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use lockcore::manager::Limits;

    use super::*;
    use crate::hub::UNREAD;

    fn call(hub: &Arc<Hub>) -> Call {
        hub.call(Ask::exclusive("123")).unwrap()
    }

    fn status(hub: &Hub) -> Option<lockcore::Status> {
        hub.look(|manager, _| manager.status("123"))
    }

    fn waiting(hub: &Hub) -> Option<usize> {
        status(hub).map(|status| status.waiting)
    }

    /// Scenario 1 for callers of the go-syncer protocol, whose futures tonic drops as they go away.
    #[test]
    fn a_call_dropped_as_its_turn_came_passes_the_turn_on() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let holder = call(&hub).granted().now_or_never();
        assert!(holder.unwrap().unwrap().is_ok());
        let [second, third, fourth] = [(); 3].map(|()| call(&hub));
        assert!(hub.unlock("123"));
        assert_eq!(waiting(&hub), Some(2));
        // Its turn has come, and it goes away without a look; so does the one behind it.
        drop(second);
        assert_eq!(waiting(&hub), Some(1));
        drop(third);
        assert!(fourth.granted().now_or_never().unwrap().unwrap().is_ok());
        assert!(hub.unlock("123"));
        assert_eq!(status(&hub), None);
        assert!(hub.act(|desk, _| desk.calls.is_empty()));
    }

    #[test]
    fn a_call_dropped_while_it_waits_leaves_the_queue() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let _holder = call(&hub).granted().now_or_never();
        assert!(call(&hub).granted().now_or_never().is_none());
        drop(call(&hub));
        assert_eq!(waiting(&hub), Some(0));
        assert!(hub.act(|desk, _| desk.calls.is_empty()));
    }

    #[test]
    fn a_call_that_was_answered_keeps_its_hold_when_dropped() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let _answered = call(&hub).granted().now_or_never();
        assert_eq!(waiting(&hub), Some(0));
    }

    #[test]
    fn a_hub_that_shut_down_takes_no_calls() {
        let hub = Hub::new(Limits::default(), UNREAD, None);
        let waiting = call(&hub);
        hub.shut_down();
        assert!(hub.call(Ask::exclusive("123")).is_err());
        drop(waiting);
    }
}
