//! Values that follow a word rather than a separator: flags, sentences, calls, files of credentials.

use super::{
    Sink,
    keyed::{self, closing_quote},
    keys::{self, Place, Promise, judge},
    kinds::Kind,
    personal, tokens,
    values::{
        ALNUM, BASE64, DIGIT, DOT, EQUALS, JOIN, LOWER, Mix, TILDE, UPPER, is, is_hex,
        is_placeholder, is_strong, is_uuid, looks_random, mix, run, run_back, run_back_within,
        run_within, starts_word,
    },
};

/// Whether a word may have its value after a separator, and is no key: `born: …`, `:thin:…`, `auth=(…)`, `--user=name:…`,
/// `creds: name:…`, `basic: name:…`. `before` ends with the word.
pub(super) fn before_separator(before: &[u8], separator: u8) -> bool {
    match before.last().map(u8::to_ascii_lowercase) {
        Some(b'n' | b'h' | b'b') => true,
        Some(b'r') => separator == b'=' && before.ends_with(b"-user"),
        Some(b's') => before.ends_with(b"reds") || before.ends_with(b"redentials"),
        Some(b'c') => before.ends_with(b"basic"),
        _ => false,
    }
}

/// Finds the value that follows the word whose last letter is before `end`: flags, sentences, calls, files of credentials.
pub(super) fn after_word(
    line: &[u8],
    end: usize,
    names: &mut keys::Names,
) -> Option<(usize, usize, Kind)> {
    let before = &line[..end];
    let ends = |word: &[u8]| before.ends_with(word);
    let next = line.get(end).copied().unwrap_or(b'\n');
    let four = keys::last(before);
    if !keys::may_be_followed(four) {
        return None;
    }
    if next == b'\t'
        && let Some(found) = of_jar(line, end)
    {
        return Some(found);
    }
    if keys::may_have_own_form(four)
        && let Some(found) = own_form(line, end)
    {
        return found;
    }
    let word_end = run_within(line, end, DIGIT | JOIN, keys::MAX_NAME);
    // A separator after it makes it a key.
    let quotes = line[word_end..]
        .iter()
        .take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'*'))
        .count();
    let follows = line.get(word_end + quotes)?;
    if !matches!(follows, b' ' | b'\t' | b'(' | b',')
        && (quotes == 0 || matches!(follows, b':' | b'=' | b'\\'))
    {
        return None;
    }
    let name = |byte: &&u8| is(**byte, ALNUM | JOIN) || **byte >= 0x80;
    let near = &line[end.saturating_sub(keys::MAX_NAME)..end];
    let word_start = end - near.iter().rev().take_while(name).count();
    let word = &line[word_start..word_end];
    // A flag, a sentence, or both: `--password` may be spoken of.
    if let Some(name) = word.strip_prefix(b"--")
        && let Some(found) = flag(line, word_start, word_end - name.len())
    {
        return Some(found);
    }
    if ends(b"keys") && line[end..].starts_with(b" are") {
        return sentence(line, word_start, end + b" are".len(), Promise::Key);
    }
    if matches!(word, b"key" | b"md5")
        && let Some(found) = of_device(line, word_start, word_end)
    {
        return Some(found);
    }
    let (promise, word_end) = match word {
        b"PIN" | b"CVV" | b"CVC" => (Promise::CardCode, word_end),
        b"SSN" => (Promise::Ssn, word_end),
        b"BSN" | b"PESEL" => (Promise::NationalId, word_end),
        b"security" if ends(b"ocial security") => (Promise::Ssn, word_end),
        b"passe" if ends(b"de passe") => (Promise::Password, word_end),
        b"PASS" => return command_of_login(line, word_start, word_end),
        b"change_password" => return second_word(line, word_end),
        b"BY" | b"by" if ends(b"ENTIFIED BY") || ends(b"entified by") => {
            (Promise::Password, word_end)
        }
        b"key" | b"Key" => {
            // Which key, the word before says: "the cache key is …".
            let spaced = word_start.checked_sub(1).filter(|at| line[*at] == b' ')?;
            let before = run_back_within(line, spaced, ALNUM | JOIN, keys::MAX_NAME);
            let promise = names.promise(&line[before..word_end])?;
            let chosen = promise == Promise::Password;
            (if chosen { promise } else { Promise::Key }, word_end)
        }
        // ("value" | ConvertTo-SecureString …)
        _ if ends(b"SecureString") && line[..word_start].ends_with(b" | ") => {
            let end = line[..word_start - 3].strip_suffix(b"\"")?.len();
            let from = memchr::memrchr(b'"', &line[line_start(line, end)..end])? + 1;
            return positional(line, (line_start(line, end) + from, end));
        }
        _ if ends(b"SecureString") && next == b' ' => {
            let mut end = end;
            // Its flags may come first.
            for flag in [b" -AsPlainText".as_slice(), b" -Force", b" -String"] {
                if line[end..].starts_with(flag) && line.get(end + flag.len()) == Some(&b' ') {
                    end += flag.len();
                }
            }
            (Promise::Password, end)
        }
        _ => {
            let promise = names.promise(word)?;
            let told = match promise {
                // Words of every day, unless a value follows right away.
                Promise::Password => {
                    word == b"requirepass"
                        || word[0] == b'-'
                        || line[..word_start].ends_with(b"{")
                        || !ends(b"pass") && !ends(b"PASS") && !ends(b"Pass")
                        || line[..word_start].ends_with(b"#define ")
                        || arguments(line, word_end)
                            .next()
                            .is_some_and(|(from, to)| is_strong(&line[from..to]))
                }
                // Several are spoken of, counted, listed.
                Promise::Key if matches!(word.last(), Some(b's' | b'S')) => ends(b"redentials"),
                Promise::Secret | Promise::Key => true,
                Promise::CardCode => matches!(word, b"pin" | b"cvv" | b"cvc"),
                Promise::Passport => true,
                _ => false,
            };
            told.then_some((promise, word_end))?
        }
    };
    sentence(line, word_start, word_end, promise)
}

