//! Programs at another host, over SSH.
//!
//! INVARIANT: nothing is sent to a server, the account's name included, before it has proved to have a key that the policy
//! names. There is no trust on first use, and no terminal, no forwarding, no agent.
//!
//! A server hands what is to run to the account's login shell, whichever that is. So it is a constant script, and words made
//! of letters, digits and a few marks that mean nothing to any shell: every other byte goes as a number, which the script
//! turns back. No argument is ever read as text of a script.
//!
//! The script runs the program in a process group of its own, and kills that group when its own input ends: when it is told
//! to stop, when the channel closes, when the connection is cut; and, should nobody notice that, when time is up.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write,
    io,
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use russh::{
    Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred, Sig, cipher,
    client::{self, AuthResult, ChannelOpenHandle, Handle, Handler, Msg, Session},
    compression,
    keys::{
        self, Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        PublicKeyOrCertificate,
    },
};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::{Call, Happened, LANG, PATH, Process, limited, unreachable};
use crate::{
    domain::{
        connection::Access,
        policy::{Host, Login, Proof},
    },
    gateway::ports::{Output, RunError},
};

/// What the host's `sh` does: `$1` seconds for the program, `$2` for it to end when it is told to, `$3` bytes of input, `$4`
/// variables, then these and the argument list.
///
/// The program's input is kept in a file, so that the script's own has nothing more to bring and only ends. A `printf` of
/// `%b` turns `\0` and three octal digits into a byte; the dot keeps line feeds at the end, which `$(…)` takes away.
const SCRIPT: &str = limited!(
    r#"umask 077; seconds=$1 grace=$2 bytes=$3 count=$4; shift 4; room=; "#,
    r#"fail() { echo "portcullis: $1, and nothing was run" >&2; cd /; rm -rf "$room"; exit 125; }; "#,
    r#"for tool in cat head mktemp setsid sleep timeout wc; do "#,
    r#"command -v $tool >/dev/null || fail "this host has no $tool"; done; "#,
    r#"left=$#; while [ $left -gt 0 ]; do word=$(printf %b. "$1"); "#,
    r#"set -- "$@" "${word%.}"; shift; left=$((left - 1)); done; "#,
    r#"while [ $count -gt 0 ]; do export "$1"; shift; count=$((count - 1)); done; "#,
    r#"exec 3<&0 </dev/null; "#,
    r#"room=$(mktemp -d) && mkdir "$room/home" && cd "$room/home" || fail "no folder could be made for it"; "#,
    r#"export HOME="$room/home"; "#,
    r#"head -c $bytes <&3 >"$room/in"; "#,
    r#"[ $(wc -c <"$room/in") -eq $bytes ] || fail "its input did not come whole"; "#,
    r#"setsid "$@" <"$room/in" 3<&- & program=$! ; "#,
    r#"{ timeout $seconds cat <&3; kill -TERM -$program; sleep $grace; kill -KILL -$program $program; } "#,
    r#">/dev/null 2>&1 & guard=$! ; exec 3<&-; "#,
    r#"wait $program 2>/dev/null; code=$?; "#,
    r#"{ kill $guard; kill -KILL -$program; cd /; rm -rf "$room"; } 2>/dev/null; exit $code"#
);
/// How long a command that changes something may take to end in its own way when it is told to, in seconds.
const GRACE: u64 = 5;
/// How long a host may take to say that what was told to stop has ended.
const CONFIRM: Duration = Duration::from_secs(GRACE + 2);
/// How long a host may take for everything before a command is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what a command left behind may keep its output open.
const LEFT_BEHIND: Duration = Duration::from_secs(2);
/// After how much silence a host is asked whether it is still there; after three times this long it is not.
const SILENCE: Duration = Duration::from_secs(5);
/// The longest text that is sent as one: Linux hands a program no longer word than 128 KiB.
const LONGEST: usize = 127 << 10;
/// How much output waits here for whoever takes it, in bytes and in messages.
const WINDOW: u32 = 256 << 10;
const WAITING: usize = 16;

/// One account at one host.
pub(super) struct Ssh {
    host: String,
    port: u16,
    keys: Arc<[PublicKey]>,
    config: Arc<client::Config>,
    user: String,
    proof: Held,
}

/// What shows whose account it is. Both are overwritten when they go.
enum Held {
    Key(Arc<PrivateKey>, Option<Box<Certificate>>),
    Password(Zeroizing<String>),
}

