//! What a name promises about its value: column headers, keys, attributes, flags, variables.

mod endings;

pub(super) use endings::{ends_name, last, may_be_followed, may_end_name, may_have_own_form};

use super::{
    bits::next_place,
    kinds::Kind,
    values::{
        ALNUM, BASE64, DIGIT, DOT, EQUALS, JOIN, LOWER, TILDE, UPPER, class, is, is_code, is_hex,
        is_placeholder, is_uuid, looks_random, mix, run,
    },
};

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::masking) enum Promise {
    /// A password: whatever is not plainly something else.
    Password,
    /// A secret, token or API key: anything that could be one.
    Secret,
    /// Some key: only what is random enough.
    Key,
    /// Cookies: the value of each.
    Cookies,
    /// A credential with its scheme before it.
    Authorization,
    Card,
    CardCode,
    Iban,
    Ssn,
    Nino,
    NationalId,
    Passport,
    BirthDate,
    Phone,
    Email,
    /// The name in a name-and-value pair.
    Name,
    /// The value in a name-and-value pair.
    Value,
}

/// Whether what is promised opens something.
pub(super) fn opens(promise: Promise) -> bool {
    matches!(promise, Promise::Password | Promise::Secret | Promise::Key)
}

/// The longest name looked at.
pub(super) const MAX_NAME: usize = 64;

/// A name in lower case without separators, and its last word.
struct Name {
    squashed: [u8; MAX_NAME],
    length: usize,
    last_word: usize,
}

impl Name {
    fn new(name: &[u8]) -> Self {
        let name = &name[name.len().saturating_sub(MAX_NAME)..];
        let mut own = Self {
            squashed: [0; MAX_NAME],
            length: 0,
            last_word: 0,
        };
        let mut before = 0_u8;
        for &byte in name {
            let class = class(byte) & ALNUM;
            if class == 0 || class == UPPER && before == LOWER {
                own.last_word = own.length;
            }
            // In lower case; digits have this bit already.
            own.squashed[own.length] = byte | 0x20;
            own.length += usize::from(class != 0);
            before = class;
        }
        // password2, key1: the number says which, not what.
        while own.length > 0 && own.squashed[own.length - 1].is_ascii_digit() {
            own.length -= 1;
        }
        if own.last_word >= own.length {
            own.last_word = 0;
        }
        own
    }

    fn all(&self) -> &[u8] {
        &self.squashed[..self.length]
    }

    fn last_word(&self) -> &[u8] {
        &self.squashed[self.last_word..self.length]
    }
}

/// Whether something that names a value, or is followed by one, may go on like this: with a number, a quote, a separator, or
/// white space. What is in the middle of a path or ends a sentence names nothing.
#[inline]
pub(super) fn may_follow(byte: u8) -> bool {
    !matches!(
        byte,
        b'/' | b'.' | b';' | b')' | b'<' | b'@' | b'#' | b'~' | b'!' | b'[' | b'{'
    )
}

/// Whether a word that a full stop follows may be short for one that names a value: D.O.B., geb., Tél.
pub(super) fn may_be_short(before: &[u8]) -> bool {
    before.ends_with(b".O.B") || before.ends_with(b"geb") || before.ends_with(b"T\xc3\xa9l")
}

/// Whether a whole name may promise something, by its end. A number there says which, not what.
fn may_promise(name: &[u8]) -> bool {
    name.iter()
        .rposition(u8::is_ascii_alphabetic)
        .is_some_and(|last| ends_name(&name[..=last]))
}

/// Names seen lately and what they promise: a document's keys are few, and come again in every row. A copy remembers
/// nothing, and what has asked for few names neither: it is not worth the memory.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: Option<Box<[Seen; 256]>>,
    asked: u8,
}

impl Clone for Names {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Who asks for more is given memory.
const FEW_NAMES: u8 = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Its bytes, some of them twice, and its length; no name has none.
    name: [u64; 3],
    length: usize,
    promise: Option<Promise>,
}

