//! Logs: JSON lines (or plain ones for a person) on standard output, never content.
//!
//! Standard output and not standard error: the Functions host takes every line of the latter for an error.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Plain,
}

/// Logs nothing but errors: for commands whose output is their own.
pub fn quiet() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    let layer = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    drop(
        tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .try_init(),
    );
}

/// Starts logging for this process. `RUST_LOG` says what; by default this program's own `info` and others' warnings.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,portcullis=info"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true))
            .try_init(),
        LogFormat::Plain => registry
            .with(fmt::layer().with_target(false).with_ansi(false))
            .try_init(),
    };
    // Only ever fails when logging was started before, which then goes on.
    drop(started);
}
