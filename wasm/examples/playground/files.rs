//! A web server for the few files of the playground.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

/// What is served: address, file below `wasm/`, content type.
const FILES: [(&str, &str, &str); 5] = [
    ("/", "playground/index.html", "text/html; charset=utf-8"),
    ("/playground.css", "playground/playground.css", "text/css; charset=utf-8"),
    ("/playground.js", "playground/playground.js", "text/javascript; charset=utf-8"),
    ("/pkg/lockcore_wasm.js", "pkg/lockcore_wasm.js", "text/javascript; charset=utf-8"),
    ("/pkg/lockcore_wasm_bg.wasm", "pkg/lockcore_wasm_bg.wasm", "application/wasm"),
];

const MAX_REQUEST_BYTES: u64 = 16 * 1024;

/// Answers requests for good.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        // A browser that goes away in the middle is its own affair.
        thread::spawn(move || answer(stream).ok());
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (status, content_type, body) = response(&read_request(&stream)?);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len(),
    )?;
    stream.write_all(&body)
}

/// Reads the head of a request and returns its first line.
fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(stream.take(MAX_REQUEST_BYTES)).lines();
    let first = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(first)
}

fn response(request: &str) -> (&'static str, &'static str, Vec<u8>) {
    let path = request.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next());
    let file = FILES.iter().find(|(address, ..)| Some(*address) == path);
    let Some((_, file, content_type)) = file else {
        return ("404 Not Found", "text/plain", b"not found\n".to_vec());
    };
    match fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)) {
        Ok(body) => ("200 OK", content_type, body),
        Err(error) => {
            let hint = format!("cannot read wasm/{file}: {error}; is `wasm/run build` done?\n");
            ("500 Internal Server Error", "text/plain", hint.into_bytes())
        }
    }
}
