//! What words end in that name a value, or that a value follows: a few hashes tell it of each word of a text, and nearly all
//! are no more looked at.

/// What names end in whose value stands after a separator, or in a column of their own: four bytes each, in which `?` is any
/// letter and `-` whatever joins words.
const PAIRED: &[&[u8]] = &[
    b"okie", b"kies", b"uths", // Promises of secrets.
    // Promises of personal data.
    b"card", b"?pan", b"?ccn", b"iban", b"?dni", b"?sin", b"?tfn", b"?tin", b"ppsn", b"ahvn",
    b"?cpn", b"hetu", b"?nif", b"?nie", b"?cpf", b"?nir", b"?ahv", b"?cpr", b"nino", b"cale",
    b"umer", b"dula", b"axid", b"enid", b"atid", b"erid", b"arid", b"hday", b"bday", b"date",
    b"hone", b"bile", b"?tel", b"cell", b"mail", b"ress", b"dres", b"?num", b"l-id", b"x-id",
    b"rdno", b"neno", b"leno", b"elno", b"llno", b"rdnr", b"nenr", b"lenr", b"elnr", b"llnr",
    b"snnr", b"sonr", b"alno", b"alnr", b"arno", b"arnr", b"axno", b"axnr", b"ccno", b"ccnr",
    b"ceno", b"cenr", b"hvno", b"hvnr", b"idno", b"idnr", b"ieno", b"ienr", b"ifno", b"ifnr",
    b"irno", b"irnr", b"lsnr", b"ninr", b"pfno", b"pfnr", b"prno", b"prnr", b"tyno", b"tynr",
    b"h-dt", b"ssnr", b"ntno", b"ntnr", // The same in other languages.
    b"atum", b"ento", b"cita", b"enia", b"dato", b"thdt", b"efon", b"fono", b"foon", b"fone",
    b"obil", b"andy", b"?gsm", b"biel", b"ular", b"lare", b"mvil", b"mvel", b"?-tl", b"ilnr",
    b"ilno", b"dynr", b"dyno", b"ctnr", b"ctno", b"rihi", b"aika",
    b"kowy", // Names and values in pairs, and what they are in.
    b"name", b"alue", b"ecom", // Those of whoever may log in, or ask a device.
    b"reds", b"gins", b"nity", // Lists of columns.
    b"umns", b"cols", b"elds", b"meta", b"ames",
];

/// The same with six or eight bytes, where the last four are of many words that name nothing.
const PAIRED_LONGER: &[&[u8]] = &[
    b"/secrets",
    b"onalid",
    b"zen-id",
    b"ssion-id",
    b"vat-id",
    b"uer-id",
    b"aar-id",
    b"nummer",
    b"ssance",
    b"efault",
    b"eaders",
    b"iVersion",
    b"ecrets",
    b"tokens",
    b"-users",
    b"[users",
    b"xample",
];

/// What names end in whose value may also follow without a separator.
const TOLD: &[&[u8]] = &[
    b"word", b"sswd", b"pswd", b"?pwd", b"wort", b"cret", b"?pat", b"pass", b"asse", b"rase",
    b"code", b"oken", b"?key", b"keys", b"?sas", b"ture", b"?sig", b"?psk", b"auth", b"ials",
    b"?sid", b"?cvv", b"?cvc", b"?cvn", b"?pin", b"?ssn", b"?bsn", b"esel", b"?-no", b"?-nr",
    b"rtno", b"rtnr", b"d by", b"?-pw", b"ndpw", b"otpw", b"salt", b"ogin", b"ords", b"enha",
    b"lain", // Passwords and passports in other languages.
    b"sena", b"oord", b"nord", b"aslo", b"eslo", b"rola", b"orte", b"orto", b"oort", b"ortu",
    b"lave", b"asea", b"haso", b"sord", b"kode", b"sana", b"ifre",
];

const TOLD_LONGER: &[&[u8]] = &[
    b"rd-value",
    b"et-value",
    b"eybase",
    b"y-base",
    b"edential",
    b"sionid",
    b"ssport",
    b"ass-port",
    b"seport",
    b"szport",
    b"number",
    b"curity",
    b"string",
    b"pitokens",
    b"sstokens",
    b"thtokens",
    b"i-tokens",
    b"s-tokens",
    b"h-tokens",
];

