//! Credentials that carry their own mark: a prefix, a signature in the middle, an armour.
//!
//! Marks are looked for at the starts of words in runs long enough for a token; a verifier per mark decides. A mark without a
//! verifier's consent is text.

use std::sync::LazyLock;

use super::{
    Sink,
    kinds::Kind,
    values::{
        ALNUM, ANY, BASE64, DIGIT, DOT, EQUALS, JOIN, LOWER, TILDE, UPPER, class, is, is_hex,
        is_placeholder, is_uuid, looks_random, mix, run, run_back_within, run_within, starts_word,
    },
};
use aho_corasick::packed::{Config, MatchKind, Searcher};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// How a mark is verified.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// At the start of a token: the class of what follows, and how much of it there is.
    Prefix {
        kind: Kind,
        class: u8,
        least: usize,
        most: usize,
    },
    /// Inside a token: the token's class and length, and how many characters come before the mark.
    Inside {
        kind: Kind,
        class: u8,
        before: (usize, usize),
        after: (usize, usize),
    },
    Sk,
    Sendgrid,
    Slack,
    Path(Kind),
    Segment,
    OneTime,
    Bot,
    Jwt,
    Aws,
    Databricks,
    Entra,
    Padded,
}

/// Longer than any token with a mark, but for signed ones.
const MAX_TOKEN: usize = 2048;
/// The longest signed token taken whole.
const MAX_JWT: usize = 16 << 10;

const WORD: u8 = ALNUM | JOIN;
const B64: u8 = ALNUM | BASE64;

const fn prefix(kind: Kind, class: u8, least: usize, most: usize) -> Mark {
    Mark::Prefix {
        kind,
        class,
        least,
        most,
    }
}

const fn inside(kind: Kind, class: u8, before: (usize, usize), after: (usize, usize)) -> Mark {
    Mark::Inside {
        kind,
        class,
        before,
        after,
    }
}

