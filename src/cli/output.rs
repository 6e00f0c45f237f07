//! What every subcommand shares: formats, exit codes, and how a failure is told.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::ValueEnum;
use serde_json::json;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program: JSON.
    Json,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what was asked.
    Done,
    /// 3: policy or a human said no.
    Denied,
    /// 4: a human has to approve first.
    PendingApproval,
    /// Another code, documented by its command.
    Code(u8),
}

/// Why a command did not do what was asked. Says what, why and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 1: it failed.
    #[error("{0}")]
    Failed(String),
    /// 2: it was called wrongly.
    #[error("{0}")]
    Usage(String),
    /// 3: the gateway said no.
    #[error("{0}")]
    Denied(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Turns the result of a command into this process's exit code; a failure is told on standard error.
pub(super) fn exit_code(result: Result<Exit, Failure>, format: Format) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Denied) => ExitCode::from(3),
        Ok(Exit::PendingApproval) => ExitCode::from(4),
        Ok(Exit::Code(code)) => ExitCode::from(code),
        // Whoever reads from us has had enough (`portcullis … | head`): not a failure worth a word.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let code = match failure {
                Failure::Usage(_) => 2,
                Failure::Denied(_) => 3,
                Failure::Failed(_) | Failure::Io(_) => 1,
            };
            let mut stderr = io::stderr().lock();
            // A closed standard error leaves only the exit code to tell it.
            let _ = match format {
                Format::Text => writeln!(stderr, "error: {failure}"),
                Format::Json => writeln!(stderr, "{}", json!({"error": failure.to_string()})),
            };
            ExitCode::from(code)
        }
    }
}

/// Prints one JSON document.
pub(super) fn print_json(value: &serde_json::Value) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(Exit::Done)
}

/// A JSON string's text for a person's terminal; empty for anything else. What could move the cursor, hide text or
/// turn it around is spelled out: an approver must see what is there.
pub(super) fn text(value: &serde_json::Value) -> String {
    visible(value.as_str().unwrap_or_default())
}

/// `text` with everything spelled out that a terminal would act on instead of showing.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\n            "),
            '\t' => shown.push(' '),
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                shown.extend(character.escape_unicode());
            }
            other if other.is_control() => shown.extend(other.escape_unicode()),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_never_told_to_hide_part_of_a_statement() {
        let statement = "DELETE FROM t --\u{1b}[2K\rSELECT 1 \u{202e}x\u{200b}";
        let shown = visible(statement);
        assert_eq!(
            shown,
            "DELETE FROM t --\\u{1b}[2K\\u{d}SELECT 1 \\u{202e}x\\u{200b}"
        );
    }
}
