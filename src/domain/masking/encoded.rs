//! Bodies that are not text yet: compressed ones are read before they are masked, or not passed at all.
//!
//! INVARIANT: what comes out was decoded completely, whatever was wrapped in what; an encoding that cannot be read here is
//! an error, and an error passes nothing on. Memory does not grow with what a few bytes unpack to.

use std::io::{self, Write as _};

use flate2::write::{MultiGzDecoder, ZlibDecoder};

/// How deep compressed things are in compressed things.
const MAX_DEPTH: u8 = 3;
/// How many compressed bytes are unpacked at once: a thousand times as many come out at most.
const STEP: usize = 1 << 10;
/// How many bytes tell every encoding from text.
const MAGIC: usize = 6;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodedError {
    /// An encoding nobody here can undo.
    #[error(
        "it is {0}, which is not decoded here: unpack it first, or ask for it as it is or as gzip"
    )]
    Unreadable(String),
    /// It breaks off, or its checksum is wrong.
    #[error("it is not the {0} it begins as: it is cut off or damaged")]
    Broken(&'static str),
    /// More than the caller takes, or compressed again and again.
    #[error("it unpacks to more than is taken ({0})")]
    TooMuch(String),
}

/// How a body is compressed, as far as can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, in any number of members.
    Gzip,
    /// RFC 1950; HTTP calls it `deflate`.
    Zlib,
}

impl Encoding {
    /// By the value of a `Content-Encoding` header; several in a row, `gzip, gzip`, are not taken.
    pub fn from_header(value: &str) -> Result<Self, EncodedError> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Zlib),
            other => Err(EncodedError::Unreadable(other.chars().take(32).collect())),
        }
    }

    /// By the first bytes of a body, which prove more than a header. Brotli has no mark and is known by its header alone.
    fn from_bytes(start: &[u8]) -> Result<Self, EncodedError> {
        const UNREADABLE: [(&[u8], &str); 6] = [
            (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
            (b"PK\x03\x04", "a zip archive"),
            (&[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], "a 7z archive"),
            (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
            (b"BZh", "bzip2"),
        ];
        if let Some((_, name)) = UNREADABLE
            .iter()
            .find(|(magic, name)| start.starts_with(magic) && (*name != "bzip2" || is_bzip2(start)))
        {
            return Err(EncodedError::Unreadable((*name).into()));
        }
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // `x^` begins text as well.
            [0x78, 0x01 | 0x9c | 0xda, ..] => Self::Zlib,
            _ => Self::Identity,
        })
    }
}

/// `BZh9` and the first digits of pi.
fn is_bzip2(start: &[u8]) -> bool {
    matches!(start, [_, _, _, b'1'..=b'9', 0x31, 0x41, ..])
}

/// Reads one body, in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    depth: u8,
    /// How many decoded bytes may still come.
    left: u64,
}

#[derive(Debug)]
enum State {
    /// Too few bytes to tell what it is.
    Start(Vec<u8>),
    Plain,
    Gzip(Box<(MultiGzDecoder<Vec<u8>>, Decoder)>),
    Zlib(Box<(ZlibDecoder<Vec<u8>>, Decoder)>),
}

impl Decoder {
    /// Reads a body that says what it is by its first bytes; `limit`: how many bytes may come out of it.
    pub fn new(limit: u64) -> Self {
        Self {
            state: State::Start(Vec::new()),
            depth: 0,
            left: limit,
        }
    }

    /// Reads a body of a known encoding.
    pub fn of(encoding: Encoding, limit: u64) -> Self {
        let mut decoder = Self::new(limit);
        decoder.begin(encoding);
        decoder
    }

    fn begin(&mut self, encoding: Encoding) {
        let inner = Self {
            depth: self.depth + 1,
            ..Self::new(self.left)
        };
        self.state = match encoding {
            // What calls itself plain may still be something else.
            Encoding::Identity => State::Start(Vec::new()),
            Encoding::Gzip => State::Gzip(Box::new((MultiGzDecoder::new(Vec::new()), inner))),
            Encoding::Zlib => State::Zlib(Box::new((ZlibDecoder::new(Vec::new()), inner))),
        };
    }