impl Ssh {
    /// Connects to nothing. An error never repeats a credential.
    pub(super) fn open(host: &Host, login: &Login) -> Result<Self, String> {
        let key = |line: &String| {
            PublicKey::from_openssh(line)
                .map_err(|_| format!("`{line}` is no public key of a host"))
        };
        let keys: Arc<[PublicKey]> = host.keys.iter().map(key).collect::<Result<_, _>>()?;
        let proof = match &login.proof {
            Proof::Password(password) => Held::Password(Zeroizing::new(password.clone())),
            Proof::Key {
                private,
                certificate,
            } => {
                let key = Arc::new(private_key(private)?);
                let certificate = certificate.as_ref().map(|text| {
                    let read = Certificate::from_openssh(text.trim());
                    let fits =
                        |read: &Certificate| read.public_key() == key.public_key().key_data();
                    read.ok().filter(fits).map(Box::new).ok_or(
                        "the certificate is none that `ssh-keygen -s` made for this private key",
                    )
                });
                let certificate = certificate.transpose()?;
                Held::Key(key, certificate)
            }
        };
        Ok(Self {
            host: host.name.clone(),
            port: host.port,
            config: Arc::new(config(&keys)),
            keys,
            user: login.user.clone(),
            proof,
        })
    }

    /// Logs in, or says why not.
    pub(super) async fn login(&self) -> Result<Line, RunError> {
        let in_time = tokio::time::timeout(PATIENCE, self.try_login()).await;
        let told = in_time.unwrap_or_else(|_| Err("it did not answer in time".into()));
        told.map_err(|why| self.unreachable(&why))
    }

    async fn try_login(&self) -> Result<Line, String> {
        let stream = tokio::net::TcpStream::connect((self.host.as_str(), self.port));
        let (stream, cut) = stream.await.and_then(twins).map_err(told)?;
        let known = Known(self.keys.clone());
        let connected = client::connect_stream(self.config.clone(), stream, known).await;
        let mut handle = connected.map_err(told)?;
        let user = self.user.as_str();
        let asked = match &self.proof {
            Held::Password(password) => handle.authenticate_password(user, password.as_str()).await,
            Held::Key(key, None) => {
                let key = PrivateKeyWithHashAlg::new(key.clone(), None);
                handle.authenticate_publickey(user, key).await
            }
            Held::Key(key, Some(certificate)) => {
                let certificate = certificate.as_ref().clone();
                let key = key.clone();
                handle
                    .authenticate_openssh_cert(user, key, certificate)
                    .await
            }
        };
        match asked.map_err(told)? {
            AuthResult::Success => Ok(Line { handle, _cut: cut }),
            AuthResult::Failure { .. } => {
                Err(format!("it does not let `{user}` in with this credential"))
            }
        }
    }

    /// Makes everything ready for a command. Nothing has been asked of the host then, and nothing has happened.
    pub(super) async fn ready(
        &self,
        env: &BTreeMap<String, String>,
        call: &Call<'_>,
    ) -> Result<Ready, RunError> {
        let command = command(env, call)?;
        let opening = async {
            let line = self.login().await?;
            let refused = |_| self.unreachable("it opens no session for this account");
            let channel = line.handle.channel_open_session().await.map_err(refused)?;
            Ok((line, channel))
        };
        let in_time = tokio::time::timeout_at(call.until, opening).await;
        let late = |_| Err(self.unreachable("it was not ready in time"));
        let (line, channel) = in_time.unwrap_or_else(late)?;
        Ok(Ready {
            line,
            channel,
            command,
        })
    }

    fn unreachable(&self, why: &str) -> RunError {
        unreachable(format!("{} port {}: {why}", self.host, self.port))
    }
}

fn told(error: impl ToString) -> String {
    error.to_string()
}

/// A command that can be sent.
pub(super) struct Ready {
    line: Line,
    channel: Channel<Msg>,
    command: String,
}

impl Ready {
    /// Sends it: from here on it may have run. Whoever begins it waits for the answer.
    pub(super) async fn begin(mut self, stdin: &str) -> Result<Remote, RunError> {
        let sent = self.channel.exec(true, self.command).await;
        sent.map_err(|_| unreachable("the host closed before the command was sent"))?;
        let answer = tokio::time::timeout(PATIENCE, answer(&mut self.channel)).await;
        match answer.unwrap_or(None) {
            Some(true) => {}
            Some(false) => return Err(unreachable("the host runs no commands for this account")),
            None => {
                let why = "the host was lost as the command was sent";
                return Err(RunError::Unknown(why.into()));
            }
        }
        let (reader, writer) = self.channel.split();
        let (writer, fed) = (Arc::new(writer), stdin.to_owned());
        let feeder = Arc::clone(&writer);
        let feeding = tokio::spawn(async move {
            // If it does not come whole, the script says so.
            let _ = feeder.data_bytes(fed).await;
        });
        Ok(Remote {
            reader,
            writer,
            ended: None,
            feeding: AbortOnDropHandle::new(feeding),
            _line: self.line,
        })
    }
}

