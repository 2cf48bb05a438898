//! What JavaScript sees of a `KeyedMutex`. `wasm/run test` runs this in headless Chromium.

#![cfg(target_arch = "wasm32")]

use std::{cell::RefCell, rc::Rc};

use js_sys::{Error, Function, JsString, Object, Promise, Reflect, TypeError};
use lockcore_wasm::{Guard, KeyedMutex};
use wasm_bindgen::{convert::TryFromJsValue, prelude::*};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{AbortController, AbortSignal};

#[wasm_bindgen(inline_js = r#"
export function dispose(guard) { guard[Symbol.dispose](); }
export function free(guard) { guard.free(); }
export function callback_of(body) { return new Function("guard", body); }
export function lock_with_options_that_lock(mutex, id) {
  const first = [];
  const options = { get signal() { first.push(mutex.lock(id)); return undefined; } };
  return Promise.race([mutex.lock(id, options), ...first]).then(guard => guard.token);
}
export function count_listeners(signal) {
  const count = { now: 0, ever: 0 };
  for (const [method, step] of [["addEventListener", 1], ["removeEventListener", -1]]) {
    signal[method] = (...args) => {
      AbortSignal.prototype[method].apply(signal, args);
      count.now += step;
      count.ever += step > 0;
    };
  }
  return count;
}
export function next_tick() { return new Promise(resolve => setTimeout(resolve)); }
export function pretend_abort(signal) { signal.dispatchEvent(new Event("abort")); }
export function abort_again_when_asked_why(signal) {
  Object.defineProperty(signal, "reason", { get() { pretend_abort(signal); return "why"; } });
}
export async function forget_a_guard_of(mutex, id) { await mutex.lock(id); }
export async function collect_garbage_until(done, tries) {
  for (let i = 0; i < tries && !done(); i++) {
    gc();
    await new Promise(resolve => setTimeout(resolve));
  }
  return done();
}
"#)]
extern "C" {
    fn dispose(guard: &JsValue);
    fn free(guard: JsValue);
    fn callback_of(body: &str) -> JsValue;
    fn lock_with_options_that_lock(mutex: &JsValue, id: &str) -> Promise;
    fn count_listeners(signal: &AbortSignal) -> JsValue;
    fn next_tick() -> Promise;
    fn pretend_abort(signal: &AbortSignal);
    fn abort_again_when_asked_why(signal: &AbortSignal);
    fn forget_a_guard_of(mutex: &JsValue, id: &str) -> Promise;
    fn collect_garbage_until(done: &Closure<dyn FnMut() -> bool>, tries: u32) -> Promise;
}

const NONE: JsValue = JsValue::UNDEFINED;

fn js(id: &str) -> JsValue {
    id.into()
}

fn options(signal: &AbortSignal) -> JsValue {
    let options = Object::new();
    Reflect::set(&options, &js("signal"), signal).unwrap();
    options.into()
}

/// A request for `id` that can be aborted.
fn lock_with_signal(mutex: &KeyedMutex, id: &str) -> (Promise, AbortController) {
    let controller = AbortController::new().unwrap();
    (mutex.lock(&js(id), &options(&controller.signal())), controller)
}

fn lock(mutex: &KeyedMutex, id: &str) -> Promise {
    mutex.lock(&js(id), &NONE)
}

async fn guard(promise: Promise) -> Guard {
    Guard::try_from_js_value(JsFuture::from(promise).await.unwrap()).unwrap()
}

async fn rejection(promise: Promise) -> JsValue {
    JsFuture::from(promise).await.expect_err("the promise resolves")
}

async fn error_name(promise: Promise) -> String {
    rejection(promise).await.unchecked_into::<Error>().name().into()
}

fn try_lock(mutex: &KeyedMutex, id: &str) -> Option<Guard> {
    mutex.try_lock(&js(id)).unwrap()
}

fn waiting(mutex: &KeyedMutex, id: &str) -> usize {
    mutex.waiting(&js(id)).unwrap()
}

fn is_locked(mutex: &KeyedMutex, id: &str) -> bool {
    mutex.is_locked(&js(id)).unwrap()
}

fn number(object: &JsValue, name: &str) -> f64 {
    Reflect::get(object, &js(name)).unwrap().as_f64().unwrap()
}