/// What tokens start with, and their verifiers.
static MARKS: &[(&str, Mark)] = &[
    ("sk-", Mark::Sk),
    ("sk_live_", prefix(Kind::StripeKey, ALNUM, 16, 250)),
    ("sk_test_", prefix(Kind::StripeKey, ALNUM, 16, 250)),
    ("rk_live_", prefix(Kind::StripeKey, ALNUM, 16, 250)),
    ("rk_test_", prefix(Kind::StripeKey, ALNUM, 16, 250)),
    ("whsec_", prefix(Kind::StripeKey, B64 | EQUALS, 24, 100)),
    ("SG.", Mark::Sendgrid),
    ("ghp_", prefix(Kind::GithubToken, ALNUM, 30, 255)),
    ("gho_", prefix(Kind::GithubToken, ALNUM, 30, 255)),
    ("ghu_", prefix(Kind::GithubToken, ALNUM, 30, 255)),
    (
        "ghs_",
        prefix(Kind::GithubToken, ALNUM | JOIN | DOT, 30, 700),
    ),
    ("ghr_", prefix(Kind::GithubToken, ALNUM, 30, 255)),
    ("github_pat_", prefix(Kind::GithubToken, WORD, 40, 255)),
    ("glpat-", prefix(Kind::GitlabToken, WORD | DOT, 20, 300)),
    ("gldt-", prefix(Kind::GitlabToken, WORD | DOT, 20, 300)),
    ("glrt-", prefix(Kind::GitlabToken, WORD | DOT, 20, 300)),
    ("glcbt-", prefix(Kind::GitlabToken, WORD | DOT, 20, 300)),
    ("glptt-", prefix(Kind::GitlabToken, WORD | DOT, 20, 300)),
    ("gloas-", prefix(Kind::GitlabToken, WORD | DOT, 20, 300)),
    ("npm_", prefix(Kind::NpmToken, ALNUM, 36, 36)),
    ("pypi-", prefix(Kind::PypiToken, WORD, 50, 1000)),
    ("xox", Mark::Slack),
    ("xapp-", Mark::Slack),
    ("hooks.slack.com/", Mark::Path(Kind::Webhook)),
    ("api/webhooks/", Mark::Path(Kind::Webhook)),
    ("webhook.office.com/", Mark::Path(Kind::Webhook)),
    ("hook/", Mark::Segment),
    ("hooks/", Mark::Segment),
    ("webhook/", Mark::Segment),
    ("webhooks/", Mark::Segment),
    ("invite/", Mark::Segment),
    ("invites/", Mark::Segment),
    ("invitation/", Mark::Segment),
    ("invitations/", Mark::Segment),
    ("join/", Mark::Segment),
    ("share/", Mark::Segment),
    ("reset/", Mark::OneTime),
    ("reset-password/", Mark::OneTime),
    ("reset_password/", Mark::OneTime),
    ("password-reset/", Mark::OneTime),
    ("password_reset/", Mark::OneTime),
    ("magic/", Mark::OneTime),
    ("magic-link/", Mark::OneTime),
    ("magic_link/", Mark::OneTime),
    ("verify/", Mark::OneTime),
    ("verify-email/", Mark::OneTime),
    ("verify_email/", Mark::OneTime),
    ("email-verify/", Mark::OneTime),
    ("verification/", Mark::OneTime),
    ("confirm/", Mark::OneTime),
    ("confirm-email/", Mark::OneTime),
    ("confirmation/", Mark::OneTime),
    ("activate/", Mark::OneTime),
    ("activation/", Mark::OneTime),
    ("unsubscribe/", Mark::OneTime),
    ("bot", Mark::Bot),
    ("hf_", prefix(Kind::HuggingFace, ALNUM, 30, 60)),
    ("dapi", Mark::Databricks),
    ("dckr_", prefix(Kind::DockerPat, WORD, 24, 100)),
    ("AIza", prefix(Kind::GoogleKey, WORD, 35, 35)),
    ("ya29.", prefix(Kind::GoogleKey, WORD | DOT, 20, 2000)),
    ("GOCSPX-", prefix(Kind::GoogleKey, WORD, 20, 60)),
    ("AKIA", Mark::Aws),
    ("ASIA", Mark::Aws),
    ("eyJ", Mark::Jwt),
    ("shpat_", prefix(Kind::SaasToken, ALNUM, 32, 64)),
    ("shpss_", prefix(Kind::SaasToken, ALNUM, 32, 64)),
    ("shpca_", prefix(Kind::SaasToken, ALNUM, 32, 64)),
    ("dop_v1_", prefix(Kind::SaasToken, ALNUM, 64, 64)),
    ("doo_v1_", prefix(Kind::SaasToken, ALNUM, 64, 64)),
    ("hvs.", prefix(Kind::SaasToken, WORD, 24, 300)),
    ("hvb.", prefix(Kind::SaasToken, WORD, 24, 300)),
    (
        "AGE-SECRET-KEY-1",
        prefix(Kind::PrivateKey, UPPER | DIGIT, 58, 58),
    ),
    ("lin_api_", prefix(Kind::SaasToken, ALNUM, 32, 64)),
    ("ntn_", prefix(Kind::SaasToken, ALNUM, 40, 60)),
    ("PMAK-", prefix(Kind::SaasToken, WORD, 50, 70)),
    ("rubygems_", prefix(Kind::SaasToken, ALNUM, 48, 48)),
    ("sq0csp-", prefix(Kind::SaasToken, WORD, 40, 60)),
    ("sq0atp-", prefix(Kind::SaasToken, WORD, 20, 60)),
    ("xkeysib-", prefix(Kind::SaasToken, WORD, 64, 100)),
    ("pscale_", prefix(Kind::SaasToken, WORD | DOT, 32, 80)),
    ("glsa_", prefix(Kind::SaasToken, WORD, 36, 60)),
    ("glc_eyJ", prefix(Kind::SaasToken, B64 | EQUALS, 32, 400)),
    (
        "sntrys_",
        prefix(Kind::SaasToken, B64 | JOIN | EQUALS, 50, 400),
    ),
    ("figd_", prefix(Kind::SaasToken, WORD, 32, 60)),
    ("tskey-", prefix(Kind::SaasToken, WORD, 20, 80)),
    ("ATATT3", prefix(Kind::SaasToken, WORD | EQUALS, 100, 250)),
    ("NRAK-", prefix(Kind::SaasToken, ALNUM, 27, 27)),
    ("dp.pt.", prefix(Kind::SaasToken, ALNUM, 40, 50)),
    ("gsk_", prefix(Kind::SaasToken, ALNUM, 40, 70)),
    ("xai-", prefix(Kind::SaasToken, ALNUM, 60, 100)),
    ("r8_", prefix(Kind::SaasToken, ALNUM, 37, 40)),
    ("pplx-", prefix(Kind::SaasToken, ALNUM, 40, 60)),
    ("sbp_", prefix(Kind::SaasToken, ALNUM, 40, 40)),
    ("LTAI", prefix(Kind::SaasToken, ALNUM, 16, 24)),
    ("CFPAT-", prefix(Kind::SaasToken, WORD, 43, 43)),
];

