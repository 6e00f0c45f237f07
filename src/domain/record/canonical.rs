//! RFC 8785, the JSON Canonicalization Scheme, for JSON without floating-point numbers.
//!
//! Two ways to the same bytes: [`canonical`] for JSON nobody here has a type for, such as an export under
//! verification, and [`to_canonical`] straight from a type, which the hot path takes: no tree in between.

use std::{borrow::Cow, cmp::Ordering, fmt::Display, io::Write as _};

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible},
};
use serde_json::Value;

/// Appends the canonical bytes of `value`: no white space, keys in order of their UTF-16 code units, strings with the
/// shortest escapes RFC 8785 section 3.2.2.2 allows.
pub fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| order(left, right));
            out.push(b'{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                string(name, out);
                out.push(b':');
                canonical(member, out);
            }
            out.push(b'}');
        }
    }
}

/// RFC 8785 orders names by their UTF-16 code units, which for ASCII is the order of the bytes.
pub(super) fn order(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        left.cmp(right)
    } else {
        left.encode_utf16().cmp(right.encode_utf16())
    }
}

/// RFC 8785 asks for exactly the escapes `serde_json` writes: `\b \t \n \f \r \" \\`, and `\u00xx` in lowercase for
/// the other control characters; a property test holds the two together.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Most text has nothing to escape, and sealed text is long: whole chunks of it are taken at once.
    for chunk in text.as_bytes().chunks(32) {
        let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
        if chunk.iter().fold(false, |any, byte| any | special(*byte)) {
            chunk.iter().for_each(|byte| escaped(*byte, out));
        } else {
            out.extend_from_slice(chunk);
        }
    }
    out.push(b'"');
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    let escape: &[u8] = match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        0x08 => b"\\b",
        0x09 => b"\\t",
        0x0a => b"\\n",
        0x0c => b"\\f",
        0x0d => b"\\r",
        0x00..=0x1f => {
            // Writing to a `Vec` cannot fail.
            let _ = write!(out, "\\u{byte:04x}");
            return;
        }
        _ => {
            out.push(byte);
            return;
        }
    };
    out.extend_from_slice(escape);
}

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error)]
pub enum NotCanonical {
    /// Languages disagree on how to write a floating-point number, so nothing on record holds one.
    #[error(
        "a floating-point number cannot go on record; use an integer in a smaller unit, or text"
    )]
    Float,
    /// A map whose keys are not text.
    #[error("a map on record needs text for its keys")]
    Key,
    /// What the value said of itself.
    #[error("{0}")]
    Value(String),
}

impl ser::Error for NotCanonical {
    fn custom<T: Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// Appends the canonical bytes of `value`, in one pass over it.
pub fn to_canonical<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), NotCanonical> {
    value.serialize(Writer { out })
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn number(self, number: impl Display) -> Result<(), NotCanonical> {
        // Writing to a `Vec` cannot fail.
        let _ = write!(self.out, "{number}");
        Ok(())
    }
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = NotCanonical;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), NotCanonical> {
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_i16(self, value: i16) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_i32(self, value: i32) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_i64(self, value: i64) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_u8(self, value: u8) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_u16(self, value: u16) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_u32(self, value: u32) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_u64(self, value: u64) -> Result<(), NotCanonical> {
        self.number(value)
    }
    fn serialize_f32(self, _: f32) -> Result<(), NotCanonical> {
        Err(NotCanonical::Float)
    }
    fn serialize_f64(self, _: f64) -> Result<(), NotCanonical> {
        Err(NotCanonical::Float)
    }
    fn serialize_char(self, value: char) -> Result<(), NotCanonical> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<(), NotCanonical> {
        string(value, self.out);
        Ok(())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), NotCanonical> {
        value.serialize(self)
    }
    fn serialize_none(self) -> Result<(), NotCanonical> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotCanonical> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), NotCanonical> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NotCanonical> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), NotCanonical> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotCanonical> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotCanonical> {
        self.out.push(b'{');
        string(variant, self.out);
        self.out.push(b':');
        value.serialize(Writer { out: self.out })?;
        self.out.push(b'}');
        Ok(())
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, NotCanonical> {
        Ok(Items::new(self.out, Close::Array))
    }
    fn serialize_tuple(self, _: usize) -> Result<Items<'a>, NotCanonical> {
        Ok(Items::new(self.out, Close::Array))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'a>, NotCanonical> {
        Ok(Items::new(self.out, Close::Array))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a>, NotCanonical> {
        enter(variant, self.out);
        Ok(Items::new(self.out, Close::ArrayInVariant))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, NotCanonical> {
        Ok(Members::new(self.out, 8, b""))
    }
    fn serialize_struct(
        self,
        _: &'static str,
        members: usize,
    ) -> Result<Members<'a>, NotCanonical> {
        Ok(Members::new(self.out, members, b""))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        members: usize,
    ) -> Result<Members<'a>, NotCanonical> {
        enter(variant, self.out);
        Ok(Members::new(self.out, members, b"}"))
    }
}