/// Finds a value that has a form of its own after the word that ends before `end`, as [`after_word`] does; `None`: the word
/// is none of those that have.
fn own_form(line: &[u8], end: usize) -> Option<Option<(usize, usize, Kind)>> {
    let before = &line[..end];
    let ends = |word: &[u8]| before.ends_with(word);
    let next = line.get(end).copied().unwrap_or(b'\n');
    Some(
        match &keys::last(before).map(|byte| byte.to_ascii_lowercase()) {
            b"arer" if ends(b"earer") && next == b' ' => tokens::scheme(line, end - 5, end + 1),
            b"asic" if ends(b"asic") && next == b' ' => tokens::scheme(line, end - 4, end + 1),
            b"asic" if ends(b"basic") && matches!(next, b':' | b'"') => {
                login(line, end).filter(|(from, to, _)| is_strong(&line[*from..*to]))
            }
            b"@tcp" if ends(b"@tcp") && next == b'(' => mysql(line, end - 4),
            b" /rp" if ends(b" /rp") && next == b' ' => flag(line, end - 4, end + 1),
            b" use" if ends(b"net use") => windows_account(line, end),
            b"user" if ends(b"net user") => windows_account(line, end - 1),
            b"user" if matches!(next, b' ' | b'=') && ends(b"-user") => {
                flag(line, end - 1, end + 1)
            }
            b"user" if next == b' ' && ends(b"add_user") => second_word(line, end),
            b"user" if next == b' ' && ends(b"createUser") => device_user(line, end),
            b"user" if next == b' ' => access_rule(line, end)?,
            b"sswd" if (ends(b"htpasswd") || ends(b"mosquitto_passwd")) && next == b' ' => {
                htpasswd(line, end + 1)
            }
            b"sswd" if ends(b"chpasswd") => chpasswd(line, end - 7),
            b"nata" | b"nato" if line[end..].starts_with(b" il ") => birth(line, end),
            b"thin" if ends(b":thin") && next == b':' => oracle(line, end + 1),
            b"plus" if ends(b"qlplus") && next == b' ' => oracle(line, end + 1),
            b"g_sz" if ends(b"REG_SZ") => registry(line, end - 6, end),
            b"born"
            | b"irth"
            | b"oren"
            | b"cido"
            | b"cida"
            | b".o.b"
            | b"/o/b"
            | b"n\xc3\xa9e"
            | [_, b'd', b'o', b'b']
            | [_, b'g', b'e', b'b']
                if BORN.iter().any(|word| {
                    let own = end.checked_sub(word.len()).map(|from| &before[from..]);
                    own.is_some_and(|own| own.eq_ignore_ascii_case(word))
                }) =>
            {
                birth(line, end)
            }
            b"nect" | b"rget" | b"alog" | b"qlcl" if next == b' ' => oracle(line, end + 1),
            [_, b'i', b'm', b'p'] | [_, b'e', b'x', b'p']
                if next == b' ' && starts_word(line, end - 3) =>
            {
                let told = oracle(line, end + 1);
                told.filter(|(from, to, _)| mix(&line[*from..*to]).digits > 0)
            }
            // These take nothing else, so the host may be missing.
            b"xpdp" | b"mpdp" if next == b' ' => at_database(line, end + 1),
            b"conn" if next == b' ' && heads_command(line, end - 4) => at_database(line, end + 1),
            // snmp-server host 10.0.0.7 version 2c value, … traps value
            b"sion" | b"raps" if next == b' ' => {
                let command = &line[line_start(line, end)..end];
                let before = usize::from(ends(b"version"));
                let asks = command.trim_ascii_start().starts_with(b"snmp-server host ");
                asks.then(|| nth_community(line, end, before))?
            }
            b" aes" | b" des" if next == b' ' => {
                // Its size may be first.
                let size = run(line, end + 1, DIGIT);
                is_device_user(line, end)
                    .then(|| positional(line, arguments(line, size).next()?))?
            }
            b"sink"
                if next == b' '
                    && [b"trapsink".as_slice(), b"trap2sink", b"informsink"]
                        .iter()
                        .any(|command| ends(command)) =>
            {
                nth_community(line, end, 1)
            }
            b"2sec" => nth_community(line, run(line, end, DIGIT), 2),
            b" eap" | b"auth" | b"ntlm"
                if next == b' '
                    && [b": EAP".as_slice(), b": XAUTH", b": NTLM"]
                        .iter()
                        .any(|of| ends(of)) =>
            {
                positional(line, arguments(line, end).next()?)
            }
            b"auth" if next == b' ' && ends(b"stats auth") => name_and_value(line, end + 1),
            b"auth" if next == b' ' && ends(b" auth") && is_device_user(line, end) => {
                positional(line, arguments(line, end).nth(1)?)
            }
            b"reds" | b"gins" => login(line, end),
            b"ials" if ends(b"redentials") && !line[end..].starts_with(b"(") => login(line, end),
            b"nity" if next == b' ' => community(line, end),
            [_, b'd', b'm', b'g'] if line[end..].starts_with(b"*D8*") => birth(line, end + 4),
            b"nect" if next == b'(' && ends(b"real_connect") => {
                literal_argument(line, end + 1, 3).and_then(|value| positional(line, value))
            }
            b"nect" if next == b'(' && ends(b"connect") && !ends(b"qli_connect") => {
                // connect(address, name, value), connect(name, value, address)
                let [second, third] = [1, 2].map(|before| literal_argument(line, end + 1, before));
                let address = |(from, to): &(usize, usize)| {
                    line[*from..*to]
                        .iter()
                        .any(|byte| matches!(byte, b'/' | b':'))
                };
                match third.is_some_and(|third| address(&third)) {
                    true => second.and_then(|value| positional(line, value)),
                    false => third.and_then(|value| positional(line, value)),
                }
            }
            b"auth" if next == b' ' && ends(b"AUTH") && starts_word(line, end - 4) => {
                let one = arguments(line, end).nth(1).is_none();
                let first = || positional(line, arguments(line, end).next()?);
                if one { first() } else { second_word(line, end) }
            }
            b"ogin" if next == b' ' && ends(b" LOGIN") => second_word(line, end),
            b"ogin" if line[end..].starts_with(b" is ") => login(line, end),
            b"ogin" if line[end..].starts_with(b" with ") => name_and_value(line, end + 6),
            b"ogin" if next == b':' => {
                login(line, end).filter(|(from, to, _)| is_strong(&line[*from..*to]))
            }
            b"tdin" if ends(b"--password-stdin") => piped(line, end),
            // ftp_login(connection, "name", "value"), PlainAuth("", "name", "value", host)
            b"ogin" | b"auth" if next == b'(' && (ends(b"_login") || ends(b"PlainAuth")) => {
                literal_argument(line, end + 1, 2).and_then(|value| positional(line, value))
            }
            // ClientSecretCredential("tenant", "client", "value")
            b"tial" if next == b'(' && ends(b"SecretCredential") => {
                literal_argument(line, end + 1, 2).and_then(|value| positional(line, value))
            }
            b"ials" if line[end..].starts_with(b".new(") && ends(b"Credentials") => {
                literal_argument(line, end + 5, 1).and_then(|value| positional(line, value))
            }
            // Credentials("name", "value"), server.login("name", "value")
            b"ials" | b"tial" | b"tion" | b"asic" | b"ogin"
                if next == b'('
                    && [
                        b"Credentials".as_slice(),
                        b"Credential",
                        b"uthentication",
                        b".basic",
                        b".login",
                    ]
                    .iter()
                    .any(|word| ends(word)) =>
            {
                literal_argument(line, end + 1, 1).and_then(|value| positional(line, value))
            }
            // auth=("name", "value"), auth("name", "value")
            b"auth" if ends(b"auth") || ends(b"Auth") => {
                let open = end + usize::from(next == b'=');
                if line.get(open) != Some(&b'(') {
                    return None;
                }
                // bearer_auth("value"), setBearerAuth("value")
                let bearer = ends(b"earer_auth") || ends(b"earerAuth");
                literal_argument(line, open + 1, usize::from(!bearer))
                    .and_then(|value| positional(line, value))
            }
            _ if next == b'('
                && [b"tConnection".as_slice(), b"qli", b"qli_connect", b"PDO"]
                    .iter()
                    .any(|word| ends(word)) =>
            {
                third_argument(line, end + 1)
            }
            _ => return None,
        },
    )
}

/// Words a date of birth follows.
const BORN: [&[u8]; 12] = [
    b"geb",
    b"born",
    b"birth",
    b"dob",
    b"d.o.b",
    b"d/o/b",
    b"geboren",
    b"nacido",
    b"nacida",
    b"nascido",
    b"nascida",
    b"n\xc3\xa9e",
];

/// Finds the password after a flag of one letter; `dash` is where it starts.
pub(super) fn after_dash(line: &[u8], dash: usize) -> Option<(usize, usize, Kind)> {
    let spaced = line.get(dash + 2) == Some(&b' ');
    let apart = |start: &usize| matches!(line[*start], b' ' | b'"' | b'\'');
    let start = dash.checked_sub(1).filter(apart);
    match line.get(dash + 1)? {
        // ["redis-cli", "-a", "value"]
        b'a' if line[dash + 2..].starts_with(b"\", \"") => redis(line, start?, dash + 6),
        b'u' if spaced => flag(line, dash, dash + 3),
        b'U' if spaced => windows_share(line, start?, dash + 3),
        b'u' => flag(line, start?, dash + 2),
        b'a' if spaced => redis(line, start?, dash + 3).or_else(|| flag(line, dash, dash + 3)),
        b'k' | b'w' | b'c' if spaced => flag(line, start?, dash + 3),
        b'A' | b'X' if spaced => device_flag(line, start?, dash + 3),
        b'p' | b'P' => flag(line, start?, dash + 2),
        _ => None,
    }
}

