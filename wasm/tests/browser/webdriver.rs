//! A headless Chromium, spoken to by the WebDriver protocol.

use std::{
    fs,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

/// The driver's process and its one session.
pub(crate) struct Browser {
    pub(crate) session: Session,
    driver: Driver,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let driver = Driver::start();
        let session = Session::new(driver.port);
        Self { session, driver }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without this, the browser would outlive its driver.
        let _ = http(self.driver.port, "DELETE", &self.session.path(""), &Value::Null);
    }
}

struct Driver {
    process: Child,
    port: u16,
    /// Kept open, or the driver's next line would end it.
    _lines: BufReader<ChildStdout>,
}

impl Driver {
    fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let port = listening_port(&mut lines);
        Self { process, port, _lines: lines }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listening_port(lines: impl BufRead) -> u16 {
    lines
        .lines()
        .map(|line| line.unwrap())
        .find_map(|line| {
            line.trim_end_matches('.').rsplit_once("successfully on port ")?.1.parse().ok()
        })
        .expect("chromedriver says its port before it ends")
}

/// One browser window.
pub(crate) struct Session {
    port: u16,
    id: String,
}

impl Session {
    fn new(port: u16) -> Self {
        // The sandbox does not work for root, and only our own page is opened.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1100,900",
        ];
        let options = json!({ "goog:chromeOptions": { "args": arguments } });
        let body = json!({ "capabilities": { "alwaysMatch": options } });
        let answer = http(port, "POST", "/session", &body).expect("a session opens");
        Self { port, id: answer["sessionId"].as_str().unwrap().to_owned() }
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    pub(crate) fn script(&self, body: &str) -> Value {
        self.post("execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Waits until an expression is true, for twenty seconds at most.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0], end = performance.now() + 20_000;
             (function look() {{
                if ({expression}) done(true);
                else if (performance.now() > end) done(false);
                else setTimeout(look, 5);
             }})()"
        );
        let seen = self.post("execute/async", &json!({ "script": script, "args": [] }));
        assert_eq!(seen, true, "{expression}\n{}", self.script("return document.body.innerText"));
    }

    /// Clicks as a person does: on what can be seen.
    pub(crate) fn click(&self, selector: &str) {
        let found = self.post("element", &json!({ "using": "css selector", "value": selector }));
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    pub(crate) fn screenshot(&self, file: &Path) {
        let picture = http(self.port, "GET", &self.path("screenshot"), &Value::Null).unwrap();
        fs::write(file, base64(picture.as_str().unwrap())).unwrap();
    }

    #[track_caller]
    fn post(&self, command: &str, body: &Value) -> Value {
        http(self.port, "POST", &self.path(command), body)
            .unwrap_or_else(|error| panic!("{command} {body}: {error}"))
    }

    fn path(&self, command: &str) -> String {
        format!("/session/{}/{command}", self.id).trim_end_matches('/').to_owned()
    }
}

/// Sends one command and returns the `value` of the answer.
fn http(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .map_err(|error| error.to_string())?;
    let (ok, answer) = read_answer(&stream).map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if ok { Ok(value) } else { Err(value["message"].to_string()) }
}

fn read_answer(stream: &TcpStream) -> io::Result<(bool, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let ok = line.contains(" 200 ");
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((ok, body))
}

/// Decodes base64 of the standard alphabet.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter_map(|byte| ALPHABET.iter().position(|&a| a == byte)) {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
