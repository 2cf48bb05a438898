//! The module and its playground in a headless Chromium, and its TypeScript declarations in `tsc`.
//!
//! Where a tool is missing, a test says so on the standard error and passes. With the environment
//! variable `LOCKCORE_NO_SKIP=1` it fails.

#![cfg(not(target_arch = "wasm32"))]

use std::{
    env,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
    thread,
};

use webdriver::{Browser, Session};

#[path = "../../examples/playground/files.rs"]
mod files;
mod webdriver;

#[test]
fn the_rust_tests_pass_in_the_browser() {
    if !has_tools(&["target", "bindgen", "chromium", "chromedriver"]) {
        return;
    }
    let output = succeed(&["test"]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("test result: ok"), "no test ran:\n{report}");
}

#[test]
fn the_declarations_are_right() {
    if has_tools(&["target", "bindgen", "tsc"]) {
        build();
        succeed(&["types"]);
    }
}

#[test]
fn a_release_on_the_page_passes_the_turn_on() {
    let Some(browser) = playground() else { return };
    let page = &browser.session;
    page.click("#add button[value='5']");
    expect(page, "payment-123", "task 1", &["task 2", "task 3", "task 4", "task 5"]);
    let first_token = token(page);

    page.click("[aria-label='Release task 1']");
    expect(page, "payment-123", "task 2", &["task 3", "task 4", "task 5"]);
    assert!(token(page) > first_token);
    let focused = page.script("return document.activeElement.textContent");
    assert_eq!(focused, "Release", "the focus goes on with the turn");

    for (released, holder) in [(2, "task 3"), (3, "task 4"), (4, "task 5")] {
        page.click(&format!("[aria-label='Release task {released}']"));
        page.wait(&holds("payment-123", holder));
    }
    page.click("[aria-label='Release task 5']");
    page.wait("!document.querySelector('article') && document.querySelector('#size').value == 0");
    assert_eq!(page.script("return document.querySelectorAll('[data-verb=holds]').length"), 5);
}

#[test]
fn a_cancelled_waiter_on_the_page_leaves_the_queue() {
    let Some(browser) = playground() else { return };
    let page = &browser.session;
    page.click("#add button[value='5']");
    expect(page, "payment-123", "task 1", &["task 2", "task 3", "task 4", "task 5"]);
    for cancelled in ["task 2", "task 4"] {
        page.click(&format!("[aria-label='Cancel {cancelled}']"));
        let log = "document.querySelector('#log').textContent";
        page.wait(&format!("{log}.includes('{cancelled} leaves payment-123: AbortError')"));
    }
    expect(page, "payment-123", "task 1", &["task 3", "task 5"]);
    page.click("[aria-label='Release task 1']");
    expect(page, "payment-123", "task 3", &["task 5"]);
}

#[test]
fn ids_on_the_page_are_independent() {
    let Some(browser) = playground() else { return };
    let page = &browser.session;
    page.click("#add button[value='5']");
    page.script("document.querySelector('#id').value = '<b>other</b>'");
    page.click("#try");
    page.click("#try");
    expect(page, "<b>other</b>", "task 6", &[]);
    page.wait("document.querySelector('#log').textContent.includes('task 7 tries')");
    expect(page, "payment-123", "task 1", &["task 2", "task 3", "task 4", "task 5"]);
    page.wait("document.querySelector('#size').value == 2");
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("playground.png");
    page.screenshot(&picture);

    page.click("#auto");
    page.wait("document.querySelector('#size').value == 0");
    assert_eq!(page.script("return document.querySelectorAll('[data-verb=releases]').length"), 6);
}

#[test]
fn the_server_gives_the_files_of_the_playground_and_no_others() {
    let address = serve();
    for path in ["/", "/playground.js", "/playground.css", "/?query"] {
        assert!(get(address, path).starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
    }
    for path in ["/Cargo.toml", "/../Cargo.toml", "//", "/pkg/", ""] {
        assert!(get(address, path).starts_with("HTTP/1.1 404 "), "{path}");
    }
}

/// Waits until the page shows this holder and this queue, and the mutex's own count agrees.
#[track_caller]
fn expect(page: &Session, id: &str, holder: &str, queue: &[&str]) {
    page.wait(&holds(id, holder));
    let card = card(id);
    let names = format!("Array.from({card}.querySelectorAll('.queue strong'), e => e.textContent)");
    assert_eq!(page.script(&format!("return {names}")), serde_json::json!(queue));
    let count = page.script(&format!("return {card}.querySelector('.count').textContent"));
    assert_eq!(count, format!("locked, {} waiting", queue.len()));
}

fn holds(id: &str, holder: &str) -> String {
    format!("{}?.querySelector('.holder strong')?.textContent === '{holder}'", card(id))
}

fn card(id: &str) -> String {
    format!("document.querySelector('article[data-id=\"{id}\"]')")
}

fn token(page: &Session) -> u64 {
    let text = page.script("return document.querySelector('.holder code').textContent");
    text.as_str().and_then(|text| text.parse().ok()).expect("the page shows a token")
}

/// Opens the playground, or says what is missing.
fn playground() -> Option<Browser> {
    if !has_tools(&["target", "bindgen", "chromium", "chromedriver"]) {
        return None;
    }
    build();
    let browser = Browser::start();
    browser.session.open(&format!("http://{}/", serve()));
    browser.session.wait("'ready' in document.documentElement.dataset");
    Some(browser)
}

fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || files::serve(&listener));
    address
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Builds `wasm/pkg`, once.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| drop(succeed(&["build"])));
}

fn has_tools(tools: &[&str]) -> bool {
    let report = match wasm_run(&[&["check"], tools].concat()) {
        Ok(output) if output.status.success() => return true,
        Ok(output) => [output.stdout, output.stderr].concat(),
        Err(error) => format!("missing: bash ({error})\n").into_bytes(),
    };
    let report = String::from_utf8_lossy(&report);
    let strict = env::var_os("LOCKCORE_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "LOCKCORE_NO_SKIP=1, but\n{report}");
    let test = thread::current().name().unwrap_or_default().to_owned();
    // `eprintln` would be captured, and nobody would see it.
    io::stderr().write_all(format!("\nSKIPPED {test}\n{report}").as_bytes()).unwrap();
    false
}

#[track_caller]
fn succeed(arguments: &[&str]) -> Output {
    let output = wasm_run(arguments).unwrap();
    assert!(
        output.status.success(),
        "wasm/run {arguments:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn wasm_run(arguments: &[&str]) -> io::Result<Output> {
    Command::new("bash").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/run")).args(arguments).output()
}
