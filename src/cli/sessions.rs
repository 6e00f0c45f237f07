//! `portcullis sessions`: the record, searched, shown, replayed, exported.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::Subcommand;
use serde_json::Value;

use super::{
    Exit, Failure, Format, approvals,
    client::{Client, Gateway, block_on},
    output::{print_json, text, visible},
    table,
};
use crate::domain::id::SessionId;

/// Arguments of `portcullis sessions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    gateway: Gateway,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Search the record, newest first
    List(Filter),
    /// Show one session and its requests
    Show {
        /// Its id, `ses_…`, as `list` prints it
        id: SessionId,
    },
    /// Show a session as it happened, event by event
    Replay {
        /// Its id, `ses_…`, as `list` prints it
        id: SessionId,
    },
    /// Write a session to a file that `portcullis verify` checks offline
    Export {
        /// Its id, `ses_…`, as `list` prints it
        id: SessionId,

        /// Where to; standard output without it
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Who asked, such as `agent:crm-bot`
    #[arg(long)]
    principal: Option<String>,
    /// Where
    #[arg(long)]
    connection: Option<String>,
    /// Highest effect: read, secret, write, destructive, schema, admin, unknown
    #[arg(long)]
    effect: Option<String>,
    /// Name of an object it touches
    #[arg(long)]
    object: Option<String>,
    /// What policy said: allow, deny, require_approval
    #[arg(long)]
    decision: Option<String>,
    /// Asked at or after, RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Asked before, RFC 3339
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Text in the masked statement or the reason
    #[arg(long, short, value_name = "TEXT")]
    q: Option<String>,
    /// Where the previous page ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// At most this many requests, up to 200
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    block_on(async move {
        let client = args.gateway.client()?;
        match args.command {
            Command::List(filter) => list(&client, filter, format).await,
            Command::Show { id } => show(&client, &id, format).await,
            Command::Replay { id } => replay(&client, &id, format).await,
            Command::Export { id, output } => export(&client, &id, output).await,
        }
    })
}

async fn list(client: &Client, filter: Filter, format: Format) -> Result<Exit, Failure> {
    let Filter {
        principal,
        connection,
        effect,
        object,
        decision,
        since,
        until,
        q,
        after,
        limit,
    } = filter;
    let mut query = vec![("limit", limit.to_string())];
    let given = [
        ("principal", principal),
        ("connection", connection),
        ("effect", effect),
        ("object", object),
        ("decision", decision),
        ("since", since),
        ("until", until),
        ("q", q),
        ("after", after),
    ];
    query.extend(
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let body = client.get("/v1/sessions", &query).await?.ok()?;
    if format == Format::Json {
        return print_json(&body);
    }
    let mut out = io::stdout().lock();
    let sessions = body["sessions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if sessions.is_empty() {
        writeln!(out, "Nothing on record matches.")?;
    }
    for session in sessions {
        writeln!(out, "{}", text(&session["session_id"]))?;
        print_requests(&session["requests"], &mut out)?;
    }
    if let Some(next) = body["next"].as_str() {
        writeln!(out, "There is more: add --after {}", visible(next))?;
    }
    Ok(Exit::Done)
}

fn print_requests(requests: &Value, out: &mut impl Write) -> io::Result<()> {
    for request in requests.as_array().into_iter().flatten() {
        writeln!(
            out,
            "  {}  {:<16} {:<11} {} on {}\n      {}",
            text(&request["asked_at"]),
            text(&request["status"]),
            text(&request["effect"]),
            text(&request["principal"]["id"]),
            text(&request["connection"]),
            text(&request["statement"]),
        )?;
        if let Some(message) = request["error"]["message"].as_str() {
            writeln!(out, "      {}", visible(message))?;
        }
    }
    Ok(())
}

async fn show(client: &Client, id: &SessionId, format: Format) -> Result<Exit, Failure> {
    let body = client.get(&format!("/v1/sessions/{id}"), &[]).await?.ok()?;
    if format == Format::Json {
        return print_json(&body);
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} by {}, opened {}\n{} events, head {}",
        text(&body["session_id"]),
        text(&body["principal"]["id"]),
        text(&body["opened_at"]),
        body["events"],
        text(&body["head"]),
    )?;
    print_requests(&body["requests"], &mut out)?;
    Ok(Exit::Done)
}

async fn replay(client: &Client, id: &SessionId, format: Format) -> Result<Exit, Failure> {
    let body = client
        .get(&format!("/v1/sessions/{id}/events"), &[])
        .await?
        .ok()?;
    if format == Format::Json {
        return print_json(&body);
    }
    for event in body["events"].as_array().into_iter().flatten() {
        let rows = match text(&event["type"]).as_str() {
            "execution.finished" => rows(client, event).await?,
            _ => None,
        };
        print_event(event, rows.as_ref(), &mut io::stdout().lock())?;
    }
    Ok(Exit::Done)
}