impl Names {
    /// The same as [`promise`].
    pub(super) fn promise(&mut self, name: &[u8]) -> Option<Promise> {
        if self.seen.is_none() && self.asked < FEW_NAMES {
            self.asked += 1;
            return promise(name);
        }
        let Some(key) = words_of(name) else {
            return promise(name);
        };
        let seen = self
            .seen
            .get_or_insert_with(|| Box::new([Seen::default(); 256]));
        let hash = (key[0] ^ key[1].rotate_left(23) ^ key[2].rotate_left(41))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seen = &mut seen[(hash >> 56) as usize];
        if seen.name != key || seen.length != name.len() {
            *seen = Seen {
                name: key,
                length: name.len(),
                promise: promise(name),
            };
        }
        seen.promise
    }
}

/// All bytes of a name of up to 24 bytes, some of them twice.
fn words_of(name: &[u8]) -> Option<[u64; 3]> {
    let eight = |from: usize| {
        let eight = name.get(from..)?.first_chunk()?;
        Some(u64::from_le_bytes(*eight))
    };
    let four = |from: usize| {
        let four = name.get(from..)?.first_chunk()?;
        Some(u64::from(u32::from_le_bytes(*four)))
    };
    match name.len() {
        length @ 1..4 => Some([0, length / 2, length - 1].map(|at| u64::from(name[at]))),
        4..8 => Some([four(0)?, four(name.len() - 4)?, 0]),
        8..16 => Some([eight(0)?, eight(name.len() - 8)?, 0]),
        16..=24 => Some([eight(0)?, eight(8)?, eight(name.len() - 8)?]),
        _ => None,
    }
}

/// How names end in languages other than English, without their letters that are not of ASCII.
const OTHER_LANGUAGES: &[(&[u8], Promise)] = &[
    (b"passwort", Promise::Password),
    (b"kennwort", Promise::Password),
    (b"contrasea", Promise::Password),
    (b"contrasena", Promise::Password),
    (b"wachtwoord", Promise::Password),
    (b"senha", Promise::Password),
    (b"haso", Promise::Password),
    (b"haslo", Promise::Password),
    (b"heslo", Promise::Password),
    (b"passord", Promise::Password),
    (b"lsenord", Promise::Password),
    (b"losenord", Promise::Password),
    (b"parola", Promise::Password),
    (b"geburtsdatum", Promise::BirthDate),
    (b"geboortedatum", Promise::BirthDate),
    (b"naissance", Promise::BirthDate),
    (b"nacimiento", Promise::BirthDate),
    (b"nascita", Promise::BirthDate),
    (b"nascimento", Promise::BirthDate),
    (b"urodzenia", Promise::BirthDate),
    (b"fdselsdato", Promise::BirthDate),
    (b"reisepass", Promise::Passport),
    (b"passnummer", Promise::Passport),
    (b"passnr", Promise::Passport),
    (b"rijksregisternummer", Promise::NationalId),
    (b"burgerservicenummer", Promise::NationalId),
    (b"sozialversicherungsnummer", Promise::NationalId),
    (b"identifikationsnummer", Promise::NationalId),
    (b"passeport", Promise::Passport),
    (b"pasaporte", Promise::Passport),
    (b"passaporto", Promise::Passport),
    (b"passaporte", Promise::Passport),
    (b"paspoort", Promise::Passport),
    (b"paspoortnummer", Promise::Passport),
    (b"paszport", Promise::Passport),
    (b"paszportu", Promise::Passport),
    (b"gebdatum", Promise::BirthDate),
    (b"telefon", Promise::Phone),
    (b"mobil", Promise::Phone),
    (b"handy", Promise::Phone),
    (b"gsm", Promise::Phone),
    (b"telefono", Promise::Phone),
    (b"telfono", Promise::Phone),
    (b"telefoon", Promise::Phone),
    (b"telefone", Promise::Phone),
    (b"mobiel", Promise::Phone),
    (b"mvil", Promise::Phone),
    (b"telemvel", Promise::Phone),
    (b"celular", Promise::Phone),
    (b"cellulare", Promise::Phone),
    (b"komrkowy", Promise::Phone),
    (b"paspoortnr", Promise::Passport),
    (b"fdelsedatum", Promise::BirthDate),
    (b"syntymaika", Promise::BirthDate),
    (b"umtarihi", Promise::BirthDate),
    (b"palavrapasse", Promise::Password),
    (b"adgangskode", Promise::Password),
    (b"salasana", Promise::Password),
    (b"ifre", Promise::Password),
];

