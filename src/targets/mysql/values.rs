//! Values become cells, parameters become values.
//!
//! A value is shown as the server's own client prints it, but for: numbers and JSON, which keep their kind; what is
//! bytes and not text (BLOB, BINARY, geometry), which is hex after `\x`; BIT, which is its binary digits; dates with a
//! time, which get ISO 8601's `T`, and a TIMESTAMP, which is told in UTC, a `Z`. A zero date has no such form and stays
//! as it is. ZEROFILL is how a number is printed and not what it is: the zeros are left out. FLOAT shows the digits it
//! takes to tell it from its neighbours, where the client rounds to six.

use bytes::{Buf, BufMut, Bytes};

use super::wire::{BINARY, WireError, byte, put_length, sized, taken, torn};
use crate::{
    domain::{masking::Cell, operation::Param},
    targets::postgres::is_json_number,
};

const DECIMAL: u8 = 0;
const TINY: u8 = 1;
const SHORT: u8 = 2;
const LONG: u8 = 3;
const FLOAT: u8 = 4;
const DOUBLE: u8 = 5;
const NULL: u8 = 6;
const TIMESTAMP: u8 = 7;
const LONGLONG: u8 = 8;
const INT24: u8 = 9;
const DATE: u8 = 10;
const TIME: u8 = 11;
const DATETIME: u8 = 12;
const YEAR: u8 = 13;
const BIT: u8 = 16;
const JSON: u8 = 245;
const NEWDECIMAL: u8 = 246;
const ENUM: u8 = 247;
const SET: u8 = 248;
const TINY_BLOB: u8 = 249;
const BLOB: u8 = 252;
const VAR_STRING: u8 = 253;
const STRING: u8 = 254;
const GEOMETRY: u8 = 255;

const UNSIGNED_FLAG: u16 = 1 << 5;
const ZEROFILL_FLAG: u16 = 1 << 6;
const ENUM_FLAG: u16 = 1 << 8;
const SET_FLAG: u16 = 1 << 11;
/// As many decimals as there are.
const ANY_DECIMALS: u8 = 31;

/// What the server says of a column's values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnType {
    pub(super) code: u8,
    pub(super) flags: u16,
    pub(super) collation: u16,
    /// In bytes; of a BIT, in bits.
    pub(super) width: u32,
    pub(super) decimals: u8,
    /// MariaDB's name for what the code cannot say: `uuid`, `inet6`, `json`.
    pub(super) extension: Option<String>,
}

/// What kind of cell a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Number,
    Text,
    Json,
}

impl Kind {
    pub(super) fn cell(self, text: &str) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Number => Cell::Number(text),
            Self::Text => Cell::Text(text),
            Self::Json => Cell::Json(text),
        }
    }
}

impl ColumnType {
    /// The type as a definition would have it.
    pub(super) fn name(&self) -> String {
        if let Some(extension) = &self.extension {
            return extension.clone();
        }
        let is_bytes = self.collation == BINARY;
        let either = |bytes: &str, text: &str| if is_bytes { bytes } else { text }.to_owned();
        let number = |name: &str| match self.flags & UNSIGNED_FLAG {
            0 => name.to_owned(),
            _ => format!("{name} unsigned"),
        };
        match self.code {
            _ if self.flags & ENUM_FLAG != 0 => "enum".into(),
            _ if self.flags & SET_FLAG != 0 => "set".into(),
            DECIMAL | NEWDECIMAL => number("decimal"),
            TINY => number("tinyint"),
            SHORT => number("smallint"),
            INT24 => number("mediumint"),
            LONG => number("int"),
            LONGLONG => number("bigint"),
            FLOAT => number("float"),
            DOUBLE => number("double"),
            NULL => "null".into(),
            TIMESTAMP => "timestamp".into(),
            DATE => "date".into(),
            TIME => "time".into(),
            DATETIME => "datetime".into(),
            YEAR => "year".into(),
            BIT => "bit".into(),
            JSON => "json".into(),
            ENUM => "enum".into(),
            SET => "set".into(),
            TINY_BLOB..=BLOB => either("blob", "text"),
            STRING => either("binary", "char"),
            GEOMETRY => "geometry".into(),
            _ => either("varbinary", "varchar"),
        }
    }

