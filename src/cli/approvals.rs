//! `portcullis approvals`: what humans are asked, and their answers.

use std::io::{self, Write};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Exit, Failure, Format,
    client::{Client, Gateway, block_on},
    output::{print_json, text, visible},
    table,
};
use crate::domain::{approval::HeldAnswer, id::ApprovalId, record::Hash};

/// Arguments of `portcullis approvals`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    gateway: Gateway,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what waits for a decision
    List {
        /// Also what has been decided
        #[arg(long)]
        all: bool,
    },
    /// Show one: the statement, who asks and why, what it would touch, and its digest
    Show {
        /// Its id, `apr_…`, as `list` prints it
        id: ApprovalId,
    },
    /// Run one, to be rolled back, and see exactly what it would change; it locks those rows for a moment
    Preview {
        /// Its id, `apr_…`, as `list` prints it
        id: ApprovalId,
    },
    /// Approve exactly what `show` shows
    Approve(Decision),
    /// Deny it, for good; say why with --comment
    Deny(Decision),
}

#[derive(Debug, clap::Args)]
struct Decision {
    /// Its id, `apr_…`, as `list` prints it
    id: ApprovalId,

    /// The digest that `show` prints: the decision is about this and nothing else
    #[arg(long, value_name = "sha256:…")]
    digest: Hash,

    /// Why: goes on record, and to whoever asked
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    block_on(async move {
        let client = args.gateway.client()?;
        match args.command {
            Command::List { all } => list(&client, all, format).await,
            Command::Show { id } => show(&client, &id, format).await,
            Command::Preview { id } => preview(&client, &id, format).await,
            Command::Approve(decision) => decide(&client, decision, "approve", format).await,
            Command::Deny(decision) => decide(&client, decision, "deny", format).await,
        }
    })
}

async fn list(client: &Client, all: bool, format: Format) -> Result<Exit, Failure> {
    let state = if all { "all" } else { "pending" };
    let body = client
        .get("/v1/approvals", &[("state", state.into())])
        .await?
        .ok()?;
    if format == Format::Json {
        return print_json(&body);
    }
    let mut out = io::stdout().lock();
    let approvals = body["approvals"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if approvals.is_empty() {
        writeln!(
            out,
            "Nothing {}.",
            if all {
                "was ever asked"
            } else {
                "waits for you"
            }
        )?;
    }
    for approval in approvals {
        writeln!(
            out,
            "{}  {}  {} on {} by {}\n    {}",
            text(&approval["id"]),
            text(&approval["status"]),
            text(&approval["effect"]),
            text(&approval["connection"]),
            text(&approval["principal"]["id"]),
            text(&approval["statement"]),
        )?;
    }
    Ok(Exit::Done)
}

async fn show(client: &Client, id: &ApprovalId, format: Format) -> Result<Exit, Failure> {
    let body = client
        .get(&format!("/v1/approvals/{id}"), &[])
        .await?
        .ok()?;
    if format == Format::Json {
        return print_json(&body);
    }
    print(&body, &mut io::stdout().lock())?;
    Ok(Exit::Done)
}

/// An approval, for a person.
pub(super) fn print(approval: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut line = |name: &str, value: &str| {
        if value.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{name:<11} {value}")
        }
    };
    line("approval", &text(&approval["id"]))?;
    line("status", &text(&approval["status"]))?;
    let principal = &approval["principal"];
    let mut who = format!("{} ({})", text(&principal["id"]), text(&principal["kind"]));
    if let Some(person) = principal["acts_for"].as_str() {
        who.push_str(&format!(", for {}", visible(person)));
    }
    line("asked by", &who)?;
    line("asked at", &text(&approval["asked_at"]))?;
    line("because", &text(&approval["reason"]))?;
    line("on", &text(&approval["connection"]))?;
    line("statement", &text(&approval["statement"]))?;
    if let Some(asked) = approval["rewritten"]["asked"].as_str() {
        let rule = text(&approval["rewritten"]["rule"]);
        line(
            "rewritten",
            &format!("by {rule}, asked was: {}", visible(asked)),
        )?;
    }
    for (index, param) in approval["params"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let value = if param.is_null() {
            "NULL".into()
        } else {
            text(param)
        };
        line(&format!("  ${}", index + 1), &value)?;
    }
    line("effect", &text(&approval["effect"]))?;
    line("judged so", &text(&approval["why"]))?;
    let objects: Vec<_> = approval["objects"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|object| format!("{} ({})", text(&object["name"]), text(&object["access"])))
        .collect();
    line("touches", &objects.join(", "))?;
    if let Some(preview) = approval["preview"].as_object() {
        let rows = preview.get("estimated_rows").and_then(Value::as_u64);
        let rows = rows
            .map(|rows| format!("about {rows} rows; "))
            .unwrap_or_default();
        line(
            "preview",
            &format!("{rows}{}", text(&approval["preview"]["note"])),
        )?;
    }
    if let Some(again) = approval["again"].as_object() {
        line(
            "asked again",
            &format!(
                "it changed {} rows, at most {} were agreed to",
                again["rows"], again["at_most"]
            ),
        )?;
    }
    if approval["answer"].is_object() {
        line("answer of", &held(&approval["answer"]))?;
    }
    for preview in approval["exact_previews"].as_array().into_iter().flatten() {
        line("exact", &said_of(preview))?;
    }
    let from: Vec<_> = approval["from"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|quorum| format!("{} of {}", quorum["count"], text(&quorum["group"])))
        .collect();
    line("needs", &from.join(" and "))?;
    for answer in approval["answers"].as_array().into_iter().flatten() {
        let comment = answer["comment"]
            .as_str()
            .map(|said| format!(": {}", visible(said)));
        let comment = comment.unwrap_or_default();
        let said = format!(
            "{} by {}{comment}",
            text(&answer["answer"]),
            text(&answer["approver"]["id"])
        );
        line("answer", &said)?;
    }
    line("expires at", &text(&approval["expires_at"]))?;
    line("digest", &text(&approval["digest"]))
}

