//! What is said first: the offer, the login, and how values are written in a call ([MS-TDS] 2.2.6.4 to 2.2.6.6).

use super::{
    address::{Address, Encryption},
    collation::Collation,
    types::Bytes,
};
use crate::targets::credential::Password;

/// The packets asked for, header included.
pub(super) const PACKET_SIZE: usize = 4096;

/// What the server can do.
pub(super) struct Offer {
    /// The whole conversation can be encrypted.
    pub(super) encrypts: bool,
    /// It must be.
    pub(super) insists: bool,
    /// The server wants to hear that it was asked whether it takes tokens.
    echo: bool,
}

impl Offer {
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let mut offer = Self {
            encrypts: false,
            insists: false,
            echo: false,
        };
        let mut options = Bytes(message);
        loop {
            let option = options.u8()?;
            if option == 0xff {
                return Some(offer);
            }
            let at = usize::from(u16::from_be_bytes(options.array()?));
            let length = usize::from(u16::from_be_bytes(options.array()?));
            let value = message.get(at..at.checked_add(length)?)?;
            match (option, value) {
                (0x01, [how]) => {
                    offer.encrypts = matches!(how, 1 | 3);
                    offer.insists = *how == 3;
                }
                (0x06, [how]) => offer.echo = *how == 1,
                _ => {}
            }
        }
    }
}

/// The first packet: our version, whether to encrypt, no multiplexing, and whether a token follows.
pub(super) fn prelogin(address: &Address) -> Vec<u8> {
    let encryption = match address.encryption {
        // Asked of a server whose certificate does not count, or whose TLS stands already.
        Encryption::LoopbackOnly | Encryption::Strict(_) => 2,
        Encryption::Inside(_) => 1,
    };
    let mut options: Vec<(u8, &[u8])> = vec![(0, &[0; 6])];
    let encryption = [encryption];
    options.push((1, &encryption));
    options.push((4, &[0]));
    if matches!(*address.password, Password::Token(_)) {
        options.push((6, &[1]));
    }
    let mut out = Vec::new();
    let mut at = options.len() * 5 + 1;
    for (option, value) in &options {
        out.push(*option);
        put_u16_be(&mut out, at);
        put_u16_be(&mut out, value.len());
        at += value.len();
    }
    out.push(0xff);
    for (_, value) in options {
        out.extend_from_slice(value);
    }
    out
}

/// The login with this password or token. Its settings are what a reset goes back to.
pub(super) fn login7(address: &Address, secret: &str, offer: &Offer, read_only: bool) -> Vec<u8> {
    /// Up to where lengths and places stand.
    const FIXED: usize = 94;
    let (password, token) = match &*address.password {
        Password::Fixed(_) => (secret, None),
        Password::Token(_) => ("", Some(secret)),
    };
    let mut hidden = Vec::new();
    put_utf16(&mut hidden, password);
    for byte in &mut hidden {
        *byte = byte.rotate_left(4) ^ 0xa5;
    }
    let text = |text: &str| {
        let mut out = Vec::new();
        put_utf16(&mut out, text);
        out
    };
    let extension_at = vec![0; 4];
    // In the order of the protocol, each with what counts as one.
    let fields = [
        (text(""), 2),
        (text(&address.user), 2),
        (hidden, 2),
        (text("portcullis"), 2),
        (text(&address.host), 2),
        (extension_at, 1),
        (text("portcullis"), 2),
        (text("us_english"), 2),
        (text(&address.database), 2),
    ];
    let data: usize = fields.iter().map(|(field, _)| field.len()).sum();
    let features = features(token, offer);

    let mut out = Vec::with_capacity(FIXED + data + features.len());
    put_u32(&mut out, FIXED + data + features.len());
    let version: u32 = match address.encryption {
        Encryption::Strict(_) => 0x0800_0000,
        Encryption::LoopbackOnly | Encryption::Inside(_) => 0x7400_0004,
    };
    out.extend(version.to_le_bytes());
    put_u32(&mut out, PACKET_SIZE);
    // Version and process of this program, and a connection's number: nobody's affair.
    out.extend([0; 12]);
    // Refuse the login where database or language cannot be had; ODBC's settings, which are ANSI's.
    let read_only = if read_only { 0x20 } else { 0 };
    out.extend([0xe0, 0x03, read_only, 0x10]);
    out.extend([0; 8]);
    let mut at = FIXED;
    let mut place = |out: &mut Vec<u8>, length: usize, unit: usize| {
        put_u16(out, at);
        put_u16(out, length / unit);
        at += length;
    };
    for (field, unit) in &fields {
        place(&mut out, field.len(), *unit);
    }
    out.extend([0; 6]);
    for _ in 0..3 {
        place(&mut out, 0, 1);
    }
    put_u32(&mut out, 0);
    for (index, (field, _)) in fields.iter().enumerate() {
        if index == 5 {
            put_u32(&mut out, FIXED + data);
        } else {
            out.extend_from_slice(field);
        }
    }
    out.extend(features);
    out
}