    fn is_string(&self) -> bool {
        matches!(self.code, 15 | JSON | ENUM | SET | TINY_BLOB..=GEOMETRY)
    }

    /// Appends one value of a prepared statement's row, which is not NULL.
    pub(super) fn read_binary(
        &self,
        row: &mut Bytes,
        out: &mut String,
    ) -> Result<Kind, UnreadableOr> {
        use std::fmt::Write as _;
        let signed = self.flags & UNSIGNED_FLAG == 0;
        let _infallible = match self.code {
            TINY if signed => write!(out, "{}", byte(row)?.cast_signed()),
            TINY => write!(out, "{}", byte(row)?),
            SHORT if signed => write!(out, "{}", row.try_get_i16_le().map_err(torn)?),
            SHORT | YEAR => write!(out, "{}", row.try_get_u16_le().map_err(torn)?),
            LONG | INT24 if signed => write!(out, "{}", row.try_get_i32_le().map_err(torn)?),
            LONG | INT24 => write!(out, "{}", row.try_get_u32_le().map_err(torn)?),
            LONGLONG if signed => write!(out, "{}", row.try_get_i64_le().map_err(torn)?),
            LONGLONG => write!(out, "{}", row.try_get_u64_le().map_err(torn)?),
            FLOAT => {
                let value = row.try_get_f32_le().map_err(torn)?;
                self.float(f64::from(value), || shortest(value), out);
                Ok(())
            }
            DOUBLE => {
                let value = row.try_get_f64_le().map_err(torn)?;
                self.float(value, || shortest(value), out);
                Ok(())
            }
            DATE | DATETIME | TIMESTAMP => {
                let text = self.date(sized(row)?)?;
                return self.told(text.as_bytes(), out);
            }
            TIME => {
                let text = self.time(sized(row)?)?;
                return self.told(text.as_bytes(), out);
            }
            _ => {
                let bytes = sized(row)?;
                return self.told(&bytes, out);
            }
        };
        Ok(Kind::Number)
    }