/// What `name` promises; `None`: nothing that matters here.
pub(in crate::domain::masking) fn promise(name: &[u8]) -> Option<Promise> {
    let promise = may_promise(name).then(|| promised(&Name::new(name)));
    promise.flatten().or_else(|| extended(name))
}

/// What a name promises without what may be added to it.
fn extended(name: &[u8]) -> Option<Promise> {
    match name {
        // Salesforce's columns that are somebody's own.
        [stem @ .., b'_', b'_', b'c'] => promise(stem),
        // password-value, secretValue; but key-value.
        [stem @ .., b'v' | b'V', b'a', b'l', b'u', b'e'] if stem.len() > 5 => {
            let opens = |promise: &Promise| matches!(promise, Promise::Password | Promise::Secret);
            promise(stem).filter(opens)
        }
        _ => None,
    }
}

/// The same, whatever the name ends in.
fn promised(name: &Name) -> Option<Promise> {
    in_english(name).or_else(|| {
        let all = name.all();
        let mut alike = BY_LAST_LETTER[usize::from(all.last()? & 31)];
        std::iter::from_fn(|| next_place(&mut alike))
            .map(|place| OTHER_LANGUAGES[place])
            .find(|(end, _)| all.ends_with(end))
            .map(|(_, promise)| promise)
    })
}

/// For each letter which of these names end in it, a bit each.
static BY_LAST_LETTER: [u64; 32] = {
    assert!(OTHER_LANGUAGES.len() <= u64::BITS as usize);
    let mut table = [0; 32];
    let mut index = 0;
    while index < OTHER_LANGUAGES.len() {
        let (name, _) = OTHER_LANGUAGES[index];
        table[(name[name.len() - 1] & 31) as usize] |= 1 << index;
        index += 1;
    }
    table
};