/// The result a finished execution had, as the caller saw it.
async fn rows(client: &Client, event: &Value) -> Result<Option<Value>, Failure> {
    let path = format!("/v1/requests/{}", text(&event["data"]["request_id"]));
    let outcome = client.get(&path, &[]).await?.ok()?;
    Ok(outcome.get("result").cloned())
}

/// One event, for a person.
pub(super) fn print_event(
    event: &Value,
    result: Option<&Value>,
    out: &mut impl Write,
) -> io::Result<()> {
    let data = &event["data"];
    let kind = text(&event["type"]);
    writeln!(out, "{:>3}  {}  {kind}", event["seq"], text(&event["time"]))?;
    let mut line = |value: String| {
        if value.trim().is_empty() {
            Ok(())
        } else {
            writeln!(out, "       {value}")
        }
    };
    let rule = |decision: &Value| {
        let rule = decision["rule"].as_str();
        let rule = rule.map_or(String::new(), |rule| {
            format!(" by rule `{}`", visible(rule))
        });
        let message = decision["message"].as_str();
        let message = message.map_or(String::new(), |message| format!(": {}", visible(message)));
        format!("policy: {}{rule}{message}", text(&decision["action"]))
    };
    match kind.as_str() {
        "session.opened" => line(format!(
            "{} ({})",
            text(&data["principal"]["id"]),
            text(&data["principal"]["kind"])
        )),
        "request.decided" => {
            line(format!(
                "{} on {}",
                text(&data["principal"]["id"]),
                text(&data["connection"])
            ))?;
            line(text(&data["statement"]))?;
            if let Some(asked) = data["rewritten"]["asked"].as_str() {
                let rule = text(&data["rewritten"]["rule"]);
                line(format!(
                    "rewritten by {rule}, asked was: {}",
                    visible(asked)
                ))?;
            }
            line(format!("{}: {}", text(&data["effect"]), text(&data["why"])))?;
            line(rule(&data["decision"]))
        }
        "request.refused" => line(rule(&data["decision"])),
        "approval.requested" => {
            let terms = &data["terms"];
            let groups = terms["from"].as_array().into_iter().flatten();
            let groups: Vec<_> = groups.map(|quorum| text(&quorum["group"])).collect();
            line(format!(
                "asks {}, until {}",
                groups.join(" and "),
                text(&terms["expires_at"])
            ))?;
            if let Some(rows) = terms["again"]["rows"].as_u64() {
                line(format!(
                    "again: it changed {rows} rows, at most {} were agreed to",
                    terms["again"]["at_most"]
                ))?;
            }
            if terms["answer"].is_object() {
                line(approvals::held(&terms["answer"]))?;
            }
            line(format!("digest {}", text(&terms["digest"])))
        }
        "preview.started" => line(format!("for {}", text(&data["approver"]["id"]))),
        "preview.finished" => line(format!(
            "{} rows would change, {} values masked; rolled back",
            data["rows"], data["masked"]["cells"]
        )),
        "preview.failed" => line(format!(
            "{}: {}",
            text(&data["failure"]),
            text(&data["message"])
        )),
        "approval.decided" => line(format!(
            "{} by {} {}",
            text(&data["answer"]),
            text(&data["approver"]["id"]),
            text(&data["comment"])
        )),
        "execution.started" => line(format!("with the {} credential", text(&data["access"]))),
        "execution.finished" => {
            if let Some(code) = data["exit_code"].as_i64() {
                let masked = &data["masked"]["cells"];
                line(format!(
                    "ended with exit code {code}, {masked} values masked"
                ))?;
                let printed = ["stdout", "stderr"].map(|name| result.map(|result| &result[name]));
                return printed.into_iter().flatten().try_for_each(|printed| {
                    let printed = printed.as_str().unwrap_or_default();
                    let mut lines = printed.lines();
                    lines
                        .by_ref()
                        .take(5)
                        .try_for_each(|text| line(visible(text)))?;
                    match lines.count() {
                        0 => Ok(()),
                        more => line(format!("… {more} more lines")),
                    }
                });
            }
            let affected = data["affected"].as_u64();
            let affected = affected.map_or(String::new(), |rows| format!(", {rows} rows changed"));
            let masked = &data["masked"]["cells"];
            line(format!(
                "{} rows returned{affected}, {masked} values masked",
                data["row_count"]
            ))?;
            match result {
                Some(result) => table::print(result, 5, "       ", out),
                None => Ok(()),
            }
        }
        "execution.failed" => line(format!(
            "{}: {}",
            text(&data["failure"]),
            text(&data["message"])
        )),
        "execution.outcome_unknown" => line(text(&data["why"])),
        _ => Ok(()),
    }
}

async fn export(client: &Client, id: &SessionId, output: Option<PathBuf>) -> Result<Exit, Failure> {
    let lines = client
        .get_text(&format!("/v1/sessions/{id}/export"))
        .await?;
    match output {
        None => io::stdout().lock().write_all(lines.as_bytes())?,
        Some(file) => fs::write(&file, lines)
            .map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?,
    }
    Ok(Exit::Done)
}
