//! Verification of an export, offline: line by line, in memory that grows with its sessions and not with its events.
//!
//! It knows the envelope of an event and nothing of what events say, so it verifies what newer gateways record. The
//! first thing wrong with the lines is the verdict; only where they are right does the manifest's word on where the
//! chains end decide.

mod parse;

use std::{collections::HashMap, fmt};

use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use serde::Serialize;

use self::parse::{Line, Link, parse};
use super::{
    Hash, Head,
    export::{ES256, Footer, Header, SessionEnd, VERSION, lines_digest},
};
use crate::domain::id::SessionId;

/// The most findings a report lists: the first ones tell, the others follow from them.
const MOST_FINDINGS: usize = 20;

/// The ways an export can be other than it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It is no export, or of a newer format.
    Unreadable,
    /// Something in it is not what was written.
    Altered,
    /// Events are missing inside a session.
    Gap,
    /// Something stands in another place than it was written in.
    Reordered,
    /// The end is missing, of the file or of a session.
    Truncated,
    /// Two events claim one place, or an event follows another than the one before it.
    Forked,
    /// The signature is missing, wrong, or another's.
    BadSignature,
    /// Events follow the last one the manifest vouches for.
    UnanchoredTail,
}

impl Problem {
    /// Every problem.
    pub const ALL: [Self; 8] = [
        Self::Unreadable,
        Self::Altered,
        Self::Gap,
        Self::Reordered,
        Self::Truncated,
        Self::Forked,
        Self::BadSignature,
        Self::UnanchoredTail,
    ];

    /// The exit code of `portcullis verify`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unreadable => 1,
            Self::Altered => 10,
            Self::Gap => 11,
            Self::Reordered => 12,
            Self::Truncated => 13,
            Self::Forked => 14,
            Self::BadSignature => 15,
            Self::UnanchoredTail => 16,
        }
    }

    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Altered => "altered",
            Self::Gap => "gap",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::BadSignature => "bad signature",
            Self::UnanchoredTail => "unanchored tail",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub problem: Problem,
    /// Where, counted from 1; `None`: nowhere in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// In which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// One sentence.
    pub says: String,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, the verdict first; empty: the export is intact.
    pub findings: Vec<Finding>,
    /// Who wrote the record, by the export's own word.
    pub source: Option<String>,
    /// When it was exported, by the export's own word.
    pub exported_at: Option<Timestamp>,
    /// Sessions seen.
    pub sessions: u64,
    /// Events seen.
    pub events: u64,
    /// The fingerprint of the key whose signature was verified; `None`: not signed, or badly.
    pub signed_by: Option<Hash>,
    /// Where each session ends: what a later export has to continue.
    pub ends: HashMap<SessionId, Head>,
}

impl Report {
    /// What is wrong; `None`: it is intact.
    pub fn verdict(&self) -> Option<&Finding> {
        self.findings.first()
    }
}

/// Verifies one export, fed line by line.
pub struct Verifier {
    expected_key: Option<Hash>,
    earlier: HashMap<SessionId, Head>,
    lines: u64,
    digest: Option<digest::Context>,
    header: Option<Header>,
    manifest: Option<Footer>,
    manifest_line: u64,
    streams: HashMap<SessionId, Stream>,
    current: Option<SessionId>,
    events: u64,
    recognised: bool,
    findings: Vec<Finding>,
}

/// How far one session has been followed.
struct Stream {
    /// Its place among the sessions.
    index: usize,
    events: u64,
    seq: u64,
    /// `None`: the last event is damaged, so what follows it cannot be held against it.
    hash: Option<Hash>,
    /// Numbers that were jumped over, and the finding that says so.
    missing: Option<Missing>,
}

struct Missing {
    from: u64,
    to: u64,
    finding: usize,
}

impl Verifier {
    /// With `expected_key`, the fingerprint of a key, only an export signed by it is intact.
    pub fn new(expected_key: Option<Hash>) -> Self {
        Self {
            expected_key,
            earlier: HashMap::new(),
            lines: 0,
            digest: Some(lines_digest()),
            header: None,
            manifest: None,
            manifest_line: 0,
            streams: HashMap::new(),
            current: None,
            events: 0,
            recognised: false,
            findings: Vec::new(),
        }
    }

    /// Holds the export to where sessions ended in an earlier one. Whoever can write the record and sign exports can write
    /// another history, and only this shows it. Sessions that are not in this export are not asked for.
    #[must_use]
    pub fn continuing(mut self, earlier: HashMap<SessionId, Head>) -> Self {
        self.earlier = earlier;
        self
    }