/// Whether the server does what it was asked. `None`: it was lost.
async fn answer(channel: &mut Channel<Msg>) -> Option<bool> {
    loop {
        match channel.wait().await? {
            ChannelMsg::Success => return Some(true),
            ChannelMsg::Failure => return Some(false),
            ChannelMsg::Close => return None,
            _ => {}
        }
    }
}

/// An error never repeats a part of the key.
fn private_key(text: &str) -> Result<PrivateKey, String> {
    let how = "make one with `ssh-keygen -t ed25519 -N ''` and give all of its file";
    match keys::decode_secret_key(text, None) {
        Ok(key)
            if matches!(
                key.algorithm(),
                Algorithm::Ed25519 | Algorithm::Ecdsa { .. }
            ) =>
        {
            Ok(key)
        }
        Err(keys::Error::KeyIsEncrypted) => Err(format!(
            "the private key has a passphrase, which nobody is here to type: {how}"
        )),
        Ok(_) | Err(keys::Error::UnsupportedKeyType { .. }) => Err(format!(
            "the private key is of a type that is not used any more: {how}"
        )),
        Err(_) => Err(format!(
            "the private key is not one that can be read: {how}"
        )),
    }
}

/// Of the host's types of keys only those that are known here, so that it shows one that can be compared; and only ciphers
/// that prove what they carry.
fn config(keys: &[PublicKey]) -> client::Config {
    let kinds: Vec<Algorithm> = keys.iter().map(PublicKey::algorithm).collect();
    client::Config {
        client_id: russh::SshId::Standard("SSH-2.0-portcullis".into()),
        window_size: WINDOW,
        channel_buffer_size: WAITING,
        keepalive_interval: Some(SILENCE),
        keepalive_max: 2,
        preferred: Preferred {
            key: Cow::Owned(kinds),
            cipher: Cow::Borrowed(&[cipher::CHACHA20_POLY1305, cipher::AES_256_GCM]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    }
}

/// A connection that somebody is logged in on. Dropped, it is cut, whatever is still on its way.
pub(super) struct Line {
    handle: Handle<Known>,
    _cut: Cut,
}

struct Cut(TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The stream, and what cuts it.
fn twins(stream: tokio::net::TcpStream) -> io::Result<(tokio::net::TcpStream, Cut)> {
    let stream = stream.into_std()?;
    let cut = Cut(stream.try_clone()?);
    Ok((tokio::net::TcpStream::from_std(stream)?, cut))
}

/// The keys a server may prove itself with.
struct Known(Arc<[PublicKey]>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Protocol(#[from] russh::Error),
    #[error(
        "it shows the key {0}, and the policy names another in `host_keys`; nothing was sent. If the host has a new key, \
         hold it against what its own console says, and change the policy"
    )]
    Stranger(String),
}

/// What a server would open towards us, refused: dropping the handle does.
macro_rules! opens_nothing {
    ($($name:ident($($given:ty),*);)*) => {$(
        async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $given,)*
            _: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), Refused> {
            Ok(())
        }
    )*};
}

impl Handler for Known {
    type Error = Refused;

    /// The server has proved already that the key is its own.
    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refused> {
        let shown = shown.public_key();
        if self
            .0
            .iter()
            .any(|known| known.key_data() == shown.key_data())
        {
            return Ok(true);
        }
        let fingerprint = shown.fingerprint(HashAlg::Sha256);
        Err(Refused::Stranger(format!(
            "{} {fingerprint}",
            shown.algorithm()
        )))
    }

    opens_nothing! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}

/// A command at a host.
pub(super) struct Remote {
    reader: ChannelReadHalf,
    writer: Arc<ChannelWriteHalf<Msg>>,
    ended: Option<i32>,
    feeding: AbortOnDropHandle<()>,
    _line: Line,
}

