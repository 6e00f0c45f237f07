//! `portcullis demo`: the whole story, against a `dev` gateway it starts, over the same HTTP API anyone would use.
//!
//! Every step says what should happen and checks that it did: a demo that only prints would be an advertisement.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    Exit, Failure, Format, approvals,
    client::{Client, block_on},
    dev,
    output::text,
    sessions, table, verify,
};
use crate::{
    auth::dev::DevIssuer,
    domain::{principal::PrincipalKind, record::verify::Verifier},
    telemetry,
};

/// Arguments of `portcullis demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Keep the record, the export and the keys here instead of in a temporary folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    telemetry::quiet();
    let temporary = std::env::temp_dir().join(format!("portcullis-demo-{}", std::process::id()));
    let data = args.data.clone().unwrap_or_else(|| temporary.clone());
    let result = block_on(async {
        let running = dev::start(&data, 0, None).await?;
        let story = Story::new(&format!("http://{}", running.address()), &data, format)?;
        let told = story.tell().await;
        running.stop().await;
        told
    });
    if args.data.is_none() && temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    result
}

struct Story {
    agent: Client,
    dana: Client,
    data: PathBuf,
    format: Format,
    bold: (&'static str, &'static str),
}

const QUERY: &str = "/v1/connections/crm/query";
const DELETE: &str = "DELETE FROM customers WHERE id = 7";

impl Story {
    fn new(url: &str, data: &Path, format: Format) -> Result<Self, Failure> {
        let failed = |error: crate::auth::dev::DevIssuerError| Failure::Failed(error.to_string());
        let issuer = DevIssuer::of_running(data).map_err(failed)?;
        let token = |name: &str, group, kind| {
            issuer
                .mint(name, [group], kind, std::time::Duration::from_secs(600))
                .map_err(failed)
        };
        let agent = token("crm-bot", "ai-agents", PrincipalKind::Agent)?;
        let dana = token("dana", "db-admins", PrincipalKind::Human)?;
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(Self {
            agent: Client::new(url, &agent)?,
            dana: Client::new(url, &dana)?,
            data: data.to_owned(),
            format,
            bold: if colour {
                ("\x1b[1m", "\x1b[0m")
            } else {
                ("", "")
            },
        })
    }

    async fn tell(&self) -> Result<Exit, Failure> {
        self.say("crm-bot is an AI agent; dana is a database administrator. Neither has a database password.")?;
        let session = self.reads().await?;
        self.refusals(&session).await?;
        let approval = self.held(&session).await?;
        self.decided(&approval).await?;
        self.on_record(&session).await
    }

    /// An agent's read comes back masked, whatever the query calls its columns.
    async fn reads(&self) -> Result<String, Failure> {
        let sql = "SELECT id, name, email, card_number, phone FROM customers ORDER BY id LIMIT 3";
        self.step(
            "An agent reads customers. Policy masks columns, detectors find the rest.",
            sql,
        )?;
        let outcome = self.ask(None, sql, StatusCode::OK, "succeeded").await?;
        self.result(&outcome)?;
        let shown = outcome["result"]["rows"].to_string();
        self.check(!shown.contains("+49 30"), "a phone number came through")?;
        let session = text(&outcome["session_id"]);

        let sql = "SELECT upper(email) AS a, 'x' || card_number AS b FROM customers LIMIT 1";
        self.step(
            "It disguises the columns. What is computed from a masked column is masked too.",
            sql,
        )?;
        let outcome = self
            .ask(Some(&session), sql, StatusCode::OK, "succeeded")
            .await?;
        self.result(&outcome)?;
        self.check(
            outcome["masked"]["cells"] == 2,
            "a disguised column came through",
        )?;

        let sql = "SELECT body FROM tickets WHERE id = 2";
        self.step("Secrets are masked wherever they stand.", sql)?;
        let outcome = self
            .ask(Some(&session), sql, StatusCode::OK, "succeeded")
            .await?;
        self.result(&outcome)?;
        let shown = outcome["result"]["rows"].to_string();
        self.check(!shown.contains("R7hq2LmZ8s"), "a token came through")?;
        Ok(session)
    }

    /// What policy forbids never reaches the database.
    async fn refusals(&self, session: &str) -> Result<(), Failure> {
        for sql in ["DROP TABLE customers", "DELETE FROM customers WHERE 1 = 1"] {
            self.step(
                "Policy forbids this, so it never reaches the database.",
                sql,
            )?;
            let outcome = self
                .ask(Some(session), sql, StatusCode::FORBIDDEN, "denied")
                .await?;
            let decision = &outcome["decision"];
            let rule = text(&decision["rule"]);
            self.say(&format!(
                "  denied by `{rule}`: {}",
                text(&decision["message"])
            ))?;
        }
        Ok(())
    }

    /// A risky statement waits until a human has approved exactly that.
    async fn held(&self, session: &str) -> Result<Value, Failure> {
        self.step("This may be right, but a human has to say so.", DELETE)?;
        let outcome = self
            .ask(
                Some(session),
                DELETE,
                StatusCode::ACCEPTED,
                "pending_approval",
            )
            .await?;
        self.say(&format!("  held: {}", text(&outcome["approval"]["id"])))?;
        let id = text(&outcome["approval"]["id"]);
        let approval = self
            .dana
            .get(&format!("/v1/approvals/{id}"), &[])
            .await?
            .ok()?;
        if self.format == Format::Text {
            self.say("  dana sees:\n")?;
            let mut shown = Vec::new();
            approvals::print(&approval, &mut shown)?;
            let shown = String::from_utf8_lossy(&shown).replace('\n', "\n    ");
            self.say(&format!("    {}", shown.trim_end()))?;
        }
        Ok(approval)
    }

