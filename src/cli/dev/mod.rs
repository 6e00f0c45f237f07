//! `portcullis dev`: everything embedded, on loopback, to try it.

mod data;

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;

use serde_json::json;

use super::{Exit, Failure, Format, client::block_on, output::print_json, start_telemetry};
use crate::{
    app::{self, Running},
    auth::dev::DevIssuer,
    domain::principal::PrincipalKind,
};

const POLICY: &str = include_str!("policy.yaml");
/// The port of `dev` and `serve` when nothing says otherwise.
const DEFAULT_PORT: u16 = 7171;
const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// Arguments of `portcullis dev`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    folder: Folder,

    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,

    /// Your own policy instead of the demo's policy and database
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a token for the gateway that runs here, good for an hour
    Token(Token),
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// Where the record, the keys and the demo database are
    #[arg(
        long,
        env = "PORTCULLIS_DEV_DATA",
        default_value = ".portcullis",
        value_name = "DIR"
    )]
    data: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Token {
    /// Whose token it is, such as `crm-bot`
    #[arg(long = "as", value_name = "NAME")]
    name: String,

    /// The groups it is in; the demo policy knows `ai-agents` and `db-admins`
    #[arg(long, value_delimiter = ',', value_name = "a,b")]
    groups: Vec<String>,

    /// A person; without it, an agent
    #[arg(long, conflicts_with = "service")]
    human: bool,

    /// A program that is no agent, such as a release pipeline
    #[arg(long)]
    service: bool,

    #[command(flatten)]
    folder: Folder,
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    if let Some(Command::Token(token)) = args.command {
        return print_token(&token, format);
    }
    let Args {
        folder,
        port,
        policy,
        ..
    } = args;
    block_on(async move {
        let telemetry = start_telemetry(format)?;
        let running = start(&folder.data, port, policy.as_deref()).await?;
        greet(&running, &folder.data, policy.is_none(), format)?;
        running.until_signal().await;
        telemetry.stop().await;
        Ok(Exit::Done)
    })
}

/// Starts the embedded gateway: with the demo database and policy, unless it is given a policy.
pub(super) async fn start(
    data: &Path,
    port: u16,
    policy: Option<&Path>,
) -> Result<Running, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", data.display()));
    fs::create_dir_all(data).map_err(failed)?;
    let data = data.canonicalize().map_err(failed)?;
    let policy = match policy {
        Some(policy) => policy.to_owned(),
        None => {
            let database = data.join("crm.db");
            data::create(&database)?;
            let policy = data.join("policy.yaml");
            if !policy.exists() {
                let text = POLICY.replace("{DATABASE}", &database.display().to_string());
                fs::write(&policy, text).map_err(failed)?;
            }
            policy
        }
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    app::dev(listen, &data, &policy)
        .await
        .map_err(|error| Failure::Failed(error.to_string()))
}

fn print_token(token: &Token, format: Format) -> Result<Exit, Failure> {
    let kind = match (token.human, token.service) {
        (true, _) => PrincipalKind::Human,
        (_, true) => PrincipalKind::Service,
        _ => PrincipalKind::Agent,
    };
    let token = DevIssuer::of_running(&token.folder.data)
        .and_then(|issuer| {
            issuer.mint(
                &token.name,
                token.groups.iter().map(String::as_str),
                kind,
                TOKEN_LIFE,
            )
        })
        .map_err(|error| Failure::Failed(error.to_string()))?;
    match format {
        Format::Text => writeln!(io::stdout().lock(), "{token}")?,
        Format::Json => {
            let life = TOKEN_LIFE.as_secs();
            return print_json(&json!({"token": token, "expires_in": life}));
        }
    }
    Ok(Exit::Done)
}

fn greet(running: &Running, data: &Path, demo: bool, format: Format) -> Result<(), Failure> {
    let url = format!("http://{}", running.address());
    if format == Format::Json {
        // Among the log's lines, so one line too.
        let mut out = io::stdout().lock();
        writeln!(out, "{}", json!({"url": url, "data": data}))?;
        out.flush()?;
        return Ok(());
    }
    let data = match data.to_str() {
        Some(".portcullis") | None => String::new(),
        Some(data) => format!(" --data {data}"),
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\nPortcullis listens on {url} (this machine only). Stop it with Ctrl-C.\n"
    )?;
    if demo {
        writeln!(
            out,
            "Try it, in another terminal:\n\n  \
             export AGENT=$(portcullis dev token --as crm-bot --groups ai-agents{data})\n  \
             curl -s {url}/v1/connections/crm/query -H \"Authorization: Bearer $AGENT\" \\\n    \
             --json '{{\"sql\": \"SELECT * FROM customers LIMIT 3\"}}'\n  \
             curl -s {url}/v1/connections/crm/query -H \"Authorization: Bearer $AGENT\" \\\n    \
             --json '{{\"sql\": \"DELETE FROM customers WHERE id = 7\", \"reason\": \"asked to be forgotten\"}}'\n\n  \
             export PORTCULLIS_URL={url}\n  \
             export PORTCULLIS_TOKEN=$(portcullis dev token --as dana --groups db-admins --human{data})\n  \
             portcullis approvals list\n"
        )?;
    }
    out.flush()?;
    Ok(())
}
