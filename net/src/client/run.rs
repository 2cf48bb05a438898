//! [`Runs`]: passing a lock on from one request of a client to the next, as the server has promised.
//!
//! The requests of an id that hold it alone or were promised it are in the order of their tokens, which is
//! that of the queue. So the next one may hold when none with a lesser token is left, whatever the reason,
//! and whether the server has heard of it or not. What it has not heard of is on its way, before all that
//! the next one will say.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry as Place},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::{
    book::Book,
    entry::{Entry, Hold, Stage},
    shared::Shared,
};
use crate::{Error, proto::v1};

/// The requests that hold an id alone or were promised it, by id.
#[derive(Debug, Default)]
pub(super) struct Runs(HashMap<Arc<str>, Run>);

/// Those of one id; there is at least one.
#[derive(Debug, Default)]
struct Run {
    /// The token of the one that holds.
    held: Option<u64>,
    /// The requests that were promised, by token.
    promised: BTreeMap<u64, u64>,
}

impl Run {
    fn is_over(&self) -> bool {
        self.held.is_none() && self.promised.is_empty()
    }
}

impl Runs {
    /// A request of this client holds, alone. One for several ids is in no run, but ahead of what is
    /// promised after it.
    pub(super) fn hold_all(&mut self, entry: &Entry) {
        for (id, token) in entry.tokens() {
            self.0.entry(id.clone()).or_default().held = Some(token);
        }
    }

    /// A request of this client was promised its turn.
    fn promise(&mut self, id: &Arc<str>, token: u64, request: u64) {
        self.0.entry(id.clone()).or_default().promised.insert(token, request);
    }

    /// A request that holds or was promised is over.
    pub(super) fn end_all(&mut self, entry: &Entry) {
        entry.tokens().for_each(|(id, token)| self.end(id, token));
    }

    fn end(&mut self, id: &Arc<str>, token: u64) {
        let Place::Occupied(mut place) = self.0.entry(id.clone()) else { return };
        let run = place.get_mut();
        run.held.take_if(|held| *held == token);
        run.promised.remove(&token);
        if run.is_over() {
            place.remove();
        }
    }

    /// Returns the next request and its token, if none is ahead.
    fn next(&self, id: &str) -> Option<(u64, u64)> {
        let run = self.0.get(id).filter(|run| run.held.is_none())?;
        run.promised.first_key_value().map(|(token, request)| (*request, *token))
    }

    fn forget_promises(&mut self) {
        self.0.retain(|_, run| {
            run.promised.clear();
            !run.is_over()
        });
    }
}

impl Book {
    /// Takes promises down, and returns the id that they are for if any of the requests is live.
    pub(super) fn promised(&mut self, run: &v1::Run) -> Option<Arc<str>> {
        let mut of = None;
        for (at, request) in (0..).zip(&run.requests) {
            let token = run.first_token.wrapping_add(at);
            let entry = self.live.get_mut(request).filter(|entry| entry.more_ids.is_empty());
            let Some(Entry { id, stage: Stage::Asked { promise, .. }, .. }) = entry else {
                continue;
            };
            *promise = Some(token);
            self.runs.promise(id, token, *request);
            of = Some(id.clone());
        }
        of
    }

    /// Lets the next request that was promised `id` hold, if nothing of this client is ahead of it:
    /// returns the hold and who is to be told.
    pub(super) fn pass(
        &mut self,
        id: &str,
    ) -> Option<(oneshot::Sender<Result<Hold, Error>>, Hold)> {
        let (request, token) = self.runs.next(id)?;
        self.granted(request, token, Vec::new())
    }

    /// Forgets what an earlier line has promised.
    pub(super) fn forget_promises(&mut self) {
        self.runs.forget_promises();
        for entry in self.live.values_mut() {
            if let Stage::Asked { promise, .. } = &mut entry.stage {
                *promise = None;
            }
        }
    }
}

impl Shared {
    /// Tells whoever waits for a request that is over, and passes on what it was ahead of.
    pub(super) fn over(&self, request: u64, tell: impl FnOnce(Entry)) {
        if let Some(entry) = self.with(|book| book.over(request)) {
            let (id, more_ids) = (entry.id.clone(), entry.more_ids.clone());
            tell(entry);
            self.pass_all(&id, &more_ids);
        }
    }

    /// Passes on the ids of a request.
    pub(super) fn pass_all(&self, id: &str, more_ids: &[Arc<str>]) {
        self.pass(id);
        more_ids.iter().for_each(|id| self.pass(id));
    }