/// What tokens have in their middle: signatures their issuers put there to be found by.
static SIGNATURES: &[(&str, Mark)] = &[
    ("AzCa", inside(Kind::AzureRedis, B64, (30, 40), (4, 10))),
    ("+ASt", inside(Kind::AzureStorage, B64, (60, 90), (4, 10))),
    ("ACDb", inside(Kind::AzureKey, B64, (60, 90), (4, 10))),
    ("+ACR", inside(Kind::AcrPassword, B64, (36, 48), (4, 10))),
    ("ACOG", inside(Kind::AzureKey, ALNUM, (60, 80), (4, 12))),
    ("AZDO", inside(Kind::DevopsPat, ALNUM, (60, 80), (4, 4))),
    ("AzSe", inside(Kind::AzureKey, ALNUM, (36, 46), (4, 8))),
    ("+ASb", inside(Kind::AzureKey, B64, (28, 38), (4, 10))),
    ("+AEh", inside(Kind::AzureKey, B64, (28, 38), (4, 10))),
    ("+ARm", inside(Kind::AzureKey, B64, (28, 38), (4, 10))),
    ("AIoT", inside(Kind::AzureKey, B64, (28, 38), (4, 10))),
    (
        "AzFu",
        inside(Kind::AzureFunction, WORD | BASE64, (36, 52), (6, 10)),
    ),
];

/// For each hash of three bytes whether a mark starts with such three.
static STARTS: [u64; 1 << (START_BITS - 6)] = {
    let mut table = [0; 1 << (START_BITS - 6)];
    let mut index = 0;
    while index < MARKS.len() {
        let mark = MARKS[index].0.as_bytes();
        let hash = start_hash([mark[0], mark[1], mark[2], 0]);
        table[hash >> 6] |= 1 << (hash & 63);
        index += 1;
    }
    table
};

/// Few words begin so by chance.
const START_BITS: u32 = 13;

/// Of the first three of four bytes.
#[inline]
const fn start_hash(four: [u8; 4]) -> usize {
    ((u32::from_le_bytes(four) << 8).wrapping_mul(0x9e37_79b1) >> (u32::BITS - START_BITS)) as usize
}

/// Whether a mark may start here.
#[inline]
pub(super) fn may_start(text: &[u8], at: usize) -> bool {
    text.get(at..at + 4)
        .and_then(<[u8]>::first_chunk)
        .is_some_and(|four| {
            let hash = start_hash(*four);
            STARTS[hash >> 6] >> (hash & 63) & 1 == 1
        })
}

/// For each byte the first mark that starts with it, and for each mark the next that starts as it does.
static CHAINS: ([u8; 128], [u8; MARKS.len()]) = {
    let mut first = [NO_MARK; 128];
    let mut next = [NO_MARK; MARKS.len()];
    let mut index = MARKS.len();
    while index > 0 {
        index -= 1;
        let letter = MARKS[index].0.as_bytes()[0] as usize;
        next[index] = first[letter];
        first[letter] = index as u8;
    }
    (first, next)
};
const NO_MARK: u8 = u8::MAX;
const _: () = assert!(MARKS.len() < NO_MARK as usize);

static SIGNATURE_SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    // Not on every processor; without it they are looked for one by one.
    Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .builder()
        .extend(SIGNATURES.iter().map(|(signature, _)| signature))
        .build()
});

/// The shortest run of token characters that is looked at.
pub(super) const SHORTEST: usize = 15;
/// The shortest start of a token at the end of a line: the shortest mark and as much of a body as could go on in the next.
pub(super) const SHORTEST_START: usize = 9;
/// The shortest run with a signature.
pub(super) const SHORTEST_SIGNED: usize = 36;

/// A run with a key of 64 bytes in padded base64.
const SHORTEST_PADDED: usize = 88;

/// What a scan for tokens saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Where the last AWS access key id ends: its secret is near.
    pub(super) aws: usize,
}

impl Seen {
    fn check(&mut self, text: &[u8], start: usize, end: usize, mark: Mark, sink: &mut Sink<'_>) {
        if let Some((from, to, kind)) = verify(text, start, end, mark) {
            if kind == Kind::AwsAccessKey {
                self.aws = to;
            }
            sink.push(from, to, kind);
        }
    }
}

