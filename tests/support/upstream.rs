//! A stand-in for an HTTP API: a small real server on a loopback port that keeps every call it gets, exactly as it came,
//! and answers what a test tells it to.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A call, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The request line.
    pub(crate) line: String,
    /// Header fields by name in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// The header field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(field, _)| field == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` twice: {self:?}");
        value
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The way back to whoever called.
pub(crate) struct Answering(TcpStream);

impl Answering {
    /// A whole answer.
    pub(crate) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!(
            "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        self.write(head.as_bytes());
        self.write(body);
    }

    /// A JSON answer.
    pub(crate) fn json(&mut self, status: u16, body: &serde_json::Value) {
        let json = [("Content-Type", "application/json")];
        self.answer(status, &json, body.to_string().as_bytes());
    }

    /// The head of an answer that comes in chunks.
    pub(crate) fn begin(&mut self, status: u16, media_type: &str) {
        let head = format!(
            "HTTP/1.1 {status} Said\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        self.write(head.as_bytes());
    }

    /// A chunk; `false`: the caller is gone.
    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> bool {
        let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.0
            .write_all(&framed)
            .and_then(|()| self.0.flush())
            .is_ok()
    }

    /// The end of an answer that came in chunks.
    pub(crate) fn end(&mut self) {
        self.write(b"0\r\n\r\n");
        let _ = self.0.shutdown(Shutdown::Both);
    }

    fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
        let _ = self.0.flush();
    }
}

/// The server. It ends with the test process.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Upstream {
    /// Answers every call by `answer`, each on a thread of its own.
    pub(crate) fn start(answer: impl Fn(&Call, &mut Answering) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&calls), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || {
                    if let Some((call, mut back)) = read(stream) {
                        kept.lock().unwrap().push(call.clone());
                        answer(&call, &mut back);
                    }
                });
            }
        });
        Self { port, calls }
    }

    /// Every call so far whose path and query hold `part`.
    pub(crate) fn calls(&self, part: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        let of_part = calls.iter().filter(|call| call.line.contains(part));
        of_part.cloned().collect()
    }

    /// The only call whose path and query hold `part`.
    #[track_caller]
    pub(crate) fn only(&self, part: &str) -> Call {
        let mut calls = self.calls(part);
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }
}

fn read(mut stream: TcpStream) -> Option<(Call, Answering)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    let began = Instant::now();
    while body.len() < length && began.elapsed() < Duration::from_secs(20) {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => body.extend_from_slice(&piece[..read]),
        }
    }
    Some((
        Call {
            line,
            headers,
            body,
        },
        Answering(stream),
    ))
}
