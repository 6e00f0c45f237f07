//! `kill -9` at any moment, again and again, while changes are asked, approved and run on a real PostgreSQL. What the
//! database shows afterwards, what the callers were told and what is on record have to agree.
//!
//! The database keeps its own account: a trigger notes every statement that removed rows or tried to, with its time, in
//! the transaction of the statement itself. So a statement that was committed twice shows twice, even if it found nothing
//! the second time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::support::{
    cosmos::{Emulator, Fault},
    identity::{self, Identity, Shared},
    oidc::{AUDIENCE, Provider},
    postgres,
    serving::{Caller, Serving, agent, person},
};

/// How long the gateway is killed again and again.
const KILLING: Duration = Duration::from_secs(8);
const FEWEST_KILLS: usize = 6;
const FEWEST_EFFECTS: usize = 16;
/// How long what is left open may take to end: an interrupted execution has a lease of its time limit and 15 s.
const PATIENCE: Duration = Duration::from_secs(40);
/// Callers at the same time.
const WORKERS: usize = 6;

const DATA: &str = "
CREATE TABLE accounts (id integer PRIMARY KEY);
INSERT INTO accounts SELECT generate_series(0, 99999);
CREATE TABLE effects (statement text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO effects (statement) VALUES (current_query()); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER DELETE ON accounts FOR EACH STATEMENT EXECUTE FUNCTION note();
";

fn policy(provider: &Provider) -> String {
    format!(
        "version: 1
identity: {{ issuers: [{{ issuer: \"{}\", audience: \"{AUDIENCE}\", agents: {{ app_roles: [Agent] }} }}] }}
approvers: {{ dba: {{ groups: [db-admins], expires_in: 12s }} }}
connections:
  crm:
    kind: postgres
    read: {{ url: \"${{secret:CRM_READ_URL}}\" }}
    write: {{ url: \"${{secret:CRM_WRITE_URL}}\" }}
    allow: {{ app_roles: [Agent] }}
    budget: {{ timeout: 2s, requests_per_minute: 100000 }}
rules:
  - {{ name: reads, when: {{ effect: read }}, then: allow }}
  - {{ name: removals, when: {{ effect: destructive, unbounded: false }}, then: {{ require_approval: dba }} }}
record: {{ readers: {{ groups: [db-admins] }} }}
",
        provider.issuer()
    )
}

/// What callers were told and must find on record, by request.
#[derive(Debug, Default)]
struct Told {
    /// The statement that was taken as this request.
    taken: BTreeMap<String, String>,
    /// Requests that were said to have ended, and how.
    ended: BTreeMap<String, String>,
}

/// Splitmix64: the moments are chosen by chance, the same chance every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_nothing_runs_unrecorded_or_twice_and_everything_ends() {
    killed_again_and_again(20..620, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_of_a_record_in_cosmos_db_that_fails_now_and_then() {
    let emulator = Emulator::start();
    let account = emulator.database().await;
    let identity = Shared::new(Mutex::new(Identity {
        token: "eyJ0eXAi.token".into(),
        lives: 3600,
        ..Identity::default()
    }));
    let endpoint = identity::serve(&identity).await;
    let keys = tempfile::tempdir().unwrap();
    let mut environment = identity::environment(&endpoint).to_vec();
    environment.extend(account.environment());
    environment.push(("PORTCULLIS_SEALING_KEY", keys.path().to_str().unwrap()));
    let failing = async {
        for _ in 0..10 {
            for fault in [Fault::Throttled, Fault::Lost, Fault::Unavailable] {
                emulator.spoils(fault, 1).await;
                tokio::time::sleep(KILLING / 30).await;
            }
        }
    };
    // It takes each process a moment to get to know the account.
    tokio::join!(killed_again_and_again(400..1400, &environment), failing);
}

/// Each process lives for so many milliseconds.
async fn killed_again_and_again(lives: Range<u64>, environment: &[(&str, &str)]) {
    let database = postgres::database().await;
    database.prepare(DATA).await;
    let provider = Provider::shared();
    let folder = tempfile::tempdir().unwrap();
    let (policy_file, data) = (
        folder.path().join("policy.yaml"),
        folder.path().join("data"),
    );
    fs::write(&policy_file, policy(provider)).unwrap();
    let (read, write) = (database.read_url(), database.write_url());
    let urls = [("CRM_READ_URL", &*read), ("CRM_WRITE_URL", &*write)];
    let environment = [environment, &urls].concat();
    let bot = agent(provider).await;
    let dana = person(provider, "dana", &["db-admins"]).await;

    let told = Arc::new(Mutex::new(Told::default()));
    let next = Arc::new(AtomicUsize::new(0));
    let mut chance = Chance(4711);
    let mut kills = 0_usize;
    let began = Instant::now();
    // What a killed gateway never answered is asked again of the next one, under the same key.
    let mut unanswered = Vec::new();
    // A busy machine does less in a life, and then needs more of them to mean anything.
    while began.elapsed() < KILLING
        || began.elapsed() < 6 * KILLING
            && (kills < FEWEST_KILLS || effects(&database).await.len() < FEWEST_EFFECTS)
    {
        let mut serving = Serving::start_in(&policy_file, &data, &environment).await;
        let over = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let worker = Worker {
                    agent: serving.caller(&bot),
                    dana: serving.caller(&dana),
                    told: told.clone(),
                    next: next.clone(),
                    over: over.clone(),
                };
                tokio::spawn(worker.work(unanswered.pop()))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(
            lives.start + chance.below(lives.end - lives.start),
        ))
        .await;
        serving.kill();
        kills += 1;
        over.store(true, Ordering::SeqCst);
        for worker in workers {
            unanswered.extend(worker.await.unwrap());
        }
    }

    let serving = Serving::start_in(&policy_file, &data, &environment).await;
    let reader = serving.caller(&dana);
    let sessions = everything_ends(&reader).await;
    let record = verified_record(&reader, &sessions, folder.path()).await;
    let effects = effects(&database).await;
    let told = told.lock().unwrap();
    compare(&record, &effects, &told);
    let unknown = record
        .values()
        .filter(|request| request.ending == "execution.outcome_unknown")
        .count();
    eprintln!(
        "{kills} kills, {} requests, {} effects, {unknown} of them of unknown outcome",
        record.len(),
        effects.len(),
    );
    // What someone has to be told of: an alert looks for it in the log.
    let log = fs::read_to_string(data.join("log")).unwrap();
    assert!(unknown == 0 || log.contains(&crate::telemetry::alert_of_unknown_outcome()));
    assert!(
        kills >= FEWEST_KILLS && effects.len() >= FEWEST_EFFECTS,
        "too little happened to mean anything"
    );
}

struct Worker {
    agent: Caller,
    dana: Caller,
    told: Arc<Mutex<Told>>,
    next: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Worker {
    /// Asks and has approved, one after the other, until the gateway is gone. Returns what it never got an answer to.
    async fn work(self, mut account: Option<usize>) -> Option<usize> {
        while !self.over.load(Ordering::SeqCst) {
            let account = account
                .take()
                .unwrap_or_else(|| self.next.fetch_add(1, Ordering::SeqCst));
            if self.one(account).await.is_err() {
                return Some(account);
            }
        }
        None
    }

    async fn one(&self, account: usize) -> reqwest::Result<()> {
        let sql = statement(account);
        let body = json!({"sql": sql});
        let key = format!("account-{account}");
        let held = self
            .agent
            .try_query(&body, &[("idempotency-key", &key)])
            .await?;
        let Some(request) = held.body["request_id"].as_str() else {
            assert!(held.status.is_server_error(), "{}", held.body);
            return Ok(());
        };
        let before = self
            .told
            .lock()
            .unwrap()
            .taken
            .insert(request.to_owned(), sql.clone());
        assert!(
            before.is_none_or(|before| before == sql),
            "two statements are one request"
        );
        if held.body["status"] != "pending_approval" {
            return Ok(());
        }
        let done = self.dana.try_approve(&held.body["approval"]).await?;
        if let Some(status) = done.body["status"]
            .as_str()
            .filter(|status| *status != "executing")
        {
            let mut told = self.told.lock().unwrap();
            told.ended.insert(request.to_owned(), status.to_owned());
        }
        Ok(())
    }
}

fn statement(account: usize) -> String {
    format!("DELETE FROM accounts WHERE id = {account}")
}

/// Waits until every request on record has ended, and gives their sessions.
async fn everything_ends(reader: &Caller) -> BTreeSet<String> {
    let began = Instant::now();
    loop {
        let (mut sessions, mut open) = (BTreeSet::new(), Vec::new());
        let mut after = String::new();
        loop {
            let page = reader
                .get(&format!("/v1/sessions?limit=200{after}"))
                .await
                .body;
            for session in page["sessions"].as_array().unwrap() {
                sessions.insert(session["session_id"].as_str().unwrap().to_owned());
                for request in session["requests"].as_array().unwrap() {
                    let status = request["status"].as_str().unwrap();
                    if matches!(status, "pending_approval" | "executing") {
                        open.push(request.clone());
                    }
                }
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        if open.is_empty() {
            return sessions;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} requests never ended, such as {}",
            open.len(),
            open[0]
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// One request, as its session's export has it.
#[derive(Debug, Default)]
struct Recorded {
    statement: String,
    /// When each execution of it was announced.
    started: Vec<jiff::Timestamp>,
    /// How it ended.
    ending: String,
}

/// Every session exported and verified offline; its requests.
async fn verified_record(
    reader: &Caller,
    sessions: &BTreeSet<String>,
    folder: &std::path::Path,
) -> BTreeMap<String, Recorded> {
    let mut record = BTreeMap::new();
    for session in sessions {
        let export = reader.text(&format!("/v1/sessions/{session}/export")).await;
        let file = folder.join("export.jsonl");
        fs::write(&file, &export).unwrap();
        let verified = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("verify")
            .arg(&file)
            .output()
            .unwrap();
        assert!(verified.status.success(), "{session}: {verified:?}");
        for line in export.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let kind = event["type"].as_str().unwrap_or_default();
            let Some(request) = event["data"]["request_id"].as_str() else {
                continue;
            };
            let known: &mut Recorded = record.entry(request.to_owned()).or_default();
            match kind {
                "request.decided" => {
                    known.statement = event["data"]["statement"].as_str().unwrap().to_owned();
                }
                "execution.started" => {
                    known
                        .started
                        .push(event["time"].as_str().unwrap().parse().unwrap());
                }
                _ => {}
            }
            kind.clone_into(&mut known.ending);
        }
    }
    record
}

/// What the database says was done, and when.
async fn effects(database: &postgres::Database) -> Vec<(String, jiff::Timestamp)> {
    let rows = database
        .owner()
        .await
        .query("SELECT statement, at FROM effects ORDER BY at", &[])
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let at: SystemTime = row.get(1);
            let at = at.duration_since(UNIX_EPOCH).unwrap();
            let at = jiff::Timestamp::from_microsecond(at.as_micros().try_into().unwrap());
            (row.get(0), at.unwrap())
        })
        .collect()
}

fn compare(
    record: &BTreeMap<String, Recorded>,
    effects: &[(String, jiff::Timestamp)],
    told: &Told,
) {
    let mut done = BTreeMap::<&str, Vec<jiff::Timestamp>>::new();
    for (statement, at) in effects {
        done.entry(statement).or_default().push(*at);
    }
    let mut asked = BTreeMap::<&str, &Recorded>::new();
    for request in record.values() {
        let before = asked.insert(&request.statement, request);
        assert!(
            before.is_none(),
            "asked under one key, and on record twice: {request:?}"
        );
        assert!(request.started.len() <= 1, "started twice: {request:?}");
    }
    for (statement, times) in &done {
        assert_eq!(times.len(), 1, "ran twice: {statement}");
        let request = asked
            .get(statement)
            .unwrap_or_else(|| panic!("ran, and is not on record: {statement}"));
        let started = request.started.first();
        let announced = started.is_some_and(|started| *started <= times[0]);
        assert!(
            announced,
            "ran before it was announced: {request:?} {times:?}"
        );
    }
    for request in record.values() {
        let ran = done.contains_key(&*request.statement);
        match &*request.ending {
            "execution.finished" => assert!(ran, "said to have run: {request:?}"),
            "execution.outcome_unknown" => {}
            "execution.failed" | "approval.expired" => {
                assert!(!ran, "said not to have run: {request:?}");
            }
            other => panic!("ended as `{other}`: {request:?}"),
        }
    }
    for (request, statement) in &told.taken {
        let recorded = record
            .get(request)
            .unwrap_or_else(|| panic!("acknowledged, and not on record: {request} {statement}"));
        assert_eq!(&recorded.statement, statement);
    }
    for (request, status) in &told.ended {
        let ending = match &*record[request].ending {
            "execution.finished" => "succeeded",
            "execution.failed" => "failed",
            "execution.outcome_unknown" => "outcome_unknown",
            "approval.expired" => "approval_expired",
            other => other,
        };
        assert_eq!(ending, status, "told otherwise: {:?}", record[request]);
    }
}