/// What else is asked for: UTF-8 as it is, and the token.
fn features(token: Option<&str>, offer: &Offer) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(token) = token {
        let mut text = Vec::new();
        put_utf16(&mut text, token);
        out.push(0x02);
        put_u32(&mut out, 1 + 4 + text.len());
        // The library is "security token"; the lowest bit says that the server's wish was heard.
        out.push(0x02 | u8::from(offer.echo));
        put_u32(&mut out, text.len());
        out.extend(text);
    }
    out.extend([0x0a, 1, 0, 0, 0, 1]);
    out.push(0xff);
    out
}

/// One parameter of a call.
pub(super) enum Value<'a> {
    Text(Option<&'a str>),
    Bit(bool),
    Integer(i64),
    /// Sign, digits and how many of them stand behind the point.
    Decimal {
        negative: bool,
        magnitude: u128,
        scale: u8,
    },
    Float(f64),
}

/// A call of `sp_executesql` in the form in which its text is not looked up by name.
pub(super) fn execute(
    statement: &str,
    declaration: &str,
    values: &[(String, Value<'_>)],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(statement.len() * 2 + 64);
    put_u16(&mut out, 0xffff);
    put_u16(&mut out, 10);
    put_u16(&mut out, 0);
    put_value(&mut out, "", &Value::Text(Some(statement)));
    if !values.is_empty() {
        put_value(&mut out, "", &Value::Text(Some(declaration)));
    }
    for (name, value) in values {
        put_value(&mut out, name, value);
    }
    out
}

/// What [`Value`]s are declared as.
impl Value<'_> {
    pub(super) fn declared(&self) -> String {
        match self {
            Self::Text(text) => match text.map(|text| text.encode_utf16().count()) {
                Some(4001..) => "nvarchar(max)".into(),
                _ => "nvarchar(4000)".into(),
            },
            Self::Bit(_) => "bit".into(),
            Self::Integer(_) => "bigint".into(),
            Self::Decimal { scale, .. } => format!("decimal(38,{scale})"),
            Self::Float(_) => "float".into(),
        }
    }
}

fn put_value(out: &mut Vec<u8>, name: &str, value: &Value<'_>) {
    let mut text = Vec::new();
    put_utf16(&mut text, name);
    out.push(u8::try_from(text.len() / 2).unwrap_or(u8::MAX));
    out.extend(text);
    out.push(0);
    match value {
        Value::Text(text) => {
            out.push(0xe7);
            put_u16(out, 0xffff);
            out.extend(Collation::OURS);
            let Some(text) = text else {
                out.extend([0xff; 8]);
                return;
            };
            let mut units = Vec::with_capacity(text.len() * 2);
            put_utf16(&mut units, text);
            out.extend((units.len() as u64).to_le_bytes());
            if !units.is_empty() {
                put_u32(out, units.len());
                out.extend(units);
            }
            put_u32(out, 0);
        }
        Value::Bit(value) => out.extend([0x68, 1, 1, u8::from(*value)]),
        Value::Integer(value) => {
            out.extend([0x26, 8, 8]);
            out.extend(value.to_le_bytes());
        }
        Value::Decimal {
            negative,
            magnitude,
            scale,
        } => {
            out.extend([0x6a, 17, 38, *scale, 17, u8::from(!negative)]);
            out.extend(magnitude.to_le_bytes());
        }
        Value::Float(value) => {
            out.extend([0x6d, 8, 8]);
            out.extend(value.to_le_bytes());
        }
    }
}

pub(super) fn put_utf16(out: &mut Vec<u8>, text: &str) {
    out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
}

fn put_u16(out: &mut Vec<u8>, value: usize) {
    out.extend(u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
}

fn put_u16_be(out: &mut Vec<u8>, value: usize) {
    out.extend(u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}
