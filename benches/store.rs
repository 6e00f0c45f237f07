//! How fast the record takes appends, beside how fast the disk takes anything at all.
//!
//! ```text
//! cargo bench --bench store                       # everything, in a temporary directory
//! RECORD_DIR=/mnt/disk cargo bench --bench store  # on the disk that matters
//! ```
//!
//! An append here is what an allowed read costs: a session, a decision and an outcome in one batch of three events, with
//! a wrapped key, from callers that each wait for their own. The raw rate writes as many bytes and syncs each time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs::OpenOptions,
    hint::black_box,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use jiff::Timestamp;
use portcullis::{
    domain::{
        classify::{Effect, Object, ObjectAccess},
        id::{RequestId, SessionId},
        masking::{MaskedColumn, MaskedCounts},
        policy::RuleName,
        principal::{DescribedPrincipal, PrincipalId, PrincipalKind},
        record::{Hash, Head, export::Export, extend, line, verify::Verifier, verify_chain},
        session::*,
    },
    gateway::{
        ports::{Batch, EventStore, Query},
        seal::{MasterKey, Purpose},
    },
    store::{Memory, Sqlite},
};

const TIME: Duration = Duration::from_secs(4);

fn main() {
    let directory = match std::env::var_os("RECORD_DIR") {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    }
    .unwrap();
    chain();
    sealing();
    verification();
    let (_, events) = a_read(1);
    let bytes = events.iter().map(|event| line(event).unwrap().len()).sum();
    runtime().block_on(async {
        appends("memory", Arc::new(Memory::new()), 16, 0).await;
        let path = directory.path().join("record.db");
        let store = Arc::new(Sqlite::open(&path).unwrap());
        for (round, callers) in [1, 16, 128].into_iter().enumerate() {
            // Before and after: a disk is rarely the same twice.
            let before = fsyncs(directory.path(), bytes);
            let rate = appends("sqlite", store.clone(), callers, (round as u64 + 1) << 32).await;
            let syncs = (before + fsyncs(directory.path(), bytes)) / 2.0;
            let what = "  for each raw write + sync";
            println!("{what:<34}{:>10.1} (of {syncs:.0} /s)", rate / syncs);
        }
        searches(&*store).await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn principal() -> DescribedPrincipal {
    DescribedPrincipal {
        id: PrincipalId::new(PrincipalKind::Agent, "support-bot"),
        kind: PrincipalKind::Agent,
        issuer: "https://login.example/tenant/v2.0".into(),
        tenant: Some("6f0c2d3e-0000-4000-8000-000000000001".into()),
        subject: "6f0c2d3e-0000-4000-8000-000000000002".into(),
        client: Some("6f0c2d3e-0000-4000-8000-000000000003".into()),
        groups: ["ai-agents".to_owned(), "support".to_owned()].into(),
        app_roles: ["Agent".to_owned()].into(),
        acts_for: None,
    }
}

fn bodies(session: &SessionId) -> Vec<EventBody> {
    let request_id = RequestId::new(session, [7; 16]);
    let sealed = |length: usize| Sealed {
        nonce: "AAECAwQFBgcICQoL".into(),
        ciphertext: "c2VhbGVk".repeat(length / 8),
    };
    vec![
        EventBody::SessionOpened(SessionOpened {
            principal: principal(),
        }),
        EventBody::RequestDecided(Box::new(RequestDecided {
            request_id: request_id.clone(),
            principal: principal(),
            connection: "crm".parse().unwrap(),
            statement:
                "SELECT id, email FROM public.customers WHERE city = '…' ORDER BY id LIMIT 20"
                    .into(),
            params: vec![],
            sealed: sealed(200),
            digest: Hash::of(b"operation"),
            reason: Some("ticket 4711".into()),
            effect: Effect::Read,
            objects: vec![Object {
                name: "public.customers".into(),
                access: ObjectAccess::Read,
            }],
            unbounded: false,
            why: "it reads public.customers and changes nothing".into(),
            decision: DecisionRecord {
                action: Action::Allow,
                rule: Some(RuleName("reads".into())),
                policy: Hash::of(b"policy"),
                message: None,
            },
            rewritten: None,
            traceparent: None,
        })),
        EventBody::ExecutionFinished(Box::new(ExecutionFinished {
            request_id,
            row_count: 20,
            affected: None,
            truncated: false,
            masked: MaskedCounts {
                cells: 20,
                by: [("column:public.customers.email".to_owned(), 20)].into(),
            },
            columns: ["id", "email"]
                .map(|name| MaskedColumn {
                    name: name.into(),
                    type_name: "text".into(),
                    masked: None,
                })
                .into(),
            notices: vec![],
            exit_code: None,
            answer: None,
            result: Some(sealed(1200)),
            took_us: 1234,
        })),
    ]
}

/// Sessions are named as they are in use: at random, so that they scatter over every index.
fn session(of: u64) -> SessionId {
    let hash = Hash::of(&of.to_be_bytes());
    SessionId::new(hash.as_bytes()[..16].try_into().unwrap())
}

fn a_read(of: u64) -> (SessionId, Vec<Event>) {
    let session = session(of);
    let now =
        Timestamp::from_nanosecond(1_790_000_000_000_000_000 + i128::from(of) * 1000).unwrap();
    let events = extend(Head::GENESIS, &session, "gate", now, bodies(&session)).unwrap();
    (session, events)
}

/// The best of several rounds: what it costs when nothing else wants the processor.
fn timed(what: &str, times: u32, mut run: impl FnMut(u64)) {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        for time in 0..u64::from(times) {
            run(time);
        }
        best = best.min(began.elapsed() / times);
    }
    println!("{what:<34}{:>10.2} us", best.as_nanos() as f64 / 1000.0);
}

fn chain() {
    let session = session(1);
    let now = Timestamp::UNIX_EPOCH;
    let prepared = bodies(&session);
    timed("clone 3 bodies (in the next line)", 1_000, |_| {
        black_box(prepared.clone());
    });
    timed("extend, 3 events", 1_000, |_| {
        black_box(extend(Head::GENESIS, &session, "gate", now, prepared.clone()).unwrap());
    });
    let (_, events) = a_read(1);
    timed("line, 3 events", 1_000, |_| {
        for event in &events {
            black_box(line(event).unwrap());
        }
    });
    timed("verify_chain, 3 events", 1_000, |_| {
        black_box(verify_chain(&session, &events).unwrap());
    });
}

fn verification() {
    let (mut export, mut bytes) = Export::begin("gate", Timestamp::UNIX_EPOCH, None).unwrap();
    for of in 0..5_000 {
        for event in a_read(of).1 {
            bytes.extend(export.event(&event).unwrap());
        }
    }
    bytes.extend(export.end().unwrap().unsigned().unwrap());
    let began = Instant::now();
    let mut verifier = Verifier::new(None);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        verifier.line(line);
    }
    let report = verifier.finish();
    assert!(report.verdict().is_none());
    let seconds = began.elapsed().as_secs_f64();
    let megabytes = bytes.len() as f64 / 1e6;
    println!(
        "{:<34}{:>10.0} MB/s ({:.0} events/s)",
        "verify an export",
        megabytes / seconds,
        report.events as f64 / seconds
    );
}

fn sealing() {
    let master = MasterKey::from_key(&[7; 32]).unwrap();
    let session = session(1);
    let request = RequestId::new(&session, [1; 16]);
    timed("new session key", 1_000, |of| {
        let entropy = [[of as u8; 16], [1; 16]];
        black_box(master.new_session_key(&session, entropy).unwrap());
    });
    let (key, wrapped) = master
        .new_session_key(&session, [[1; 16], [2; 16]])
        .unwrap();
    timed("unwrap session key", 1_000, |_| {
        black_box(master.unwrap(&session, &wrapped).unwrap());
    });
    let text = [b'x'; 1024];
    timed("seal 1 KiB", 1_000, |of| {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&of.to_be_bytes());
        black_box(key.seal(&request, Purpose::Result, nonce, &text).unwrap());
    });
}

