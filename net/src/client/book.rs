//! [`Book`]: the requests of a client, and the line on which the server hears of them.
//!
//! Nothing here waits, and nobody is told while a book is borrowed: whoever is told may do anything.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use lockcore::{Mode, manager::Refusal};
use tokio::sync::{mpsc, oneshot};

use super::{
    entry::{Entry, Hold, Loss, Stage, Terms, deadline},
    run::Runs,
};
use crate::{
    Error,
    proto::{
        MESSAGE_BYTES,
        v1::{self, client_message::Message},
    },
};

/// The requests that the server has to say something about.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The last number that was given to a request or an owner.
    last: u64,
    pub(super) live: HashMap<u64, Entry>,
    /// How many ids the live requests have that are claimed if the line breaks.
    ids: usize,
    /// What the client may pass on by itself.
    pub(super) runs: Runs,
    /// Where messages go; `None` while there is no connection.
    line: Option<mpsc::UnboundedSender<v1::ClientMessage>>,
    /// Counts the lines.
    lines: u64,
    /// How many requests may be claimed; `None` if nobody has said.
    limit: Option<usize>,
    /// No more is asked: the session is to be closed.
    pub(super) closed: bool,
}

/// A message, and the line that it is to be sent on once nobody borrows the book.
#[must_use]
pub(super) struct Mail(Option<(mpsc::UnboundedSender<v1::ClientMessage>, Message)>);

impl Mail {
    /// Sends the message. What a broken line loses, the next one makes good: see [`Book::resume`].
    pub(super) fn send(self) {
        if let Some((line, message)) = self.0 {
            let _ = line.send(say(message));
        }
    }
}

