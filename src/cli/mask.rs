//! `portcullis mask`: text in, masked text out.

use std::{
    io::{self, BufRead, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Exit, Failure, Format};
use crate::{
    catalog,
    domain::{
        masking::{Decoder, EncodedError, Masking, MaskingRules, TextFinding},
        policy::Policy,
    },
};

/// How much of standard input is read at once.
const CHUNK: usize = 64 << 10;
/// How much of it is unpacked at once.
const PACKED: usize = 16 << 10;

/// Arguments of `portcullis mask`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = r#"Without --text, standard input is JSON Lines: {"id", "text"} or {"id", "chunks": [..]} per line, and so is
standard output: {"id", "masked", "findings": [{"type", "start", "end"}]}. Places are in characters of the text.
With --text, what comes in as gzip or zlib is unpacked, masked, and written as plain text; what is compressed in another way
is refused, because nobody could have read it.
A line that cannot be read is answered with {"line", "error"}; the rest goes on, and the exit code is 1.

Examples:
  kubectl get secret app -o yaml | portcullis mask --text
  portcullis mask --text < app.log.gz
  echo '{"id": 1, "text": "password=hunter2"}' | portcullis mask
  tail -f app.log | portcullis mask --text --policy policy.yaml"#
)]
pub(super) struct Args {
    /// Standard input is text: mask it as it streams by
    #[arg(long)]
    text: bool,

    /// Mask by the `masking` section of this policy; without it every built-in detector looks
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(args: Args, _format: Format) -> Result<Exit, Failure> {
    let rules = match &args.policy {
        Some(path) => rules_from_policy(path)?,
        None => MaskingRules::default(),
    };
    let masking = Masking::compile(rules).map_err(|error| Failure::Failed(error.to_string()))?;
    let stdin = io::stdin().lock();
    let stdout = io::stdout().lock();
    if args.text {
        mask_text(&masking, stdin, stdout)
    } else {
        mask_lines(&masking, stdin, stdout)
    }
}

/// The masking rules of a policy file or folder, with a key drawn for this run: `hash` and `pseudonym` are the same within
/// a run, and tell nobody anything across two.
fn rules_from_policy(path: &Path) -> Result<MaskingRules, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let files = catalog::read_files(path).map_err(|error| failed(&error))?;
    let policy = Policy::from_bytes(files).map_err(|error| failed(&error))?;
    let mut rules = policy.masking_rules;
    aws_lc_rs::rand::fill(&mut rules.key).map_err(|error| failed(&error))?;
    Ok(rules)
}

/// Streams text with memory that does not grow; compressed text is unpacked first.
fn mask_text(
    masking: &Masking,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<Exit, Failure> {
    let refused = |error: EncodedError| Failure::Failed(format!("standard input: {error}"));
    let mut stream = masking.stream();
    // However much it is: it passes in pieces.
    let mut decoder = Decoder::new(u64::MAX);
    let mut chunk = vec![0; CHUNK];
    let mut text = Vec::with_capacity(CHUNK);
    let mut masked = Vec::with_capacity(2 * CHUNK);
    let mut findings = Vec::new();
    loop {
        let read = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        // A few bytes may unpack to many.
        for packed in chunk[..read].chunks(PACKED) {
            decoder.push(packed, &mut text).map_err(refused)?;
            stream.push(&text, &mut masked, &mut findings);
            findings.clear();
            text.clear();
            if masked.len() >= CHUNK {
                output.write_all(&masked)?;
                masked.clear();
            }
        }
        output.write_all(&masked)?;
        output.flush()?;
        masked.clear();
    }
    decoder.finish(&mut text).map_err(refused)?;
    stream.push(&text, &mut masked, &mut findings);
    stream.finish(&mut masked, &mut findings);
    output.write_all(&masked)?;
    output.flush()?;
    Ok(Exit::Done)
}

/// One text to mask.
#[derive(Deserialize)]
struct Document {
    id: serde_json::Value,
    text: Option<String>,
    chunks: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a serde_json::Value,
    masked: &'a str,
    findings: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    #[serde(rename = "type")]
    rule: &'a str,
    start: usize,
    end: usize,
}

#[derive(Serialize)]
struct Unreadable {
    line: u64,
    error: String,
}

fn mask_lines(
    masking: &Masking,
    mut input: impl BufRead,
    output: impl Write,
) -> Result<Exit, Failure> {
    let mut output = BufWriter::with_capacity(CHUNK, output);
    let mut line = Vec::new();
    let mut number = 0;
    let mut unreadable = 0_u64;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match read(&line) {
            Ok(document) => answer(masking, &document, &mut output)?,
            Err(error) => {
                unreadable += 1;
                serde_json::to_writer(
                    &mut output,
                    &Unreadable {
                        line: number,
                        error,
                    },
                )
                .map_err(io::Error::from)?;
            }
        }
        output.write_all(b"\n")?;
    }
    output.flush()?;
    if unreadable > 0 {
        return Err(Failure::Failed(format!(
            "{unreadable} of {number} lines could not be read; each is answered with its number and the reason"
        )));
    }
    Ok(Exit::Done)
}

fn read(line: &[u8]) -> Result<Document, String> {
    // The error of a parser may quote its input; its place is enough.
    let document: Document = serde_json::from_slice(line).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "not an object with `id` and `text` or `chunks`",
            _ => "not JSON",
        };
        format!("{what}, column {}", error.column())
    })?;
    match (&document.text, &document.chunks) {
        (Some(_), None) | (None, Some(_)) => Ok(document),
        _ => Err("needs either `text` or `chunks`".into()),
    }
}

fn answer(masking: &Masking, document: &Document, output: &mut impl Write) -> Result<(), Failure> {
    let mut stream = masking.stream();
    let mut masked = Vec::new();
    let mut findings = Vec::new();
    let whole;
    let text = match (&document.text, &document.chunks) {
        (Some(text), _) => {
            stream.push(text.as_bytes(), &mut masked, &mut findings);
            text
        }
        (None, chunks) => {
            let chunks = chunks.as_deref().unwrap_or_default();
            for chunk in chunks {
                stream.push(chunk.as_bytes(), &mut masked, &mut findings);
            }
            whole = chunks.concat();
            &whole
        }
    };
    stream.finish(&mut masked, &mut findings);
    findings.sort_by_key(|finding| (finding.start, finding.end));
    let answer = Answer {
        id: &document.id,
        masked: &String::from_utf8_lossy(&masked),
        findings: in_characters(text, &findings),
    };
    serde_json::to_writer(output, &answer).map_err(io::Error::from)?;
    Ok(())
}

/// Findings with their places in characters.
fn in_characters<'a>(text: &str, findings: &'a [TextFinding]) -> Vec<Place<'a>> {
    let mut at = 0;
    let mut characters = 0;
    let mut place = |byte: usize| {
        if byte < at {
            (at, characters) = (0, 0);
        }
        characters += text.as_bytes()[at..byte]
            .iter()
            .filter(|byte| **byte & 0xc0 != 0x80)
            .count();
        at = byte;
        characters
    };
    findings
        .iter()
        .map(|finding| Place {
            rule: &finding.rule,
            start: place(finding.start),
            end: place(finding.end),
        })
        .collect()
}
