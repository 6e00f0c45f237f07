//! The types of a result's columns, how long a value of one is on the wire, and what it says ([MS-TDS] 2.2.5.4, 2.2.5.5).
//!
//! Values become text here, digit by digit, so that no decimal is ever a float and no date another time zone's.

use std::{borrow::Cow, fmt::Write as _};

use super::{collation::Collation, wire::WireError};
use crate::domain::masking::Cell;

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) info: TypeInfo,
}

/// A type, as a result's description carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeInfo {
    /// Its name in T-SQL, without lengths.
    pub(super) type_name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) length: Length,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bit,
    Integer,
    Decimal { scale: u8 },
    Money,
    Float,
    Date,
    Time { scale: u8 },
    DateTime2 { scale: u8 },
    DateTimeOffset { scale: u8 },
    DateTime,
    Char(Collation),
    NChar,
    Binary,
    Guid,
    Xml,
    Variant,
    Udt,
}

/// How a value's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Always the same.
    Fixed(usize),
    /// One byte; 0 is NULL.
    Byte,
    /// Two bytes; 0xFFFF is NULL.
    Short,
    /// Four bytes; 0 is NULL.
    Long,
    /// Behind a text pointer, as `text`, `ntext` and `image` are.
    Pointed,
    /// In chunks.
    Chunks,
}

/// What a value's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Null,
    False,
    True,
    Number,
    Text,
}

/// A value that is not of its type, or in letters nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Bytes taken one after the other; `None`: there are not that many yet.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Text behind a count of its UTF-16 units in one byte.
    pub(super) fn short_text(&mut self) -> Option<String> {
        let units = self.u8()?;
        self.text(usize::from(units))
    }

    /// Text behind a count of its UTF-16 units in two bytes.
    pub(super) fn long_text(&mut self) -> Option<String> {
        let units = self.u16()?;
        self.text(usize::from(units))
    }

    /// Names and messages: half a surrogate pair in one of them is shown as what it is, an unknown letter.
    fn text(&mut self, units: usize) -> Option<String> {
        let units: Vec<u16> = units_of(self.take(units * 2)?).collect();
        Some(String::from_utf16_lossy(&units))
    }
}

fn units_of(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _odd) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair))
}

impl Column {
    /// One column of a COLMETADATA token; `None`: there is more of it to come.
    pub(super) fn parse(bytes: &mut Bytes<'_>) -> Result<Option<Self>, WireError> {
        let Some((_user_type, _flags, token)) =
            (|| Some((bytes.u32()?, bytes.u16()?, bytes.u8()?)))()
        else {
            return Ok(None);
        };
        let Some(info) = type_info(token, bytes).transpose()? else {
            return Ok(None);
        };
        if info.length == Length::Pointed {
            // The table a `text` comes from, in parts.
            let parts = bytes.u8();
            if parts.is_none_or(|parts| (0..parts).any(|_| bytes.long_text().is_none())) {
                return Ok(None);
            }
        }
        Ok(bytes.short_text().map(|name| Self { name, info }))
    }
}