impl Book {
    /// Returns a number that no other request or owner of this client has.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes a request in and returns its number.
    pub(super) fn ask(
        &mut self,
        id: &str,
        more_ids: &[&str],
        terms: Terms,
        answer: oneshot::Sender<Result<Hold, Error>>,
    ) -> Result<(u64, Mail), Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        let more_ids = further(id, more_ids);
        let ids = self.ids + 1 + more_ids.len();
        if let Some(limit) = self.limit.filter(|limit| self.line.is_none() && ids > *limit) {
            let reason = Refusal::TooManyRequests { limit };
            return Err(Error::Refused { id: id.into(), reason });
        }
        let request = self.number();
        let deadline = deadline(terms.wait_limit);
        let stage = Stage::Asked { answer, place: 0, promise: None };
        let entry = Entry { id: id.into(), more_ids, terms, deadline, stage };
        let mail = self.mail(|| Message::Lock(entry.lock(request)));
        self.ids = ids;
        self.live.insert(request, entry);
        Ok((request, mail))
    }

    /// Takes down how many requests the server lets the session have. While it cannot be reached, more
    /// are refused here: it would not take them in.
    pub(super) fn set_limit(&mut self, requests: u64) {
        self.limit = usize::try_from(requests).ok().filter(|limit| *limit > 0);
    }

    /// Whether there are requests and no line.
    pub(super) fn needs_line(&self) -> bool {
        self.line.is_none() && !self.live.is_empty()
    }

    /// Takes no more interest in a request, which may have had its turn.
    pub(super) fn cancel(&mut self, request: u64) -> Option<Entry> {
        let removed = self.over(request);
        self.post(|| Message::Cancel(v1::Cancel { request }));
        removed
    }

    /// Releases a hold, unless it is over; `ended` is told how it ends.
    pub(super) fn release(
        &mut self,
        hold: &Hold,
        ended: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Option<Option<Entry>> {
        let &Hold { request, token, .. } = hold;
        let removed = match ended {
            None => Some(self.over(request)?),
            Some(ended) => {
                let line = self.lines;
                let entry = self.live.get_mut(&request)?;
                self.runs.end_all(entry);
                self.ids -= entry.ids();
                entry.stage = Stage::Ending { ended, line };
                None
            }
        };
        self.post(|| Message::Release(v1::Release { request, token }));
        Some(removed)
    }

    /// Renews the lease.
    pub(super) fn keep_alive(&self, number: u64) -> Mail {
        self.mail(|| Message::KeepAlive(v1::KeepAlive { number }))
    }

    /// Says that the session may end.
    pub(super) fn say_close(&self) -> Mail {
        self.mail(|| Message::Close(v1::Close {}))
    }

    /// Asks for no more and closes the session; returns what nobody will hear of.
    pub(super) fn close(&mut self) -> (Vec<Entry>, Mail) {
        self.closed = true;
        let mail = self.say_close();
        (self.give_up(), mail)
    }

    /// Ends the line with all requests; returns what nobody will hear of.
    pub(super) fn give_up(&mut self) -> Vec<Entry> {
        self.line = None;
        self.ids = 0;
        self.runs = Runs::default();
        mem::take(&mut self.live).into_values().collect()
    }

    /// Has no line any more; the requests are yet to be heard of.
    pub(super) fn cut(&mut self) {
        self.line = None;
    }

    /// Sends a message that ends a request. It is sent while the book is borrowed, so that what ends the
    /// requests of a run arrives in the order in which they end here: the line wakes nobody but the task
    /// of its connection.
    fn post(&self, message: impl FnOnce() -> Message) {
        self.mail(message).send();
    }

    fn mail(&self, message: impl FnOnce() -> Message) -> Mail {
        Mail(self.line.as_ref().map(|line| (line.clone(), message())))
    }

    /// Puts the requests through on a line on which a session was opened.
    pub(super) fn opened(&mut self, line: mpsc::UnboundedSender<v1::ClientMessage>) {
        for (request, entry) in self.sorted() {
            // A line that is broken already is made good by the next one.
            let _ = line.send(say(Message::Lock(entry.lock(request))));
        }
        if self.closed {
            let _ = line.send(say(Message::Close(v1::Close {})));
        }
        self.lines += 1;
        self.line = (!self.closed).then_some(line);
    }

    /// Puts the requests through on another line, as claims of a session that is resumed.
    ///
    /// What is released or cancelled is not claimed, and so is given up, whether the server heard of it
    /// before or not. Promises go with the line that they came by, so that nothing is passed on until
    /// they are told again: a server that has started again knows nothing of them.
    pub(super) fn resume(
        &mut self,
        mut resume: v1::Resume,
    ) -> mpsc::UnboundedReceiver<v1::ClientMessage> {
        self.forget_promises();
        let claims = self.sorted().filter_map(|(request, entry)| entry.claim(request));
        let mut messages = Vec::new();
        let mut room = CLAIMS;
        for claim in claims {
            let size = prost::Message::encoded_len(&claim);
            if size > room {
                let claims = mem::take(&mut resume.claims);
                messages.push(Message::Claims(v1::Claims { claims }));
                room = CLAIMS;
            }
            room = room.saturating_sub(size);
            resume.claims.push(claim);
        }
        messages.push(Message::Resume(resume));
        if self.closed {
            messages.push(Message::Close(v1::Close {}));
        }
        self.lines += 1;
        let (line, receiver) = mpsc::unbounded_channel();
        for message in messages {
            line.send(say(message)).expect("the receiver is here");
        }
        self.line = (!self.closed).then_some(line);
        receiver
    }

    /// Takes out the latest requests that the server has said nothing of, if there are more than it lets
    /// the session have: it was about to refuse them.
    pub(super) fn excess(&mut self) -> Vec<Entry> {
        let mut excess = self.ids.saturating_sub(self.limit.unwrap_or(usize::MAX));
        let unheard = |entry: &Entry| matches!(entry.stage, Stage::Asked { place: 0, .. });
        let unheard = self.sorted().filter(|(_, entry)| unheard(entry));
        let mut unheard: Vec<(u64, usize)> =
            unheard.map(|(request, entry)| (request, entry.ids())).collect();
        let mut latest = Vec::new();
        while excess > 0
            && let Some((request, ids)) = unheard.pop()
        {
            excess = excess.saturating_sub(ids);
            latest.extend(self.over(request));
        }
        latest
    }

    /// The reason for what is more than the server takes.
    pub(super) fn too_many(&self) -> Refusal {
        Refusal::TooManyRequests { limit: self.limit.unwrap_or(usize::MAX) }
    }

    fn sorted(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let mut live: Vec<_> = self.live.iter().map(|(request, entry)| (*request, entry)).collect();
        live.sort_unstable_by_key(|(request, _)| *request);
        live.into_iter()
    }

    /// Says that the server has heard this line: returns who waits for a release that an earlier line
    /// carried. They were not claimed, so they are released.
    pub(super) fn heard(&mut self) -> Vec<(u64, Entry)> {
        let lines = self.lines;
        let ended = self.live.extract_if(|_, entry| match &entry.stage {
            Stage::Ending { line, .. } => *line < lines,
            Stage::Asked { .. } | Stage::Holding { .. } => false,
        });
        ended.collect()
    }

    /// Takes down at which place a request waits.
    pub(super) fn queued(&mut self, request: u64, at: u64) {
        if let Some(Entry { stage: Stage::Asked { place, .. }, .. }) = self.live.get_mut(&request) {
            *place = at;
        }
    }

    /// Lets a request hold; returns the hold and who is to be told, if anybody waits for it. One who is
    /// gone has sent a cancel behind its request, so the server passes the turn on.
    pub(super) fn granted(
        &mut self,
        request: u64,
        token: u64,
        more_tokens: Vec<u64>,
    ) -> Option<(oneshot::Sender<Result<Hold, Error>>, Hold)> {
        let entry = self.live.get_mut(&request)?;
        if !matches!(entry.stage, Stage::Asked { .. }) {
            return None;
        }
        let more = entry.more_ids.iter().cloned().zip(more_tokens.iter().copied()).collect();
        let loss = Arc::<Loss>::default();
        self.runs.end_all(entry);
        let stage = Stage::Holding { token, more_tokens, loss: loss.clone() };
        entry.deadline = deadline(entry.terms.hold_limit);
        let Stage::Asked { answer, .. } = mem::replace(&mut entry.stage, stage) else {
            unreachable!("it was seen to wait");
        };
        if entry.terms.mode == Mode::Exclusive {
            self.runs.hold_all(entry);
        }
        let (id, limit, end) = (entry.id.clone(), entry.terms.hold_limit, entry.deadline);
        Some((answer, Hold { request, id, token, more, limit, end, loss }))
    }

    /// Gives a request up for which the server has not as many tokens as there are ids: it does not know
    /// of further ones, and has locked the first.
    pub(super) fn granted_too_little(
        &mut self,
        request: u64,
        more_tokens: &[u64],
    ) -> Option<Entry> {
        self.live.get(&request).filter(|entry| entry.more_ids.len() != more_tokens.len())?;
        self.cancel(request)
    }

    /// Takes out a request of which the server has said its last word, or is told the last one.
    pub(super) fn over(&mut self, request: u64) -> Option<Entry> {
        let over = self.live.remove(&request)?;
        self.ids -= over.ids();
        self.runs.end_all(&over);
        Some(over)
    }
}