/// An answer that is kept back, in a line.
pub(super) fn held(answer: &Value) -> String {
    serde_json::from_value::<HeldAnswer>(answer.clone())
        .map_or_else(|_| text(answer), |held| visible(&held.to_string()))
}

async fn preview(client: &Client, id: &ApprovalId, format: Format) -> Result<Exit, Failure> {
    let path = format!("/v1/approvals/{id}/preview");
    let body = client.post(&path, &json!({}), None).await?.ok()?;
    let exit = match body["status"].as_str() {
        Some("finished") => Exit::Done,
        _ => Exit::Code(1),
    };
    if format == Format::Json {
        print_json(&body)?;
        return Ok(exit);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", said_of(&body))?;
    for (when, sample) in [("before", &body["before"]), ("after", &body["after"])] {
        if sample.is_object() {
            writeln!(out, "\n{when}:")?;
            table::print(sample, 5, "  ", &mut out)?;
        }
    }
    Ok(exit)
}

/// What an exact preview says, in a line.
fn said_of(preview: &Value) -> String {
    let by = text(&preview["approver"]);
    match (preview["rows"].as_u64(), &preview["error"]["message"]) {
        (Some(rows), _) => format!("{rows} rows would change; it was rolled back (seen by {by})"),
        (None, Value::String(message)) => format!("not to be seen: {}", visible(message)),
        (None, _) => format!("{} (asked for by {by})", text(&preview["status"])),
    }
}

async fn decide(
    client: &Client,
    decision: Decision,
    answer: &str,
    format: Format,
) -> Result<Exit, Failure> {
    let Decision {
        id,
        digest,
        comment,
    } = decision;
    let body = json!({"decision": answer, "digest": digest, "comment": comment});
    let path = format!("/v1/approvals/{id}/decision");
    let body = client.post(&path, &body, None).await?.ok()?;
    if format == Format::Json {
        return print_json(&body);
    }
    let mut out = io::stdout().lock();
    match text(&body["status"]).as_str() {
        "pending_approval" => writeln!(out, "Noted. Others still have to agree.")?,
        status => writeln!(out, "Noted. The request is now `{status}`.")?,
    }
    Ok(Exit::Done)
}