/// Opens the object that names an enum's variant.
fn enter(variant: &str, out: &mut Vec<u8>) {
    out.push(b'{');
    string(variant, out);
    out.push(b':');
}

enum Close {
    Array,
    ArrayInVariant,
}

struct Items<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    close: Close,
}

impl<'a> Items<'a> {
    fn new(out: &'a mut Vec<u8>, close: Close) -> Self {
        out.push(b'[');
        Self {
            out,
            first: true,
            close,
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        value.serialize(Writer { out: self.out })
    }

    fn close(self) {
        self.out.extend_from_slice(match self.close {
            Close::Array => b"]",
            Close::ArrayInVariant => b"]}",
        });
    }
}

macro_rules! items {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Items<'_> {
            type Ok = ();
            type Error = NotCanonical;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
                self.item(value)
            }
            fn end(self) -> Result<(), NotCanonical> {
                self.close();
                Ok(())
            }
        }
    )*};
}
items!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// Members are written as they come, and put in order at the end if they were not.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    begin: usize,
    members: Vec<Member>,
    ordered: bool,
    close: &'static [u8],
}

struct Member {
    name: Cow<'static, str>,
    begin: usize,
}

impl<'a> Members<'a> {
    fn new(out: &'a mut Vec<u8>, capacity: usize, close: &'static [u8]) -> Self {
        out.push(b'{');
        Self {
            begin: out.len(),
            out,
            members: Vec::with_capacity(capacity),
            ordered: true,
            close,
        }
    }

    fn name(&mut self, name: Cow<'static, str>) {
        if let Some(last) = self.members.last() {
            self.ordered &= order(&last.name, &name).is_lt();
        }
        let begin = self.out.len();
        string(&name, self.out);
        self.out.push(b':');
        self.members.push(Member { name, begin });
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
        value.serialize(Writer { out: self.out })?;
        self.out.push(b',');
        Ok(())
    }

    fn finish(self) {
        if !self.ordered {
            let mut ends: Vec<(Member, usize)> = Vec::with_capacity(self.members.len());
            let mut members = self.members.into_iter().peekable();
            while let Some(member) = members.next() {
                let end = members.peek().map_or(self.out.len(), |next| next.begin);
                ends.push((member, end));
            }
            ends.sort_by(|(left, _), (right, _)| order(&left.name, &right.name));
            let unordered = self.out[self.begin..].to_vec();
            self.out.truncate(self.begin);
            for (member, end) in ends {
                self.out
                    .extend_from_slice(&unordered[member.begin - self.begin..end - self.begin]);
            }
        }
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self.out.push(b'}');
        self.out.extend_from_slice(self.close);
    }
}

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = NotCanonical;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotCanonical> {
        let name = key.serialize(Name)?;
        self.name(Cow::Owned(name));
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
        self.value(value)
    }
    fn end(self) -> Result<(), NotCanonical> {
        self.finish();
        Ok(())
    }
}

macro_rules! members {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Members<'_> {
            type Ok = ();
            type Error = NotCanonical;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), NotCanonical> {
                self.name(Cow::Borrowed(name));
                self.value(value)
            }
            fn end(self) -> Result<(), NotCanonical> {
                self.finish();
                Ok(())
            }
        }
    )*};
}
members!(SerializeStruct, SerializeStructVariant);

/// Takes a map's key, which is text or an error.
struct Name;

macro_rules! no_name {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, _: $type) -> Result<String, NotCanonical> {
            Err(NotCanonical::Key)
        }
    )*};
}

impl Serializer for Name {
    type Ok = String;
    type Error = NotCanonical;
    type SerializeSeq = Impossible<String, NotCanonical>;
    type SerializeTuple = Impossible<String, NotCanonical>;
    type SerializeTupleStruct = Impossible<String, NotCanonical>;
    type SerializeTupleVariant = Impossible<String, NotCanonical>;
    type SerializeMap = Impossible<String, NotCanonical>;
    type SerializeStruct = Impossible<String, NotCanonical>;
    type SerializeStructVariant = Impossible<String, NotCanonical>;

    fn serialize_str(self, value: &str) -> Result<String, NotCanonical> {
        Ok(value.to_owned())
    }
    fn serialize_char(self, value: char) -> Result<String, NotCanonical> {
        Ok(value.to_string())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<String, NotCanonical> {
        Ok(variant.to_owned())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<String, NotCanonical> {
        value.serialize(self)
    }
    no_name!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    );
    fn serialize_none(self) -> Result<String, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<String, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_unit(self) -> Result<String, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<String, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, NotCanonical> {
        Err(NotCanonical::Key)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NotCanonical> {
        Err(NotCanonical::Key)
    }
}