fn in_english(name: &Name) -> Option<Promise> {
    let all = name.all();
    let word = name.last_word();
    let &last = all.last()?;
    match last {
        b'w' => (word == b"pw" || matches!(all, b"bindpw" | b"rootpw" | b"rootbindpw"))
            .then_some(Promise::Password),
        b'd' => {
            if all.ends_with(b"password") || all.ends_with(b"passwd") || all.ends_with(b"pwd") {
                // has_password, is_password: an answer, not a value.
                let flag = all.starts_with(b"has")
                    || all.starts_with(b"is")
                    || all.starts_with(b"no") && all.len() < 11
                    || all.starts_with(b"require");
                (!flag).then_some(Promise::Password)
            } else if matches!(all, b"connectsid" | b"phpsessid" | b"sid" | b"jsessionid")
                || all.ends_with(b"sessionid")
            {
                Some(Promise::Key)
            } else if matches!(
                all,
                b"nationalid"
                    | b"taxid"
                    | b"personalid"
                    | b"citizenid"
                    | b"vatid"
                    | b"steuerid"
                    | b"aadhaarid"
            ) || word == b"steuerid"
            {
                Some(Promise::NationalId)
            } else if matches!(all, b"card" | b"creditcard" | b"debitcard" | b"paymentcard") {
                Some(Promise::Card)
            } else {
                None
            }
        }
        b't' => {
            if all == b"psksecret" {
                Some(Promise::Password)
            } else if all.ends_with(b"secret")
                || word == b"pat"
                || matches!(all, b"ghpat" | b"dockerpat" | b"azuredevopspat")
            {
                Some(Promise::Secret)
            } else if all == b"default" {
                Some(Promise::Value)
            } else if all.ends_with(b"salt") && all.len() > 4 {
                // Two passwords that are equal have one each; of these a server has one alone.
                let secret = [
                    b"signing".as_slice(),
                    b"encryption",
                    b"auth",
                    b"nonce",
                    b"cookie",
                    b"session",
                ];
                let own = secret
                    .iter()
                    .any(|stem| ends_with(&all[..all.len() - 4], stem));
                own.then_some(Promise::Password)
            } else if all.ends_with(b"birthdt") {
                Some(Promise::BirthDate)
            } else if matches!(all, b"passport") {
                Some(Promise::Passport)
            } else {
                None
            }
        }
        b's' => {
            if all.ends_with(b"passwords")
                || all.ends_with(b"pass")
                    && !matches!(
                        all,
                        b"bypass"
                            | b"compass"
                            | b"encompass"
                            | b"surpass"
                            | b"trespass"
                            | b"multipass"
                            | b"singlepass"
                            | b"onepass"
                            | b"reisepass"
                    )
            {
                Some(Promise::Password)
            } else if [
                b"apikeys".as_slice(),
                b"apitokens",
                b"accesstokens",
                b"authtokens",
            ]
            .iter()
            .any(|plural| ends_with(all, plural))
            {
                Some(Promise::Secret)
            } else if word == b"sas" || matches!(all, b"blobsas" | b"sas") {
                Some(Promise::Key)
            } else if all.ends_with(b"cookies") {
                Some(Promise::Cookies)
            } else if all.ends_with(b"emailaddress") || all.ends_with(b"mailadres") {
                Some(Promise::Email)
            } else if all.ends_with(b"credentials")
                || matches!(word, b"creds" | b"logins" | b"tokens")
            {
                // Tokens are counted, and parts of sentences.
                Some(Promise::Key)
            } else {
                None
            }
        }
        b'n' => {
            if all.ends_with(b"passwordplain") {
                Some(Promise::Password)
            } else if all.ends_with(b"token") {
                let page = [
                    b"next".as_slice(),
                    b"page",
                    b"continuation",
                    b"pagination",
                    b"skip",
                    b"delta",
                    b"cancellation",
                    b"sync",
                    b"max",
                    b"stop",
                    b"eos",
                    b"bos",
                    b"pad",
                    b"unk",
                    b"mask",
                    b"sep",
                    b"cls",
                ]
                .iter()
                .any(|prefix| ends_with(&all[..all.len() - 5], prefix));
                (!page).then_some(Promise::Secret)
            } else if all == b"session" {
                Some(Promise::Key)
            } else if all == b"sonarlogin" {
                Some(Promise::Secret)
            } else if word == b"ssn" || all.ends_with(b"ssn") {
                Some(Promise::Ssn)
            } else if word == b"iban" || all.ends_with(b"iban") {
                Some(Promise::Iban)
            } else if word == b"authorization" || all.ends_with(b"authorization") {
                Some(Promise::Authorization)
            } else if matches!(word, b"pan") || matches!(all, b"ccn") {
                Some(Promise::Card)
            } else if matches!(all, b"pin" | b"userpin" | b"cardpin" | b"accesspin") {
                Some(Promise::CardCode)
            } else if matches!(
                word,
                b"bsn" | b"sin" | b"tfn" | b"tin" | b"itin" | b"ppsn" | b"ahvn" | b"cpn"
            ) {
                Some(Promise::NationalId)
            } else {
                None
            }
        }
        b'y' => key(all),
        b'e' => {
            if all.ends_with(b"passphrase")
                || all.ends_with(b"passcode")
                || all.ends_with(b"depasse")
                || all == b"clave"
            {
                Some(Promise::Password)
            } else if all.ends_with(b"secretkeybase") {
                Some(Promise::Secret)
            } else if all.ends_with(b"cookie") {
                Some(Promise::Cookies)
            } else if matches!(word, b"phone" | b"telephone" | b"mobile" | b"handphone")
                || all.ends_with(b"phone") && all.len() <= 14
                || all.ends_with(b"mobile")
            {
                (!matches!(all, b"iphone" | b"microphone" | b"smartphone" | b"ismobile"))
                    .then_some(Promise::Phone)
            } else if matches!(all, b"birthdate") || all.ends_with(b"birthdate") {
                Some(Promise::BirthDate)
            } else if matches!(
                all,
                b"name" | b"keyname" | b"displayname" | b"optionname" | b"variablename"
            ) {
                Some(Promise::Name)
            } else if matches!(
                all,
                b"value"
                    | b"example"
                    | b"stringvalue"
                    | b"parametervalue"
                    | b"outputvalue"
                    | b"variablevalue"
            ) {
                Some(Promise::Value)
            } else if matches!(all, b"cardcode" | b"securitycode") {
                Some(Promise::CardCode)
            } else if all.ends_with(b"signature")
                && (all.starts_with(b"sas") || all.starts_with(b"sharedaccess"))
            {
                Some(Promise::Key)
            } else if matches!(all, b"codicefiscale" | b"nie") {
                Some(Promise::NationalId)
            } else {
                None
            }
        }
        b'h' => {
            if all.ends_with(b"dateofbirth")
                || matches!(all, b"birth" | b"dayofbirth" | b"datebirth")
            {
                Some(Promise::BirthDate)
            } else if matches!(all, b"auth" | b"basicauth" | b"proxyauth" | b"xauth") {
                Some(Promise::Key)
            } else if all == b"masterauth" {
                Some(Promise::Password)
            } else {
                None
            }
        }
        b'k' => all.ends_with(b"psk").then_some(Promise::Password),
        b'a' => (all == b"cedula").then_some(Promise::NationalId),
        b'u' => (word == b"hetu").then_some(Promise::NationalId),
        b'b' => (word == b"dob").then_some(Promise::BirthDate),
        b'g' => match all {
            b"sig" => Some(Promise::Key),
            b"secretstring" | b"keystring" => Some(Promise::Password),
            _ => None,
        },
        b'l' => {
            if word == b"email" || word == b"mail" && all.len() > 4 || all.ends_with(b"email") {
                Some(Promise::Email)
            } else if matches!(all, b"tel" | b"tl" | b"cell" | b"phonetel" | b"contacttel") {
                Some(Promise::Phone)
            } else if word == b"pesel" || matches!(all, b"pesel") {
                Some(Promise::NationalId)
            } else if all == b"credential" {
                Some(Promise::Key)
            } else {
                None
            }
        }
        b'o' | b'r' | b'x' | b'c' | b'v' | b'm' | b'f' | b'i' | b'z' | b'p' => {
            let stem = [b"number".as_slice(), b"nummer", b"num", b"nr", b"no"]
                .iter()
                .find_map(|end| all.strip_suffix(*end))
                .unwrap_or(all);
            if matches!(all, b"cvv" | b"cvc" | b"cardcvv" | b"cardcvc" | b"cvn") {
                Some(Promise::CardCode)
            } else if word == b"bearer" {
                Some(Promise::Key)
            } else if stem.len() == all.len()
                && !matches!(
                    all,
                    b"nino"
                        | b"ukninino"
                        | b"nif"
                        | b"dni"
                        | b"personnummer"
                        | b"cpf"
                        | b"bsnr"
                        | b"pesel"
                        | b"nir"
                        | b"ahv"
                        | b"cpr"
                        | b"sin"
                )
            {
                None
            } else if stem.ends_with(b"card")
                || stem.ends_with(b"creditcard")
                || stem.ends_with(b"cc") && stem.len() == 2
            {
                Some(Promise::Card)
            } else if stem.ends_with(b"passport") || stem.ends_with(b"traveldocument") {
                Some(Promise::Passport)
            } else if stem.ends_with(b"phone")
                || stem.ends_with(b"mobile")
                || stem.ends_with(b"tel")
                || stem.ends_with(b"telephone")
                || stem.ends_with(b"cell")
                || stem.ends_with(b"fax")
                || stem.ends_with(b"msisdn")
                || stem.ends_with(b"telefon")
                || stem.ends_with(b"telefoon")
                || stem.ends_with(b"mobil")
                || stem.ends_with(b"mobiel")
                || stem.ends_with(b"handy")
                || stem.len() < all.len() && stem == b"contact"
            {
                Some(Promise::Phone)
            } else if all.ends_with(b"nino") || matches!(stem, b"ni" | b"nationalinsurance") {
                Some(Promise::Nino)
            } else if stem.ends_with(b"socialsecurity") || stem.ends_with(b"ssn") {
                Some(Promise::Ssn)
            } else if stem.ends_with(b"iban") {
                Some(Promise::Iban)
            } else if matches!(
                stem,
                b"national"
                    | b"nationalid"
                    | b"tax"
                    | b"personal"
                    | b"identity"
                    | b"idcard"
                    | b"bsn"
                    | b"dni"
                    | b"nie"
                    | b"nif"
                    | b"cpf"
                    | b"pesel"
                    | b"nir"
                    | b"ahv"
                    | b"cpr"
                    | b"aadhaar"
                    | b"sin"
                    | b"person"
            ) || matches!(
                all,
                b"nif"
                    | b"dni"
                    | b"personnummer"
                    | b"cpf"
                    | b"nir"
                    | b"ahv"
                    | b"cpr"
                    | b"personnr"
                    | b"fodselsnr"
            ) {
                Some(Promise::NationalId)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// The same as for slices, for those who ask many times: most differ in the last letter.
fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.last() == end.last() && text.ends_with(end)
}

/// Names that end in `key` or `y`. Most keys open nothing: they sort, join, shard, cache.
fn key(all: &[u8]) -> Option<Promise> {
    if all.ends_with(b"birthday") || all == b"bday" {
        return Some(Promise::BirthDate);
    }
    if all == b"community" {
        return Some(Promise::Secret);
    }
    if matches!(all, b"snmpcommunity" | b"rocommunity" | b"rwcommunity") {
        return Some(Promise::Password);
    }
    if !all.ends_with(b"key") {
        return None;
    }
    let stem = &all[..all.len() - 3];
    // Those of networks are chosen as passwords are.
    let of_network = [
        b"preshared".as_slice(),
        b"wifi",
        b"wlan",
        b"wpa",
        b"wireless",
        b"hotspot",
    ];
    if of_network.iter().any(|of| ends_with(stem, of)) {
        return Some(Promise::Password);
    }
    let opens_nothing = [
        b"public".as_slice(),
        b"pub",
        b"sort",
        b"partition",
        b"cache",
        b"idempotency",
        b"idempotent",
        b"foreign",
        b"publishable",
        b"instrumentation",
        b"object",
        b"routing",
        b"hot",
        b"row",
        b"range",
        b"composite",
        b"unique",
        b"natural",
        b"surrogate",
        b"group",
        b"shard",
        b"distribution",
        b"dedup",
        b"deduplication",
        b"message",
        b"lookup",
        b"i18n",
        b"translation",
        b"registry",
        b"any",
        b"site",
        b"knownhost",
        b"host",
        b"json",
        b"map",
        b"dict",
        b"metadata",
        b"gpg",
        b"sandbox",
        b"tag",
        b"label",
        b"index",
    ];
    if opens_nothing.iter().any(|other| ends_with(stem, other)) {
        return None;
    }
    let opens = [
        b"api".as_slice(),
        b"secret",
        b"access",
        b"private",
        b"master",
        b"function",
        b"account",
        b"encryption",
        b"signing",
        b"auth",
        b"subscription",
        b"sharedaccess",
        b"client",
        b"license",
        b"app",
        b"wep",
    ];
    if opens.iter().any(|other| ends_with(stem, other)) {
        return Some(Promise::Secret);
    }
    Some(Promise::Key)
}

/// Where a value stands, which decides how far it may be trusted to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A cell, or between quotes: its extent is certain.
    Enclosed,
    /// Bare, but ended by the next attribute of a connection string.
    Attribute,
    /// Bare, to the end of its line: `KEY=value`, `key: value`.
    Line,
    /// Bare in the middle of something: prose, a log line, a URL, program text.
    Inline,
}

/// Whether a value keeps its name's promise: the part of it that is the secret, and what it is.
pub(super) fn judge(promise: Promise, value: &[u8], place: Place) -> Option<(usize, usize, Kind)> {
    let start = value.len() - value.trim_ascii_start().len();
    let trimmed = value.trim_ascii();
    let end = start + trimmed.len();
    if trimmed.is_empty() {
        return None;
    }
    let whole = |kind| Some((start, end, kind));
    match promise {
        Promise::Password => is_password(trimmed, place).then_some((start, end, Kind::Password)),
        Promise::Secret => is_secret(trimmed, place).then_some((start, end, Kind::GenericSecret)),
        Promise::Key => is_key(trimmed).then_some((start, end, Kind::GenericSecret)),
        Promise::Cookies | Promise::Authorization | Promise::Name | Promise::Value => None,
        Promise::Card => digits_between(trimmed, 12, 19).then(|| whole(Kind::Card))?,
        Promise::CardCode => (matches!(place, Place::Enclosed | Place::Line)
            && trimmed.iter().all(u8::is_ascii_digit)
            && (3..=8).contains(&trimmed.len())
            && !same_digits(trimmed))
        .then(|| whole(Kind::Card))?,
        Promise::Iban => {
            // More may follow it in its line.
            let account =
                memchr::memmem::find(trimmed, b"  ").map_or(trimmed, |end| &trimmed[..end]);
            let letters = run(account, 0, UPPER | LOWER);
            (letters >= 2 && (12..=34).contains(&count(account)) && !is_placeholder(account))
                .then_some((start, start + account.len(), Kind::Iban))
        }
        Promise::Ssn => digits_between(trimmed, 9, 9).then(|| whole(Kind::UsSsn))?,
        Promise::Nino => (trimmed.len() >= 8
            && trimmed.len() <= 16
            && is(trimmed[0], UPPER | LOWER)
            && trimmed.iter().filter(|byte| is(**byte, DIGIT)).count() == 6)
            .then(|| whole(Kind::UkNino))?,
        Promise::NationalId => (trimmed.iter().filter(|byte| is(**byte, DIGIT)).count() >= 5
            && count(trimmed) <= 20
            && mix(trimmed).distinct > 2
            && !is_uuid(trimmed))
        .then(|| whole(Kind::NationalId))?,
        Promise::Passport => {
            // Whose it is may follow it: C4VT35545 (NLD).
            let note = |two: &[u8]| matches!(two, b" (" | b", " | b"; ");
            let length = trimmed.windows(2).position(note).unwrap_or(trimmed.len());
            let number = &trimmed[..length];
            let mix = mix(number);
            ((6..=12).contains(&number.len())
                && mix.symbols == 0
                && mix.lower == 0
                && mix.spaces == 0
                && (mix.digits >= 1 || mix.upper == 9)
                && mix.distinct > 2)
                .then_some((start, start + length, Kind::Passport))
        }
        Promise::BirthDate => {
            if super::personal::is_date(trimmed) {
                return whole(Kind::BirthDate);
            }
            // Something else may follow it.
            let length = super::personal::date_length(trimmed)?;
            matches!(trimmed[length], b'&' | b';' | b',' | b')').then_some((
                start,
                start + length,
                Kind::BirthDate,
            ))
        }
        Promise::Phone => {
            let allowed = trimmed.iter().all(|byte| {
                is(*byte, DIGIT)
                    || matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'+' | b'/' | b'x')
            });
            (allowed && digits_between(trimmed, 6, 16)).then(|| whole(Kind::Phone))?
        }
        Promise::Email => {
            let at = memchr::memchr(b'@', trimmed)?;
            // Also what is no address by the book, as long as it stands alone.
            let whole_address = super::personal::email(trimmed, at).is_some()
                || !super::personal::is_nobody(trimmed, at)
                    && trimmed.len() >= 5
                    && !trimmed.contains(&b' ')
                    && !is_placeholder(trimmed);
            whole_address.then(|| whole(Kind::Email))?
        }
    }
}

fn count(value: &[u8]) -> usize {
    value.iter().filter(|byte| is(**byte, ALNUM)).count()
}

fn same_digits(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == value[0])
}