/// The ids besides the first, each once.
fn further(id: &str, more_ids: &[&str]) -> Box<[Arc<str>]> {
    // Sets allocate for whoever is alone, too.
    if more_ids.is_empty() {
        return Box::default();
    }
    let mut named = HashSet::from([id]);
    more_ids.iter().filter(|id| named.insert(id)).map(|id| Arc::from(*id)).collect()
}

/// How many bytes of claims go into one message, about. What is longer goes into one of its own.
const CLAIMS: usize = MESSAGE_BYTES / 2;

pub(super) fn say(message: Message) -> v1::ClientMessage {
    v1::ClientMessage { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms =
        Terms { mode: Mode::Exclusive, wait_limit: None, hold_limit: None, owner: None };

    fn ask(book: &mut Book) -> (u64, oneshot::Receiver<Result<Hold, Error>>) {
        let (sender, answer) = oneshot::channel();
        let (request, mail) = book.ask("123", &[], TERMS, sender).expect("it is taken in");
        mail.send();
        (request, answer)
    }

    /// More claims than the server takes would cost the session.
    #[test]
    fn what_a_cut_kept_from_being_refused_is_not_claimed() {
        let mut book = Book::default();
        let (line, _heard) = mpsc::unbounded_channel();
        book.set_limit(2);
        book.opened(line);
        let asked = [(); 4].map(|()| ask(&mut book));
        book.queued(asked[3].0, 7);
        book.cut();
        let excess = book.excess();
        for entry in excess {
            entry.refused(Ok(book.too_many()));
        }
        let refused = asked.map(|(request, mut answer)| (request, answer.try_recv().is_ok()));
        assert_eq!(refused, [(1, false), (2, true), (3, true), (4, false)]);
        assert!(book.excess().is_empty());

        let mut messages = book.resume(v1::Resume::default());
        let Ok(v1::ClientMessage { message: Some(Message::Resume(resume)) }) = messages.try_recv()
        else {
            panic!("it is one message")
        };
        let claimed = resume.claims.into_iter().filter_map(|claim| claim.lock);
        assert_eq!(claimed.map(|lock| lock.request).collect::<Vec<_>>(), [1, 4]);
    }

    /// As the server counts it.
    #[test]
    fn a_request_counts_as_often_as_it_has_an_id() {
        let mut book = Book::default();
        let ask_all = |book: &mut Book, more_ids: &[&str]| {
            let (sender, answer) = oneshot::channel();
            let asked = book.ask("a", more_ids, TERMS, sender);
            asked.map(|(request, mail)| {
                mail.send();
                (request, answer)
            })
        };
        let (line, _heard) = mpsc::unbounded_channel();
        book.set_limit(4);
        book.opened(line);
        let (first, _answer) = ask_all(&mut book, &["b", "c", "b"]).expect("it is taken in");
        let (second, mut refused) = ask_all(&mut book, &["b"]).expect("it is taken in");
        book.cut();
        for entry in book.excess() {
            entry.refused(Ok(book.too_many()));
        }
        assert!(refused.try_recv().is_ok(), "three and two are one too many");
        assert!(ask_all(&mut book, &["b"]).is_err());
        let (third, _answer) = ask_all(&mut book, &[]).expect("three and one are four");
        assert!(ask_all(&mut book, &[]).is_err());
        let over = [first, second, third].map(|request| book.over(request).is_some());
        assert_eq!(over, [true, false, true]);
        let all_four = ask_all(&mut book, &["b", "c", "d"]);
        assert!(all_four.is_ok(), "what is over does not count");
    }

    /// It is not claimed.
    #[test]
    fn what_is_released_while_cut_off_makes_room_also_if_somebody_waits_for_the_end() {
        let mut book = Book::default();
        let (line, _heard) = mpsc::unbounded_channel();
        book.set_limit(1);
        book.opened(line);
        let (request, _answer) = ask(&mut book);
        let (_, hold) = book.granted(request, 1, Vec::new()).expect("it waits");
        book.cut();
        let (ended, mut end) = oneshot::channel();
        assert!(book.release(&hold, Some(ended)).is_some());
        let (next, _answer) = ask(&mut book);
        assert!(book.excess().is_empty());
        let _messages = book.resume(v1::Resume::default());
        for (request, entry) in book.heard() {
            entry.released(request);
        }
        assert!(matches!(end.try_recv(), Ok(Ok(()))));
        book.over(next).expect("it is live");
        assert_eq!(book.ids, 0);
    }

    /// It was claimed on that line, so the server may have more to say of it.
    #[test]
    fn a_release_on_the_line_that_is_heard_is_answered_by_its_own_word() {
        let mut book = Book::default();
        let (request, _answer) = ask(&mut book);
        let (_, hold) = book.granted(request, 1, Vec::new()).expect("it waits");
        let _messages = book.resume(v1::Resume::default());
        let (ended, mut end) = oneshot::channel();
        assert!(book.release(&hold, Some(ended)).is_some());
        assert!(book.heard().is_empty());
        book.over(request).expect("it is live").released(request);
        assert!(matches!(end.try_recv(), Ok(Ok(()))));
        assert_eq!(book.ids, 0);
    }

    #[test]
    fn claims_that_do_not_fit_one_message_are_split() {
        let mut book = Book::default();
        let long = "x".repeat(CLAIMS / 3);
        let _answers = [(); 8].map(|()| {
            let (sender, answer) = oneshot::channel();
            let (_, mail) = book.ask(&long, &[], TERMS, sender).expect("it is taken in");
            mail.send();
            answer
        });
        let mut messages = book.resume(v1::Resume::default());
        let mut claims = 0;
        while let Ok(v1::ClientMessage { message: Some(message) }) = messages.try_recv() {
            assert!(prost::Message::encoded_len(&say(message.clone())) <= CLAIMS + 1024);
            let (Message::Claims(v1::Claims { claims: more })
            | Message::Resume(v1::Resume { claims: more, .. })) = message
            else {
                panic!("{message:?}")
            };
            claims += more.len();
        }
        assert_eq!(claims, 8);
    }
}