/// Finds what has its own separator percent-encoded.
pub(super) fn percent_encoded(text: &[u8], sink: &mut Sink<'_>) {
    for start in memchr::memchr_iter(b'%', text) {
        let line_end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |end| start + end);
        let line = &text[..line_end];
        let found = if line[start..].starts_with(b"%3D") {
            encoded(line, start, start + 3)
        } else if line[start..].starts_with(b"%253D") {
            encoded(line, start, start + 5)
        } else if line[start..].starts_with(b"%40") {
            encoded_email(line, start, start + 3)
        } else {
            None
        };
        if let Some((from, to, kind)) = found {
            sink.push(from, to, kind);
        }
    }
}

/// Where the line of `at` starts, or what is near enough to it: a command is not longer.
fn line_start(text: &[u8], at: usize) -> usize {
    let near = at.saturating_sub(512);
    memchr::memrchr(b'\n', &text[near..at]).map_or(near, |found| near + found + 1)
}

/// No word is longer that stands between a name and its value.
const LONGEST_LINK: usize = 16;

/// A word in lower case; nothing of one that is longer.
fn in_lower_case<'r>(word: &[u8], room: &'r mut [u8; LONGEST_LINK]) -> &'r [u8] {
    let Some(own) = room.get_mut(..word.len()) else {
        return &[];
    };
    own.copy_from_slice(word);
    own.make_ascii_lowercase();
    own
}

/// The most words between a name and its value, with the value.
const MAX_WORDS: usize = 12;

/// The value a sentence names: "the password is …", "password for app: …", `password …`.
fn sentence(
    line: &[u8],
    word_start: usize,
    mut word_end: usize,
    promise: Promise,
) -> Option<(usize, usize, Kind)> {
    if let Some((from, to)) = filled_in(line, word_end) {
        return positional(line, (from, to));
    }
    if let Some(value) = stored(line, word_start) {
        return positional(line, value);
    }
    let quoted = matches!(line.get(word_end), Some(b'"' | b'\''));
    let constant = || line.get(word_end) == Some(&b',') && is_constant(&line[word_start..word_end]);
    let paired = line.get(word_end) == Some(&b',') && line[..word_start].ends_with(b"{");
    if line.get(word_end) == Some(&b'(')
        || quoted && line.get(word_end + 1) == Some(&b',')
        || paired
        || constant()
    {
        return argument(line, word_start, word_end, promise);
    }
    if !line[word_end..].trim_ascii_start().is_empty()
        && !matches!(line[word_end], b' ' | b'\t' | b'"' | b'`' | b'*')
    {
        return None;
    }
    if let Some(value) = keyed::declared(line, word_end)
        && let (from, to) = value
        && let Some((a, b, kind)) = judge(promise, &line[from..to], Place::Enclosed)
    {
        return Some((from + a, from + b, kind));
    }
    let mut at = word_end;
    let mut linked = false;
    // How many words of a name may follow: "for the staging box".
    let mut named = 0;
    // What it changes from.
    let mut old = false;
    for _ in 0..MAX_WORDS {
        let before = at;
        while at < line.len()
            && matches!(line[at], b' ' | b'\t' | b'*' | b'"' | b'\'' | b'`' | b',')
        {
            at += 1;
        }
        // The new password (value) works.
        let noted = line.get(at) == Some(&b'(');
        at += usize::from(noted);
        if at >= line.len() || (at == before && at != word_end) {
            return None;
        }
        let mut to = at;
        while to < line.len() && !matches!(line[to], b' ' | b'\t' | b'"' | b'`' | b'\r' | b'<') {
            to += 1;
        }
        let token = &line[at..to];
        // The password is <b>value</b>
        if linked
            && token.is_empty()
            && let Some((from, to)) = keyed::emphasised(line, at)
            && let Some((a, b, kind)) = judge(promise, &line[from..to], Place::Enclosed)
        {
            return Some((from + a, from + b, kind));
        }
        // What closes something is of no value.
        if matches!(token.first(), Some(b')' | b']' | b'}' | b'>' | b';')) {
            return None;
        }
        // N'…': the quotes say where it begins.
        if linked && token.len() > 2 && is(token[0], UPPER | LOWER) && token[1] == b'\'' {
            return None;
        }
        let mut room = [0; LONGEST_LINK];
        let lower = in_lower_case(token, &mut room);
        let link = matches!(
            lower,
            b"is"
                | b"are"
                | b"was"
                | b"be"
                | b"to"
                | b":"
                | b"="
                | b"->"
                | b"=>"
                | b"provided:"
                | b"is:"
                | b"as"
                | b"number"
                | b"no."
                | b"no"
                | b"\xe2\x86\x92"
                | b"key"
                | b"by"
                | b"provided"
                | b"lautet"
                | b"ist"
                | b"est"
                | b"es"
                | b"jest"
                | b"\xc3\xa8"
                | b"\xc3\xa9"
        ) || token.len() > 2 && token.iter().all(|byte| *byte == b'.');
        let filler = matches!(
            lower,
            b"for"
                | b"of"
                | b"the"
                | b"a"
                | b"an"
                | b"now"
                | b"set"
                | b"new"
                | b"value"
                | b"currently"
                | b"here"
                | b"user"
                | b"has"
                | b"been"
                | b"changed"
                | b"reset"
                | b"updated"
                | b"account"
                | b"admin"
                | b"and"
                | b"my"
                | b"your"
                | b"our"
                | b"using"
                | b"used"
                | b"with"
                | b"it"
                | b"still"
                | b"just"
                | b"temporary"
                | b"we"
                | b"you"
                | b"asked"
                | b"requested"
                | b"needed"
                | b"wanted"
                | b"sent"
                | b"code"
                | b"from"
                | b"on"
                | b"in"
                | b"f\xc3\xbcr"
                | b"pour"
                | b"para"
                | b"voor"
                | b"den"
                | b"der"
                | b"die"
                | b"das"
                | b"le"
                | b"la"
                | b"el"
                | b"het"
                | b"de"
        );
        // password - value
        let heads = || {
            let mark = |byte: &&u8| !matches!(byte, b' ' | b'\t' | b'*' | b'-' | b'>' | b'#');
            let before = &line[line_start(line, word_start)..word_start];
            before.iter().find(mark).is_none() || is_alone(before)
        };
        // az keyvault secret set --name db-password --value …
        let written = matches!(token, b"--value" | b"--body");
        let dash = matches!(token, b"-" | b"|" | b"\xe2\x80\x93" | b"\xe2\x80\x94");
        if link
            || written
            || dash && heads()
            || token.ends_with(b":")
                && token.len() <= 24
                && run(token, 0, LOWER | UPPER) == token.len() - 1
        {
            linked = true;
            at = to;
            continue;
        }
        if filler {
            if matches!(
                lower,
                b"for"
                    | b"of"
                    | b"user"
                    | b"account"
                    | b"on"
                    | b"from"
                    | b"in"
                    | b"f\xc3\xbcr"
                    | b"pour"
                    | b"para"
                    | b"voor"
            ) {
                named = 3;
            }
            old = lower == b"from";
            at = to;
            continue;
        }
        // "password for root is …"
        let account = || memchr::memmem::find(token, b"'@'").is_some();
        // "password for db1 is …", "PASSWORD elastic = …"
        let before_link = || {
            matches!(line.get(to..to + 3), Some(b" = " | b" is" | b" ->"))
                && run(token, 0, ALNUM | JOIN | DOT) == token.len()
        };
        let counted = named > 0 && (keys::is_name(token) || account());
        if !linked && (counted || before_link()) {
            named = if counted { named - 1 } else { 0 };
            at = to;
            continue;
        }
        // A passphrase in quotes.
        if promise == Promise::Password && linked && at > 0 && line[at - 1] == b'"' {
            let close = at + memchr::memchr(b'"', &line[at..])?;
            let (from, to, kind) = judge(promise, &line[at..close], Place::Enclosed)?;
            return Some((at + from, at + to, kind));
        }
        let mut value_end = to;
        // The end of a line in a string.
        if line[at..to].ends_with(b"\\n") && line.get(to) == Some(&b'"') {
            value_end -= 2;
        }
        while value_end > at
            && matches!(
                line[value_end - 1],
                b'.' | b',' | b';' | b':' | b')' | b'\'' | b'*' | b'?'
            )
        {
            // A password may end in a sign; a sentence does.
            value_end -= 1;
        }
        let value = &line[at..value_end];
        // How it is hidden: `enable secret 5 …`, `set password ENC …`; or whether a slot keeps it, in a table without names.
        let hidden = token.len() == 1 && is(token[0], DIGIT)
            || matches!(
                token,
                b"ENC" | b"ascii" | b"ascii-text" | b"local" | b"remote"
            );
        let flag = line[word_end] == b'\t' && matches!(lower, b"false" | b"true");
        // Most are the sentence's next word, and no word is a value.
        if !hidden && !flag && is_word(value) {
            return None;
        }
        // machine HOST login USER password VALUE
        let netrc = line[line_start(line, word_start)..word_start].trim_ascii_start();
        let heads = netrc.is_empty()
            || netrc.starts_with(b"machine ")
            || netrc.starts_with(b"login ")
            // ENV NAME value
            || matches!(
                netrc.trim_ascii_end(),
                b"ENV" | b"set" | b"setenv" | b"enable" | b"set -x" | b"set -gx" | b"set -Ux"
            )
            // user NAME insecure-password value
            || line[..word_end].ends_with(b" insecure-password")
            // nmcli … wifi-sec.psk value
            || line[..word_start].ends_with(b"wifi-sec.")
            // API key value
            || promise == Promise::Key && is_alone(netrc)
            || netrc.starts_with(b"username ")
            || netrc.ends_with(b"configure set ")
            // A label, a tab, its value.
            || line[word_end] == b'\t'
                && netrc.iter().all(|byte| is(*byte, ALNUM) || *byte == b' ')
            // proxy_set_header NAME value
            || netrc.trim_ascii_end().ends_with(b"header")
            || netrc.trim_ascii_end().ends_with(b"header_up");
        // PowerShell's flags have one dash.
        // **Password** value
        let bold = line[..word_start].ends_with(b"**") && line[word_end..].starts_with(b"**");
        let heads = heads
            || bold
            || line[word_start] == b'-'
                && line[word_start + 1..]
                    .first()
                    .is_some_and(u8::is_ascii_alphabetic);
        let of_device = is_of_device(netrc) || word_is(line, word_end, b"pre-shared-key");
        let heads = heads || of_device;
        // log in with password value, login ann pw value
        let given = [b" with".as_slice(), b" using"]
            .iter()
            .any(|by| netrc.trim_ascii_end().ends_with(by))
            || line[..word_end].ends_with(b" pw");
        linked |= given && promise == Promise::Password;

        let switch = netrc.starts_with(b"username ") || netrc.starts_with(b"enable") || of_device;
        let promise = if switch { Promise::Password } else { promise };
        let direct = heads
            && line[word_end..at]
                .iter()
                .all(|byte| matches!(byte, b' ' | b'\t') || bold && *byte == b'*');
        if direct && (hidden || flag) {
            linked |= token == b"ENC";
            (word_end, at) = (to, to);
            continue;
        }
        let before = &line[..word_end];
        let securestring = before.ends_with(b"SecureString")
            || before.ends_with(b" -String")
            || before.ends_with(b" -AsPlainText")
            || before.ends_with(b" -Force");
        let quoted = securestring || at > 0 && matches!(line[at - 1], b'"' | b'\'' | b'`');
        // NAME=value is found by its own name.
        if run(value, 0, ALNUM | JOIN) > 1
            && value.get(run(value, 0, ALNUM | JOIN)) == Some(&b'=')
            && value.len() > run(value, 0, ALNUM | JOIN) + 2
        {
            return None;
        }
        // Right after its name, or after what it changes from.
        let bare = line[word_end..at].iter().all(|byte| *byte == b' ');
        if promise == Promise::Password && (bare || old || noted) && is_strong(value) {
            let new = changed(line, value_end).filter(|_| old);
            return Some((at, new.unwrap_or(value_end), Kind::Password));
        }
        let kind = said(promise, value, linked || quoted, direct).filter(|_| !noted)?;
        return Some((at, value_end, kind));
    }
    None
}