impl Process for Remote {
    async fn next(&mut self) -> io::Result<Happened> {
        loop {
            let message = match self.ended {
                None => self.reader.wait().await,
                // What comes after the command's own end is what was on its way, or that of processes it left behind.
                Some(code) => match tokio::time::timeout(LEFT_BEHIND, self.reader.wait()).await {
                    Ok(message) => message,
                    Err(_) => return Ok(Happened::Ended(code)),
                },
            };
            match message {
                Some(ChannelMsg::Data { data }) => {
                    return Ok(Happened::Printed(Output::Stdout, data));
                }
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                    return Ok(Happened::Printed(Output::Stderr, data));
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.ended = Some(i32::try_from(exit_status).unwrap_or(-1));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    self.ended = Some(128 + number(&signal_name));
                }
                Some(ChannelMsg::Close) | None => {
                    let lost = || io::Error::other("the host closed before it said how it ended");
                    return self.ended.map(Happened::Ended).ok_or_else(lost);
                }
                Some(_) => {}
            }
        }
    }

    /// The end of its input tells the script to end the program, which knows from the beginning how.
    async fn stop(&mut self, _: Access) -> io::Result<i32> {
        self.feeding.abort();
        let writer = Arc::clone(&self.writer);
        let told = async move {
            let _ = writer.eof().await;
            std::future::pending().await
        };
        // Whatever is still printed makes room for the answer.
        let ended = async {
            loop {
                if let Happened::Ended(code) = self.next().await? {
                    return Ok(code);
                }
            }
        };
        let stopped = async {
            tokio::select! { code = ended => code, never = told => never }
        };
        let late = |_| io::Error::other("the host did not say that it has stopped");
        tokio::time::timeout(CONFIRM, stopped).await.map_err(late)?
    }
}

/// As Linux numbers them.
fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 127,
    }
}

/// What the login shell is told.
fn command(env: &BTreeMap<String, String>, call: &Call<'_>) -> Result<String, RunError> {
    let seconds = call.budget.timeout.as_secs().saturating_add(1);
    let grace = match call.access {
        Access::Read => 0,
        Access::Write => GRACE,
    };
    let (bytes, count) = (call.stdin.len(), env.len());
    let mut command = format!(
        "exec /usr/bin/env -i PATH={PATH} LANG={LANG} /bin/sh -c '{SCRIPT}' portcullis {seconds} {grace} {bytes} {count}"
    );
    for (name, value) in env {
        push(&mut command, &format!("{name}={value}"));
    }
    push(&mut command, call.program);
    for argument in call.arguments {
        push(&mut command, argument);
    }
    if command.len() > LONGEST {
        return Err(unreachable(format!(
            "as it has to be sent it is {} bytes long, and a host takes {LONGEST}: give what is long as `stdin`",
            command.len()
        )));
    }
    Ok(command)
}

/// One word that every shell takes for what it is.
fn push(command: &mut String, word: &str) {
    command.push_str(" '");
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"_./=:,+@-".contains(&byte) {
            command.push(char::from(byte));
        } else {
            let _ = write!(command, "\\0{byte:03o}");
        }
    }
    command.push('\'');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::connection::Budget;

    fn sent(arguments: &[String]) -> String {
        let budget = Budget::default();
        let call = Call {
            program: "/usr/bin/true",
            arguments,
            stdin: "",
            access: Access::Read,
            budget: &budget,
            until: tokio::time::Instant::now() + budget.timeout,
        };
        command(&BTreeMap::new(), &call).unwrap()
    }

    /// Within single quotes csh reads line feeds and `!` before anything but a blank, fish reads `\\` and `\'`, and nothing
    /// else means anything to any shell.
    #[test]
    fn no_login_shell_reads_anything_of_the_script() {
        assert!(!SCRIPT.contains(['\'', '\\', '\n']), "{SCRIPT}");
        assert_eq!(SCRIPT.matches('!').count(), SCRIPT.matches("! ").count());
    }

    proptest! {
        #[test]
        fn words_are_quoted_and_hold_nothing_that_ends_their_quotes(arguments in prop::collection::vec(any::<String>(), 0..4)) {
            let sent = sent(&arguments);
            let words = sent.split_once("portcullis 31 0 0 0 ").unwrap().1;
            let words: Vec<_> = words.split(' ').collect();
            prop_assert_eq!(words.len(), arguments.len() + 1);
            for word in words {
                let inside = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')).unwrap();
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./=:,+@-\\".contains(&byte);
                prop_assert!(inside.bytes().all(is_plain));
                for (at, _) in inside.match_indices('\\') {
                    let digits = &inside.as_bytes()[at + 1..at + 5];
                    prop_assert!(digits[0] == b'0' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
                }
            }
        }
    }
}