fn type_info(token: u8, bytes: &mut Bytes<'_>) -> Option<Result<TypeInfo, WireError>> {
    use Length::{Byte, Chunks, Fixed, Long, Pointed, Short};
    let collation = |bytes: &mut Bytes<'_>| bytes.array().map(Collation::new);
    let (name, kind, length) = match token {
        0x1f => ("null", Kind::Null, Fixed(0)),
        0x32 => ("bit", Kind::Bit, Fixed(1)),
        0x30 => ("tinyint", Kind::Integer, Fixed(1)),
        0x34 => ("smallint", Kind::Integer, Fixed(2)),
        0x38 => ("int", Kind::Integer, Fixed(4)),
        0x7f => ("bigint", Kind::Integer, Fixed(8)),
        0x3b => ("real", Kind::Float, Fixed(4)),
        0x3e => ("float", Kind::Float, Fixed(8)),
        0x7a => ("smallmoney", Kind::Money, Fixed(4)),
        0x3c => ("money", Kind::Money, Fixed(8)),
        0x3a => ("smalldatetime", Kind::DateTime, Fixed(4)),
        0x3d => ("datetime", Kind::DateTime, Fixed(8)),
        0x24 | 0x26 | 0x68 | 0x6d | 0x6e | 0x6f => {
            let (name, kind) = match (token, bytes.u8()?) {
                (0x24, _) => ("uniqueidentifier", Kind::Guid),
                (0x26, 1) => ("tinyint", Kind::Integer),
                (0x26, 2) => ("smallint", Kind::Integer),
                (0x26, 4) => ("int", Kind::Integer),
                (0x26, _) => ("bigint", Kind::Integer),
                (0x68, _) => ("bit", Kind::Bit),
                (0x6d, 4) => ("real", Kind::Float),
                (0x6d, _) => ("float", Kind::Float),
                (0x6e, 4) => ("smallmoney", Kind::Money),
                (0x6e, _) => ("money", Kind::Money),
                (_, 4) => ("smalldatetime", Kind::DateTime),
                _ => ("datetime", Kind::DateTime),
            };
            (name, kind, Byte)
        }
        0x37 | 0x3f | 0x6a | 0x6c => {
            let [_length, _precision, scale] = bytes.array()?;
            let name = if matches!(token, 0x37 | 0x6a) {
                "decimal"
            } else {
                "numeric"
            };
            (name, Kind::Decimal { scale }, Byte)
        }
        0x28 => ("date", Kind::Date, Byte),
        0x29 => ("time", Kind::Time { scale: bytes.u8()? }, Byte),
        0x2a => ("datetime2", Kind::DateTime2 { scale: bytes.u8()? }, Byte),
        0x2b => {
            let scale = bytes.u8()?;
            ("datetimeoffset", Kind::DateTimeOffset { scale }, Byte)
        }
        0xa5 | 0xad | 0xa7 | 0xaf | 0xe7 | 0xef => {
            let most = bytes.u16()?;
            let (name, kind) = match token {
                0xa5 => ("varbinary", Kind::Binary),
                0xad => ("binary", Kind::Binary),
                0xa7 => ("varchar", Kind::Char(collation(bytes)?)),
                0xaf => ("char", Kind::Char(collation(bytes)?)),
                _ => {
                    collation(bytes)?;
                    let name = if token == 0xe7 { "nvarchar" } else { "nchar" };
                    (name, Kind::NChar)
                }
            };
            (name, kind, if most == u16::MAX { Chunks } else { Short })
        }
        0xf1 => {
            if bytes.u8()? != 0 {
                bytes.short_text()?;
                bytes.short_text()?;
                bytes.long_text()?;
            }
            ("xml", Kind::Xml, Chunks)
        }
        0xf0 => {
            bytes.u16()?;
            let (_database, _schema) = (bytes.short_text()?, bytes.short_text()?);
            let type_name = Cow::Owned(bytes.short_text()?);
            bytes.long_text()?;
            return Some(Ok(TypeInfo {
                type_name,
                kind: Kind::Udt,
                length: Chunks,
            }));
        }
        0x23 => {
            bytes.u32()?;
            ("text", Kind::Char(collation(bytes)?), Pointed)
        }
        0x63 => {
            bytes.u32()?;
            collation(bytes)?;
            ("ntext", Kind::NChar, Pointed)
        }
        0x22 => {
            bytes.u32()?;
            ("image", Kind::Binary, Pointed)
        }
        0x62 => {
            bytes.u32()?;
            ("sql_variant", Kind::Variant, Long)
        }
        _ => return Some(Err(WireError::Protocol("a type that is not known"))),
    };
    Some(Ok(TypeInfo {
        type_name: Cow::Borrowed(name),
        kind,
        length,
    }))
}