/// Where the value ends that another is changed to: "from … to …".
fn changed(line: &[u8], end: usize) -> Option<usize> {
    let rest = line[end..].strip_prefix(b" to ")?;
    let (from, to) = arguments(line, line.len() - rest.len()).next()?;
    let to = from + trim_end(&line[from..to]);
    is_strong(&line[from..to]).then_some(to)
}

/// How long a value is without what ends a sentence or closes a parenthesis.
fn trim_end(value: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b'.' | b',' | b';' | b':' | b')' | b'\'');
    let last = value.iter().rposition(|byte| !ends(byte));
    last.map_or(0, |last| last + 1)
}

/// Whether a name is one of a constant: CURLOPT_USERPWD.
fn is_constant(name: &[u8]) -> bool {
    name.contains(&b'_') && !name.iter().any(|byte| is(*byte, LOWER))
}

/// What is stored under a key that comes after it: `setObject:@"value" forKey:@"password"`, `set("value", forKey: "token")`.
fn stored(line: &[u8], key: usize) -> Option<(usize, usize)> {
    let before = line[..key].strip_suffix(b"\"")?;
    let before = before.strip_suffix(b"@").unwrap_or(before);
    let before = before.trim_ascii_end().strip_suffix(b"forKey:")?;
    let before = before.trim_ascii_end();
    let before = before.strip_suffix(b",").unwrap_or(before);
    let end = before.strip_suffix(b"\"")?.len();
    let from = memchr::memrchr(b'"', &line[..end])? + 1;
    Some((from, end))
}

/// Whether what comes before a word is one other, or nothing.
fn is_alone(before: &[u8]) -> bool {
    run(before.trim_ascii_end(), 0, UPPER | LOWER) == before.trim_ascii_end().len()
}

/// Whether the word that ends there is `word`.
fn word_is(line: &[u8], end: usize, word: &[u8]) -> bool {
    let start = run_back_within(line, end, ALNUM | JOIN, keys::MAX_NAME);
    line[start..end].eq_ignore_ascii_case(word)
}

/// Whether a line begins as the configuration of a network's devices does: `neighbor 10.0.0.1 password value`.
fn is_of_device(before: &[u8]) -> bool {
    const BEGIN: [&[u8]; 10] = [
        b"set ",
        b"neighbor ",
        b"ppp ",
        b"aaa-server ",
        b"standby ",
        b"ikev1 ",
        b"ikev2 ",
        b"wpa-psk ",
        b"area ",
        b"vrrp ",
    ];
    matches!(
        before.first(),
        Some(b'a' | b'i' | b'n' | b'p' | b's' | b'v' | b'w')
    ) && BEGIN.iter().any(|begin| before.starts_with(begin))
}

/// What devices of a network share: `tacacs-server key 7 value`, `crypto isakmp key value address …`.
fn of_device(line: &[u8], word_start: usize, word_end: usize) -> Option<(usize, usize, Kind)> {
    let command = line[line_start(line, word_start)..word_start].trim_ascii_start();
    let asks = [
        b"tacacs".as_slice(),
        b"radius",
        b"crypto isakmp",
        b"ip ospf",
        b"ntp authentication-key",
    ]
    .iter()
    .any(|of| command.starts_with(of));
    if !asks {
        return None;
    }
    let mut words = arguments(line, word_end).peekable();
    words.next_if(|(from, to)| to - from == 1 && is(line[*from], DIGIT));
    positional(line, words.next()?)
}