    /// Passes `id` on, if it was promised, nothing of this client is ahead, and the lease lasts: whoever
    /// gets it holds from here on, before the server says so.
    pub(super) fn pass(&self, id: &str) {
        let passed = self.with(|book| self.lease.is_running().then(|| book.pass(id)).flatten());
        if let Some((answer, hold)) = passed {
            // One who is gone has cancelled its request or is about to, which passes on again.
            let _ = answer.send(Ok(hold));
        }
    }
}

#[cfg(test)]
mod tests {
    use lockcore::{Mode, manager::RequestId};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        client::{entry::Terms, shared::tests::holding},
        proto::v1::{ClientMessage, client_message::Message, server_message::Message as Told},
    };

    type Answer = oneshot::Receiver<Result<Hold, Error>>;

    /// Asks for the id of [`holding`].
    fn ask(shared: &Shared) -> (RequestId, Answer) {
        ask_all(shared, &[])
    }

    /// Asks for that id and further ones.
    fn ask_all(shared: &Shared, more_ids: &[&str]) -> (RequestId, Answer) {
        let terms =
            Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };
        let (sender, answer) = oneshot::channel();
        (shared.ask("123", more_ids, terms, sender).unwrap(), answer)
    }

    fn promise(shared: &Shared, first_token: u64, requests: &[RequestId]) {
        let run = v1::Run { first_token, requests: requests.to_vec() };
        let id = shared.with(|book| book.promised(&run));
        assert_eq!(id.as_deref(), Some("123"));
        shared.pass("123");
    }

    /// The token, if the request holds.
    fn token(answer: &mut Answer) -> Option<u64> {
        answer.try_recv().ok().map(|answer| answer.unwrap().token)
    }

    #[tokio::test]
    async fn a_lock_is_passed_on_in_the_order_of_tokens() {
        let (shared, hold, _said) = holding();
        let [mut one, mut two] = [ask(&shared), ask(&shared)];
        promise(&shared, 3, &[two.0]);
        promise(&shared, 2, &[one.0]);
        assert_eq!((token(&mut one.1), token(&mut two.1)), (None, None));
        assert!(shared.release(&hold, None));
        assert_eq!((token(&mut one.1), token(&mut two.1)), (Some(2), None));
        shared.cancel(one.0);
        assert_eq!(token(&mut two.1), Some(3));
    }

    #[tokio::test]
    async fn who_is_cancelled_before_its_promise_is_heard_is_passed_over() {
        let (shared, hold, _said) = holding();
        let [gone, mut next] = [ask(&shared), ask(&shared)];
        shared.cancel(gone.0);
        promise(&shared, 2, &[gone.0, next.0]);
        assert_eq!(token(&mut next.1), None, "the holder is ahead");
        assert!(shared.release(&hold, None));
        assert_eq!(token(&mut next.1), Some(3));
    }

    #[tokio::test]
    async fn a_promise_that_comes_after_the_release_is_a_hold() {
        let (shared, hold, _said) = holding();
        let mut next = ask(&shared);
        assert!(shared.release(&hold, None));
        assert_eq!(token(&mut next.1), None);
        promise(&shared, 2, &[next.0]);
        assert_eq!(token(&mut next.1), Some(2));
    }

    #[tokio::test]
    async fn the_server_is_told_of_the_release_before_the_next_one_holds() {
        let (shared, hold, mut said) = holding();
        let mut next = ask(&shared);
        said.try_recv().unwrap();
        promise(&shared, 2, &[next.0]);
        let release = v1::Release { request: hold.request, token: 1 };
        let released = shared.with(|book| book.release(&hold, None));
        assert!(released.is_some() && token(&mut next.1).is_none());
        let told = said.try_recv().unwrap();
        assert_eq!(told, ClientMessage { message: Some(Message::Release(release)) });
        shared.pass("123");
        assert_eq!(token(&mut next.1), Some(2));
    }

    #[tokio::test]
    async fn nothing_is_passed_on_from_the_claims_until_it_is_promised_again() {
        let (shared, hold, _said) = holding();
        let mut next = ask(&shared);
        promise(&shared, 2, &[next.0]);
        let _messages = shared.with(|book| book.resume(v1::Resume::default()));
        assert!(shared.release(&hold, None));
        assert_eq!(token(&mut next.1), None);
        promise(&shared, 5, &[next.0]);
        assert_eq!(token(&mut next.1), Some(5));
    }

    #[tokio::test]
    async fn nothing_is_passed_on_after_the_lease() {
        let (shared, hold, _said) = holding();
        let mut next = ask(&shared);
        promise(&shared, 2, &[next.0]);
        shared.lease.stop();
        assert!(shared.release(&hold, None));
        assert_eq!(token(&mut next.1), None);
    }

    /// Its client may hear late that the server has ended it.
    #[tokio::test]
    async fn a_hold_of_several_ids_is_ahead_of_what_is_promised_at_each_of_them() {
        for id in ["123", "other"] {
            let (shared, hold, _said) = holding();
            assert!(shared.release(&hold, None));
            let (request, mut several) = ask_all(&shared, &["other"]);
            shared.granted(v1::Granted { request, token: 2, more_tokens: vec![7] });
            let several = several.try_recv().unwrap().unwrap();
            let (sender, mut next) = oneshot::channel();
            let terms =
                Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };
            let request = shared.ask(id, &[], terms, sender).unwrap();
            let run = v1::Run { first_token: 9, requests: vec![request] };
            shared.with(|book| book.promised(&run)).unwrap();
            shared.pass(id);
            assert_eq!(token(&mut next), None, "{id} is held");
            assert!(shared.release(&several, None));
            assert_eq!(token(&mut next), Some(9), "{id} is passed on");
        }
    }

    #[tokio::test]
    async fn what_the_server_ends_is_passed_on_at_each_of_its_ids() {
        for id in ["123", "other"] {
            let (shared, hold, _said) = holding();
            assert!(shared.release(&hold, None));
            let (several, mut answer) = ask_all(&shared, &["other"]);
            shared.granted(v1::Granted { request: several, token: 2, more_tokens: vec![7] });
            let lost = answer.try_recv().unwrap().unwrap().loss;
            let (sender, mut next) = oneshot::channel();
            let terms =
                Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };
            let request = shared.ask(id, &[], terms, sender).unwrap();
            let run = v1::Run { first_token: 9, requests: vec![request] };
            assert!(shared.answered(Told::Run(run)).is_none());
            assert_eq!(token(&mut next), None, "{id} is held");
            let revoked = v1::Revoked { request: several, reason: None };
            assert!(shared.answered(Told::Revoked(revoked)).is_none());
            assert!(lost.reason().is_some());
            assert_eq!(token(&mut next), Some(9), "{id} is passed on");
        }
    }

    #[tokio::test]
    async fn a_session_that_is_over_leaves_no_promise_to_the_next() {
        let (shared, _hold, _said) = holding();
        let [gone, _too] = [ask(&shared), ask(&shared)];
        promise(&shared, 2, &[gone.0]);
        drop(shared.with(|book| book.give_up()));
        let (line, _said) = mpsc::unbounded_channel();
        shared.with(|book| book.opened(line));

        let [mut first, mut second] = [ask(&shared), ask(&shared)];
        shared.granted(v1::Granted { request: first.0, token: 7, more_tokens: Vec::new() });
        promise(&shared, 8, &[second.0]);
        let hold = first.1.try_recv().unwrap().unwrap();
        assert!(shared.release(&hold, None));
        assert_eq!(token(&mut second.1), Some(8));
    }

    #[tokio::test]
    async fn a_request_for_several_ids_is_never_in_a_run() {
        let (shared, hold, _said) = holding();
        let (request, mut several) = ask_all(&shared, &["other"]);
        let run = v1::Run { first_token: 2, requests: vec![request] };
        assert_eq!(shared.with(|book| book.promised(&run)), None);
        assert!(shared.release(&hold, None));
        assert_eq!(token(&mut several), None, "it holds what the server grants");
        shared.granted(v1::Granted { request, token: 2, more_tokens: vec![7] });
        assert_eq!(token(&mut several), Some(2));
    }

    #[tokio::test]
    async fn whose_release_of_several_ids_is_awaited_is_ahead_of_nobody() {
        let (shared, hold, _said) = holding();
        assert!(shared.release(&hold, None));
        let (request, mut several) = ask_all(&shared, &["other"]);
        shared.granted(v1::Granted { request, token: 2, more_tokens: vec![7] });
        let several = several.try_recv().unwrap().unwrap();
        let mut next = ask(&shared);
        promise(&shared, 3, &[next.0]);
        let (ended, _is_told) = oneshot::channel();
        assert!(shared.release(&several, Some(ended)));
        assert_eq!(token(&mut next.1), Some(3));
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_run_that_is_over() {
        let (shared, hold, _said) = holding();
        let mut next = ask(&shared);
        promise(&shared, 2, &[next.0]);
        assert!(shared.release(&hold, None));
        let hold = next.1.try_recv().unwrap().unwrap();
        assert!(shared.release(&hold, None));
        assert!(shared.with(|book| book.runs.0.is_empty() && book.live.is_empty()));
    }
}