/// A number of digits, not all the same, with nothing but what people put between digits.
fn digits_between(value: &[u8], least: usize, most: usize) -> bool {
    let mut digits = 0;
    let mut first = None;
    let mut varied = false;
    for &byte in value {
        if is(byte, DIGIT) {
            digits += 1;
            varied |= *first.get_or_insert(byte) != byte;
        } else if is(byte, UPPER | LOWER) && byte != b'x' || byte >= 0x80 {
            return false;
        }
    }
    (least..=most).contains(&digits) && varied
}

fn is_password(value: &[u8], place: Place) -> bool {
    if value.len() < 3 || is_placeholder(value) || (place != Place::Enclosed && is_code(value)) {
        return false;
    }
    let words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .count();
    match place {
        // Sentences have more words than passphrases, and full stops.
        Place::Enclosed => words <= 5 || !value.ends_with(b"."),
        Place::Attribute => words <= 5,
        // A count is none: "pass: 17, fail: 2".
        Place::Line
            if words > 1
                && value
                    .split(|byte| *byte == b',')
                    .next()
                    .is_some_and(|first| first.iter().all(u8::is_ascii_digit)) =>
        {
            false
        }
        Place::Line => words <= 4 && !(words > 1 && value.ends_with(b".")) && !is_type_name(value),
        Place::Inline => {
            let mix = mix(value);
            // A bare word beside the word "password" is more often grammar or a variable than a password.
            (mix.digits > 0 && value.len() >= 5)
                || (value.len() >= 10
                    && mix.upper > 2
                    && mix.lower > 2
                    && mix.turns * 5 >= value.len())
                || (mix.symbols > 0
                    && mix.upper + mix.lower > 0
                    && value.len() >= 6
                    && !is_name(value))
        }
    }
}