/// Whether a value named in words is one: words lie more often than configuration does.
fn said(promise: Promise, value: &[u8], linked: bool, direct: bool) -> Option<Kind> {
    if !linked && !direct && matches!(promise, Promise::Password | Promise::Secret | Promise::Key) {
        // "issued token …": nothing else is as long and as random, but hashes are.
        let token = promise == Promise::Secret
            && value.len() >= 24
            && run(value, 0, ALNUM | JOIN) == value.len()
            && !is_hex(value)
            && !is_uuid(value)
            && !is_placeholder(value)
            && looks_random(value);
        return token.then_some(Kind::GenericSecret);
    }
    let all_digits = value.iter().all(|byte| is(*byte, DIGIT) || *byte == b'-');
    match promise {
        Promise::CardCode => {
            return ((3..=8).contains(&value.len())
                && all_digits
                && linked_or(linked, direct, value))
            .then_some(Kind::Card);
        }
        Promise::Ssn | Promise::NationalId => {
            let (_, _, kind) = judge(promise, value, Place::Enclosed)?;
            return all_digits.then_some(kind);
        }
        _ => {}
    }
    let mix = mix(value);
    let scrambled = is_scrambled(value, &mix);
    if value.len() < 4
        || is_placeholder(value)
        || is_uuid(value)
        || keys::is_name(value) && !scrambled
    {
        return None;
    }
    match promise {
        Promise::Password => {
            let strong = mix.digits > 0 && mix.upper + mix.lower > 0 && value.len() >= 6
                || mix.symbols > 1 && mix.upper + mix.lower > 3 && value.len() >= 8
                || scrambled;
            let expression = super::values::is_code(value)
                || value.contains(&b'=') && !linked
                || value.starts_with(b"-")
                || value.starts_with(b"/")
                || value.starts_with(b"http");
            let plausible = linked && strong || direct && (mix.digits > 0 || scrambled);
            (plausible && !expression).then_some(Kind::Password)
        }
        Promise::Secret | Promise::Key => {
            let body = run(value, 0, ALNUM | JOIN | BASE64 | EQUALS | DOT | TILDE) == value.len();
            let marked = linked
                && value.len() >= 12
                && mix.symbols > 1
                && mix.digits > 1
                && mix.upper > 1
                && mix.lower > 1
                && !super::values::is_code(value);
            (marked
                || (linked || direct)
                    && value.len() >= 16
                    && body
                    && !keys::is_number(value)
                    && (looks_random(value) || is_hex(value) && value.len() >= 32))
                .then_some(Kind::GenericSecret)
        }
        Promise::Passport => ((7..=10).contains(&value.len())
            && (mix.digits >= 5
                || mix.digits >= 3 && value.len() == 9
                || linked && mix.digits >= 2
                || direct && mix.digits >= 1)
            && mix.lower == 0
            && mix.symbols == 0)
            .then_some(Kind::Passport),
        _ => None,
    }
}

/// Whether there are letters alone, too few to be scrambled.
fn is_word(value: &[u8]) -> bool {
    (1..SHORTEST_SCRAMBLED).contains(&value.len()) && run(value, 0, UPPER | LOWER) == value.len()
}

/// Fewer letters may be a word however they are written.
const SHORTEST_SCRAMBLED: usize = 10;

/// Whether letters alone are no word.
fn is_scrambled(value: &[u8], mix: &Mix) -> bool {
    value.len() >= SHORTEST_SCRAMBLED
        && mix.upper > 2
        && mix.lower > 2
        && mix.turns * 6 >= value.len()
}

/// Flags of one letter that take a password, and the commands whose they are.
const COMMANDS: &[(&[u8], &[&[u8]])] = &[
    (
        b" -p",
        &[
            b"mysql",
            b"mariadb",
            b"sshpass",
            b"login",
            b"mongo",
            b"curl",
            b"psql",
            b"7z",
            b"redis",
            b"plink",
            b"pscp",
            b"impacket",
            b"smbclient",
        ],
    ),
    (
        b" -P",
        &[b"zip", b"sqlcmd", b"bcp ", b"tsql", b"isql", b"mosquitto_"],
    ),
    (b" -k ", &[b"openssl"]),
    (b" -w ", &[b"ldap"]),
    (b" -c ", &[b"snmp"]),
    (b" /rp ", &[b"schtasks"]),
];

/// What a program says of an option before its default is no longer.
const MAX_OPTIONS: usize = 96;

/// `--password value`, `--token value`, `-p value`, `-u user:value`.
fn flag(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let hit = &line[start..end];
    if matches!(hit, b"-u " | b" -u" | b"-a " | b"r " | b"r=") {
        if hit[0] == b'-' && start > 0 && !matches!(line[start - 1], b' ' | b'\n') {
            return None;
        }
        let command = &line[line_start(line, start)..start];
        // curl -uNAME:value
        let of: &[u8] = match hit {
            b"-a " => b"http ",
            b" -u" => b"curl",
            _ => b"",
        };
        memchr::memmem::find(command, of)?;
        let from = end + usize::from(matches!(line.get(end), Some(b'"' | b'\'')));
        let to = bare_end(line, from);
        let user = &line[from..to];
        // lftp -u NAME,value
        let of_list = memchr::memmem::find(command, b"lftp").is_some();
        let separator = if of_list { b',' } else { b':' };
        let colon = user.iter().position(|byte| *byte == separator)?;
        let value = &user[colon + 1..];
        return (value.len() >= 3 && !is_placeholder(value) && !user.starts_with(b"http"))
            .then_some((from + colon + 1, to, Kind::Password));
    }
    if let Some((_, commands)) = COMMANDS.iter().find(|(flag, _)| flag[1..] == hit[1..]) {
        // mysql -pSECRET, sshpass -p SECRET, docker login -p SECRET; but mkdir -p and ports.
        let command = &line[line_start(line, start)..start];
        // Where a user is named, what follows is no port.
        let users = [b" -u ".as_slice(), b" -U ", b"username "];
        let known = |name: &&[u8]| memchr::memmem::find(command, name).is_some();
        let named = line.get(end) == Some(&b' ')
            && line.get(end + 1) != Some(&b'/')
            && users.iter().any(known);
        if !commands.iter().any(known) && !named {
            return None;
        }
        let blank = |byte: &&u8| matches!(byte, b' ' | b'=' | b'"' | b'\'' | b',');
        // plink -pw SECRET
        let end = end + usize::from(hit == b" -p" && line[end..].starts_with(b"w "));
        let from = end + line[end..].iter().take_while(blank).count();
        let to = bare_end(line, from);
        let value = &line[from..to];
        return (value.len() >= 4
            && !is_placeholder(value)
            && !value.starts_with(b"-")
            && !value.iter().all(|byte| is(*byte, DIGIT) || *byte == b':'))
        .then_some((from, to, Kind::Password));
    }
    if start > 0
        && !matches!(
            line[start - 1],
            b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'`' | b'[' | b','
        )
    {
        return None;
    }
    let name_end = run(line, end, ALNUM | JOIN);
    if name_end == end {
        return None;
    }
    let promise = keys::promise(&line[end..name_end])
        .filter(|promise| matches!(promise, Promise::Password | Promise::Secret | Promise::Key))?;
    // `--flag=value` is a pair like any other.
    if !matches!(line.get(name_end), Some(b' ' | b'"' | b'\'')) {
        return None;
    }
    let mut from = name_end;
    while from < line.len() && matches!(line[from], b' ' | b',' | b'"' | b'\'') {
        from += 1;
    }
    // add_argument("--password", default="value")
    if matches!(line[name_end], b'"' | b'\'') && line[name_end + 1..].starts_with(b",") {
        let near = &line[..line.len().min(from + MAX_OPTIONS)];
        let default = memchr::memmem::find(&near[from..], b"default=").map(|at| from + at + 8);
        if let Some(literal) = default {
            from = literal + usize::from(matches!(line.get(literal), Some(b'"' | b'\'')));
        }
    }
    let quoted = from > 0 && matches!(line[from - 1], b'"' | b'\'');
    // What else is said of the option.
    if !quoted && line[name_end] != b' ' {
        return None;
    }
    let to = if quoted {
        closing_quote(line, from, line[from - 1], 0).unwrap_or(line.len())
    } else {
        bare_end(line, from)
    };
    let value = &line[from..to.max(from)];
    if value.starts_with(b"-") {
        return None;
    }
    let place = if promise == Promise::Password {
        Place::Line
    } else {
        Place::Inline
    };
    let (a, b, kind) = judge(promise, value, place)?;
    (quoted || !keys::is_name(value) || is_scrambled(value, &mix(value))).then_some((
        from + a,
        from + b,
        kind,
    ))
}