/// Looks for a mark at the start of a word where one may start.
#[inline]
pub(super) fn word(text: &[u8], at: usize, seen: &mut Seen, sink: &mut Sink<'_>) {
    marks_at(text, at, &mut |start, end, mark| {
        seen.check(text, start, end, mark, sink);
    });
}

/// The start of a token at the end of a line, when it is too short to be looked at otherwise: it may go on in the next.
pub(super) fn line_end(text: &[u8], start: usize, end: usize, sink: &mut Sink<'_>) {
    let line = text[start..end]
        .strip_suffix(b"\r")
        .unwrap_or(&text[start..end]);
    if line.len() < SHORTEST_START
        || !line[line.len() - SHORTEST_START..]
            .iter()
            .all(|byte| is(*byte, ANY))
    {
        return;
    }
    let to = start + line.len();
    let from = run_back_within(text, to, ANY, SHORTEST);
    if to - from < SHORTEST && from >= start {
        let mut seen = Seen::default();
        marks(text, from, |start, end, mark| {
            seen.check(text, start, end, mark, sink);
        });
    }
}

/// What a run of token characters that has capitals may have in it.
pub(super) struct Within {
    /// A signature: a capital A, and another capital next to it or with one letter between.
    pub(super) signature: bool,
    /// `=` or `~`.
    pub(super) mark: bool,
}

/// Looks inside a whole run of token characters for what tokens have in their middle.
pub(super) fn inside_run(
    text: &[u8],
    (from, to): (usize, usize),
    within: Within,
    seen: &mut Seen,
    sink: &mut Sink<'_>,
) {
    if within.signature {
        signatures(text, (from, to), seen, sink);
    }
    if within.mark {
        marked(text, (from, to), seen, sink);
    }
}

/// Looks for signatures.
fn signatures(text: &[u8], (from, to): (usize, usize), seen: &mut Seen, sink: &mut Sink<'_>) {
    let run = &text[from..to];
    match &*SIGNATURE_SEARCHER {
        Some(searcher) => searcher.find_iter(run).for_each(|hit| {
            let (_, mark) = SIGNATURES[hit.pattern().as_usize()];
            seen.check(text, from + hit.start(), from + hit.end(), mark, sink);
        }),
        None => SIGNATURES.iter().for_each(|(signature, mark)| {
            memchr::memmem::find_iter(run, signature).for_each(|start| {
                let start = from + start;
                seen.check(text, start, start + signature.len(), *mark, sink);
            });
        }),
    }
}

/// Looks for what `=` and `~` mark.
fn marked(text: &[u8], (from, to): (usize, usize), seen: &mut Seen, sink: &mut Sink<'_>) {
    let run = &text[from..to];
    for tilde in memchr::memchr_iter(b'~', run) {
        if tilde > 0 && run[tilde - 1] == b'Q' {
            seen.check(text, from + tilde - 1, from + tilde + 1, Mark::Entra, sink);
        }
    }
    if run.len() >= SHORTEST_PADDED {
        memchr::memmem::find_iter(run, b"==")
            .for_each(|at| seen.check(text, from + at, from + at + 2, Mark::Padded, sink));
    }
}

/// Calls `found` with every mark at the start of a word in the run of token characters that starts at `from`.
fn marks(text: &[u8], from: usize, mut found: impl FnMut(usize, usize, Mark)) {
    let mut before = 0;
    // The letter of an escape is not of the word after it.
    if from > 0 && text[from - 1] == b'\\' && may_start(text, from + 1) {
        marks_at(text, from + 1, &mut found);
    }
    for (index, &byte) in text[from..].iter().enumerate() {
        let class = class(byte);
        if class == 0 {
            break;
        }
        let at = from + index;
        if before & ALNUM == 0 && class & (UPPER | LOWER) != 0 && may_start(text, at) {
            marks_at(text, at, &mut found);
        }
        before = class;
    }
}

/// Calls `found` with every mark at one place.
#[inline]
fn marks_at(text: &[u8], at: usize, found: &mut impl FnMut(usize, usize, Mark)) {
    let (heads, next) = &CHAINS;
    let mut index = usize::from(heads[usize::from(text[at] & 127)]);
    while let Some((mark, how)) = MARKS.get(index) {
        // Most differ in the third byte already.
        if text[at..].get(2) == mark.as_bytes().get(2) && text[at..].starts_with(mark.as_bytes()) {
            found(at, at + mark.len(), *how);
        }
        index = usize::from(next[index]);
    }
}