    /// Takes the next line, with its line feed if it has one.
    pub fn line(&mut self, bytes: &[u8]) {
        self.lines += 1;
        let text = bytes.strip_suffix(b"\n");
        let parsed = parse(text.unwrap_or(bytes));
        if self.manifest.is_some() {
            return self.after_the_end(&parsed);
        }
        if let (Some(digest), false) = (&mut self.digest, matches!(parsed, Line::Manifest(_))) {
            digest.update(bytes);
        }
        if text.is_none() {
            self.found(
                Problem::Truncated,
                "the file ends in the middle of this line",
            );
        }
        match parsed {
            Line::Event(link) => {
                self.recognised = true;
                self.event(link);
            }
            Line::Header(header) => {
                self.recognised = true;
                if self.header.is_some() {
                    self.found(Problem::Altered, "the export's first line is here again");
                } else {
                    if self.lines > 1 {
                        self.found(Problem::Reordered, "the export's first line is here");
                    }
                    self.header = Some(header);
                }
            }
            Line::Manifest(manifest) => {
                self.recognised = true;
                self.manifest_line = self.lines;
                self.manifest = Some(*manifest);
            }
            Line::Newer(version) => {
                self.recognised = true;
                self.found(
                    Problem::Unreadable,
                    format!(
                        "the export is of format {version}, and this program reads up to {VERSION}: use a newer one"
                    ),
                );
            }
            // Its line break is missing too: that is told already.
            Line::Nothing if text.is_none() => {}
            Line::AlteredEvent(hash, session) => {
                self.found(
                    Problem::Altered,
                    "this event does not match its hash: it is not what was recorded",
                );
                self.pass_over(hash, session);
            }
            Line::AlteredFrame(which) => {
                self.recognised = true;
                self.found(
                    Problem::Altered,
                    format!("the export's {which} is not what was written"),
                );
            }
            Line::Nothing => {
                self.found(Problem::Altered, "this line is no part of an export");
                self.pass_over(None, None);
            }
        }
    }

    /// Everything was read: the verdict.
    pub fn finish(mut self) -> Report {
        if !self.recognised {
            self.findings.clear();
            self.found_at(
                Problem::Unreadable,
                None,
                None,
                "this is not an export of Portcullis: no line of it is one of an export",
            );
            return self.report(None);
        }
        let lines_are_right = self.findings.is_empty();
        if self.header.is_none() && lines_are_right {
            self.found_at(
                Problem::Truncated,
                Some(1),
                None,
                "the export's first line is missing",
            );
        }
        let Some(manifest) = self.manifest.take() else {
            if lines_are_right {
                self.found_at(
                    Problem::Truncated,
                    Some(self.lines),
                    None,
                    "the export's last line, its manifest, is missing: whatever came after this is too",
                );
            }
            return self.report(None);
        };
        let signed_by = match self.signature(&manifest) {
            Ok(signed_by) => signed_by,
            Err(says) => {
                self.found_at(Problem::BadSignature, Some(self.manifest_line), None, says);
                None
            }
        };
        if self.findings.is_empty() {
            self.compare(&manifest);
        }
        if self.findings.is_empty() {
            self.compare_with_earlier();
        }
        self.report(signed_by)
    }

    fn report(self, signed_by: Option<Hash>) -> Report {
        let (source, exported_at) = self
            .header
            .map(|header| (header.source, header.exported_at))
            .unzip();
        Report {
            findings: self.findings,
            source,
            exported_at,
            sessions: self.streams.len() as u64,
            events: self.events,
            signed_by,
            ends: self
                .streams
                .into_iter()
                .filter_map(|(session, stream)| {
                    let hash = stream.hash?;
                    let seq = stream.seq;
                    Some((session, Head { seq, hash }))
                })
                .collect(),
        }
    }