fn fsyncs(directory: &Path, bytes: usize) -> f64 {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("raw"))
        .unwrap();
    let page = vec![0x5a; bytes];
    let began = Instant::now();
    let mut syncs = 0;
    while began.elapsed() < TIME / 4 {
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    f64::from(syncs) / began.elapsed().as_secs_f64()
}

async fn appends(name: &str, store: Arc<impl EventStore>, callers: u64, first: u64) -> f64 {
    let next = Arc::new(AtomicU64::new(first));
    let master = MasterKey::from_key(&[7; 32]).unwrap();
    let (_, wrapped) = master.new_session_key(&session(0), [[1; 16]; 2]).unwrap();
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, next, wrapped) = (store.clone(), next.clone(), wrapped.clone());
            tokio::spawn(async move {
                let mut latencies = Histogram::<u64>::new(3).unwrap();
                while began.elapsed() < TIME {
                    let (session, events) = a_read(next.fetch_add(1, Ordering::Relaxed));
                    let asked = Instant::now();
                    let appended = store.append(Batch {
                        session,
                        after: Head::GENESIS,
                        events,
                        key: Some(wrapped.clone()),
                    });
                    let _ = appended.await.unwrap();
                    latencies
                        .record(asked.elapsed().as_micros() as u64)
                        .unwrap();
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Histogram::<u64>::new(3).unwrap();
    for task in tasks {
        latencies.add(task.await.unwrap()).unwrap();
    }
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    println!(
        "{:<34}{rate:>10.0} /s (p50 {} us, p99 {} us, max {} us)",
        format!("{name}: appends, {callers} callers"),
        latencies.value_at_quantile(0.5),
        latencies.value_at_quantile(0.99),
        latencies.max()
    );
    rate
}

async fn searches(store: &impl EventStore) {
    let queries = [
        ("newest 50", Query::default()),
        (
            "an object",
            Query {
                object: Some("customers".into()),
                ..Query::default()
            },
        ),
        (
            "text nothing has",
            Query {
                text: Some("no such text".into()),
                ..Query::default()
            },
        ),
    ];
    for (name, mut query) in queries {
        query.limit = 50;
        let began = Instant::now();
        let found = store.search(&query).await.unwrap().requests.len();
        println!(
            "{:<34}{:>10.2} ms ({found} found)",
            format!("sqlite: search, {name}"),
            began.elapsed().as_secs_f64() * 1000.0
        );
    }
    let session = session(3);
    let began = Instant::now();
    for _ in 0..1000 {
        black_box(store.session(&session).await.unwrap());
    }
    let each = began.elapsed() / 1000;
    println!(
        "{:<34}{:>10.2} us",
        "sqlite: read a session of 3",
        each.as_nanos() as f64 / 1000.0
    );
}