/// A name as programs write them: letters, `_`, `-` and `.` alone.
pub(super) fn is_name(value: &[u8]) -> bool {
    run(value, 0, LOWER | UPPER | JOIN | DOT) == value.len()
}

fn is_type_name(value: &[u8]) -> bool {
    let end = run(value, 0, ALNUM);
    let word = &value[..end];
    [
        b"varchar".as_slice(),
        b"nvarchar",
        b"text",
        b"char",
        b"string",
        b"str",
        b"secretstr",
        b"optional",
        b"bytea",
        b"uuid",
    ]
    .iter()
    .any(|name| word.eq_ignore_ascii_case(name))
}

fn is_secret(value: &[u8], place: Place) -> bool {
    if is_signed_url(value) {
        return false;
    }
    if value.len() < 8 || is_placeholder(value) || (place != Place::Enclosed && is_code(value)) {
        return false;
    }
    if value.iter().any(u8::is_ascii_whitespace) {
        return false;
    }
    let mix = mix(value);
    if is_name(value) {
        // Words joined: the name of a secret. Random letters have many kinds and no joints.
        return value.len() >= 20 && mix.upper > 2 && mix.lower > 2 && mix.turns * 6 >= value.len();
    }
    if mix.digits == value.len() {
        return place == Place::Enclosed && value.len() >= 12;
    }
    mix.distinct >= 5 && !is_path_or_url(value)
}