impl Length {
    /// Moves `at` behind the value that begins there. `false`: there is more of it to come, from `at` on, and
    /// `in_chunks` says whether its beginning is past. `needs` is told how far the bytes must go.
    pub(super) fn skip(
        self,
        buffer: &[u8],
        at: &mut usize,
        in_chunks: &mut bool,
        needs: &mut usize,
    ) -> bool {
        let rest = buffer.get(*at..).unwrap_or_default();
        let mut bytes = Bytes(rest);
        let length = match self {
            Self::Fixed(length) => Some(length),
            Self::Byte => bytes.u8().map(|length| 1 + usize::from(length)),
            Self::Short => bytes.u16().map(|length| match length {
                u16::MAX => 2,
                length => 2 + usize::from(length),
            }),
            Self::Long => bytes.u32().map(|length| 4 + length as usize),
            Self::Pointed => (|| {
                let pointer = usize::from(bytes.u8()?);
                if pointer == 0 {
                    return Some(1);
                }
                bytes.take(pointer + 8)?;
                Some(1 + pointer + 8 + 4 + bytes.u32()? as usize)
            })(),
            Self::Chunks => return skip_chunks(buffer, at, in_chunks, needs),
        };
        // A length that is not there yet is at most 9 bytes and a pointer away.
        *needs = *at + length.unwrap_or(rest.len() + 1);
        match length {
            Some(length) if length <= rest.len() => {
                *at += length;
                true
            }
            _ => false,
        }
    }
}

fn skip_chunks(buffer: &[u8], at: &mut usize, in_chunks: &mut bool, needs: &mut usize) -> bool {
    let mut bytes = Bytes(buffer.get(*at..).unwrap_or_default());
    if !*in_chunks {
        let Some(total) = bytes.u64() else {
            *needs = *at + 8;
            return false;
        };
        *at += 8;
        if total == u64::MAX {
            return true;
        }
        *in_chunks = true;
    }
    loop {
        let Some(length) = bytes.u32() else {
            *needs = *at + 4;
            return false;
        };
        let length = length as usize;
        *needs = *at + 4 + length;
        if length == 0 {
            *at += 4;
            *in_chunks = false;
            return true;
        }
        if bytes.take(length).is_none() {
            return false;
        }
        *at += 4 + length;
    }
}

impl Column {
    /// The bytes of the value `bytes` begin with; `None` inside: NULL.
    pub(super) fn value<'a>(&self, bytes: &mut Bytes<'a>) -> Option<Option<Cow<'a, [u8]>>> {
        let found = match self.info.length {
            Length::Fixed(0) => None,
            Length::Fixed(length) => Some(bytes.take(length)?),
            Length::Byte => match bytes.u8()? {
                0 => None,
                length => Some(bytes.take(usize::from(length))?),
            },
            Length::Short => match bytes.u16()? {
                u16::MAX => None,
                length => Some(bytes.take(usize::from(length))?),
            },
            Length::Long => match bytes.u32()? {
                0 => None,
                length => Some(bytes.take(length as usize)?),
            },
            Length::Pointed => match bytes.u8()? {
                0 => None,
                pointer => {
                    bytes.take(usize::from(pointer) + 8)?;
                    let length = bytes.u32()?;
                    Some(bytes.take(length as usize)?)
                }
            },
            Length::Chunks => return chunks(bytes),
        };
        Some(found.map(Cow::Borrowed))
    }
}

fn chunks<'a>(bytes: &mut Bytes<'a>) -> Option<Option<Cow<'a, [u8]>>> {
    if bytes.u64()? == u64::MAX {
        return Some(None);
    }
    let mut whole: Cow<'a, [u8]> = Cow::Borrowed(&[]);
    loop {
        let length = bytes.u32()? as usize;
        if length == 0 {
            return Some(Some(whole));
        }
        let chunk = bytes.take(length)?;
        if whole.is_empty() {
            whole = Cow::Borrowed(chunk);
        } else {
            whole.to_mut().extend_from_slice(chunk);
        }
    }
}

impl Shown {
    /// The cell whose text was written.
    pub(super) fn cell(self, text: &str) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::False => Cell::Bool(false),
            Self::True => Cell::Bool(true),
            Self::Number => Cell::Number(text),
            Self::Text => Cell::Text(text),
        }
    }
}

impl Kind {
    /// Writes a value that is not NULL as text.
    pub(super) fn write(self, value: &[u8], out: &mut String) -> Result<Shown, Unreadable> {
        self.try_write(value, out).ok_or(Unreadable)
    }

