//! A plain HTTP/1.1 client that sends exactly the bytes it is told to, well formed or not.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The one header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` twice: {self:?}");
        value
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: status {}: {}", self.status, self.text()))
    }

    /// The JSON of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// Any problem with this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        let problem = self.json();
        let name = problem["type"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("urn:portcullis:problem:");
        self.problem(status, name)
    }

    /// The sentence of the problem named `name`, with this status.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, name: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text()
        );
        let problem = self.json();
        assert_eq!(
            problem["type"],
            format!("urn:portcullis:problem:{name}"),
            "{problem}"
        );
        assert_eq!(problem["status"], status, "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty(), "{problem}");
        detail.to_owned()
    }
}

/// One call over a connection of its own.
pub(crate) fn call(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    raw(
        port,
        &request(method, path, headers, body),
        Duration::from_secs(70),
    )
    .unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// The bytes of one call.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends these bytes; `None`: no answer came within `patience`, or the connection ended without one.
pub(crate) fn raw(port: u16, bytes: &[u8], patience: Duration) -> Option<Reply> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a gateway that listens");
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let bytes = bytes.to_vec();
    // Beside reading: a server that refuses early answers before it has read everything.
    let sender = std::thread::spawn(move || drop(sending.write_all(&bytes)));
    let mut answer = Vec::new();
    let mut receiving = &stream;
    let mut chunk = [0; 16 * 1024];
    loop {
        match receiving.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
            // Reset after the answer: the server did not want the rest of what was sent.
            Err(_) => break,
        }
        if complete(&answer) {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sender.join().unwrap();
    parse(&answer)
}

fn complete(answer: &[u8]) -> bool {
    parse(answer).is_some_and(|reply| {
        let length = reply.header("content-length");
        length.is_some_and(|length| length.parse() == Ok(reply.body.len()))
    })
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("a head in ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = answer[end + 4..].to_vec();
    Some(Reply {
        status,
        headers,
        body,
    })
}