    /// Not by the agent, not for another digest, and once.
    async fn decided(&self, approval: &Value) -> Result<(), Failure> {
        let digest = text(&approval["digest"]);
        let path = format!("/v1/approvals/{}/decision", text(&approval["id"]));
        let yes = json!({"decision": "approve", "digest": digest, "comment": "ticket 4711"});

        self.step("The agent tries to approve its own request.", "")?;
        let answer = self.agent.post(&path, &yes, None).await?;
        self.refused(&answer, StatusCode::FORBIDDEN)?;

        self.step("dana is tricked into approving something else.", "")?;
        let other = format!("sha256:{}", "0".repeat(64));
        let answer = json!({"decision": "approve", "digest": other});
        let answer = self.dana.post(&path, &answer, None).await?;
        self.refused(&answer, StatusCode::CONFLICT)?;

        self.step(
            "dana approves exactly what she was shown. It runs, once.",
            "",
        )?;
        let done = self.dana.post(&path, &yes, None).await?.ok()?;
        self.check(
            text(&done["status"]) == "succeeded",
            "the approved DELETE did not run",
        )?;
        let request = format!("/v1/requests/{}", text(&approval["request_id"]));
        let outcome = self
            .agent
            .get(&request, &[("wait", "10".into())])
            .await?
            .ok()?;
        let affected = &outcome["result"]["affected"];
        self.check(*affected == 1, "the approved DELETE did not change one row")?;
        self.say(&format!(
            "  {}, {affected} row changed",
            text(&outcome["status"])
        ))?;

        self.step("The decision is delivered again.", "")?;
        let answer = self.dana.post(&path, &yes, None).await?;
        self.refused(&answer, StatusCode::CONFLICT)
    }

    /// The record replays, verifies, and shows when one byte of it is changed.
    async fn on_record(&self, session: &str) -> Result<Exit, Failure> {
        self.step(
            "The session as it happened: `portcullis sessions replay`",
            "",
        )?;
        let body = self
            .agent
            .get(&format!("/v1/sessions/{session}/events"), &[])
            .await?
            .ok()?;
        let events = body["events"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        self.check(!events.is_empty(), "nothing is on record")?;
        if self.format == Format::Text {
            let mut shown = Vec::new();
            for event in events {
                sessions::print_event(event, None, &mut shown)?;
            }
            self.say(String::from_utf8_lossy(&shown).trim_end())?;
        }

        let file = self.data.join("session.jsonl");
        let lines = self
            .agent
            .get_text(&format!("/v1/sessions/{session}/export"))
            .await?;
        fs::write(&file, &lines)?;
        self.step(
            "Exported, and verified offline: `portcullis verify session.jsonl`",
            "",
        )?;
        self.check(self.verified(&lines)?, "the export does not verify")?;

        self.step("Someone changes one character of it.", "")?;
        let changed = lines.replacen("WHERE id = 7", "WHERE id = 8", 1);
        self.check(changed != lines, "the statement is not on record")?;
        self.check(!self.verified(&changed)?, "a changed record verified")?;
        self.say("\nThat is the whole story. `portcullis dev` starts the same gateway to try it yourself.")?;
        Ok(Exit::Done)
    }

    /// Whether an export is intact, and what `verify` says of it.
    fn verified(&self, lines: &str) -> Result<bool, Failure> {
        let report = verify::follow(lines.as_bytes(), None, Verifier::new(None))?;
        let mut shown = Vec::new();
        verify::text(&report, None, &mut shown)?;
        let shown = String::from_utf8_lossy(&shown).replace('\n', "\n  ");
        self.say(&format!("  {}", shown.trim_end()))?;
        Ok(report.verdict().is_none())
    }

    async fn ask(
        &self,
        session: Option<&str>,
        sql: &str,
        status: StatusCode,
        expected: &str,
    ) -> Result<Value, Failure> {
        let body = json!({"sql": sql, "reason": "cleaning up after a support call"});
        let answer = self.agent.post(QUERY, &body, session).await?;
        let found = text(&answer.body["status"]);
        let right = answer.status == status && found == expected;
        self.check(
            right,
            &format!(
                "expected `{expected}`, got {} {}",
                answer.status, answer.body
            ),
        )?;
        Ok(answer.body)
    }

    fn refused(&self, answer: &super::client::Answer, status: StatusCode) -> Result<(), Failure> {
        self.check(
            answer.status == status,
            &format!("not refused as it should be: {answer:?}"),
        )?;
        self.say(&format!("  refused: {}", text(&answer.body["detail"])))
    }

    fn result(&self, outcome: &Value) -> Result<(), Failure> {
        if self.format == Format::Text {
            let mut shown = Vec::new();
            table::print(&outcome["result"], 5, "  ", &mut shown)?;
            self.say(String::from_utf8_lossy(&shown).trim_end())?;
        }
        let by = outcome["masked"]["by"].as_object().into_iter().flatten();
        let by: Vec<_> = by.map(|(rule, count)| format!("{rule} ×{count}")).collect();
        self.say(&format!("  masked: {}", by.join(", ")))
    }

    fn step(&self, what: &str, sql: &str) -> Result<(), Failure> {
        let (on, off) = self.bold;
        self.say(&format!("\n{on}{what}{off}"))?;
        if sql.is_empty() {
            Ok(())
        } else {
            self.say(&format!("  {sql}"))
        }
    }

    fn say(&self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Text => writeln!(out, "{line}")?,
            Format::Json => writeln!(out, "{}", json!({"story": line.trim()}))?,
        }
        Ok(())
    }

    fn check(&self, as_told: bool, otherwise: &str) -> Result<(), Failure> {
        if as_told {
            Ok(())
        } else {
            Err(Failure::Failed(format!(
                "the story went wrong: {otherwise}"
            )))
        }
    }
}