    fn try_write(self, value: &[u8], out: &mut String) -> Option<Shown> {
        match self {
            Self::Null => return Some(Shown::Null),
            Self::Bit => {
                return match value {
                    [0] => Some(Shown::False),
                    [_] => Some(Shown::True),
                    _ => None,
                };
            }
            Self::Integer => {
                let number = match *value {
                    [a] => i64::from(a),
                    [a, b] => i16::from_le_bytes([a, b]).into(),
                    [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
                    _ => i64::from_le_bytes(value.try_into().ok()?),
                };
                write!(out, "{number}").ok()?;
                return Some(Shown::Number);
            }
            Self::Decimal { scale } => {
                let (sign, digits) = value.split_first()?;
                if digits.len() > 16 {
                    return None;
                }
                let mut magnitude = [0; 16];
                magnitude[..digits.len()].copy_from_slice(digits);
                scaled(*sign == 0, u128::from_le_bytes(magnitude), scale, out)?;
                return Some(Shown::Number);
            }
            Self::Money => {
                let number = match *value {
                    [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
                    // The high half comes first.
                    [e, f, g, h, a, b, c, d] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
                    _ => return None,
                };
                scaled(number < 0, number.unsigned_abs().into(), 4, out)?;
                return Some(Shown::Number);
            }
            Self::Float => return float(value, out),
            Self::Date => date(days_of(value)?, out)?,
            Self::Time { scale } => time(value, scale, out)?,
            Self::DateTime2 { scale } => {
                let (time_part, date_part) = value.split_at_checked(value.len().checked_sub(3)?)?;
                date(days_of(date_part)?, out)?;
                out.push('T');
                time(time_part, scale, out)?;
            }
            Self::DateTimeOffset { scale } => offset(value, scale, out)?,
            Self::DateTime => datetime(value, out)?,
            Self::Char(collation) => out.push_str(&collation.decode(value)?),
            Self::NChar => utf16(value, out)?,
            Self::Xml => utf16(value.strip_prefix(b"\xff\xfe").unwrap_or(value), out)?,
            Self::Binary | Self::Udt => {
                out.push_str("0x");
                for byte in value {
                    write!(out, "{byte:02X}").ok()?;
                }
            }
            Self::Guid => {
                let bytes: [u8; 16] = value.try_into().ok()?;
                let guid = uuid::Uuid::from_bytes_le(bytes);
                write!(out, "{:X}", guid.hyphenated()).ok()?;
            }
            Self::Variant => return variant(value, out),
        }
        Some(Shown::Text)
    }
}

/// The day 0001-01-01 in days before 1970-01-01.
const FIRST_DAY: i64 = -719_162;
/// The day 1900-01-01 in days before 1970-01-01.
const FIRST_DATETIME: i64 = -25_567;

fn scaled(negative: bool, magnitude: u128, scale: u8, out: &mut String) -> Option<()> {
    if scale > 38 {
        return None;
    }
    let unit = 10_u128.pow(scale.into());
    let sign = if negative && magnitude > 0 { "-" } else { "" };
    write!(out, "{sign}{}", magnitude / unit).ok()?;
    if scale > 0 {
        let width = usize::from(scale);
        write!(out, ".{:0width$}", magnitude % unit).ok()?;
    }
    Some(())
}

/// The fewest digits that mean this number and no other.
fn float(value: &[u8], out: &mut String) -> Option<Shown> {
    let (plain, exponent, magnitude) = match *value {
        [a, b, c, d] => {
            let number = f32::from_le_bytes([a, b, c, d]);
            (
                format!("{number}"),
                format!("{number:e}"),
                f64::from(number).abs(),
            )
        }
        _ => {
            let number = f64::from_le_bytes(value.try_into().ok()?);
            (format!("{number}"), format!("{number:e}"), number.abs())
        }
    };
    if !magnitude.is_finite() {
        out.push_str(&plain);
        return Some(Shown::Text);
    }
    let readable = magnitude == 0.0 || (1e-7..1e21).contains(&magnitude);
    out.push_str(if readable { &plain } else { &exponent });
    Some(Shown::Number)
}

/// Days since 0001-01-01, as days since 1970-01-01.
fn days_of(value: &[u8]) -> Option<i64> {
    let [a, b, c] = value.try_into().ok()?;
    Some(i64::from(u32::from_le_bytes([a, b, c, 0])) + FIRST_DAY)
}

/// A day of the proleptic Gregorian calendar, by its number since 1970-01-01; only the years 1 to 9999 exist.
fn date(days: i64, out: &mut String) -> Option<()> {
    // Years that begin in March have their leap day at their end.
    let since = days + 719_468;
    let era = since.div_euclid(146_097);
    let day_of_era = since.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(1..=9999).contains(&year) {
        return None;
    }
    write!(out, "{year:04}-{month:02}-{day:02}").ok()
}

fn ticks(value: &[u8]) -> Option<u64> {
    let mut whole = [0; 8];
    whole.get_mut(..value.len())?.copy_from_slice(value);
    (3..=5)
        .contains(&value.len())
        .then(|| u64::from_le_bytes(whole))
}

fn time(value: &[u8], scale: u8, out: &mut String) -> Option<()> {
    clock(ticks(value)?, scale, out)
}

/// A time of day in units of 10^-scale seconds.
fn clock(ticks: u64, scale: u8, out: &mut String) -> Option<()> {
    if scale > 7 {
        return None;
    }
    let unit = 10_u64.pow(scale.into());
    let seconds = ticks / unit;
    if seconds >= 86_400 {
        return None;
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60).ok()?;
    if scale > 0 {
        let width = usize::from(scale);
        write!(out, ".{:0width$}", ticks % unit).ok()?;
    }
    Some(())
}

/// UTC on the wire, local to its offset in what is shown.
fn offset(value: &[u8], scale: u8, out: &mut String) -> Option<()> {
    let (rest, offset) = value.split_last_chunk::<2>()?;
    let (time_part, date_part) = rest.split_last_chunk::<3>()?;
    let minutes = i64::from(i16::from_le_bytes(*offset));
    if scale > 7 || !(-840..=840).contains(&minutes) {
        return None;
    }
    let unit = 10_i64.pow(scale.into());
    let day = 86_400 * unit;
    let local = i64::try_from(ticks(time_part)?).ok()? + minutes * 60 * unit;
    date(days_of(date_part)? + local.div_euclid(day), out)?;
    out.push('T');
    clock(u64::try_from(local.rem_euclid(day)).ok()?, scale, out)?;
    if minutes == 0 {
        out.push('Z');
        return Some(());
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).ok()
}

fn datetime(value: &[u8], out: &mut String) -> Option<()> {
    match *value {
        [a, b, c, d] => {
            date(i64::from(u16::from_le_bytes([a, b])) + FIRST_DATETIME, out)?;
            out.push('T');
            clock(u64::from(u16::from_le_bytes([c, d])) * 60, 0, out)
        }
        [a, b, c, d, e, f, g, h] => {
            date(
                i64::from(i32::from_le_bytes([a, b, c, d])) + FIRST_DATETIME,
                out,
            )?;
            out.push('T');
            // Three hundredths of a second, of which the server shows the milliseconds.
            let thirds = u64::from(u32::from_le_bytes([e, f, g, h]));
            clock((thirds * 10 + 1) / 3, 3, out)
        }
        _ => None,
    }
}

fn utf16(value: &[u8], out: &mut String) -> Option<()> {
    if !value.len().is_multiple_of(2) {
        return None;
    }
    for letter in char::decode_utf16(units_of(value)) {
        out.push(letter.ok()?);
    }
    Some(())
}

/// A `sql_variant`: a type, its properties, and a value of it.
fn variant(value: &[u8], out: &mut String) -> Option<Shown> {
    let mut bytes = Bytes(value);
    let (token, properties) = (bytes.u8()?, bytes.u8()?);
    let properties = bytes.take(usize::from(properties))?;
    let scale = |at: usize| properties.get(at).copied();
    let kind = match token {
        0x32 | 0x68 => Kind::Bit,
        0x30 | 0x34 | 0x38 | 0x7f | 0x26 => Kind::Integer,
        0x3b | 0x3e | 0x6d => Kind::Float,
        0x7a | 0x3c | 0x6e => Kind::Money,
        0x3a | 0x3d | 0x6f => Kind::DateTime,
        0x6a | 0x6c => Kind::Decimal { scale: scale(1)? },
        0x24 => Kind::Guid,
        0x28 => Kind::Date,
        0x29 => Kind::Time { scale: scale(0)? },
        0x2a => Kind::DateTime2 { scale: scale(0)? },
        0x2b => Kind::DateTimeOffset { scale: scale(0)? },
        0xa7 | 0xaf => Kind::Char(Collation::new(*properties.first_chunk()?)),
        0xe7 | 0xef => Kind::NChar,
        0xa5 | 0xad => Kind::Binary,
        _ => return None,
    };
    kind.try_write(bytes.0, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: Kind, value: &[u8]) -> Result<(Shown, String), Unreadable> {
        let mut out = String::new();
        kind.write(value, &mut out).map(|shown| (shown, out))
    }

    #[test]
    fn a_value_is_shown_digit_by_digit() {
        use Shown::{Number, Text};
        let latin = Collation::new(Collation::OURS);
        let decimal = |scale| Kind::Decimal { scale };
        let most = u128::MAX / 4;
        let mut long = vec![1];
        long.extend(most.to_le_bytes());
        for (kind, value, expected, text) in [
            (Kind::Integer, &[255][..], Number, "255"),
            (Kind::Integer, &[0, 128], Number, "-32768"),
            (Kind::Integer, &[255, 255, 255, 255], Number, "-1"),
            (
                Kind::Integer,
                &[0, 0, 0, 0, 0, 0, 0, 128],
                Number,
                "-9223372036854775808",
            ),
            (decimal(2), &[1, 57, 48, 0, 0], Number, "123.45"),
            (decimal(2), &[0, 5, 0, 0, 0], Number, "-0.05"),
            (decimal(0), &long, Number, &most.to_string()),
            (decimal(4), &[0, 0, 0, 0, 0], Number, "0.0000"),
            (
                Kind::Money,
                &[0, 0, 0, 0, 0x40, 0xe2, 1, 0],
                Number,
                "12.3456",
            ),
            (
                Kind::Money,
                &[255, 255, 255, 255, 255, 255, 255, 255],
                Number,
                "-0.0001",
            ),
            (
                Kind::Money,
                &[0xff, 0xff, 0xff, 0x7f],
                Number,
                "214748.3647",
            ),
            (Kind::Float, &0.1_f64.to_le_bytes(), Number, "0.1"),
            (Kind::Float, &0.1_f32.to_le_bytes(), Number, "0.1"),
            (
                Kind::Float,
                &(-1.5e300_f64).to_le_bytes(),
                Number,
                "-1.5e300",
            ),
            (Kind::Float, &1e-9_f64.to_le_bytes(), Number, "1e-9"),
            (Kind::Date, &[0, 0, 0], Text, "0001-01-01"),
            (Kind::Date, &[0xda, 0xb9, 0x37], Text, "9999-12-31"),
            (
                Kind::Time { scale: 7 },
                &[0xff, 0xbf, 0x69, 0x2a, 0xc9],
                Text,
                "23:59:59.9999999",
            ),
            (Kind::Time { scale: 0 }, &[0x7f, 0x51, 1], Text, "23:59:59"),
            (
                Kind::DateTime,
                &[0, 0, 0, 0, 0, 0, 0, 0],
                Text,
                "1900-01-01T00:00:00.000",
            ),
            (
                Kind::DateTime,
                &[0x46, 0x2e, 0xff, 0xff, 1, 0, 0, 0],
                Text,
                "1753-01-01T00:00:00.003",
            ),
            (
                Kind::DateTime,
                &[255, 255, 0x9f, 5],
                Text,
                "2079-06-06T23:59:00",
            ),
            (
                Kind::DateTimeOffset { scale: 0 },
                &[0x00, 0x0e, 0x01, 0, 0, 0, 0x88, 255],
                Text,
                "0001-01-01T17:12:00-02:00",
            ),
            (Kind::Char(latin), b"caf\xe9", Text, "café"),
            (Kind::NChar, &[0x3e, 0xd8, 0x80, 0xdd], Text, "🦀"),
            (Kind::Xml, &[0xff, 0xfe, b'<', 0], Text, "<"),
            (Kind::Binary, &[0, 0xab], Text, "0x00AB"),
            (
                Kind::Guid,
                &[
                    0xff, 0x19, 0x96, 0x6f, 0x86, 0x8b, 0x11, 0xd0, 0xb4, 0x2d, 0, 0xc0, 0x4f,
                    0xc9, 0x64, 0xff,
                ],
                Text,
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            ),
            (Kind::Variant, &[0x38, 0, 7, 0, 0, 0], Number, "7"),
            (
                Kind::Variant,
                &[0x6c, 2, 5, 1, 1, 15, 0, 0, 0],
                Number,
                "1.5",
            ),
            (
                Kind::Variant,
                &[0xa7, 7, 9, 4, 0xd0, 0, 0x34, 10, 0, 0xe9],
                Text,
                "é",
            ),
            (
                Kind::Variant,
                &[0xe7, 7, 9, 4, 0xd0, 0, 0x34, 10, 0, b'x', 0],
                Text,
                "x",
            ),
        ] {
            assert_eq!(
                shown(kind, value),
                Ok((expected, text.to_owned())),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_value_that_is_not_of_its_type_is_an_error_and_never_a_guess() {
        for (kind, value) in [
            (Kind::Integer, &[1, 2, 3][..]),
            (Kind::Bit, &[]),
            (Kind::Decimal { scale: 39 }, &[1, 0, 0, 0, 0]),
            (Kind::Decimal { scale: 0 }, &[]),
            (Kind::Float, &[1]),
            (Kind::Date, &[0xff, 0xff, 0xff]),
            (Kind::Time { scale: 0 }, &[0xff, 0xff, 0xff]),
            (Kind::Time { scale: 9 }, &[0, 0, 0]),
            (Kind::DateTime2 { scale: 0 }, &[1, 2]),
            (
                Kind::DateTimeOffset { scale: 0 },
                &[0, 0, 0, 0, 0, 0, 0xff, 0x7f],
            ),
            (Kind::NChar, &[0x3e]),
            (Kind::NChar, &[0x3e, 0xd8]),
            (Kind::Guid, &[1, 2, 3]),
            (Kind::Variant, &[]),
            (Kind::Variant, &[0x62, 0]),
            (Kind::Variant, &[0x6c, 200, 1]),
        ] {
            assert_eq!(shown(kind, value), Err(Unreadable), "{kind:?} {value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic_or_write_a_number_that_json_has_not(
            value: Vec<u8>,
            scale: u8,
            collation: [u8; 5],
        ) {
            for kind in [
                Kind::Bit, Kind::Integer, Kind::Decimal { scale }, Kind::Money, Kind::Float, Kind::Date,
                Kind::Time { scale }, Kind::DateTime2 { scale }, Kind::DateTimeOffset { scale }, Kind::DateTime,
                Kind::Char(Collation::new(collation)), Kind::NChar, Kind::Binary, Kind::Guid, Kind::Xml,
                Kind::Variant, Kind::Udt,
            ] {
                if let Ok((Shown::Number, text)) = shown(kind, &value) {
                    proptest::prop_assert!(serde_json::from_str::<serde_json::Number>(&text).is_ok(), "{}", text);
                }
            }
        }

        #[test]
        fn a_day_is_the_calendars(days in 0_i32..3_652_059) {
            let first = jiff::civil::date(1, 1, 1);
            let day = first.checked_add(jiff::Span::new().days(days)).unwrap();
            let mut out = String::new();
            date(i64::from(days) + FIRST_DAY, &mut out).unwrap();
            proptest::prop_assert_eq!(out, day.to_string());
        }
    }
}