/// What words end in whose values have a form of their own.
const OWN_FORM: &[&[u8]] = &[
    b"arer", b"asic", b"@tcp", b" /rp", b" use", b"user", b"sswd", b"thin", b"plus", b"g_sz",
    b"born", b"irth", b"?dob", b"nect", b"auth", b"sqli", b"?pdo", b"ials", b"ogin", b"tdin",
    b"oren", b"cido", b"cida", b"nata", b"nato", b".o.b", b"?dmg", b"reds", b"gins", b"nity",
    b"xpdp", b"mpdp", b"rget", b"alog", b"conn", b"qlcl", b"?imp", b"?exp", b"raps", b" aes",
    b" des", b"?geb", b"sink", b"2sec", b" eap", b"ntlm", b"/o/b",
];

const OWN_FORM_LONGER: &[&[u8]] = &[
    b"tication",
    b"rization",
    b"nnection",
    b"edential",
    b"ession",
    b" version",
];

/// What words of both kinds end in that have letters which are not of ASCII.
const ACCENTED: &[&[u8]] = &[
    b"e\xc3\xb1a",
    b"s\xc5\x82o",
    b"n\xc3\xa9e",
    b"\xb3vil",
    b"\xb3vel",
    b"T\xc3\xa9l",
];

/// Which of these endings a word may have: of each of some hashes a bit for each ending.
struct Endings<const HASHES: usize, const WORDS: usize>([[u64; WORDS]; HASHES]);

/// What joins words, and what stands before one that stands alone.
const JOINS: &[u8; 14] = b"_-. \n\"'$&;,(</";

/// What the hashes multiply by.
const MULTIPLIERS: [u32; 2] = [0x9e37_79b1, 0x85eb_ca6b];

/// Endings of the last three kinds; then all.
const FOLLOWING: &[&[&[u8]]] = &[TOLD, TOLD_LONGER, OWN_FORM, OWN_FORM_LONGER, ACCENTED];
const ALL: &[&[&[u8]]] = &[
    PAIRED,
    PAIRED_LONGER,
    TOLD,
    TOLD_LONGER,
    OWN_FORM,
    OWN_FORM_LONGER,
    ACCENTED,
];

/// Small enough to stay near the processor, large enough that few words are there by chance. Every word is asked for: of one
/// hash, and those that are there for two.
static ANY: Endings<1, 1024> = Endings::of(ALL, usize::MAX);
static SHORT: Endings<2, 512> = Endings::of(ALL, FOUR);
static FOLLOWED: Endings<2, 128> = Endings::of(FOLLOWING, usize::MAX);
static FORMED: Endings<2, 32> = Endings::of(&[OWN_FORM, OWN_FORM_LONGER, ACCENTED], usize::MAX);
static LONG: Longer = Longer::of(ALL);

/// How long an ending is that is not longer.
const FOUR: usize = 4;

impl<const HASHES: usize, const WORDS: usize> Endings<HASHES, WORDS> {
    /// Of the last four bytes of those that have `longest` at most.
    const fn of(lists: &[&[&[u8]]], longest: usize) -> Self {
        let mut tables = [[0; WORDS]; HASHES];
        let mut list = 0;
        while list < lists.len() {
            let mut index = 0;
            while index < lists[list].len() {
                let whole = lists[list][index];
                let mut ending = [0; FOUR];
                let mut byte = 0;
                while byte < FOUR {
                    ending[byte] = whole[whole.len() - FOUR + byte];
                    byte += 1;
                }
                let joined = ending[1] == b'-';
                // The first byte, or the first and the second, where they are not fixed.
                let mut any = 0;
                let ways = match (joined, ending[0] == b'?') {
                    _ if whole.len() > longest => 0,
                    (true, _) => 32 * JOINS.len(),
                    (false, true) => 32,
                    (false, false) => 1,
                };
                while any < ways {
                    let mut bytes = ending;
                    if ending[0] == b'?' {
                        bytes[0] = (any % 32) as u8;
                    }
                    if joined {
                        bytes[1] = JOINS[any / 32];
                    }
                    let mut table = 0;
                    while table < HASHES {
                        let hash = Self::hash(u32::from_le_bytes(bytes), MULTIPLIERS[table]);
                        tables[table][hash >> 6] |= 1 << (hash & 63);
                        table += 1;
                    }
                    any += 1;
                }
                index += 1;
            }
            list += 1;
        }
        Self(tables)
    }

