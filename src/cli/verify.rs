//! `portcullis verify`: an exported record against its own hashes, offline.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use super::{Exit, Failure, Format};
use crate::domain::record::{
    Hash,
    verify::{Problem, Report, Verifier},
};

/// No line of an export comes near this: a longer one is another file, and is not read into memory.
const LONGEST_LINE: u64 = 256 << 20;
/// Nobody waits for progress that is shown later than this.
const PATIENCE: Duration = Duration::from_millis(800);

/// Arguments of `portcullis verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
   0  intact
   1  unreadable       the file cannot be read, or is no export
  10  altered          something in it is not what was written
  11  gap              events are missing inside a session
  12  reordered        something stands in another place than it was written in
  13  truncated        the end is missing, of the file or of a session
  14  forked           two events claim one place, or one follows another than the one before it
  15  bad signature    the signature is missing, wrong, or another's
  16  unanchored tail  events follow the last one the manifest vouches for

A signature proves who made the export only to those who know the key: compare its fingerprint with the one your gateway shows, or give it with --key.")]
pub(super) struct Args {
    /// The export, or `-` for standard input
    file: PathBuf,

    /// Accept only an export signed by this key: its fingerprint (`sha256:…`), or a file with it or with the public key
    #[arg(long, value_name = "FINGERPRINT|FILE")]
    key: Option<String>,

    /// An earlier export that this one has to continue: whoever holds the signing key can write another history, but
    /// cannot change the copy you kept
    #[arg(long, value_name = "EARLIER")]
    after: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(fingerprint).transpose()?;
    let mut verifier = Verifier::new(key);
    if let Some(earlier) = &args.after {
        let report = read(earlier, Verifier::new(key))?;
        if let Some(verdict) = report.verdict() {
            return Err(Failure::Usage(format!(
                "--after: {} is not intact itself ({}): verify it by itself, and name another",
                earlier.display(),
                verdict.problem
            )));
        }
        verifier = verifier.continuing(report.ends);
    }
    let report = read(&args.file, verifier)?;
    let mut out = io::stdout().lock();
    match format {
        Format::Text => text(&report, key, &mut out)?,
        Format::Json => json_lines(&report, &mut out)?,
    }
    out.flush()?;
    Ok(report.verdict().map_or(Exit::Done, |verdict| {
        Exit::Code(verdict.problem.exit_code())
    }))
}

fn read(path: &Path, verifier: Verifier) -> Result<Report, Failure> {
    let report = if path.as_os_str() == "-" {
        follow(io::stdin().lock(), None, verifier)
    } else {
        File::open(path).and_then(|file| {
            let size = file.metadata()?.len();
            let file = BufReader::with_capacity(1 << 18, file);
            follow(file, Some(size), verifier)
        })
    };
    report.map_err(|error| {
        Failure::Failed(format!(
            "{} cannot be read: {error}; name a file that `portcullis sessions export` wrote",
            path.display()
        ))
    })
}

/// Reads a whole export.
pub(super) fn follow(
    mut from: impl BufRead,
    size: Option<u64>,
    mut verifier: Verifier,
) -> io::Result<Report> {
    let mut progress = Progress::new(size);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = from
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        if read == LONGEST_LINE && line.last() != Some(&b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line is longer than {} MiB", LONGEST_LINE >> 20),
            ));
        }
        verifier.line(&line);
        progress.advance(read);
    }
    progress.clear();
    Ok(verifier.finish())
}

/// A line on standard error that counts what was read: only for a person, and only when it takes a while.
struct Progress {
    began: Instant,
    shown: Option<Instant>,
    watched: bool,
    size: Option<u64>,
    read: u64,
    lines: u64,
}