/// Where the first AWS access key id of a line ends.
pub(super) fn first_aws_id(line: &[u8], start: usize) -> Option<usize> {
    memchr::memmem::find_iter(&line[start..], b"IA").find_map(|found| {
        let mark = (start + found)
            .checked_sub(2)
            .filter(|mark| *mark >= start)?;
        let named = matches!(&line[mark..mark + 4], b"AKIA" | b"ASIA");
        named
            .then(|| verify(line, mark, mark + 4, Mark::Aws))?
            .map(|(_, to, _)| to)
    })
}

/// The rest of a token that a terminal or a mail wrapped at the end of its line: the next line starts with it.
///
/// `short`: the token is not one without more.
fn continued(text: &[u8], to: usize, class: u8, short: Short) -> Option<(usize, usize)> {
    let rest = text.get(to..)?;
    let newline = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))?;
    let from = text.len() - newline.len();
    let from = from
        + newline
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
    let end = run_within(text, from, class, MAX_TOKEN);
    let alone = text
        .get(end)
        .is_none_or(|byte| matches!(byte, b'\n' | b'\r' | b'"' | b'\'' | b'`' | b' '));
    let part = &text[from..end];
    let more = match short {
        Short::Yes => part.len() >= 4,
        Short::No => part.len() >= 8 && looks_random(part),
    };
    if !alone || !more || matches!(text.get(end), Some(b'=' | b':')) {
        return None;
    }
    // A list of tokens has one per line. This also lets a stream decide about a line without the one after the next.
    let line_end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |found| end + found);
    (!wraps(&text[from..line_end])).then_some((from, end))
}

/// Whether a token is too short to be one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Short {
    Yes,
    No,
}

/// Whether the last token of a line may go on in the next.
pub(in crate::domain::masking) fn wraps(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let from = run_back_within(line, line.len(), WORD | DOT, MAX_TOKEN);
    if line.len() - from < 8 {
        return false;
    }
    let mut open = false;
    marks(line, from, |start, _, mark| {
        open |=
            matches!(mark, Mark::Prefix { .. } | Mark::Sk | Mark::Jwt) && starts_word(line, start);
    });
    open
}