#[wasm_bindgen_test]
async fn a_release_passes_the_turn_on() {
    let mutex = KeyedMutex::new();
    let first = guard(lock(&mutex, "a")).await;
    let second = lock(&mutex, "a");
    assert_eq!((waiting(&mutex, "a"), mutex.size()), (1, 1));
    first.release();
    let second = guard(second).await;
    assert_eq!(second.id(), "a");
    assert!(second.token() > first.token());
    assert!(is_locked(&mutex, "a"));
    second.release();
    assert!(!is_locked(&mutex, "a"));
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn a_thousand_waiters_take_turns_in_the_order_of_their_calls() {
    let mutex = KeyedMutex::new();
    let holder = guard(lock(&mutex, "a")).await;
    let order = Rc::new(RefCell::new(Vec::new()));
    let requests: Vec<_> = (0..1000).map(|_| lock(&mutex, "a")).collect();
    assert_eq!(waiting(&mutex, "a"), 1000);
    let (done, all_done) = completion();
    // The later requests are awaited first: the order is the mutex's.
    for (number, request) in requests.into_iter().enumerate().rev() {
        let (order, done) = (order.clone(), done.clone());
        spawn_local(async move {
            let guard = guard(request).await;
            order.borrow_mut().push(number);
            if number == 999 {
                done.call0(&NONE).unwrap();
            }
            guard.release();
        });
    }
    holder.release();
    JsFuture::from(all_done).await.unwrap();
    assert_eq!(*order.borrow(), (0..1000).collect::<Vec<_>>());
    assert_eq!((waiting(&mutex, "a"), mutex.size()), (0, 0));
}

/// A promise and the function that resolves it.
fn completion() -> (Function, Promise) {
    let mut done = None;
    let promise = Promise::new(&mut |resolve, _| done = Some(resolve));
    (done.unwrap().unchecked_into(), promise)
}

#[wasm_bindgen_test]
async fn the_place_is_taken_by_the_call() {
    let mutex = KeyedMutex::new();
    let first = lock(&mutex, "a");
    assert!(try_lock(&mutex, "a").is_none());
    let second = lock(&mutex, "a");
    assert_eq!(waiting(&mutex, "a"), 1);
    guard(first).await.release();
    guard(second).await.release();
}

#[wasm_bindgen_test]
async fn try_lock_never_overtakes() {
    let mutex = KeyedMutex::new();
    let holder = try_lock(&mutex, "a").unwrap();
    let waiter = lock(&mutex, "a");
    holder.release();
    assert!(try_lock(&mutex, "a").is_none());
    guard(waiter).await.release();
    assert!(try_lock(&mutex, "a").is_some());
}

#[wasm_bindgen_test]
async fn other_ids_are_not_affected() {
    let mutex = KeyedMutex::new();
    let ids = ["", "a", "b", "ä", "\u{fffd}", "\0", "😀"];
    let guards: Vec<_> = ids.map(|id| try_lock(&mutex, id).unwrap()).into();
    assert_eq!(mutex.size(), ids.len());
    for (guard, id) in guards.iter().zip(ids) {
        assert_eq!(guard.id(), id);
        guard.release();
    }
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn an_abort_while_waiting_leaves_the_queue_at_once() {
    let mutex = KeyedMutex::new();
    let holder = try_lock(&mutex, "a").unwrap();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    let next = lock(&mutex, "a");
    JsFuture::from(next_tick()).await.unwrap();
    controller.abort();
    assert_eq!(waiting(&mutex, "a"), 1);
    assert_eq!(error_name(aborted).await, "AbortError");
    holder.release();
    guard(next).await.release();
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn an_abort_in_the_tick_of_the_call_leaves_the_queue_at_once() {
    let mutex = KeyedMutex::new();
    let _holder = try_lock(&mutex, "a").unwrap();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    controller.abort();
    assert_eq!(waiting(&mutex, "a"), 0);
    assert_eq!(error_name(aborted).await, "AbortError");
}

#[wasm_bindgen_test]
async fn an_abort_rejects_with_the_reason_of_the_signal() {
    let mutex = KeyedMutex::new();
    let _holder = try_lock(&mutex, "a").unwrap();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    controller.abort_with_reason(&js("closing time"));
    assert_eq!(rejection(aborted).await, "closing time");
}

#[wasm_bindgen_test]
async fn an_aborted_signal_rejects_without_joining() {
    let mutex = KeyedMutex::new();
    let aborted = mutex.lock(&js("a"), &options(&AbortSignal::abort()));
    assert_eq!(mutex.size(), 0);
    assert_eq!(error_name(aborted).await, "AbortError");
}

#[wasm_bindgen_test]
async fn an_abort_after_the_hand_off_in_the_same_tick_passes_the_turn_on() {
    let mutex = KeyedMutex::new();
    let holder = try_lock(&mutex, "a").unwrap();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    let next = lock(&mutex, "a");
    JsFuture::from(next_tick()).await.unwrap();
    holder.release();
    controller.abort();
    assert_eq!(waiting(&mutex, "a"), 0);
    assert_eq!(error_name(aborted).await, "AbortError");
    guard(next).await.release();
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn an_abort_before_the_hand_off_in_the_same_tick_passes_the_turn_on() {
    let mutex = KeyedMutex::new();
    let holder = try_lock(&mutex, "a").unwrap();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    let next = lock(&mutex, "a");
    JsFuture::from(next_tick()).await.unwrap();
    controller.abort();
    holder.release();
    assert_eq!(error_name(aborted).await, "AbortError");
    guard(next).await.release();
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn an_abort_in_the_tick_of_the_call_counts_on_a_free_id_too() {
    let mutex = KeyedMutex::new();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    controller.abort();
    assert_eq!(mutex.size(), 0);
    assert_eq!(error_name(aborted).await, "AbortError");
}

#[wasm_bindgen_test]
async fn an_abort_after_the_promise_settled_does_nothing() {
    let mutex = KeyedMutex::new();
    let (granted, controller) = lock_with_signal(&mutex, "a");
    let guard = guard(granted).await;
    controller.abort();
    assert!(!guard.released());
    assert!(is_locked(&mutex, "a"));
}

#[wasm_bindgen_test]
async fn an_abort_within_an_abort_does_no_harm() {
    let mutex = KeyedMutex::new();
    let holder = try_lock(&mutex, "a").unwrap();
    let (aborted, controller) = lock_with_signal(&mutex, "a");
    abort_again_when_asked_why(&controller.signal());
    controller.abort();
    assert_eq!(rejection(aborted).await, "why");
    holder.release();
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn an_event_without_an_abort_does_nothing() {
    let mutex = KeyedMutex::new();
    let holder = try_lock(&mutex, "a").unwrap();
    let (waiter, controller) = lock_with_signal(&mutex, "a");
    pretend_abort(&controller.signal());
    assert_eq!(waiting(&mutex, "a"), 1);
    holder.release();
    guard(waiter).await.release();
}

#[wasm_bindgen_test]
async fn one_signal_cancels_many_requests() {
    let mutex = KeyedMutex::new();
    let _holder = try_lock(&mutex, "a").unwrap();
    let controller = AbortController::new().unwrap();
    let options = options(&controller.signal());
    let requests: Vec<_> = (0..100).map(|_| mutex.lock(&js("a"), &options)).collect();
    controller.abort();
    assert_eq!(waiting(&mutex, "a"), 0);
    for request in requests {
        assert_eq!(error_name(request).await, "AbortError");
    }
}

#[wasm_bindgen_test]
async fn the_listener_is_removed_in_every_outcome() {
    let mutex = KeyedMutex::new();
    let controller = AbortController::new().unwrap();
    let count = count_listeners(&controller.signal());
    let options = options(&controller.signal());

    let holder = guard(mutex.lock(&js("a"), &options)).await;
    assert_eq!((number(&count, "now"), number(&count, "ever")), (0.0, 1.0));

    let waiter = mutex.lock(&js("a"), &options);
    assert_eq!((number(&count, "now"), number(&count, "ever")), (1.0, 2.0));
    holder.release();
    let _holder = guard(waiter).await;
    assert_eq!((number(&count, "now"), number(&count, "ever")), (0.0, 2.0));

    let aborted = mutex.lock(&js("a"), &options);
    controller.abort();
    rejection(aborted).await;
    assert_eq!((number(&count, "now"), number(&count, "ever")), (0.0, 3.0));

    rejection(mutex.lock(&js("a"), &options)).await;
    assert_eq!((number(&count, "now"), number(&count, "ever")), (0.0, 3.0));
}

#[wasm_bindgen_test]
async fn releasing_twice_leaves_the_next_holder_alone() {
    let mutex = KeyedMutex::new();
    let first = try_lock(&mutex, "a").unwrap();
    let second = lock(&mutex, "a");
    first.release();
    first.release();
    let second = guard(second).await;
    first.release();
    assert!(!second.released());
    assert!(is_locked(&mutex, "a"));
}

#[wasm_bindgen_test]
fn disposing_releases_and_leaves_the_guard_readable() {
    let mutex = KeyedMutex::new();
    let guard = try_lock(&mutex, "a").unwrap();
    let token = guard.token();
    let guard = JsValue::from(guard);
    dispose(&guard);
    dispose(&guard);
    assert_eq!(mutex.size(), 0);
    let guard = Guard::try_from_js_value(guard).unwrap();
    assert!(guard.released());
    assert_eq!((guard.id(), guard.token()), (JsString::from("a"), token));
}

#[wasm_bindgen_test]
fn freeing_a_guard_releases() {
    let mutex = KeyedMutex::new();
    free(try_lock(&mutex, "a").unwrap().into());
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn freeing_the_mutex_leaves_its_locks_alone() {
    let mutex = KeyedMutex::new();
    let first = try_lock(&mutex, "a").unwrap();
    let second = lock(&mutex, "a");
    free(mutex.into());
    first.release();
    guard(second).await.release();
}

#[wasm_bindgen_test]
async fn a_forgotten_guard_is_released_with_the_garbage() {
    let mutex = JsValue::from(KeyedMutex::new());
    JsFuture::from(forget_a_guard_of(&mutex, "a")).await.unwrap();
    let probe = mutex.clone();
    let free = Closure::new(move || number(&probe, "size") == 0.0);
    let released = JsFuture::from(collect_garbage_until(&free, 1000)).await.unwrap();
    assert_eq!(released, true);
}

#[wasm_bindgen_test]
async fn run_exclusive_holds_while_the_callback_runs() {
    let mutex = KeyedMutex::new();
    let body = "return Promise.resolve().then(() => [guard.id, guard.released])";
    let outcome = mutex.run_exclusive(&js("a"), &callback_of(body), &NONE);
    assert!(try_lock(&mutex, "a").is_none());
    let outcome = JsFuture::from(outcome).await.unwrap().unchecked_into::<js_sys::Array>();
    assert_eq!((outcome.get(0), outcome.get(1)), (js("a"), false.into()));
    assert_eq!(mutex.size(), 0);
}

#[wasm_bindgen_test]
async fn run_exclusive_releases_when_the_callback_fails() {
    let mutex = KeyedMutex::new();
    for body in [
        "throw new RangeError('x')",
        "return Promise.reject(new RangeError('x'))",
        "return { get then() { throw new RangeError('x') } }",
        "const p = Promise.resolve();
         Object.defineProperty(p, 'constructor', { get() { throw new RangeError('x') } });
         return p",
        "guard.release(); throw new RangeError('x')",
    ] {
        let outcome = mutex.run_exclusive(&js("a"), &callback_of(body), &NONE);
        assert_eq!(error_name(outcome).await, "RangeError", "{body}");
        assert_eq!(mutex.size(), 0);
    }
}

#[wasm_bindgen_test]
async fn run_exclusive_does_not_call_when_aborted() {
    let mutex = KeyedMutex::new();
    let _holder = try_lock(&mutex, "a").unwrap();
    let controller = AbortController::new().unwrap();
    let callback = callback_of("throw new Error('called')");
    let outcome = mutex.run_exclusive(&js("a"), &callback, &options(&controller.signal()));
    controller.abort();
    assert_eq!(error_name(outcome).await, "AbortError");
}

#[wasm_bindgen_test]
async fn a_getter_of_the_options_may_lock() {
    let mutex = JsValue::from(KeyedMutex::new());
    let token = JsFuture::from(lock_with_options_that_lock(&mutex, "a")).await.unwrap();
    assert_eq!(u64::try_from(token).unwrap(), 1);
    assert_eq!(number(&mutex, "size"), 1.0);
}

#[wasm_bindgen_test]
async fn bad_input_gives_type_errors_that_name_the_value() {
    let mutex = KeyedMutex::new();
    let lone = js_sys::eval(r"'x\ud800'").unwrap();
    for (id, named) in [
        (NONE, "undefined"),
        (JsValue::NULL, "null"),
        (42.into(), "42"),
        (7_u64.into(), "7"),
        (true.into(), "true"),
        (js_sys::Symbol::for_("s").into(), "Symbol(s)"),
        (Object::new().into(), "an object"),
        (callback_of(""), "a function"),
        (lone, "\"x\u{fffd}\""),
    ] {
        assert_type_error(mutex.try_lock(&id).unwrap_err(), named);
        assert_type_error(mutex.is_locked(&id).unwrap_err(), named);
        assert_type_error(mutex.waiting(&id).unwrap_err(), named);
        assert_type_error(rejection(mutex.lock(&id, &NONE)).await, named);
    }
    let signal = Object::new();
    Reflect::set(&signal, &js("signal"), &js("stop")).unwrap();
    assert_type_error(rejection(mutex.lock(&js("a"), &signal)).await, "\"stop\"");
    assert_type_error(rejection(mutex.lock(&js("a"), &5.into())).await, "5");
    let not_callable = mutex.run_exclusive(&js("a"), &js("f"), &NONE);
    assert_type_error(rejection(not_callable).await, "\"f\"");
    assert_eq!(mutex.size(), 0);
}

#[track_caller]
fn assert_type_error(error: JsValue, named: &str) {
    let error = error.dyn_into::<TypeError>().expect("a TypeError");
    let message = String::from(error.message());
    assert!(message.contains(named), "{message} does not name {named}");
}
