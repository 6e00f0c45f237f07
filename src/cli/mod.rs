//! The command line: every subcommand parses its arguments, calls one room, and prints.

mod approvals;
mod classify;
mod client;
mod demo;
mod dev;
mod mask;
mod output;
mod policy;
mod serve;
mod sessions;
mod table;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{self, LogFormat, Telemetry};

pub use output::{Exit, Failure, Format};

const AFTER_HELP: &str = "\
New here: `portcullis demo` shows all of it in a few seconds; `portcullis dev` is yours to try.

Exit codes: 0 done, 1 it failed, 2 called wrongly, 3 denied, 4 a human has to approve first.
`verify` has more: see `portcullis verify --help`.";

/// The gate between AI agents and production: judge, approve, mask, record.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How to print: `text` for a person, `json` for a program
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Format::Text,
        hide_possible_values = true,
        value_name = "text|json"
    )]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the whole story: a masked read, a refused DROP, a DELETE held, approved, run, verified
    Demo(demo::Args),
    /// Run everything embedded on loopback, with a demo database, to try it
    Dev(Box<dev::Args>),
    /// Run the gateway, as the environment configures it
    Serve(serve::Args),
    /// What humans are asked, and their answers
    Approvals(approvals::Args),
    /// The record: search, show, replay, export
    Sessions(Box<sessions::Args>),
    /// Say what statements would do, without running them
    Classify(classify::Args),
    /// Mask secrets and personal data in text
    Mask(mask::Args),
    /// Check a policy, test it against cases, explain one decision
    Policy(policy::Args),
    /// Verify an exported record, offline
    Verify(verify::Args),
}

/// Starts what a gateway says of itself. A service's log is read by programs; a person can ask for text.
fn start_telemetry(format: Format) -> Result<Telemetry, Failure> {
    let format = match format {
        Format::Json => LogFormat::Json,
        Format::Text => LogFormat::Plain,
    };
    telemetry::start(format, |name| std::env::var(name).ok())
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// Keeps this process's memory, environment and open files, which hold credentials, from others of the same user, such as
/// the commands it runs, and out of core files.
#[cfg(target_os = "linux")]
fn keep_to_itself() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // A kernel that does not know it keeps nothing more than it did.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Only Linux can be told.
#[cfg(not(target_os = "linux"))]
fn keep_to_itself() {}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    keep_to_itself();
    let cli = Cli::parse();
    let format = cli.format;
    let result = match cli.command {
        Command::Demo(args) => demo::run(args, format),
        Command::Dev(args) => dev::run(*args, format),
        Command::Serve(args) => serve::run(args, format),
        Command::Approvals(args) => approvals::run(args, format),
        Command::Sessions(args) => sessions::run(*args, format),
        Command::Classify(args) => classify::run(args, format),
        Command::Mask(args) => mask::run(args, format),
        Command::Policy(args) => policy::run(args, format),
        Command::Verify(args) => verify::run(args, format),
    };
    output::exit_code(result, format)
}