fn verify(text: &[u8], start: usize, end: usize, mark: Mark) -> Option<(usize, usize, Kind)> {
    match mark {
        Mark::Prefix {
            kind,
            class,
            least,
            most,
        } => {
            if !starts_word(text, start) {
                return None;
            }
            let mut to = run_within(text, end, class, most + 1);
            while to > end && matches!(text[to - 1], b'.' | b'-') {
                to -= 1;
            }
            let length = to - end;
            if length < most && !plausible_start(&text[end..to]) {
                return None;
            }
            let short = if length < least {
                Short::Yes
            } else {
                Short::No
            };
            if length < most
                && let Some((from, rest)) = continued(text, to, class, short)
            {
                let whole = length + rest - from;
                if whole >= least && whole <= most {
                    return Some((start, rest, kind));
                }
            }
            (length >= least && length <= most && plausible(&text[end..to]))
                .then_some((start, to, kind))
        }
        Mark::Inside {
            kind,
            class,
            before,
            after,
        } => {
            let from = run_back_within(text, start, class, before.1 + 1);
            let mut to = run_within(text, end, class, after.1 + 1);
            let fits =
                |length: usize, (least, most): (usize, usize)| (least..=most).contains(&length);
            if !fits(start - from, before) || !fits(to - end, after) {
                return None;
            }
            to = run_within(text, to, EQUALS, 2);
            plausible(&text[from..to]).then_some((from, to, kind))
        }
        Mark::Sk => {
            if !starts_word(text, start) {
                return None;
            }
            let mut to = run_within(text, end, WORD, 400);
            let short = if to - end < 20 { Short::Yes } else { Short::No };
            if to - end >= 8
                && let Some((_, rest)) = continued(text, to, WORD, short)
            {
                to = rest;
            }
            let body = &text[end..to];
            let kind = if body.starts_with(b"ant-") {
                Kind::AnthropicKey
            } else {
                Kind::OpenaiKey
            };
            (body.len() >= 20 && plausible(body) && mix(body).digits > 0)
                .then_some((start, to, kind))
        }
        Mark::Sendgrid => {
            let dot = run_within(text, end, WORD, 33);
            let to = run_within(text, (dot + 1).min(text.len()), WORD, 65);
            (starts_word(text, start)
                && text.get(dot) == Some(&b'.')
                && (16..=32).contains(&(dot - end))
                && (32..=64).contains(&(to - dot)))
            .then_some((start, to, Kind::SendgridKey))
        }
        Mark::Slack => {
            let to = run_within(text, start, WORD, MAX_TOKEN);
            let token = &text[start..to];
            let kind_ok = token.starts_with(b"xapp-")
                || (token.len() > 5
                    && token[3].is_ascii_lowercase()
                    && matches!(token[4], b'-' | b'.'));
            (starts_word(text, start)
                && kind_ok
                && token.len() >= 24
                && mix(token).digits > 8
                && plausible(&token[5..]))
            .then_some((start, to, Kind::SlackToken))
        }
        Mark::Path(kind) => {
            // hooks.slack.com/services/T…/B…/…: what names the service stays.
            let mut from = end;
            for name in [
                b"services/".as_slice(),
                b"workflows/",
                b"triggers/",
                b"webhookb2/",
            ] {
                if text[end..].starts_with(name) {
                    from = end + name.len();
                }
            }
            let to = run_within(text, from, ALNUM | JOIN | BASE64 | DOT | TILDE, MAX_TOKEN);
            let to = to
                - text[from..to]
                    .iter()
                    .rev()
                    .take_while(|byte| matches!(byte, b'.' | b'/'))
                    .count();
            (to - from >= 20 && mix(&text[from..to]).digits > 2 && plausible(&text[from..to]))
                .then_some((from, to, kind))
        }
        Mark::Segment | Mark::OneTime => {
            // /hooks/…, whatever the host: one part of the path is random, and it has no name of a file in it. What is for
            // one time may be hexadecimal: no other digest has its place there.
            let random = |part: &[u8]| {
                is_random_part(part)
                    || matches!(mark, Mark::OneTime) && part.len() >= 32 && is_hex(part)
            };
            let begins = start > 0 && text[start - 1] == b'/';
            let to = run_within(text, end, WORD | BASE64 | DOT, MAX_TOKEN);
            let mut from = end;
            let part = text[end..to].split(|byte| *byte == b'/').find_map(|part| {
                let own = from;
                from += part.len() + 1;
                random(part).then_some((own, own + part.len()))
            });
            let (from, to) = part.filter(|_| begins)?;
            Some((from, to, Kind::Webhook))
        }
        Mark::Bot => {
            // /bot123456789:…/sendMessage
            let number = run_within(text, end, DIGIT, 12);
            let to = run_within(text, number + 1, WORD, 60);
            let fits = (6..=12).contains(&(number - end)) && (30..=50).contains(&(to - number));
            let begins = start > 0 && text[start - 1] == b'/' && text.get(number) == Some(&b':');
            (begins && fits).then_some((end, to, Kind::Webhook))
        }
        Mark::Jwt => jwt(text, start),
        Mark::Aws => {
            let to = run_within(text, end, UPPER | DIGIT, 17);
            (starts_word(text, start)
                && to - end == 16
                && !text.get(to).is_some_and(|byte| is(*byte, ALNUM))
                && plausible(&text[start..to]))
            .then_some((start, to, Kind::AwsAccessKey))
        }
        Mark::Databricks => {
            let mut to = run_within(text, end, ALNUM, 33);
            let body = &text[end..to];
            if !starts_word(text, start)
                || body.len() != 32
                || !is_hex(body)
                || is_placeholder(body)
            {
                return None;
            }
            if text.get(to) == Some(&b'-') && text.get(to + 1).is_some_and(|byte| is(*byte, DIGIT))
            {
                to += 2;
            }
            Some((start, to, Kind::Databricks))
        }
        Mark::Entra => {
            const SECRET: u8 = WORD | DOT | TILDE;
            let from = run_back_within(text, start, SECRET, 64);
            let mut to = run_within(text, end, SECRET, 64);
            // xxx8Q~…: three of the alphabet and a digit, then 31 to 34 more. A full stop may end the sentence.
            let before = start - from;
            if before < 4 || !is(text[start - 1], DIGIT) {
                return None;
            }
            let from = start - 4;
            if before > 4 && !(text[from - 1] == b'.' || text[from - 1] == b'-') {
                return None;
            }
            while to > end + 31 && text[to - 1] == b'.' {
                to -= 1;
            }
            let to = to.min(end + 34);
            (to - end >= 31 && plausible(&text[end..to])).then_some((from, to, Kind::EntraSecret))
        }
        Mark::Padded => {
            // 86 characters and `==`: 64 bytes, the size of a storage account's key.
            let from = run_back_within(text, start, B64, 87);
            let free = from == 0 || !matches!(text[from - 1], b'-' | b'_' | b':' | b'%');
            (start - from == 86
                && free
                && text.get(end) != Some(&b'=')
                && mix(&text[from..start]).distinct > 30)
                .then_some((from, end, Kind::AzureStorage))
        }
    }
}

