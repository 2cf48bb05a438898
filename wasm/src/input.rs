//! Arguments from JavaScript, or the `TypeError` that says what is wrong with them.

use js_sys::{Function, JsString, Reflect, TypeError};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

/// An id as JavaScript has it and as the table does.
pub(crate) struct Id {
    pub(crate) js: JsString,
    pub(crate) text: String,
}

pub(crate) fn id(value: &JsValue) -> Result<Id, JsValue> {
    let js: &JsString = value.dyn_ref().ok_or_else(|| wrong("id", "a string", value))?;
    let text = String::from(js);
    // A lone surrogate becomes a replacement character; without one there is nothing to look for.
    if text.contains(char::REPLACEMENT_CHARACTER) && !js.is_valid_utf16() {
        return Err(wrong("id", "a string without lone surrogates", value));
    }
    Ok(Id { js: js.clone(), text })
}

pub(crate) fn function(value: &JsValue) -> Result<Function, JsValue> {
    value.dyn_ref().cloned().ok_or_else(|| wrong("callback", "a function", value))
}

/// Reads `options.signal`; may call a getter of `options`.
pub(crate) fn signal(options: &JsValue) -> Result<Option<AbortSignal>, JsValue> {
    if is_nothing(options) {
        return Ok(None);
    }
    if !options.is_object() {
        return Err(wrong("options", "an object", options));
    }
    let signal = Reflect::get(options, &"signal".into())?;
    if is_nothing(&signal) {
        return Ok(None);
    }
    match signal.dyn_ref::<AbortSignal>() {
        Some(signal) => Ok(Some(signal.clone())),
        None => Err(wrong("options.signal", "an AbortSignal", &signal)),
    }
}

fn is_nothing(value: &JsValue) -> bool {
    value.is_undefined() || value.is_null()
}

fn wrong(what: &str, expected: &str, value: &JsValue) -> JsValue {
    TypeError::new(&format!("{what} must be {expected}, not {}", describe(value))).into()
}

/// Names a value without running any of its code.
fn describe(value: &JsValue) -> String {
    match value.as_string() {
        Some(text) => format!("{text:?}"),
        None if value.is_function() => "a function".to_owned(),
        None if value.is_object() => "an object".to_owned(),
        None => to_text(value),
    }
}

#[wasm_bindgen]
extern "C" {
    /// The text of a primitive value, symbols included.
    #[wasm_bindgen(js_name = String)]
    fn to_text(value: &JsValue) -> String;
}