fn bare_end(line: &[u8], from: usize) -> usize {
    let mut end = from;
    while end < line.len()
        && !matches!(
            line[end],
            b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\r' | b'\\'
        )
    {
        end += 1;
    }
    end
}

/// `name:value`, `name / value`, as people write down how to log in.
pub(super) fn name_and_value(line: &[u8], from: usize) -> Option<(usize, usize, Kind)> {
    let mut name = run_within(line, from, ALNUM | JOIN | DOT, keys::MAX_NAME);
    if line.get(name) == Some(&b'@') {
        name = run_within(line, name + 1, ALNUM | JOIN | DOT, keys::MAX_NAME);
    }
    let rest = &line[name..];
    let separator = [b" / ".as_slice(), b":", b"/"]
        .into_iter()
        .find(|separator| rest.starts_with(separator))
        .filter(|_| name > from)?;
    let from = name + separator.len();
    let mut to = bare_end(line, from);
    while to > from && matches!(line[to - 1], b'.' | b',' | b';' | b')') {
        to -= 1;
    }
    let value = &line[from..to];
    let mix = mix(value);
    // A time, a port, words, a path.
    let told = mix.upper + mix.lower > 0
        && (mix.digits > 0 || !value.iter().all(|byte| is(*byte, ALNUM | JOIN | DOT)))
        && !value.contains(&b'/')
        // A path of names.
        && value[0] != b':';
    told.then(|| positional(line, (from, to)))?
}

/// `NAME/value@host`, or without a host.
pub(super) fn at_database(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    oracle(line, end).or_else(|| {
        let told = name_and_value(line, end);
        told.filter(|(from, to, _)| !line[*from..*to].contains(&b'@'))
    })
}

/// Whether a word is the first of a command, alone in its line or after a prompt.
fn heads_command(line: &[u8], start: usize) -> bool {
    let before = line[line_start(line, start)..start].trim_ascii();
    before.is_empty() || matches!(before.last(), Some(b'>' | b'$' | b'#'))
}

/// `PASS value`, as FTP and POP say it: alone in its line, or after what a trace says first. Tests say it, too.
fn command_of_login(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let before = line[line_start(line, start)..start].trim_ascii_end();
    let begins = before.last().is_none_or(|byte| matches!(byte, b':' | b'>'));
    let (from, to) = arguments(line, end).next()?;
    let value = &line[from..to];
    let mix = mix(value);
    let test = value.contains(&b'/') || value.len() > 4 && value[..4].eq_ignore_ascii_case(b"test");
    let signs = value.iter().any(|byte| !is(*byte, ALNUM | JOIN | DOT));
    let strong = mix.digits > 0 && (signs || mix.upper > 0 && mix.lower > 0);
    let alone = line[to..].trim_ascii().is_empty();
    (begins && alone && strong && !test).then(|| positional(line, (from, to)))?
}

/// A line of a jar of cookies: its host, flags and time are before the name.
fn of_jar(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let before = &line[line_start(line, end)..end];
    let flags = [b"\tTRUE\t".as_slice(), b"\tFALSE\t"];
    let jar = flags
        .iter()
        .any(|flag| memchr::memmem::find(before, flag).is_some());
    let from = end + 1;
    let to = bare_end(line, from);
    let alone = line[to..].trim_ascii().is_empty();
    let value = &line[from..to];
    (jar && alone && value.len() >= 8 && !is_placeholder(value) && mix(value).digits > 0)
        .then_some((from, to, Kind::Cookie))
}

/// Whether a command says who may ask a device.
fn is_device_user(line: &[u8], end: usize) -> bool {
    let command = line[line_start(line, end)..end].trim_ascii_start();
    command.starts_with(b"createUser ") || command.starts_with(b"snmp-server user ")
}

/// `createUser NAME SHA "value" AES "value"`: the first that is left to be found.
fn device_user(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    positional(line, arguments(line, end).nth(2)?)
}

/// `smbclient //host/share -U name%value`.
fn windows_share(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    memchr::memmem::find(&line[line_start(line, start)..start], b"//")?;
    let (from, to) = arguments(line, end).next()?;
    let sign = from + memchr::memchr(b'%', &line[from..to])?;
    positional(line, (sign + 1, to))
}

/// `snmpget -A value -X value`.
fn device_flag(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    memchr::memmem::find(&line[line_start(line, start)..start], b"snmp")?;
    positional(line, arguments(line, end).next()?)
}

/// `trapsink host value`, `com2sec name source value`: after as many arguments.
fn nth_community(line: &[u8], end: usize, before: usize) -> Option<(usize, usize, Kind)> {
    let (from, to) = arguments(line, end).nth(before)?;
    // What everybody knows is no secret.
    let value = &line[from..to];
    let open = value.len() < 3 || is_placeholder(value) || matches!(value, b"public" | b"private");
    (!open).then_some((from, to, Kind::Password))
}

/// `creds are NAME:value`, `credentials: NAME / value`, `login is NAME:value`.
fn login(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let links = [
        b" are ".as_slice(),
        b" is ",
        b": ",
        b":",
        b" = ",
        b"=",
        b" - ",
        b"\": \"",
        b"\":\"",
    ];
    let link = links.iter().find(|link| line[end..].starts_with(link))?;
    let quote = usize::from(matches!(line.get(end + link.len()), Some(b'"' | b'\'')));
    name_and_value(line, end + link.len() + quote)
}

/// `snmp-server community value`, `rocommunity value`.
fn community(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let command = &line[line_start(line, end)..end];
    let asks = memchr::memmem::find(command, b"snmp").is_some()
        || matches!(command, b"rocommunity" | b"rwcommunity");
    asks.then(|| nth_community(line, end, 0))?
}

/// The answer to a question for a value: the last word of a short message, after who says it and when.
pub(super) fn answer(promise: Promise, line: &[u8]) -> Option<(usize, usize, Kind)> {
    let end = line.trim_ascii_end().len();
    let said_by = [b": ".as_slice(), b"> ", b"] "]
        .iter()
        .filter_map(|mark| memchr::memmem::rfind(&line[..end], mark).map(|at| at + mark.len()))
        .max();
    let from = said_by.unwrap_or(0);
    let message = &line[from..end];
    let words = message
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    if words.count() > 4 {
        return None;
    }
    if promise == Promise::BirthDate {
        return (0..message.len())
            .find_map(|at| Some((at, personal::date_length(&message[at..])?)))
            .map(|(at, length)| (from + at, from + at + length, Kind::BirthDate));
    }
    let quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b'*');
    let last = message
        .iter()
        .rposition(|byte| *byte == b' ')
        .map_or(0, |space| space + 1);
    let mut start = from + last;
    let mut end = end;
    while start < end && quote(&line[start]) {
        start += 1;
    }
    while end > start && (quote(&line[end - 1]) || matches!(line[end - 1], b'.' | b',')) {
        end -= 1;
    }
    let value = &line[start..end];
    let path = value.contains(&b'/') || value.contains(&b'@') && value.contains(&b'.');
    let kind = match promise {
        Promise::Password | Promise::Secret | Promise::Key => said(promise, value, true, true)
            .filter(|_| !(path || is(value[0], DIGIT) && value.contains(&b':'))),
        _ => judge(promise, value, Place::Line).map(|(_, _, kind)| kind),
    };
    kind.map(|kind| (start, end, kind))
}