/// A key is random: enough of it, of more than one kind.
fn is_key(value: &[u8]) -> bool {
    if value.len() < 16
        || is_number(value)
        || is_placeholder(value)
        || is_uuid(value)
        || is_path_or_url(value)
        || is_signed_url(value)
    {
        return false;
    }
    let body = run(value, 0, ALNUM | JOIN | BASE64 | EQUALS | DOT | TILDE);
    if body < value.len() && !value.contains(&b'%') {
        return false;
    }
    if is_hex(value) {
        return value.len() >= 32 && mix(value).digits > 0;
    }
    looks_random(value)
}

/// A number as programs write them: `0x9e3779b97f4a7c15`.
pub(super) fn is_number(value: &[u8]) -> bool {
    value.len() <= 18 && value.strip_prefix(b"0x").is_some_and(is_hex)
}

/// A shared access signature: only its `sig` is secret, and is found by that name.
fn is_signed_url(value: &[u8]) -> bool {
    value.contains(&b'&') && memchr::memmem::find(value, b"sig=").is_some()
}

fn is_path_or_url(value: &[u8]) -> bool {
    [
        b"/var/".as_slice(),
        b"/etc/",
        b"/run/",
        b"/usr/",
        b"/home/",
        b"/opt/",
        b"/tmp/",
        b"/root/",
    ]
    .iter()
    .any(|root| value.starts_with(root))
        || value.starts_with(b"/")
            && value[1..].contains(&b'/')
            && !value.ends_with(b"=")
            && !looks_random(value)
        || value.starts_with(b"./")
        || (value.starts_with(b"http")
            && value.contains(&b':')
            && value.windows(3).any(|three| three == b"://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_promises_something_has_an_ending_that_is_looked_for() {
        // Every name and part of a name that is written here.
        let words: Vec<&str> = concat!(include_str!("mod.rs"), include_str!("endings.rs"))
            .split("b\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
            .collect();
        assert!(words.len() > 200);
        let (mut promises, mut missing) = (0, Vec::new());
        for word in &words {
            for end in [
                "", "number", "_number", "num", "_num", "nr", "_nr", "no", "_no", "_id", "key",
                "_key",
            ] {
                for begin in ["", "my_", "My", "sas", "my "] {
                    for name in [
                        format!("{begin}{word}{end}"),
                        format!("{begin}{word}{end}2"),
                    ] {
                        let promised = promised(&Name::new(name.as_bytes()));
                        promises += usize::from(promised.is_some());
                        if promised != promise(name.as_bytes()) {
                            missing.push(name);
                        }
                    }
                }
            }
        }
        assert!(promises > 1000);
        assert!(missing.is_empty(), "{missing:?}");
    }
}