impl Progress {
    fn new(size: Option<u64>) -> Self {
        Self {
            began: Instant::now(),
            shown: None,
            watched: io::stderr().is_terminal(),
            size: size.filter(|size| *size > 0),
            read: 0,
            lines: 0,
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.read += bytes;
        self.lines += 1;
        if !self.watched || !self.lines.is_multiple_of(1024) {
            return;
        }
        if self.shown.unwrap_or(self.began).elapsed() < PATIENCE {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = self
            .size
            .map(|size| format!("{:3} %, ", self.read.saturating_mul(100) / size))
            .unwrap_or_default();
        // Progress that cannot be shown is not missed.
        let _ = write!(
            io::stderr(),
            "\rverifying: {percent}{} lines\x1b[K",
            self.lines
        );
    }

    fn clear(&self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// What there is to say about it, for a person.
pub(super) fn text(report: &Report, key: Option<Hash>, out: &mut impl Write) -> io::Result<()> {
    let counted = format!(
        "{}, {}",
        count(report.sessions, "session"),
        count(report.events, "event")
    );
    if let Some(verdict) = report.verdict() {
        for finding in &report.findings {
            write!(out, "{}: ", finding.problem)?;
            if let Some(line) = finding.line {
                write!(out, "line {line}: ")?;
            }
            if let Some(session) = &finding.session {
                write!(out, "session {session}: ")?;
            }
            writeln!(out, "{}", finding.says)?;
        }
        if verdict.problem != Problem::Unreadable {
            writeln!(out, "not intact: {} ({counted} read)", verdict.problem)?;
        }
        return Ok(());
    }
    writeln!(out, "intact: {counted}")?;
    if let (Some(source), Some(exported_at)) = (&report.source, report.exported_at) {
        // From the file: nothing in it reaches the terminal as more than text.
        writeln!(
            out,
            "recorded by {}, exported at {exported_at}",
            source.escape_debug()
        )?;
    }
    match (report.signed_by, key) {
        (Some(fingerprint), Some(_)) => {
            writeln!(out, "signed by {fingerprint}, the key you asked for")
        }
        (Some(fingerprint), None) => writeln!(
            out,
            "signed by {fingerprint}: compare it with the fingerprint your gateway shows, or give it with --key"
        ),
        (None, _) => writeln!(
            out,
            "not signed: whoever could write this file could have rewritten all of it"
        ),
    }
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn json_lines(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let verdict = report.verdict();
    let report = json!({
        "verdict": verdict.map_or("intact", |verdict| verdict.problem.as_str()),
        "exit_code": verdict.map_or(0, |verdict| verdict.problem.exit_code()),
        "sessions": report.sessions,
        "events": report.events,
        "source": report.source,
        "exported_at": report.exported_at,
        "signed_by": report.signed_by,
        "findings": report.findings,
    });
    writeln!(out, "{report}")
}

/// The fingerprint itself, or that of what a file holds: a fingerprint, a PEM public key, or its DER.
fn fingerprint(key: &str) -> Result<Hash, Failure> {
    if key.starts_with("sha256:") {
        return key
            .parse()
            .map_err(|error| Failure::Usage(format!("--key: {error}")));
    }
    let path = Path::new(key);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(1 << 16).read_to_end(&mut bytes))
        .map_err(|error| {
            Failure::Usage(format!(
                "--key: {key} is no fingerprint (`sha256:` and 64 digits) and cannot be read as a file: {error}"
            ))
        })?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(Hash::of(&bytes));
    };
    if let Ok(fingerprint) = text.trim().parse() {
        return Ok(fingerprint);
    }
    let body = text
        .split_once("-----BEGIN PUBLIC KEY-----")
        .and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"))
        .map(|(body, _)| body.split_whitespace().collect::<String>());
    match body.map(|body| BASE64.decode(body)) {
        Some(Ok(der)) => Ok(Hash::of(&der)),
        _ => Err(Failure::Usage(format!(
            "--key: {key} holds neither a fingerprint nor a public key (PEM, `BEGIN PUBLIC KEY`)"
        ))),
    }
}
