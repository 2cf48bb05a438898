//! [`Request`]: a call of `lock` on its way.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use js_sys::{Function, JsString};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use crate::{Hold, Lock, Mutex, guard::Guard, input::Id};

/// Where a request stands. Dropping it leaves the queue, or passes the turn on.
enum Place {
    Waits(Lock),
    Holds(Hold),
}

impl Place {
    /// Joins the queue of `id`.
    fn join(mutex: &Mutex, id: String) -> Self {
        Self::Waits(mutex.lock_owned(id)).look(&mut Context::from_waker(Waker::noop()))
    }

    fn look(self, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Holds(hold) => Self::Holds(hold),
            Self::Waits(mut lock) => match Pin::new(&mut lock).poll(cx) {
                Poll::Ready(hold) => Self::Holds(hold),
                Poll::Pending => Self::Waits(lock),
            },
        }
    }
}

/// A request that has taken its place; resolves to a guard, or to the reason of its signal.
pub(crate) struct Request {
    id: JsString,
    progress: Rc<RefCell<Progress>>,
    cancel: Option<CancelOnAbort>,
}

/// What a request shares with the listener that cancels it.
struct Progress {
    /// `None` once it is cancelled or settled.
    place: Option<Place>,
    /// The task that awaits the request.
    task: Option<Waker>,
}

impl Request {
    /// Joins the queue of `id`, unless the signal is aborted already.
    pub(crate) fn new(mutex: &Mutex, id: Id, signal: Option<AbortSignal>) -> Result<Self, JsValue> {
        if let Some(aborted) = signal.as_ref().filter(|signal| signal.aborted()) {
            return Err(aborted.reason());
        }
        let place = Some(Place::join(mutex, id.text));
        let progress = Rc::new(RefCell::new(Progress { place, task: None }));
        let cancel = signal.map(|signal| CancelOnAbort::new(signal, &progress)).transpose()?;
        Ok(Self { id: id.js, progress, cancel })
    }

    fn reason(&self) -> JsValue {
        self.cancel.as_ref().map_or(JsValue::UNDEFINED, |cancel| cancel.signal.reason())
    }
}

impl Future for Request {
    type Output = Result<Guard, JsValue>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The borrow ends here: reading the reason may run a getter, and that may abort again.
        let place = self.progress.borrow_mut().place.take();
        match place.map(|place| place.look(cx)) {
            Some(Place::Holds(hold)) => Poll::Ready(Ok(Guard::new(self.id.clone(), hold))),
            Some(waits @ Place::Waits(_)) => {
                let task = Some(cx.waker().clone());
                self.progress.replace(Progress { place: Some(waits), task });
                Poll::Pending
            }
            None => Poll::Ready(Err(self.reason())),
        }
    }
}

/// Cancels a request when its signal is aborted; stops listening when it is dropped.
struct CancelOnAbort {
    signal: AbortSignal,
    listener: Closure<dyn FnMut()>,
}

impl CancelOnAbort {
    fn new(signal: AbortSignal, progress: &Rc<RefCell<Progress>>) -> Result<Self, JsValue> {
        let (source, progress) = (signal.clone(), progress.clone());
        let listener = Closure::new(move || {
            // Anybody can dispatch an event of this name.
            if source.aborted() {
                cancel(&progress);
            }
        });
        signal.add_event_listener_with_callback(ABORT, callback(&listener))?;
        Ok(Self { signal, listener })
    }
}

impl Drop for CancelOnAbort {
    fn drop(&mut self) {
        let listener = callback(&self.listener);
        let _ = self.signal.remove_event_listener_with_callback(ABORT, listener);
    }
}

const ABORT: &str = "abort";

fn callback(listener: &Closure<dyn FnMut()>) -> &Function {
    listener.as_ref().unchecked_ref()
}

/// Leaves the queue at once and lets the task see it.
fn cancel(progress: &RefCell<Progress>) {
    let (place, task) = {
        let mut progress = progress.borrow_mut();
        (progress.place.take(), progress.task.take())
    };
    drop(place);
    if let Some(task) = task {
        task.wake();
    }
}