    /// Takes more of the body; appends what it says to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodedError> {
        match &mut self.state {
            State::Plain => {
                self.left = self
                    .left
                    .checked_sub(bytes.len() as u64)
                    .ok_or_else(|| EncodedError::TooMuch("the limit on its size".into()))?;
                out.extend_from_slice(bytes);
                Ok(())
            }
            State::Start(start) => {
                start.extend_from_slice(bytes);
                if start.len() < MAGIC {
                    return Ok(());
                }
                let start = std::mem::take(start);
                self.told(&start, out)
            }
            State::Gzip(both) => {
                let (decoder, inner) = &mut **both;
                for step in bytes.chunks(STEP) {
                    decoder
                        .write_all(step)
                        .map_err(|_| EncodedError::Broken("gzip"))?;
                    inner.push(&std::mem::take(decoder.get_mut()), out)?;
                }
                Ok(())
            }
            State::Zlib(both) => {
                let (decoder, inner) = &mut **both;
                for step in bytes.chunks(STEP) {
                    decoder
                        .write_all(step)
                        .map_err(|_| EncodedError::Broken("zlib"))?;
                    inner.push(&std::mem::take(decoder.get_mut()), out)?;
                }
                Ok(())
            }
        }
    }

    /// What the first bytes say decides about all of them.
    fn told(&mut self, start: &[u8], out: &mut Vec<u8>) -> Result<(), EncodedError> {
        match Encoding::from_bytes(start)? {
            Encoding::Identity => self.state = State::Plain,
            _ if self.depth >= MAX_DEPTH => {
                return Err(EncodedError::TooMuch(format!(
                    "packed {MAX_DEPTH} times over"
                )));
            }
            encoding => self.begin(encoding),
        }
        self.push(start, out)
    }

    /// Ends the body; appends the rest of it.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), EncodedError> {
        if let State::Start(start) = &mut self.state {
            let start = std::mem::take(start);
            self.told(&start, out)?;
        }
        let (name, rest, ended, inner) = match self.state {
            State::Start(_) | State::Plain => return Ok(()),
            State::Gzip(both) => {
                let (mut decoder, inner) = *both;
                let ended: io::Result<()> = decoder.try_finish();
                ("gzip", std::mem::take(decoder.get_mut()), ended, inner)
            }
            State::Zlib(both) => {
                let (mut decoder, inner) = *both;
                let ended = decoder.try_finish();
                ("zlib", std::mem::take(decoder.get_mut()), ended, inner)
            }
        };
        let mut inner = inner;
        inner.push(&rest, out)?;
        inner.finish(out)?;
        ended.map_err(|_| EncodedError::Broken(name))
    }
}

#[cfg(test)]
mod tests {
    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], piece: usize, limit: u64) -> Result<Vec<u8>, EncodedError> {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(limit);
        for piece in bytes.chunks(piece) {
            decoder.push(piece, &mut out)?;
        }
        decoder.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_compressed_is_read_however_it_is_cut_and_wrapped() {
        let text = b"password=hunter2x, again and again: ".repeat(200);
        let twice = [gzip(&text), gzip(b"second member")].concat();
        let all = [text.as_slice(), b"second member"].concat();
        for piece in [1, 7, 4096, usize::MAX] {
            assert_eq!(read(&text, piece, 1 << 20).unwrap(), text);
            assert_eq!(read(&gzip(&text), piece, 1 << 20).unwrap(), text);
            assert_eq!(read(&zlib(&text), piece, 1 << 20).unwrap(), text);
            assert_eq!(read(&gzip(&zlib(&text)), piece, 1 << 20).unwrap(), text);
            assert_eq!(read(&twice, piece, 1 << 20).unwrap(), all);
            assert_eq!(read(b"x^2", piece, 1 << 20).unwrap(), b"x^2");
            assert_eq!(read(b"", piece, 1 << 20).unwrap(), b"");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_nothing_of_it_passes() {
        for (bytes, name) in [
            (b"\x28\xb5\x2f\xfd\x04\x00aaaaaaa".as_slice(), "zstd"),
            (b"PK\x03\x04aaaaaaaaaa", "zip"),
            (b"BZh91AY&SYaaaaa", "bzip2"),
        ] {
            let error = read(bytes, 3, 1 << 20).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(read(&gzip(bytes), 3, 1 << 20).is_err(), "{name} in gzip");
        }
        for header in ["br", "zstd", "gzip, gzip", "compress"] {
            assert!(Encoding::from_header(header).is_err(), "{header}");
        }
        let whole = gzip(b"some text that is long enough to be cut off somewhere");
        assert!(read(&whole[..whole.len() - 9], 5, 1 << 20).is_err());
        assert!(read(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0], 5, 1 << 20).is_err());
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&gzip(&vec![0; 64 << 20]));
        let mut out = Vec::new();
        let mut decoder = Decoder::new(1 << 20);
        assert!(matches!(
            decoder.push(&bomb, &mut out),
            Err(EncodedError::TooMuch(_))
        ));
        assert!(out.len() <= 1 << 20);
        let deep = (0..5).fold(b"text".to_vec(), |inside, _| gzip(&inside));
        assert!(matches!(
            read(&deep, 100, 1 << 20),
            Err(EncodedError::TooMuch(_))
        ));
    }
}