    /// Appends one value as the server prints it, which is not NULL.
    pub(super) fn told(&self, bytes: &[u8], out: &mut String) -> Result<Kind, UnreadableOr> {
        if self.code == BIT {
            bits(bytes, self.width as usize, out);
            return Ok(Kind::Text);
        }
        let is_named_text = matches!(self.extension.as_deref(), Some("uuid" | "inet4" | "inet6"));
        let is_bytes = self.code == GEOMETRY
            || self.collation == BINARY && self.is_string() && self.code != JSON && !is_named_text;
        if is_bytes {
            out.push_str("\\x");
            for byte in bytes {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
                out.push(digit(byte >> 4));
                out.push(digit(byte & 15));
            }
            return Ok(Kind::Text);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| UnreadableOr::Unreadable)?;
        match self.code {
            DATETIME | TIMESTAMP => timestamp(text, self.code == TIMESTAMP, out),
            _ if self.is_string() || self.code == VAR_STRING => {
                out.push_str(text);
                let says_json = self.code == JSON || self.extension.as_deref() == Some("json");
                // A table may hold what a check would refuse, and then it is text.
                if says_json && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
                    return Ok(Kind::Json);
                }
            }
            DATE | TIME | NULL => out.push_str(text),
            _ => {
                let digits = self.without_fill(text);
                out.push_str(digits);
                if is_json_number(digits) {
                    return Ok(Kind::Number);
                }
            }
        }
        Ok(Kind::Text)
    }

    fn without_fill<'t>(&self, text: &'t str) -> &'t str {
        if self.flags & ZEROFILL_FLAG == 0 && self.code != YEAR {
            return text;
        }
        let digits = text.trim_start_matches('0');
        match digits.starts_with(|first: char| first.is_ascii_digit()) {
            true => digits,
            // The last zero before the point is part of the number.
            false => &text[text.len() - digits.len() - usize::from(text.len() > digits.len())..],
        }
    }

    fn float(&self, value: f64, shortest: impl Fn() -> String, out: &mut String) {
        if self.decimals < ANY_DECIMALS {
            out.push_str(&format!("{value:.*}", usize::from(self.decimals)));
        } else {
            out.push_str(&shortest());
        }
    }

    fn date(&self, mut parts: Bytes) -> Result<String, WireError> {
        let (mut year, mut month, mut day) = (0, 0, 0);
        if parts.len() >= 4 {
            year = parts.get_u16_le();
            (month, day) = (parts.get_u8(), parts.get_u8());
        }
        let date = format!("{year:04}-{month:02}-{day:02}");
        if self.code == DATE {
            return Ok(date);
        }
        let (mut hour, mut minute, mut second) = (0, 0, 0);
        if parts.len() >= 3 {
            (hour, minute, second) = (parts.get_u8(), parts.get_u8(), parts.get_u8());
        }
        let fraction = self.fraction(&mut parts)?;
        Ok(format!(
            "{date} {hour:02}:{minute:02}:{second:02}{fraction}"
        ))
    }

    fn time(&self, mut parts: Bytes) -> Result<String, WireError> {
        let (mut negative, mut hours, mut minute, mut second) = (false, 0, 0, 0);
        if parts.len() >= 8 {
            negative = parts.get_u8() != 0;
            hours = u64::from(parts.get_u32_le()) * 24 + u64::from(parts.get_u8());
            (minute, second) = (parts.get_u8(), parts.get_u8());
        }
        let fraction = self.fraction(&mut parts)?;
        let sign = if negative { "-" } else { "" };
        Ok(format!(
            "{sign}{hours:02}:{minute:02}:{second:02}{fraction}"
        ))
    }

    fn fraction(&self, parts: &mut Bytes) -> Result<String, WireError> {
        let micros = match parts.is_empty() {
            true => 0,
            false => taken(parts, 4)?.get_u32_le(),
        };
        let digits = format!("{micros:06}");
        Ok(match usize::from(self.decimals) {
            0 => String::new(),
            some @ 1..=6 => format!(".{}", digits.get(..some).unwrap_or(&digits)),
            _ if micros == 0 => String::new(),
            _ => format!(".{digits}"),
        })
    }
}

/// A value that is not what its type's values look like, or a row that is torn.
#[derive(Debug)]
pub(super) enum UnreadableOr {
    Unreadable,
    Wire(WireError),
}

