//! [`Guard`]: what a lock resolves to.

use std::{cell::RefCell, rc::Rc};

use js_sys::{JsString, Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::Hold;

/// Holds an id until it is released; the next in the queue then holds it.
///
/// `using guard = await mutex.lock(id)` releases it at the end of the block. `id` and `token` can
/// still be read after that. `free()` releases too, and ends the object: it need not be called.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Guard {
    id: JsString,
    token: u64,
    /// `None` once it is released.
    hold: Rc<RefCell<Option<Hold>>>,
}

impl Guard {
    pub(crate) fn new(id: JsString, hold: Hold) -> Self {
        Self { id, token: hold.token(), hold: Rc::new(RefCell::new(Some(hold))) }
    }
}

#[wasm_bindgen]
impl Guard {
    /// The id that is held.
    #[wasm_bindgen(getter, unchecked_return_type = "string")]
    pub fn id(&self) -> JsString {
        self.id.clone()
    }

    /// The fencing token of this hold: greater than that of every earlier hold of the same id.
    #[wasm_bindgen(getter)]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether the id was released.
    #[wasm_bindgen(getter)]
    pub fn released(&self) -> bool {
        self.hold.borrow().is_none()
    }

    /// Releases the id. A second call does nothing.
    pub fn release(&self) {
        let hold = self.hold.take();
        drop(hold);
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_namespace = Symbol, js_name = dispose)]
    static DISPOSE: JsValue;
}

/// Lets `using` call `release`, in browsers that know it.
///
/// By itself wasm-bindgen chooses `free`, which throws when it is called twice, and after which a
/// guard says neither its id nor its token.
pub(crate) fn dispose_by_release() {
    let released = Guard { id: JsString::from(""), token: 0, hold: Rc::default() };
    let prototype = Object::get_prototype_of(&released.into());
    DISPOSE.with(|dispose| {
        if dispose.is_symbol()
            && let Ok(release) = Reflect::get(&prototype, &"release".into())
        {
            let _ = Reflect::set(&prototype, dispose, &release);
        }
    });
}