/// Whether a part of a path is a secret rather than a name, a hash or an id.
fn is_random_part(part: &[u8]) -> bool {
    let mix = mix(part);
    part.len() >= 18
        && run(part, 0, WORD) == part.len()
        && mix.digits > 1
        && mix.turns * 4 >= part.len()
        && mix.distinct >= 10
        && !is_uuid(part)
        && !is_hex(part)
        && !is_placeholder(part)
}

/// What could be the first part of a body.
fn plausible_start(body: &[u8]) -> bool {
    body.len() >= 6 && !is_placeholder(body)
}

/// A body that is neither an example nor a word.
fn plausible(body: &[u8]) -> bool {
    !is_placeholder(body) && mix(body).distinct >= 8.min(1 + body.len() as u32 / 3)
}

/// `Bearer` and `Basic` with what follows them; `start..end` is the word without its first letter.
pub(super) fn scheme(text: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let first = start.checked_sub(1)?;
    if !starts_word(text, first) {
        return None;
    }
    let from = end + text[end..].iter().take_while(|byte| **byte == b' ').count();
    match text[first] {
        b'B' | b'b' if text[start] == b'e' => {
            let to = run_within(
                text,
                from,
                ALNUM | JOIN | BASE64 | DOT | TILDE | EQUALS,
                MAX_JWT,
            );
            let to = to
                - text[from..to]
                    .iter()
                    .rev()
                    .take_while(|byte| **byte == b'.')
                    .count();
            let token = &text[from..to];
            (token.len() >= 16
                && !is_placeholder(token)
                && (looks_random(token) || (is_hex(token) && token.len() >= 32)))
                .then_some((from, to, Kind::Bearer))
        }
        b'B' | b'b' if text[start] == b'a' => {
            let to = run_within(
                text,
                run_within(text, from, B64 | JOIN, MAX_TOKEN),
                EQUALS,
                2,
            );
            let decoded = decode(&text[from..to])?;
            let colon = decoded.iter().position(|byte| *byte == b':')?;
            let printable = decoded
                .iter()
                .all(|byte| matches!(byte, 0x20..=0x7e | 0x80..));
            (printable && colon + 1 < decoded.len() && to - from >= 8).then_some((
                from,
                to,
                Kind::BasicAuth,
            ))
        }
        _ => None,
    }
}

/// Three parts, the first of which decodes to a JSON object with an algorithm.
fn jwt(text: &[u8], start: usize) -> Option<(usize, usize, Kind)> {
    let begins = starts_word(text, start) || start > 0 && matches!(text[start - 1], b'_' | b'-');
    if !begins {
        return None;
    }
    let header_end = run_within(text, start, WORD, MAX_TOKEN);
    if text.get(header_end) != Some(&b'.') || header_end - start < 15 {
        return None;
    }
    let header = decode(&text[start..header_end])?;
    if !header.starts_with(b"{\"")
        || !header
            .windows(5)
            .any(|part| part == b"\"alg\"" || part == b"\"enc\"" || part == b"\"typ\"")
    {
        return None;
    }
    let mut to = run_within(text, header_end + 1, WORD | DOT, MAX_JWT);
    while to > header_end && text[to - 1] == b'.' {
        to -= 1;
    }
    if let Some((_, rest)) = continued(text, to, WORD | DOT, Short::No) {
        to = rest;
    }
    (to > header_end + 8).then_some((start, to, Kind::Jwt))
}

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// Decodes base64 of either alphabet, with or without padding.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(|byte| is(*byte, JOIN)) {
        URL_SAFE.decode(text).ok()
    } else {
        STANDARD.decode(text).ok()
    }
}

