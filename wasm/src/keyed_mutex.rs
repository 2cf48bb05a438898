//! [`KeyedMutex`]: the class that JavaScript sees.

use js_sys::{Function, Promise};
use lockcore::Config;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::{
    Mutex,
    guard::{Guard, dispose_by_release},
    input,
    request::Request,
};

/// A fair mutex for each id: whoever locks the same id takes turns, other ids are not affected.
///
/// Ids need no registration, and one that nobody holds or waits for takes no memory. Freeing the
/// mutex (`free()`, `using`) ends the object, not the locks: guards and waiters go on.
#[wasm_bindgen]
#[derive(Debug)]
pub struct KeyedMutex {
    mutex: Mutex,
}

#[wasm_bindgen]
impl KeyedMutex {
    /// Creates a mutex in which no id is locked.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        dispose_by_release();
        // A page has one thread, and hardly more tasks at work than this.
        let config = Config { shards: 1, slots: 64, ..Config::default() };
        Self { mutex: Mutex::with_config(config) }
    }

    /// Locks `id`, waiting until every earlier request for it is gone.
    ///
    /// Resolves to a `Guard`. A request that is no longer wanted is cancelled by its `signal`.
    ///
    /// # Fairness
    ///
    /// The place in the queue is taken by this call. Nobody overtakes.
    ///
    /// # Cancel safety
    ///
    /// An abort before the promise is settled leaves the queue at once; a turn that was already
    /// handed over passes on. Later ones do nothing.
    ///
    /// # Deadlocks
    ///
    /// Locking an id again while holding it waits for good, as does locking two ids in two orders.
    ///
    /// # Errors
    ///
    /// Rejects with a `TypeError` if `id` is not a well-formed string or `signal` no `AbortSignal`,
    /// and with `signal.reason` (by default a `DOMException` named `AbortError`) if it is aborted.
    ///
    /// # Examples
    ///
    /// ```js
    /// const guard = await mutex.lock("payment-123", { signal: AbortSignal.timeout(1000) });
    /// try {
    ///   await pay(order);
    /// } finally {
    ///   guard.release();
    /// }
    /// ```
    #[wasm_bindgen(unchecked_return_type = "Promise<Guard>")]
    pub fn lock(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string")] id: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "LockRequest")] options: &JsValue,
    ) -> Promise {
        let request = self.request(id, options);
        future_to_promise(async move { Ok(request?.await?.into()) })
    }

    /// Locks `id` if nobody holds it or waits for it, and returns `undefined` otherwise.
    ///
    /// # Errors
    ///
    /// Throws a `TypeError` if `id` is not a well-formed string.
    #[wasm_bindgen(js_name = tryLock)]
    pub fn try_lock(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string")] id: &JsValue,
    ) -> Result<Option<Guard>, JsValue> {
        let id = input::id(id)?;
        Ok(self.mutex.try_lock_owned(&id.text).map(|hold| Guard::new(id.js, hold)))
    }

    /// Calls `callback` with the guard while it holds `id`; resolves to what it returns.
    ///
    /// The id is released when the result of `callback` has settled, before this promise settles.
    /// Fairness, cancel safety and deadlocks are those of `lock`; an abort does not interrupt a
    /// `callback` that was called.
    ///
    /// # Errors
    ///
    /// As `lock`, with a `TypeError` if `callback` is not a function, and with what `callback`
    /// throws.
    #[wasm_bindgen(js_name = runExclusive, skip_typescript)]
    pub fn run_exclusive(&self, id: &JsValue, callback: &JsValue, options: &JsValue) -> Promise {
        let request = input::function(callback)
            .and_then(|callback| Ok((callback, self.request(id, options)?)));
        future_to_promise(async move {
            let (callback, request) = request?;
            let guard = request.await?;
            let outcome = call(&callback, guard.clone()).await;
            guard.release();
            outcome
        })
    }

    /// Returns whether somebody holds `id`.
    ///
    /// # Errors
    ///
    /// Throws a `TypeError` if `id` is not a well-formed string.
    #[wasm_bindgen(js_name = isLocked)]
    pub fn is_locked(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string")] id: &JsValue,
    ) -> Result<bool, JsValue> {
        Ok(self.mutex.is_locked(&input::id(id)?.text))
    }

    /// Returns how many requests wait for `id`, its holder not counted.
    ///
    /// # Errors
    ///
    /// Throws a `TypeError` if `id` is not a well-formed string.
    pub fn waiting(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string")] id: &JsValue,
    ) -> Result<usize, JsValue> {
        Ok(self.mutex.waiting(&input::id(id)?.text))
    }

    /// The number of ids that somebody holds or waits for.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> usize {
        self.mutex.len()
    }

    fn request(&self, id: &JsValue, options: &JsValue) -> Result<Request, JsValue> {
        let id = input::id(id)?;
        let signal = input::signal(options)?;
        Request::new(&self.mutex, id, signal)
    }
}

impl Default for KeyedMutex {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls `callback` and waits for what it returns.
async fn call(callback: &Function, guard: Guard) -> Result<JsValue, JsValue> {
    let returned = callback.call1(&JsValue::UNDEFINED, &guard.into())?;
    // Unlike `Promise::resolve`, a promise's own resolving function never throws.
    let settled = Promise::new(&mut |resolve, _| {
        let _ = resolve.call1(&JsValue::UNDEFINED, &returned);
    });
    JsFuture::from(settled).await
}

/// What the attributes cannot say: an option bag, and a method with a type parameter.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Options of a request for a lock. */
export interface LockRequest {
  /** Cancels the request when it is aborted before the promise is settled. */
  signal?: AbortSignal | null | undefined;
}

export interface KeyedMutex {
  /**
   * Calls `callback` with the guard while it holds `id`; resolves to what it returns.
   *
   * The id is released when the result of `callback` has settled, before this promise settles.
   * An abort does not interrupt a `callback` that was called.
   */
  runExclusive<T>(
    id: string,
    callback: (guard: Guard) => T,
    options?: LockRequest,
  ): Promise<Awaited<T>>;
}
"#;
