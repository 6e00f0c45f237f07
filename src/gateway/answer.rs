//! An HTTP answer on its way to whoever waits for it, while it comes.
//!
//! INVARIANT: what travels here was masked, and that it would come was on record before. A caller who takes pieces slowly
//! slows the API down: no more than a few of them wait here.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    links::Links,
    outcome::{HeaderField, KeptAnswer},
    ports::AnswerHead,
};
use crate::domain::{
    id::RequestId,
    masking::{Decoder, EncodedError, Masked, MaskedBytes, MaskedCounts, Masking},
    record::Hasher,
    session::AnswerRecord,
};

/// How many pieces wait for a slow caller, beside the one that is masked.
const WAITING: usize = 1;
/// The most of a piece that is written at once: whoever writes to a slow caller counts what it keeps in these.
const WRITTEN: usize = 4 << 10;
/// What an API answers before its body, as it may be seen.
#[derive(Debug)]
pub struct Head {
    /// The request this is the answer to.
    pub request: RequestId,
    /// The status.
    pub status: u16,
    /// Its header fields.
    pub headers: Vec<(String, Masked<String>)>,
}

#[derive(Debug)]
enum Piece {
    Head(Head),
    Bytes(Masked<Vec<u8>>),
}

/// Where an answer goes.
#[derive(Debug)]
pub struct Responder {
    to: mpsc::Sender<Piece>,
    api_at: Option<String>,
}

/// Where an answer arrives.
#[derive(Debug)]
pub struct Response {
    pieces: mpsc::Receiver<Piece>,
    /// What of the last piece is not taken yet.
    rest: Bytes,
}

/// The caller is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// The two ends of an answer's way. `api_at`: where its caller reaches the API, without a slash at its end; the answer's links
/// to the API are told as links to there.
pub fn answer(api_at: Option<String>) -> (Responder, Response) {
    let (to, pieces) = mpsc::channel(WAITING);
    let rest = Bytes::new();
    (Responder { to, api_at }, Response { pieces, rest })
}

impl Responder {
    pub(super) async fn head(&self, head: Head) -> Result<(), Gone> {
        self.to.send(Piece::Head(head)).await.map_err(|_| Gone)
    }

    pub(super) async fn bytes(&self, bytes: Masked<Vec<u8>>) -> Result<(), Gone> {
        self.to.send(Piece::Bytes(bytes)).await.map_err(|_| Gone)
    }
}

impl Response {
    /// What comes before the body; `None`: nothing came, and what became of the request says why.
    pub async fn head(&mut self) -> Option<Head> {
        match self.pieces.recv().await {
            Some(Piece::Head(head)) => Some(head),
            Some(Piece::Bytes(_)) | None => None,
        }
    }

    /// The next piece of the body; `None`: no more come, and what became of the request says whether that was all.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            match self.pieces.recv().await {
                Some(Piece::Bytes(bytes)) => self.rest = bytes.into_inner().into(),
                Some(Piece::Head(_)) | None => return None,
            }
        }
        Some(self.rest.split_to(self.rest.len().min(WRITTEN)))
    }
}

/// Header fields that say who is called, not what is answered: a caller sent none and is given none.
const NOT_HANDED_ON: [&str; 4] = ["alt-svc", "clear-site-data", "set-cookie", "set-cookie2"];

/// Why no more of an answer is taken.
pub(super) enum Stop {
    /// Its caller has left.
    Gone,
    /// It is more than the budget.
    TooMuch,
    /// It cannot be read.
    Unreadable(EncodedError),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("its caller has left"),
            Self::TooMuch => f.write_str(
                "it is longer than the connection's budget of bytes: ask for less at once",
            ),
            Self::Unreadable(error) => {
                write!(f, "it cannot be read, so it cannot be masked: {error}")
            }
        }
    }
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// One answer as it comes: decoded, masked, counted, and handed over at once or kept.
pub(super) struct Coming<'a> {
    status: u16,
    headers: Vec<HeaderField>,
    decoder: Option<Decoder>,
    /// Those of a JSON body whose caller can follow them.
    links: Option<Links>,
    passing: Option<MaskedBytes<'a>>,
    decoded: Vec<u8>,
    linked: Vec<u8>,
    hasher: Hasher,
    bytes: u64,
    /// What is not handed over as it comes.
    kept: Option<Vec<u8>>,
}

