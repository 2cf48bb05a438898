//! [`RunOutlet`]: promises that come one after the other are told as one run.

use std::task::{Context, Poll, ready};

use lockcore::manager::{Event, Outcome};

use crate::{
    outlet::{Closed, Outlet},
    proto::v1,
};

/// How many requests are told in one message at most, of 10 bytes each.
const REQUESTS: usize = 1024;

/// What a connection is told, in order.
#[derive(Debug)]
pub(crate) struct RunOutlet {
    events: Outlet,
    /// An event that was read and is not of the run before it.
    next: Option<Event>,
}

/// What a connection is told by one message.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    Run(v1::Run),
}

impl Told {
    /// How many events it is made of.
    pub(crate) fn events(&self) -> usize {
        match self {
            Self::Event(_) => 1,
            Self::Run(run) => run.requests.len(),
        }
    }
}

impl RunOutlet {
    pub(crate) fn new(events: Outlet) -> Self {
        Self { events, next: None }
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.next.is_some()) + self.events.len()
    }

    /// How many events wait, unless some were dropped.
    pub(crate) fn all(&self) -> Result<usize, Closed> {
        Ok(usize::from(self.next.is_some()) + self.events.all()?)
    }

    /// Reads what comes next, as [`Outlet::poll_read`] does.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Told, Closed>> {
        let first = match self.next.take() {
            Some(event) => Ok(event),
            None => ready!(self.events.poll_read(cx)),
        };
        Poll::Ready(first.map(|event| match promised(&event) {
            Some((request, token)) => Told::Run(self.run_from(&event, request, token)),
            None => Told::Event(event),
        }))
    }

    /// Collects what is there and goes on with a run: the same id, and the token that comes next.
    fn run_from(&mut self, first: &Event, request: u64, token: u64) -> v1::Run {
        let mut run = v1::Run { first_token: token, requests: vec![request] };
        while run.requests.len() < REQUESTS {
            self.next = self.events.try_read();
            let next = self.next.as_ref().filter(|next| id(next) == id(first)).and_then(promised);
            let Some((request, _)) =
                next.filter(|(_, next)| *next == token + run.requests.len() as u64)
            else {
                break;
            };
            run.requests.push(request);
            self.next = None;
        }
        run
    }
}

/// Returns the request and the token if a turn is promised.
fn promised(event: &Event) -> Option<(u64, u64)> {
    match event {
        Event::Request { request, outcome: Outcome::Promised { token, .. }, .. } => {
            Some((*request, *token))
        }
        Event::Request { .. } | Event::Ended { .. } => None,
    }
}

/// Returns the id of a promise.
fn id(event: &Event) -> Option<&str> {
    match event {
        Event::Request { outcome: Outcome::Promised { id, .. }, .. } => Some(id),
        Event::Request { .. } | Event::Ended { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker};

    use lockcore::manager::{Link, LockManager};

    use super::*;
    use crate::outlet;

    /// What is told, in short: the first token and the requests of a run, or nothing for an event.
    fn told(events: impl IntoIterator<Item = Event>) -> Vec<(u64, Vec<u64>)> {
        let (inlet, outlet) = outlet::outlet(&outlet::Unread::default());
        events.into_iter().for_each(|event| inlet.tell(event));
        drop(inlet);
        let mut outlet = RunOutlet::new(outlet);
        let events = outlet.len();
        let mut told = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut read = 0;
        while let Poll::Ready(Ok(next)) = outlet.poll_read(&mut context) {
            read += next.events();
            told.push(match next {
                Told::Event(_) => (0, Vec::new()),
                Told::Run(v1::Run { first_token, requests }) => (first_token, requests),
            });
        }
        assert_eq!((outlet.len(), read), (0, events));
        told
    }

    fn link() -> Link {
        LockManager::default().open_unleased(1)
    }

    fn promise(id: &str, request: u64, token: u64) -> Event {
        Event::Request {
            link: link(),
            request,
            outcome: Outcome::Promised { id: id.into(), token },
        }
    }

    #[test]
    fn promises_one_after_the_other_are_one_run() {
        let released = Outcome::Released { id: "a".into() };
        let other = Event::Request { link: link(), request: 1, outcome: released };
        let events =
            [promise("a", 7, 3), promise("a", 5, 4), other, promise("a", 6, 5), promise("a", 8, 7)];
        let expected = [(3, vec![7, 5]), (0, vec![]), (5, vec![6]), (7, vec![8])];
        assert_eq!(told(events), expected);
    }

    #[test]
    fn a_run_is_of_one_id() {
        assert_eq!(told([promise("a", 1, 3), promise("b", 2, 4)]), [(3, vec![1]), (4, vec![2])]);
    }

    #[test]
    fn a_long_run_is_told_by_several_messages() {
        let id: Arc<str> = "a".into();
        let told = told((0..2500).map(|request| promise(&id, request, request + 1)));
        let lengths: Vec<_> = told.iter().map(|(first, run)| (*first, run.len())).collect();
        assert_eq!(lengths, [(1, 1024), (1025, 1024), (2049, 452)]);
    }
}