    #[inline]
    const fn hash(four: u32, multiplier: u32) -> usize {
        // The lowest five bits are the same in both cases.
        ((four & 0x1f1f_1f1f).wrapping_mul(multiplier) >> (u32::BITS - 6 - WORDS.ilog2())) as usize
    }

    #[inline]
    fn has(&self, four: [u8; 4]) -> bool {
        let four = u32::from_le_bytes(four);
        // All are asked in any case: no branch is cheaper than one that nobody can predict.
        let tables = self.0.iter().zip(MULTIPLIERS);
        let bits = tables.map(|(table, multiplier)| {
            let hash = Self::hash(four, multiplier);
            table[hash >> 6] >> (hash & 63)
        });
        bits.fold(1, |all, bit| all & bit) == 1
    }
}

/// The endings of six and eight bytes.
struct Longer([u64; 64]);

impl Longer {
    const fn of(lists: &[&[&[u8]]]) -> Self {
        let mut table = [0; 64];
        let mut list = 0;
        while list < lists.len() {
            let mut index = 0;
            while index < lists[list].len() {
                let ending = lists[list][index];
                let mut join = 0;
                while join < JOINS.len() && ending.len() > FOUR {
                    let mut bytes = [0; 8];
                    let mut at = 0;
                    while at < ending.len() {
                        let byte = ending[at];
                        let byte = if byte == b'-' { JOINS[join] } else { byte };
                        bytes[bytes.len() - ending.len() + at] = byte;
                        at += 1;
                    }
                    let hash = Self::hash(u64::from_le_bytes(bytes));
                    table[hash >> 6] |= 1 << (hash & 63);
                    join += 1;
                }
                index += 1;
            }
            list += 1;
        }
        Self(table)
    }

    #[inline]
    const fn hash(eight: u64) -> usize {
        const LOWEST: u64 = u64::from_le_bytes([0x1f; 8]);
        ((eight & LOWEST).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - 12)) as usize
    }

    #[inline]
    fn has(&self, eight: u64) -> bool {
        let hash = Self::hash(eight);
        self.0[hash >> 6] >> (hash & 63) & 1 == 1
    }
}

/// Whether a word that ends in these four bytes may be one that names a value, or that a value follows. Of one that may,
/// [`ends_name`] knows more.
#[inline]
pub(in crate::domain::masking::detect) fn may_end_name(four: [u8; 4]) -> bool {
    ANY.has(four)
}

/// Whether a word may be one that names a value, or that a value follows, by as much of its end as tells. `before` ends with
/// it.
#[inline]
pub(in crate::domain::masking::detect) fn ends_name(before: &[u8]) -> bool {
    let eight: [u8; 8] = last(before);
    let [.., a, b, c, d] = eight;
    let eight = u64::from_le_bytes(eight);
    SHORT.has([a, b, c, d]) || LONG.has(eight >> 16 << 16) || LONG.has(eight)
}

/// Whether a value may follow such a word without a separator.
pub(in crate::domain::masking::detect) fn may_be_followed(four: [u8; 4]) -> bool {
    FOLLOWED.has(four)
}

/// Whether that value may have a form of its own.
pub(in crate::domain::masking::detect) fn may_have_own_form(four: [u8; 4]) -> bool {
    FORMED.has(four)
}

/// The last bytes of a text, with spaces before them where there are fewer.
#[inline]
pub(in crate::domain::masking::detect) fn last<const COUNT: usize>(text: &[u8]) -> [u8; COUNT] {
    if let Some(bytes) = text.last_chunk() {
        return *bytes;
    }
    let mut bytes = [b' '; COUNT];
    bytes[COUNT - text.len()..].copy_from_slice(text);
    bytes
}