/// A date after "born" or "date of birth".
fn birth(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let limit = (end + 24).min(line.len());
    let mut at = end;
    while at < limit {
        let begins = is(line[at], DIGIT) || is(line[at], UPPER);
        if begins
            && starts_word(line, at)
            && let Some(length) = personal::date_length(&line[at..])
        {
            let after = line.get(at + length).copied().unwrap_or(b' ');
            return (!is(after, ALNUM)).then_some((at, at + length, Kind::BirthDate));
        }
        at += 1;
    }
    None
}

/// A code of three or four digits after its name; more digits need a word between.
fn linked_or(linked: bool, direct: bool, value: &[u8]) -> bool {
    linked || direct || value.len() <= 4
}

/// `define('DB_PASSWORD', 'value')`, `setPassword("value")`.
fn argument(
    line: &[u8],
    word_start: usize,
    word_end: usize,
    promise: Promise,
) -> Option<(usize, usize, Kind)> {
    let mut at;
    if line[word_end] == b'(' {
        let word = &line[word_start..word_end];
        let reads = [
            b"get".as_slice(),
            b"read",
            b"find",
            b"input",
            b"fetch",
            b"load",
            b"ask",
            b"prompt",
            b"is",
            b"has",
            b"validate",
            b"check",
            b"hash",
            b"reset",
        ]
        .iter()
        .any(|verb| word.len() > verb.len() && word[..verb.len()].eq_ignore_ascii_case(verb));
        if reads {
            return None;
        }
        at = word_end + 1;
    } else if line[word_end] == b',' {
        // {name, "value"}, {name, <<"value">>}
        at = word_end + 1;
        at += line[at..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'<'))
            .count();
    } else {
        // The name is the first argument of a call.
        let name_start = run_back_within(line, word_start, ALNUM | JOIN | DOT, keys::MAX_NAME);
        let before = line[..name_start]
            .strip_suffix(&line[word_end..=word_end])
            .map(<[u8]>::trim_ascii_end);
        let first = before.and_then(|before| before.strip_suffix(b"("));
        let called = |before: &[u8]| before.last().is_some_and(|byte| is(*byte, LOWER));
        // resValue("string", "name", "value")
        let typed = before.is_some_and(|before| {
            [b"tring\",".as_slice(), b"tring',"]
                .iter()
                .any(|of| before.ends_with(of))
        });
        if !first.is_some_and(called) && !typed {
            return pair(line, name_start, word_end, promise);
        }
        at = word_end + 2;
    }
    while line.get(at) == Some(&b' ') {
        at += 1;
    }
    let mark = *line.get(at).filter(|byte| matches!(byte, b'"' | b'\''))?;
    // A literal of another language has quotes of its own: "\"value\""
    let own = usize::from(line[at + 1..].starts_with(b"\\\""));
    let mut from = at + 1 + 2 * own;
    let to = closing_quote(line, from, mark, own)?;
    // Of name:value the name stays.
    if line[..word_end].ends_with(b"USERPWD")
        && let Some(colon) = memchr::memchr(b':', &line[from..to])
    {
        from += colon + 1;
    }
    let value = &line[from..to];
    if keys::is_name(value) || value.contains(&b' ') {
        return None;
    }
    let (start, end, kind) = judge(promise, value, Place::Enclosed)?;
    Some((from + start, from + end, kind))
}

/// `["name", "value"]`, `('name', 'value')`: a list of two, of which the first names the second.
fn pair(
    line: &[u8],
    name_start: usize,
    word_end: usize,
    promise: Promise,
) -> Option<(usize, usize, Kind)> {
    let open = line[..name_start.checked_sub(1)?].last()?;
    let mark = line[word_end];
    let quote = word_end + 2 + usize::from(line.get(word_end + 2) == Some(&b' '));
    let from = quote + 1;
    let to = closing_quote(
        line,
        (line.get(quote) == Some(&mark)).then_some(from)?,
        mark,
        0,
    )?;
    let closes = matches!(
        (open, line.get(to + 1)),
        (b'[', Some(b']')) | (b'(', Some(b')'))
    );
    let value = &line[from..to];
    if !closes || keys::promise(value).is_some() || mix(value).digits == 0 {
        return None;
    }
    positional(line, (from, to))?;
    let (start, end, kind) = judge(promise, value, Place::Enclosed)?;
    Some((from + start, from + end, kind))
}

/// What a test writes into a form's field: `get('#password').type('value')`, `fill('[name="password"]', 'value')`.
fn filled_in(line: &[u8], word_end: usize) -> Option<(usize, usize)> {
    let closes = |byte: &&u8| matches!(byte, b'"' | b'\'' | b']');
    let end = word_end + line[word_end..].iter().take_while(closes).count();
    let rest = line[end..].strip_prefix(b")");
    let from = match rest {
        Some(rest) => {
            let verb = run(rest, 1, ALNUM | JOIN);
            let writes = [
                b".type".as_slice(),
                b".fill",
                b".send_keys",
                b".sendKeys",
                b".setValue",
            ];
            if !writes.contains(&&rest[..verb.min(rest.len())]) || rest.get(verb) != Some(&b'(') {
                return None;
            }
            end + 1 + verb + 1
        }
        None if end > word_end + 1 && line[end..].starts_with(b", ") => end + 2,
        None => return None,
    };
    let mark = *line.get(from).filter(|byte| matches!(byte, b'"' | b'\''))?;
    Some((from + 1, closing_quote(line, from + 1, mark, 0)?))
}

/// `redis-cli -a value`.
fn redis(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let line_start = line_start(line, start);
    memchr::memmem::find(&line[line_start..start], b"redis-cli")?;
    let to = bare_end(line, end);
    let value = &line[end..to];
    (value.len() >= 4 && !is_placeholder(value) && !value.starts_with(b"-")).then_some((
        end,
        to,
        Kind::Password,
    ))
}

/// `user:value@tcp(host:port)/database`.
fn mysql(line: &[u8], at: usize) -> Option<(usize, usize, Kind)> {
    let mut from = at;
    while from > 0 && !matches!(line[from - 1], b' ' | b'"' | b'\'' | b'`' | b'\n' | b'=') {
        from -= 1;
    }
    let colon = from + memchr::memchr(b':', &line[from..at])?;
    let value = &line[colon + 1..at];
    (!value.is_empty() && !is_placeholder(value)).then_some((colon + 1, at, Kind::UriPassword))
}

/// `name%3Dvalue%26…`.
fn encoded(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let name = run_back(line, start, ALNUM | JOIN);
    // The last two characters of `%26name` are an escape's.
    let escaped = name > 0 && line[name - 1] == b'%';
    let promise = keys::promise(&line[(name + if escaped { 2 } else { 0 }).min(start)..start])?;
    let mut to = end;
    while to < line.len()
        && !matches!(line[to], b' ' | b'&' | b'"' | b'\'' | b'<' | b'>')
        && !line[to..].starts_with(b"%26")
        && !line[to..].starts_with(b"%20")
        && !line[to..].starts_with(b"%22")
        && !line[to..].starts_with(b"%25")
    {
        to += 1;
    }
    let (a, b, kind) = judge(promise, &line[end..to], Place::Attribute)?;
    Some((end + a, end + b, kind))
}

