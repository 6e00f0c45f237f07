//! What it costs to pass an HTTP API's answer on, masked: the built program between a client and an API on one machine.
//!
//! `cargo bench --bench proxy`. On two cores of a virtual Xeon that were idle but for it; another's load shows most in the first
//! byte, before which the call's intent is on disk:
//!
//! ```text
//!                                                  through      direct
//! a model's events, MB per second of processor time         146        2425
//! lines of JSON, MB per second of processor time         257        2591
//! prose, MB per second of processor time               352        5440
//! the most memory so far, MiB                           33
//! first byte of the body after the call, ms           1.09        0.05
//! memory with 200 slow streams at once, MiB            190    before 34, at most 190
//! ```
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot measure has nothing to say"
)]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use portcullis::{auth::dev::DevIssuer, domain::principal::PrincipalKind};

/// Bytes of one answer.
const ANSWER: usize = 10 << 20;
/// Streams at once.
const STREAMS: usize = 200;
/// How often the first byte is timed.
const FIRSTS: usize = 200;

fn main() {
    let upstream = upstream();
    let data = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(data.path(), upstream);
    println!("{:<44}{:>12}{:>12}", "", "through", "direct");
    for (path, what) in [
        ("/events", "a model's events"),
        ("/json", "lines of JSON"),
        ("/prose", "prose"),
    ] {
        let (before, began) = (gateway.processor_time(), Instant::now());
        let mut took = 0;
        while began.elapsed() < Duration::from_secs(3) {
            took += read(&gateway.call(path));
        }
        let busy = gateway.processor_time() - before;
        let (direct, mut plain) = (Instant::now(), 0);
        while direct.elapsed() < Duration::from_secs(1) {
            plain += read(&called(upstream, path, ""));
        }
        println!(
            "{:<44}{:>12.0}{:>12.0}",
            format!("{what}, MB per second of processor time"),
            megabytes(took) / busy.as_secs_f64(),
            megabytes(plain) / direct.elapsed().as_secs_f64(),
        );
    }
    let (_, peak) = gateway.memory();
    println!("{:<44}{:>12.0}", "the most memory so far, MiB", peak);

    let median = |call: &dyn Fn() -> TcpStream| {
        let mut times: Vec<_> = (0..FIRSTS).map(|_| first_byte(&call())).collect();
        times.sort_unstable();
        times[FIRSTS / 2].as_secs_f64() * 1000.0
    };
    println!(
        "{:<44}{:>12.2}{:>12.2}",
        "first byte of the body after the call, ms",
        median(&|| gateway.call("/first")),
        median(&|| called(upstream, "/first", "")),
    );

    let (before, _) = gateway.memory();
    let (streams, released) = (
        Arc::new(Barrier::new(STREAMS + 1)),
        Arc::new(Barrier::new(STREAMS + 1)),
    );
    let callers: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (streams, released) = (Arc::clone(&streams), Arc::clone(&released));
            let stream = gateway.call("/endless");
            thread::spawn(move || {
                let mut piece = [0; 16 << 10];
                let began = Instant::now();
                // Slower than the API: what waits, waits somewhere.
                while began.elapsed() < Duration::from_secs(5) {
                    let _ = (&stream).read(&mut piece);
                    thread::sleep(Duration::from_millis(20));
                }
                streams.wait();
                released.wait();
            })
        })
        .collect();
    streams.wait();
    let (during, peak) = gateway.memory();
    println!(
        "{:<44}{during:>12.0}    before {before:.0}, at most {peak:.0}",
        format!("memory with {STREAMS} slow streams at once, MiB")
    );
    released.wait();
    for caller in callers {
        let _ = caller.join();
    }
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// A call whose answer is still to be read.
fn called(port: u16, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let call = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(call.as_bytes()).expect("it is sent");
    stream
}

/// All of an answer; how many bytes.
fn read(mut stream: &TcpStream) -> usize {
    let (mut all, mut piece) = (0, vec![0; 256 << 10]);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        all += read;
    }
    assert!(all >= ANSWER, "only {all} bytes came");
    all
}

/// How long it took from here to the first byte of the body.
fn first_byte(mut stream: &TcpStream) -> Duration {
    let (began, mut answer, mut piece) = (Instant::now(), Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).expect("an answer");
        answer.extend_from_slice(&piece[..read]);
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if body.is_some_and(|head| answer.len() > head + 4) || read == 0 {
            return began.elapsed();
        }
    }
}

struct Gateway {
    child: Child,
    port: u16,
    token: String,
}

impl Gateway {
    fn start(data: &Path, upstream: u16) -> Self {
        let policy = format!(
            "version: 1\nconnections:\n  api: {{ kind: http, api: generic, read: {{ url: \"http://127.0.0.1:{upstream}\" }}, \
             allow: {{ groups: [ai] }}, budget: {{ bytes: 1GiB, timeout: 60s, requests_per_minute: 1000000 }} }}\n\
             rules:\n  - {{ name: reads, when: {{ effect: read }}, then: allow }}\n"
        );
        let file = data.join("policy.yaml");
        fs::write(&file, policy).expect("a policy");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        drop(listener);
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["dev", "--port", &port.to_string(), "--data"])
            .arg(data)
            .arg("--policy")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        while TcpStream::connect(("127.0.0.1", port)).is_err()
            || DevIssuer::of_running(data).is_err()
        {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(500));
        let issuer = DevIssuer::of_running(data).expect("an issuer");
        let minted = issuer.mint(
            "bench",
            ["ai"],
            PrincipalKind::Agent,
            Duration::from_secs(3600),
        );
        Self {
            child,
            port,
            token: minted.expect("a token"),
        }
    }

    fn call(&self, path: &str) -> TcpStream {
        let path = format!("/v1/connections/api/http{path}");
        called(
            self.port,
            &path,
            &format!("Authorization: Bearer {}\r\n", self.token),
        )
    }

    /// User and system time so far.
    fn processor_time(&self) -> Duration {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("its numbers");
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// Resident now and at most, in MiB.
    fn memory(&self) -> (f64, f64) {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its numbers");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
            kib.unwrap_or(f64::NAN) / 1024.0
        };
        (of("VmRSS:"), of("VmHWM:"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An API of this process that answers as fast as it is read.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let (ready, started) = mpsc::channel();
    thread::spawn(move || {
        let _ = ready.send(());
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    let _ = started.recv();
    port
}

fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let lines = match path {
        "/events" => {
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" and so the river runs on\"}}]}\n\n"
        }
        "/json" => {
            "{\"id\": 4711, \"name\": \"web-0\", \"phase\": \"Running\", \"restarts\": 3, \"node\": \"pool-a-7\"}\n"
        }
        _ => {
            "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.\n"
        }
    };
    let block = lines.repeat((64 << 10) / lines.len());
    let begin = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
    let _ = stream.set_nodelay(true);
    let _ = stream.write_all(begin.as_bytes());
    if path == "/first" {
        let _ = stream.write_all(lines.as_bytes());
        return;
    }
    let mut left = if path == "/endless" {
        usize::MAX
    } else {
        ANSWER
    };
    while left > 0 && stream.write_all(block.as_bytes()).is_ok() {
        left = left.saturating_sub(block.len());
    }
}