/// The six bits each character of base64 stands for, in either alphabet.
static SEXTETS: [u8; 256] = {
    let mut table = [NO_SEXTET; 256];
    let mut value = 0;
    while value < 26 {
        table[b'A' as usize + value] = value as u8;
        table[b'a' as usize + value] = value as u8 + 26;
        value += 1;
    }
    let mut digit = 0;
    while digit < 10 {
        table[b'0' as usize + digit] = digit as u8 + 52;
        digit += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};
const NO_SEXTET: u8 = 0x80;

/// The three bytes four characters of base64 stand for; where one is none of base64, the highest bit is set.
#[inline]
fn three([a, b, c, d]: [u8; 4]) -> u32 {
    let sextet = |byte: u8| u32::from(SEXTETS[usize::from(byte)]);
    let (a, b, c, d) = (sextet(a), sextet(b), sextet(c), sextet(d));
    let none = (a | b | c | d) & u32::from(NO_SEXTET);
    a << 18 | b << 12 | c << 6 | d | none << 24
}

/// Whether the six bytes that eight characters of base64 stand for could begin a text.
#[inline]
pub(super) fn may_decode_to_text(base64: [u8; 8]) -> bool {
    let [a, b, c, d, e, f, g, h] = base64;
    let first = three([a, b, c, d]);
    // Most begin with something else already.
    if !may_be_text::<3>(u64::from(first & 0xff_ffff)) {
        return false;
    }
    let second = three([e, f, g, h]);
    let bytes = u64::from(first) << 24 | u64::from(second & 0xff_ffff);
    may_be_text::<6>(bytes) && (first | second) >> 31 == 0
}

/// Whether so many bytes could begin a text. All of it is asked in any case: nobody could predict the branches.
#[inline]
fn may_be_text<const COUNT: u32>(bytes: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const { assert!(COUNT < u64::BITS / 8) };
    let highest = (EACH << 7) & ((1 << (8 * COUNT)) - 1);
    // Less than a space, but for the eight codes among which are tab, line feed and carriage return.
    let white = bytes << 4 & !(bytes << 3);
    let control = !(((bytes & !highest) + EACH * 0x60) | bytes) & !white;
    // What goes on in another character than it began in, and what begins without going on.
    let (high, leads) = (bytes, bytes & bytes << 1);
    let goes_on = high & !(bytes << 1);
    let broken = goes_on & !(high >> 8) | leads >> 8 & !goes_on;
    (control | broken) & highest == 0
}

/// Whether base64 begins like that of text: what is no text is hardly ever so for more than a few bytes.
pub(super) fn decodes_to_text(base64: &[u8]) -> bool {
    /// The highest bit of each of three bytes.
    const HIGHEST: u32 = 0x80_8080;
    // How many more bytes the character at hand has.
    let mut more = 0;
    let (fours, _) = base64.as_chunks::<4>();
    for four in fours {
        let bits = three(*four);
        if bits >> 31 == 1 {
            return false;
        }
        // Three printable characters of ASCII, as most are.
        if more == 0 && bits & HIGHEST == 0 && (bits + 0x60_6060) & HIGHEST == HIGHEST {
            continue;
        }
        for byte in bits.to_be_bytes().into_iter().skip(1) {
            more = match (more, byte) {
                (0, b'\t' | b'\n' | b'\r' | 0x20..=0x7e) => 0,
                (0, 0xc2..=0xdf) => 1,
                (0, 0xe0..=0xef) => 2,
                (0, 0xf0..=0xf4) => 3,
                (1.., 0x80..=0xbf) => more - 1,
                _ => return false,
            };
        }
    }
    true
}

/// The secret that belongs to an AWS access key id nearby: 40 characters of base64 that stand alone.
pub(super) fn aws_secret(text: &[u8], from: usize, sink: &mut Sink<'_>) {
    let mut at = from;
    while at < text.len() {
        if !is(text[at], B64) {
            at += 1;
            continue;
        }
        let to = run(text, at, B64);
        let token = &text[at..to];
        if token.len() == 40
            && !is_hex(token)
            && looks_random(token)
            && !is_placeholder(token)
            && text.get(to) != Some(&b'=')
        {
            sink.push(at, to, Kind::AwsSecretKey);
        }
        at = to;
    }
}

/// Lower case letters and 2 to 7, 52 of them: Azure DevOps' older form. Only said where a name asks for a secret.
pub(super) fn is_old_devops_pat(value: &[u8]) -> bool {
    value.len() == 52
        && value
            .iter()
            .all(|byte| is(*byte, LOWER) || matches!(byte, b'2'..=b'7'))
}