impl From<WireError> for UnreadableOr {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// The fewest digits that tell the number from all others of its type.
fn shortest<T: std::fmt::Display + std::fmt::LowerExp>(value: T) -> String {
    let plain = value.to_string();
    if plain.len() > 24 {
        format!("{value:e}")
    } else {
        plain
    }
}

/// `2024-01-31 12:00:00` to `2024-01-31T12:00:00`; what is no date of the calendar stays.
fn timestamp(text: &str, in_utc: bool, out: &mut String) {
    let is_date = |date: &str| &date[5..7] != "00" && &date[8..] != "00";
    match (text.get(..10), text.get(10..11), text.get(11..)) {
        (Some(date), Some(" "), Some(time)) if date.is_ascii() && is_date(date) => {
            out.push_str(date);
            out.push('T');
            out.push_str(time);
            if in_utc {
                out.push('Z');
            }
        }
        _ => out.push_str(text),
    }
}

/// The last `width` binary digits of a big-endian number.
fn bits(bytes: &[u8], width: usize, out: &mut String) {
    let digits = bytes.len() * 8;
    for position in digits.saturating_sub(width)..digits {
        let is_set = bytes[position / 8] >> (7 - position % 8) & 1 == 1;
        out.push(if is_set { '1' } else { '0' });
    }
}

/// The parameters of a prepared statement: which are NULL, their types, their values. Numbers keep their digits.
pub(super) fn encode(params: &[Param]) -> Vec<u8> {
    if params.is_empty() {
        return Vec::new();
    }
    let mut nulls = vec![0u8; params.len().div_ceil(8)];
    let mut types = Vec::with_capacity(params.len() * 2);
    let mut values = Vec::new();
    for (index, param) in params.iter().enumerate() {
        let text = |values: &mut Vec<u8>, text: &str| {
            put_length(values, text.len());
            values.put_slice(text.as_bytes());
        };
        let (code, unsigned) = match param {
            Param::Null => {
                nulls[index / 8] |= 1 << (index % 8);
                (NULL, false)
            }
            Param::Bool(value) => {
                values.put_u8(u8::from(*value));
                (TINY, false)
            }
            Param::Number(digits) => {
                if let Ok(number) = digits.parse::<i64>() {
                    values.put_i64_le(number);
                    (LONGLONG, false)
                } else if let Ok(number) = digits.parse::<u64>() {
                    values.put_u64_le(number);
                    (LONGLONG, true)
                } else if let (true, Ok(number)) = (digits.contains(['e', 'E']), digits.parse()) {
                    values.put_f64_le(number);
                    (DOUBLE, false)
                } else {
                    text(&mut values, digits);
                    (NEWDECIMAL, false)
                }
            }
            Param::Text(value) => {
                text(&mut values, value);
                (VAR_STRING, false)
            }
            Param::Json(value) => {
                text(&mut values, value);
                (VAR_STRING, false)
            }
        };
        types.extend([code, if unsigned { 0x80 } else { 0 }]);
    }
    // The types are said each time.
    nulls.push(1);
    nulls.extend(types);
    nulls.extend(values);
    nulls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(column: &ColumnType, text: &str) -> (Kind, String) {
        let mut out = String::new();
        let kind = column.told(text.as_bytes(), &mut out).unwrap();
        (kind, out)
    }

    #[test]
    fn dates_of_the_calendar_are_iso_and_others_stay() {
        let of = |code| ColumnType {
            code,
            collation: BINARY,
            ..ColumnType::default()
        };
        for (code, text, expected) in [
            (DATETIME, "2024-01-31 12:00:00.5", "2024-01-31T12:00:00.5"),
            (TIMESTAMP, "2024-01-31 12:00:00", "2024-01-31T12:00:00Z"),
            (DATETIME, "0000-00-00 00:00:00", "0000-00-00 00:00:00"),
            (DATETIME, "2024-01-00 00:00:00", "2024-01-00 00:00:00"),
            (DATE, "0000-00-00", "0000-00-00"),
        ] {
            assert_eq!(told(&of(code), text), (Kind::Text, expected.to_owned()));
        }
    }

    #[test]
    fn filled_zeros_are_not_part_of_a_number() {
        let filled = ColumnType {
            code: NEWDECIMAL,
            flags: ZEROFILL_FLAG | UNSIGNED_FLAG,
            ..ColumnType::default()
        };
        for (text, expected) in [
            ("0042.50", "42.50"),
            ("0000.50", "0.50"),
            ("0000", "0"),
            ("1200", "1200"),
        ] {
            assert_eq!(told(&filled, text), (Kind::Number, expected.to_owned()));
        }
    }

    #[test]
    fn what_is_not_valid_json_is_not_shown_as_json() {
        let json = ColumnType {
            code: JSON,
            ..ColumnType::default()
        };
        assert_eq!(told(&json, r#"{"a": 1}"#).0, Kind::Json);
        assert_eq!(told(&json, r#"{"a": 1"#).0, Kind::Text);
    }
}