    fn event(&mut self, link: Link) {
        self.events += 1;
        let index = self.streams.len();
        let is_new = !self.streams.contains_key(&link.session);
        if !is_new && self.current.as_ref() != Some(&link.session) {
            self.found_in(
                &link.session,
                Problem::Reordered,
                "an event stands among those of another session",
            );
        }
        self.current = Some(link.session.clone());
        if let Some(earlier) = self.earlier.get(&link.session)
            && earlier.seq == link.seq
            && earlier.hash != link.hash
        {
            self.found(
                Problem::Forked,
                format!(
                    "event {} is another than in the earlier export: one of the two is from another history",
                    link.seq
                ),
            );
        }
        let line = self.lines;
        let next_finding = self.findings.len();
        let stream = self
            .streams
            .entry(link.session.clone())
            .or_insert_with(|| Stream {
                index,
                events: 0,
                seq: 0,
                hash: Some(Hash::GENESIS),
                missing: None,
            });
        stream.events += 1;
        let due = stream.seq.saturating_add(1);
        let seq = link.seq;
        let finding = |problem, says: String| Finding {
            problem,
            line: Some(line),
            session: Some(link.session.clone()),
            says,
        };
        let found = if seq == due {
            let follows = stream.hash.is_none_or(|hash| hash == link.prevhash);
            stream.seq = seq;
            stream.hash = Some(link.hash);
            (!follows).then(|| {
                finding(
                    Problem::Forked,
                    format!("event {seq} follows another event than the one before it: one of them is from another history"),
                )
            })
        } else if seq > due {
            let earlier = stream.missing.take();
            stream.missing = Some(Missing {
                from: earlier.as_ref().map_or(due, |earlier| earlier.from),
                to: seq - 1,
                finding: earlier.map_or(next_finding, |earlier| earlier.finding),
            });
            stream.seq = seq;
            stream.hash = Some(link.hash);
            let says = if due == seq - 1 {
                format!("event {due} is missing")
            } else {
                format!("events {due} to {} are missing", seq - 1)
            };
            Some(finding(Problem::Gap, says))
        } else if let Some(missing) = stream
            .missing
            .as_ref()
            .filter(|missing| (missing.from..=missing.to).contains(&seq))
        {
            // It is not missing: it is late.
            let late = finding(
                Problem::Reordered,
                format!("event {seq} comes after a later one"),
            );
            match self.findings.get_mut(missing.finding) {
                Some(gap) if gap.problem == Problem::Gap => {
                    *gap = late;
                    None
                }
                _ => Some(late),
            }
        } else if seq == stream.seq && stream.hash == Some(link.hash) {
            Some(finding(
                Problem::Forked,
                format!("event {seq} is here a second time"),
            ))
        } else {
            Some(finding(
                Problem::Forked,
                format!("there are two events {seq}: one of them is from another history"),
            ))
        };
        if let Some(found) = found {
            self.push(found);
        }
    }

    /// A damaged line most likely was the next event, so that the one after it is not held to be out of place.
    fn pass_over(&mut self, hash: Option<Hash>, session: Option<SessionId>) {
        let session = session.filter(|session| self.streams.contains_key(session));
        let session = session.or_else(|| self.current.clone());
        if let Some(stream) = session.and_then(|session| self.streams.get_mut(&session)) {
            stream.seq = stream.seq.saturating_add(1);
            stream.hash = hash;
        }
    }

    fn after_the_end(&mut self, parsed: &Line) {
        match parsed {
            Line::Event(_) | Line::Header(_) => self.found(
                Problem::Reordered,
                "this comes after the manifest, which is the last line of an export",
            ),
            _ => self.found(
                Problem::Altered,
                "something comes after the manifest, which is the last line of an export",
            ),
        }
    }