impl<'a> Coming<'a> {
    /// Begins with the head, and hands it over. `limit`: the most bytes the body may have.
    pub(super) async fn begin(
        masking: &'a Masking,
        request: &RequestId,
        head: AnswerHead,
        limit: u64,
        to: Option<&Responder>,
        counts: &mut MaskedCounts,
    ) -> (Self, Result<(), Gone>) {
        let headers: Vec<(String, Masked<String>)> = head
            .headers
            .into_iter()
            .filter(|(name, _)| !NOT_HANDED_ON.contains(&name.as_str()))
            .map(|(name, value)| (name, masking.text(&value, counts)))
            .collect();
        let api_at = to.and_then(|to| to.api_at.clone());
        let is_json = headers.iter().any(|(name, value)| {
            name == "content-type" && value.as_inner().to_ascii_lowercase().contains("json")
        });
        let plain = headers.iter();
        let coming = Self {
            status: head.status,
            headers: plain
                .map(|(name, value)| HeaderField {
                    name: name.clone(),
                    value: value.as_inner().clone(),
                })
                .collect(),
            decoder: Some(Decoder::of(head.encoding, limit)),
            links: api_at
                .filter(|_| is_json)
                .map(|address| Links::new(head.api, address)),
            passing: Some(masking.passing()),
            decoded: Vec::new(),
            linked: Vec::new(),
            hasher: Hasher::default(),
            bytes: 0,
            kept: to.is_none().then(Vec::new),
        };
        let handed = match to {
            Some(to) => {
                to.head(Head {
                    request: request.clone(),
                    status: head.status,
                    headers,
                })
                .await
            }
            None => Ok(()),
        };
        (coming, handed)
    }

    /// Takes the next bytes as they came.
    pub(super) async fn take(
        &mut self,
        bytes: &[u8],
        to: Option<&Responder>,
        counts: &mut MaskedCounts,
    ) -> Result<(), Stop> {
        let (Some(decoder), Some(passing)) = (&mut self.decoder, &mut self.passing) else {
            return Ok(());
        };
        self.decoded.clear();
        let decoded = decoder.push(bytes, &mut self.decoded);
        let plain = match &mut self.links {
            Some(links) => {
                self.linked.clear();
                links.push(&self.decoded, &mut self.linked);
                &self.linked
            }
            None => &self.decoded,
        };
        let masked = passing.push(plain, counts);
        self.hand_over(masked, to).await?;
        decoded.map_err(too_much)
    }

    /// Ends it; an answer that breaks off has what came before.
    pub(super) async fn end(
        &mut self,
        to: Option<&Responder>,
        counts: &mut MaskedCounts,
    ) -> Result<(), Stop> {
        let (Some(decoder), Some(mut passing)) = (self.decoder.take(), self.passing.take()) else {
            return Ok(());
        };
        self.decoded.clear();
        let decoded = decoder.finish(&mut self.decoded);
        if let Some(links) = &mut self.links {
            self.linked.clear();
            links.push(&self.decoded, &mut self.linked);
            links.finish(&mut self.linked);
            std::mem::swap(&mut self.decoded, &mut self.linked);
        }
        let masked = passing.push(&self.decoded, counts);
        self.hand_over(masked, to).await?;
        self.hand_over(passing.finish(counts), to).await?;
        decoded.map_err(too_much)
    }

    async fn hand_over(
        &mut self,
        masked: Masked<Vec<u8>>,
        to: Option<&Responder>,
    ) -> Result<(), Gone> {
        if masked.as_inner().is_empty() {
            return Ok(());
        }
        self.hasher.update(masked.as_inner());
        self.bytes += masked.as_inner().len() as u64;
        match (&mut self.kept, to) {
            (Some(kept), _) => kept.extend(masked.into_inner()),
            (None, Some(to)) => to.bytes(masked).await?,
            (None, None) => {}
        }
        Ok(())
    }

    /// What goes on record of it.
    pub(super) fn record(&self, withheld: bool) -> AnswerRecord {
        let content_type = self
            .headers
            .iter()
            .find(|field| field.name == "content-type");
        AnswerRecord {
            status: self.status,
            content_type: content_type.map(|field| field.value.clone()),
            bytes: self.bytes,
            sha256: self.hasher.clone().finish(),
            withheld,
        }
    }

    /// All of it, unless it was handed over as it came.
    pub(super) fn kept(self) -> Option<KeptAnswer> {
        let Self { headers, kept, .. } = self;
        kept.map(|body| KeptAnswer::new(headers, body))
    }
}

fn too_much(error: EncodedError) -> Stop {
    match error {
        EncodedError::TooMuch(_) => Stop::TooMuch,
        error => Stop::Unreadable(error),
    }
}