/// `name%40example.com`.
fn encoded_email(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let mut from = run_back(line, start, ALNUM | JOIN | DOT);
    if from > 0 && line[from - 1] == b'%' {
        from = (from + 2).min(start);
    }
    let to = run(line, end, ALNUM | JOIN | DOT);
    let dot = line[end..to].iter().rposition(|byte| *byte == b'.')?;
    let top = &line[end + dot + 1..to];
    let real = start > from
        && dot > 0
        && top.len() >= 2
        && top.iter().all(|byte| is(*byte, LOWER | UPPER));
    // A URL's password may have one too; the host after it is not an address.
    let in_authority = line[..from].ends_with(b":") || line[..from].ends_with(b"//");
    (real && !in_authority).then_some((from, to, Kind::Email))
}

/// `Name    REG_SZ    value`.
fn registry(line: &[u8], start: usize, end: usize) -> Option<(usize, usize, Kind)> {
    let line_start = line_start(line, start);
    let promise = keys::promise(line[line_start..start].trim_ascii())?;
    let value = &line[end..];
    let (a, b, kind) = judge(promise, value, Place::Line)?;
    (a > 0).then_some((end + a, end + b, kind))
}

/// The words of a command from `at` on, without their quotes.
fn arguments(line: &[u8], mut at: usize) -> impl Iterator<Item = (usize, usize)> {
    std::iter::from_fn(move || {
        at += line[at..].iter().take_while(|byte| **byte == b' ').count();
        let quote = line
            .get(at)
            .copied()
            .filter(|byte| matches!(byte, b'"' | b'\''));
        let from = at + usize::from(quote.is_some());
        let to = match quote {
            Some(quote) => closing_quote(line, from, quote, 0)?,
            None => {
                from + line[from..]
                    .iter()
                    .take_while(|byte| {
                        !matches!(
                            byte,
                            b' ' | b'\t' | b'\r' | b'"' | b'\'' | b'<' | b'|' | b';'
                        )
                    })
                    .count()
            }
        };
        at = to + usize::from(quote.is_some());
        (to > from).then_some((from, to))
    })
}

/// A word where a command takes a password, if it is one: nothing names it.
fn positional(line: &[u8], (from, to): (usize, usize)) -> Option<(usize, usize, Kind)> {
    let value = &line[from..to];
    let mix = mix(value);
    (value.len() >= 6
        && (mix.digits + mix.symbols > 0 || is_scrambled(value, &mix))
        && !is_placeholder(value)
        && !is_uuid(value)
        && !super::values::is_code(value))
    .then_some((from, to, Kind::Password))
}

/// `net user NAME value`, `net use \\host\share value`.
fn windows_account(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let mut words = arguments(line, end).filter(|(from, to)| {
        let word = &line[*from..*to];
        !matches!(word[0], b'/' | b'\\' | b'*') && !word.ends_with(b":")
    });
    if line[end..].starts_with(b"r ") {
        words.nth(1)?;
    }
    positional(line, words.next()?)
}

/// `LOGIN NAME value`, `add_user NAME value`.
fn second_word(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    positional(line, arguments(line, end).nth(1)?)
}

/// `user NAME on >value`, `ACL SETUSER NAME on >value`, `#hash` for one of its value; `None`: it is no rule.
fn access_rule(line: &[u8], end: usize) -> Option<Option<(usize, usize, Kind)>> {
    let before = &line[line_start(line, end)..end];
    let rule = matches!(before, b"user") || before.to_ascii_uppercase().ends_with(b"ACL SETUSER");
    if !rule {
        return None;
    }
    let mut from = end;
    let found = line[end..].split(|byte| *byte == b' ').find_map(|word| {
        let (start, to) = (from + 1, from + word.len());
        from = to + 1;
        let value = word.get(1..)?;
        let opens = match word[0] {
            b'>' => value.len() >= 3 && !is_placeholder(value),
            b'#' => value.len() == 64 && is_hex(value),
            _ => false,
        };
        opens.then_some((start, to, Kind::Password))
    });
    Some(found)
}

/// `"name" "value"`: a line of a file of accounts.
pub(super) fn account(line: &[u8], start: usize) -> Option<(usize, usize, Kind)> {
    let name = start + 1;
    if line.get(start) != Some(&b'"') {
        return None;
    }
    let between = name + memchr::memchr(b'"', &line[name..])?;
    let from = between + 3;
    if from - name > keys::MAX_NAME || line.get(between..from) != Some(b"\" \"") {
        return None;
    }
    let body = line[from..].trim_ascii_end().strip_suffix(b"\"")?;
    if body.iter().any(|byte| matches!(byte, b'"' | b' ')) {
        return None;
    }
    positional(line, (from, from + body.len()))
}

/// `echo value | docker login --password-stdin`.
fn piped(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let command = line_start(line, end);
    let pipe = command + memchr::memchr(b'|', &line[command..end])?;
    positional(line, arguments(&line[..pipe], command).last()?)
}

/// `htpasswd -b FILE NAME value`; with `-n` there is no file.
fn htpasswd(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let mut words = arguments(line, end).peekable();
    let (mut inline, mut file) = (false, true);
    while let Some((from, to)) = words.next_if(|(from, _)| line[*from] == b'-') {
        inline |= line[from..to].contains(&b'b');
        file &= !line[from..to].contains(&b'n');
    }
    let value = words.nth(if file { 2 } else { 1 })?;
    inline.then(|| positional(line, value))?
}

/// `echo NAME:value | chpasswd`.
fn chpasswd(line: &[u8], start: usize) -> Option<(usize, usize, Kind)> {
    let command = line_start(line, start);
    let echo = command + memchr::memmem::find(&line[command..start], b"echo ")?;
    let (from, to) =
        arguments(&line[..start], echo + 5).find(|(from, to)| line[*from..*to].contains(&b':'))?;
    let colon = from + memchr::memchr(b':', &line[from..to])?;
    let value = &line[colon + 1..to];
    (value.len() >= 4 && !is_placeholder(value)).then_some((colon + 1, to, Kind::Password))
}

/// `thin:name/value@host`.
fn oracle(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    // sqlplus -s name/value@host
    let end = match line.get(end) {
        Some(b'-') => end + memchr::memchr(b' ', &line[end..])? + 1,
        _ => end,
    };
    // "name/value@host"
    let end = end + usize::from(matches!(line.get(end), Some(b'"' | b'\'')));
    let from = run(line, end, ALNUM | JOIN);
    let to = bare_end(line, from);
    let sign = from + line[from..to].iter().rposition(|byte| *byte == b'@')?;
    let value = line.get(from + 1..sign)?;
    (from > end && line[from] == b'/' && value.len() >= 3 && !is_placeholder(value)).then_some((
        from + 1,
        sign,
        Kind::UriPassword,
    ))
}

/// `getConnection(url, name, value)`: what libraries take as the third of their arguments, where it is a literal.
fn third_argument(line: &[u8], end: usize) -> Option<(usize, usize, Kind)> {
    let (from, to) = literal_argument(line, end, 2)?;
    let (a, b, kind) = judge(Promise::Password, &line[from..to], Place::Enclosed)?;
    Some((from + a, from + b, kind))
}

/// What is in the argument of a call that has `before` others before it, where it is a literal.
fn literal_argument(line: &[u8], end: usize, before: usize) -> Option<(usize, usize)> {
    let mut at = end;
    for _ in 0..before {
        // To the next comma outside quotes.
        loop {
            match line.get(at)? {
                b',' => break,
                b')' | b';' => return None,
                mark @ (b'"' | b'\'') => at = closing_quote(line, at + 1, *mark, 0)? + 1,
                _ => at += 1,
            }
        }
        at += 1;
    }
    at += line[at..].iter().take_while(|byte| **byte == b' ').count();
    at += if line[at..].starts_with(b"Some(") {
        5
    } else {
        0
    };
    let mark = *line.get(at).filter(|byte| matches!(byte, b'"' | b'\''))?;
    Some((at + 1, closing_quote(line, at + 1, mark, 0)?))
}