    /// Whose signature it is; `None`: nobody's, and nobody said there would be one.
    fn signature(&self, manifest: &Footer) -> Result<Option<Hash>, String> {
        let announced = self.header.as_ref().and_then(|header| header.key);
        let Some(signature) = &manifest.signature else {
            return match (announced, self.expected_key) {
                (Some(key), _) => Err(format!(
                    "the signature is missing: the export was to be signed by {key}"
                )),
                (None, Some(key)) => Err(format!(
                    "the export is not signed, and {key} was to have signed it"
                )),
                (None, None) => Ok(None),
            };
        };
        let refuse = |says: &str| Err(says.to_owned());
        if signature.algorithm != ES256 {
            return refuse("the signature is of an unknown kind");
        }
        let (Ok(key), Ok(value)) = (
            BASE64.decode(&signature.key),
            BASE64.decode(&signature.value),
        ) else {
            return refuse("the signature is damaged");
        };
        let fingerprint = Hash::of(&key);
        if let Some(expected) = self.expected_key
            && expected != fingerprint
        {
            return Err(format!(
                "the export is signed by {fingerprint}, and {expected} was to have signed it"
            ));
        }
        if self.header.is_some() && announced != Some(fingerprint) {
            return refuse("the signature is by another key than the export's first line names");
        }
        let Ok(bytes) = manifest.signed_bytes() else {
            return refuse("the manifest cannot be signed");
        };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key)
            .verify(&bytes, &value)
            .map_err(|_| "the signature does not match the manifest".to_owned())?;
        Ok(Some(fingerprint))
    }

    /// The lines are right, each and in their order: are they all there, and no more?
    fn compare(&mut self, manifest: &Footer) {
        let mut found = Vec::new();
        let mut vouched: HashMap<&SessionId, usize> = HashMap::new();
        for (index, end) in manifest.sessions.iter().enumerate() {
            vouched.insert(&end.session, index);
            found.extend(against(end, self.streams.get(&end.session)));
        }
        for session in self.streams.keys() {
            if !vouched.contains_key(session) {
                found.push(Finding {
                    problem: Problem::UnanchoredTail,
                    line: None,
                    session: Some(session.clone()),
                    says: "the manifest does not vouch for this session".into(),
                });
            }
        }
        // In the order of the file, and what is missing outweighs what is too much.
        found.sort_by_key(|finding| {
            let session = finding.session.as_ref();
            let index = session.and_then(|session| self.streams.get(session));
            (
                finding.problem == Problem::UnanchoredTail,
                index.map_or(usize::MAX, |stream| stream.index),
                session.cloned(),
            )
        });
        if found.is_empty() {
            let moved = manifest.sessions.iter().enumerate().find(|(index, end)| {
                self.streams
                    .get(&end.session)
                    .is_none_or(|stream| stream.index != *index)
            });
            let digest = self.digest.take().map(digest::Context::finish);
            let digest = digest.map(|digest| Hash::from_digest(&digest));
            if let Some((_, end)) = moved {
                found.push(Finding {
                    problem: Problem::Reordered,
                    line: None,
                    session: Some(end.session.clone()),
                    says: "this session stands in another place than it was exported in".into(),
                });
            } else if digest != Some(manifest.digest) || self.events != manifest.events {
                found.push(Finding {
                    problem: Problem::Altered,
                    line: None,
                    session: None,
                    says: "every chain is intact, and yet the lines are not the ones that were exported: look at the first line".into(),
                });
            }
        }
        for finding in found {
            self.push(finding);
        }
    }

    /// What an earlier export had, and this one has not.
    fn compare_with_earlier(&mut self) {
        let mut found: Vec<_> = self
            .earlier
            .iter()
            .filter_map(|(session, earlier)| {
                let seen = self.streams.get(session)?;
                (seen.seq < earlier.seq).then(|| Finding {
                    problem: Problem::Truncated,
                    line: None,
                    session: Some(session.clone()),
                    says: format!(
                        "it ends at event {}, and the earlier export had {}",
                        seen.seq, earlier.seq
                    ),
                })
            })
            .collect();
        found.sort_by(|left, right| left.session.cmp(&right.session));
        for finding in found {
            self.push(finding);
        }
    }

    fn found(&mut self, problem: Problem, says: impl Into<String>) {
        self.found_at(problem, Some(self.lines), self.current.clone(), says);
    }

    fn found_in(&mut self, session: &SessionId, problem: Problem, says: &str) {
        self.found_at(problem, Some(self.lines), Some(session.clone()), says);
    }

    fn found_at(
        &mut self,
        problem: Problem,
        line: Option<u64>,
        session: Option<SessionId>,
        says: impl Into<String>,
    ) {
        self.push(Finding {
            problem,
            line,
            session,
            says: says.into(),
        });
    }

    fn push(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// What the manifest says of a session against what was seen of it.
fn against(end: &SessionEnd, seen: Option<&Stream>) -> Option<Finding> {
    let last = end.seq;
    let (problem, says) = match seen {
        None => (Problem::Truncated, format!("all {last} events are missing")),
        Some(seen) if seen.seq < last => (
            Problem::Truncated,
            format!(
                "it ends at event {}, and event {last} was its last",
                seen.seq
            ),
        ),
        Some(seen) if seen.seq > last => (
            Problem::UnanchoredTail,
            format!(
                "the manifest vouches for it up to event {last}; events up to {} follow",
                seen.seq
            ),
        ),
        Some(seen) if seen.hash != Some(end.hash) => (
            Problem::Forked,
            format!("its event {last} is another than the one the manifest vouches for"),
        ),
        Some(seen) if seen.events != end.events => (
            Problem::Altered,
            format!(
                "it has {} events, and {} were exported",
                seen.events, end.events
            ),
        ),
        Some(_) => return None,
    };
    Some(Finding {
        problem,
        line: None,
        session: Some(end.session.clone()),
        says,
    })
}
