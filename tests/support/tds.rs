//! A peer that speaks SQL Server's protocol, written from its specification ([MS-TDS]). It is not SQL Server and holds no
//! recording of one: it answers each statement with the tokens its script gives, and keeps only what the protocol itself
//! is about: logins, packets, encryption, transactions by their descriptor, resets and attentions. What it shows is that
//! we speak and read the protocol as it is written down; what a real server does with a statement it cannot show. The
//! tests that need no peculiar server run against a real one where `PORTCULLIS_TEST_MSSQL` names it.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::postgres::certificates;

/// What the peer takes for a password, and for a token.
pub(crate) const PASSWORD: &str = "p/w d@%41?#:ü";
pub(crate) const TOKEN: &str = "ey.a.token";

/// What the peer does when it is asked something.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these tokens.
    Tokens(Vec<u8>),
    /// Sends these tokens so often, or until it is asked to stop.
    Many(Vec<u8>, usize),
    /// Waits until it is asked to stop.
    Wait,
    /// Ignores that it is asked to stop, and says nothing any more.
    Silence,
    /// Ends the connection.
    HangUp,
}

/// What the server says of one output column before it runs.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) name: &'static str,
    pub(crate) base: Option<[&'static str; 3]>,
    pub(crate) view: Option<[&'static str; 3]>,
}

/// How the peer behaves.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) answers: HashMap<String, Vec<Act>>,
    pub(crate) described: HashMap<String, Vec<Told>>,
    /// Columns of what a view is made of.
    pub(crate) behind: HashMap<String, Vec<[&'static str; 3]>>,
    /// Answers to questions of the gateway's own, by words that are in one of them only.
    pub(crate) own: Vec<(&'static str, Vec<u8>)>,
    pub(crate) manners: Manners,
    /// Where the login is referred to.
    pub(crate) refer_to: Option<(String, u16)>,
}

/// What the peer does otherwise than it should.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manners {
    #[default]
    Good,
    /// TLS before everything (TDS 8.0).
    Strict,
    NoEncryption,
    InsistsOnEncryption,
    SpeaksBeforeEncryption,
    NeverResets,
    NoDefaultSchema,
    HangsUpAtCommit,
    SilentAtCommit,
    RefusesCommit,
}

/// Words by which the gateway's questions about a catalog are told apart.
pub(crate) mod asks {
    pub(crate) const PLACE: &str = "SELECT DB_NAME(), SCHEMA_NAME()";
    pub(crate) const RELATIONS: &str = "t.is_external";
    pub(crate) const COLUMNS: &str = "t.is_user_defined";
    pub(crate) const EXPRESSIONS: &str = "sys.computed_columns";
    pub(crate) const KEYS: &str = "sys.foreign_keys";
    pub(crate) const TRIGGERS: &str = "sys.triggers";
    pub(crate) const ROUTINES: &str = "'RF')";
    pub(crate) const SYNONYMS: &str = "sys.synonyms";
}

/// What the peer heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Login(Login),
    Batch {
        reset: bool,
        text: String,
    },
    Call {
        statement: String,
        params: Vec<(String, Option<String>)>,
    },
    Attention,
    Closed,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Login {
    pub(crate) version: u32,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    pub(crate) application: String,
    pub(crate) language: String,
    pub(crate) token: Option<String>,
    pub(crate) echo: bool,
    pub(crate) read_only: bool,
    pub(crate) utf8: bool,
    pub(crate) encrypted: bool,
}

/// A running peer.
pub(crate) struct Peer {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Script {
    /// The answer to a statement.
    pub(crate) fn on(mut self, statement: &str, acts: Vec<Act>) -> Self {
        self.answers.insert(statement.into(), acts);
        self
    }

    /// The answer to a statement, in tokens.
    pub(crate) fn answer(self, statement: &str, tokens: Vec<u8>) -> Self {
        self.on(statement, vec![Act::Tokens(tokens)])
    }

    pub(crate) fn describe(mut self, statement: &str, told: Vec<Told>) -> Self {
        self.described.insert(statement.into(), told);
        self
    }

    /// The answer to the question of the gateway's own with these words in it, each value a text.
    pub(crate) fn own<const N: usize>(
        mut self,
        words: &'static str,
        rows: &[[Option<&str>; N]],
    ) -> Self {
        let mut tokens = columns(&[("c", &NVARCHAR[..]); N]);
        for cells in rows {
            let cells = cells.map(|cell| cell.map_or(vec![0xff, 0xff], nvarchar));
            tokens.extend(row(&cells.each_ref().map(|cell| &cell[..])));
        }
        self.own.push((words, finished(tokens)));
        self
    }

    /// A catalog of these tables and views, with their columns and what makes them.
    pub(crate) fn catalog(self, relations: &[(&str, &[&str], Option<&str>)]) -> Self {
        let none: &[[Option<&str>; 1]] = &[];
        let ids: Vec<String> = (1..=relations.len()).map(|id| id.to_string()).collect();
        let (mut found, mut columns) = (Vec::new(), Vec::new());
        for (id, (name, names, definition)) in ids.iter().zip(relations) {
            let (id, kind) = (Some(&**id), if definition.is_some() { "V" } else { "U" });
            found.push([id, Some("dbo"), Some(name), Some(kind), None, *definition]);
            columns.extend(
                names
                    .iter()
                    .map(|name| [id, Some(name), Some(""), Some("nvarchar")]),
            );
        }
        self.own(asks::PLACE, &[[Some("crm"), Some("dbo"), Some("1")]])
            .own(asks::RELATIONS, &found)
            .own(asks::COLUMNS, &columns)
            .own(asks::EXPRESSIONS, none)
            .own(asks::KEYS, none)
            .own(asks::TRIGGERS, none)
            .own(asks::ROUTINES, none)
            .own(asks::SYNONYMS, none)
    }

    pub(crate) fn manners(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    pub(crate) fn start(self) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let ears = heard.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (script, heard) = (self.clone(), ears.clone());
                std::thread::spawn(move || {
                    let _hung_up = Session::serve(socket, script, &heard);
                    heard.lock().unwrap().push(Heard::Closed);
                });
            }
        });
        Peer { port, heard }
    }
}

impl Peer {
    /// Everything heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn logins(&self) -> Vec<Login> {
        let heard = self.heard();
        let logins = heard.into_iter().filter_map(|heard| match heard {
            Heard::Login(login) => Some(login),
            _ => None,
        });
        logins.collect()
    }

    pub(crate) fn batches(&self) -> Vec<String> {
        let heard = self.heard();
        let batches = heard.into_iter().filter_map(|heard| match heard {
            Heard::Batch { text, .. } => Some(text),
            _ => None,
        });
        batches.collect()
    }

    /// Waits until it has heard a batch that nobody waits for.
    pub(crate) async fn hears(&self, batch: &str) {
        let began = std::time::Instant::now();
        while !self.batches().iter().any(|heard| heard == batch) {
            assert!(
                began.elapsed() < Duration::from_secs(3),
                "never heard {batch}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How often a statement was run.
    pub(crate) fn runs(&self, statement: &str) -> usize {
        let heard = self.heard();
        let runs = heard.iter().filter(
            |heard| matches!(heard, Heard::Call { statement: run, .. } if run == statement),
        );
        runs.count()
    }

    /// Its address on loopback with TLS, believed by its own authority.
    pub(crate) fn url(&self) -> String {
        let authority = identity().authority.display();
        format!("{}&sslrootcert={authority}", self.url_with("encrypt=on"))
    }

    /// The same, for who comes with a token.
    pub(crate) fn url_without_user(&self) -> String {
        let url = self.url();
        let (_, rest) = url.split_once('@').unwrap();
        format!("mssql://{rest}")
    }

    pub(crate) fn url_with(&self, options: &str) -> String {
        let port = self.port;
        format!("mssql://reader:p%2Fw%20d%40%2541%3F%23%3A%C3%BC@localhost:{port}/crm?{options}")
    }
}

/// The certificate of every peer.
pub(crate) struct Identity {
    pub(crate) authority: PathBuf,
    pub(crate) stranger: PathBuf,
    config: Arc<ServerConfig>,
    _folder: tempfile::TempDir,
}

pub(crate) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let certificate = CertificateDer::from_pem_file(folder.path().join("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.path().join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"tds/8.0".to_vec()];
        Identity {
            authority: folder.path().join("authority.crt"),
            stranger: folder.path().join("stranger.crt"),
            config: Arc::new(config),
            _folder: folder,
        }
    })
}

// ---------------------------------------------------------------------------------------------- a connection

enum Io {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

struct Session {
    io: Io,
    inbound: Vec<u8>,
    descriptor: Option<u64>,
    script: Script,
}

type Packet = (u8, u8, Vec<u8>);

impl Session {
    fn serve(socket: TcpStream, script: Script, heard: &Mutex<Vec<Heard>>) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let hear = |what| heard.lock().unwrap().push(what);
        let strict = script.manners == Manners::Strict;
        let io = if strict {
            let connection = ServerConnection::new(identity().config.clone()).unwrap();
            Io::Tls(Box::new(StreamOwned::new(connection, socket)))
        } else {
            Io::Plain(socket)
        };
        let mut session = Self {
            io,
            inbound: Vec::new(),
            descriptor: None,
            script,
        };
        let (kind, _, prelogin) = session.message()?;
        assert_eq!(kind, 0x12, "the first packet is PRELOGIN");
        let options = prelogin_options(&prelogin);
        let offer = match session.script.manners {
            Manners::NoEncryption => 2,
            Manners::InsistsOnEncryption => 3,
            _ => options[&1][0],
        };
        let echo = options.contains_key(&6);
        session.send(&prelogin_answer(offer, echo), true)?;
        if session.script.manners == Manners::SpeaksBeforeEncryption {
            session.send(&[0; 4], true)?;
        }
        let encrypts = strict || offer == 1;
        if !strict && encrypts {
            session.handshake()?;
        }
        let (kind, _, login) = session.message()?;
        assert_eq!(kind, 0x10, "the login follows");
        let login = Login {
            encrypted: encrypts,
            ..parse_login(&login)
        };
        hear(Heard::Login(login.clone()));
        let right = match &login.token {
            Some(token) => token == TOKEN && login.echo == echo,
            None => login.password == PASSWORD,
        };
        if !right {
            session.send(
                &[
                    error(18456, 14, "Login failed for user 'reader'."),
                    done(2, 0, 0),
                ]
                .concat(),
                true,
            )?;
            return Ok(());
        }
        let mut welcome = [
            change(1, &short_text("crm"), &short_text("master")),
            info(5701, 0, "Changed database context to 'crm'."),
            change(7, &[5, 9, 4, 0xd0, 0, 0x34], &[0]),
            login_ack(strict),
        ]
        .concat();
        if let Some((host, port)) = &session.script.refer_to {
            let mut target = vec![0];
            target.extend(port.to_le_bytes());
            target.extend((host.len() as u16).to_le_bytes());
            target.extend(utf16(host));
            let mut value = (target.len() as u16).to_le_bytes().to_vec();
            value.extend(target);
            welcome.extend(change(20, &value, &[0, 0]));
        }
        welcome.extend(change(4, &short_text("4096"), &short_text("4096")));
        // The features asked for: UTF-8, and the token where there was one.
        welcome.push(0xae);
        if login.token.is_some() {
            welcome.extend([2, 0, 0, 0, 0]);
        }
        welcome.extend([0x0a, 1, 0, 0, 0, 1, 0xff]);
        welcome.extend(done(0, 0, 0));
        session.send(&welcome, true)?;
        loop {
            session.request(&hear)?;
        }
    }

    fn request(&mut self, hear: &dyn Fn(Heard)) -> io::Result<()> {
        let (kind, status, payload) = self.message()?;
        if kind == 0x06 {
            hear(Heard::Attention);
            return self.send(&done(0x20, 0, 0), true);
        }
        let reset = status & 0x08 != 0;
        let mut before = Vec::new();
        if reset {
            self.descriptor = None;
            if self.script.manners != Manners::NeverResets {
                before = change(18, &[0], &[0]);
            }
        }
        // ALL_HEADERS: the transaction the request is for.
        assert_eq!(payload[..10], [22, 0, 0, 0, 18, 0, 0, 0, 2, 0]);
        let descriptor = u64::from_le_bytes(payload[10..18].try_into().unwrap());
        assert_eq!(
            descriptor,
            self.descriptor.unwrap_or_default(),
            "every request names its transaction"
        );
        assert_eq!(payload[18..22], [1, 0, 0, 0]);
        let body = &payload[22..];
        match kind {
            0x01 => {
                let text = from_utf16(body);
                hear(Heard::Batch {
                    reset,
                    text: text.clone(),
                });
                before.extend(self.batch(&text)?);
                self.send(&before, true)
            }
            0x03 => {
                let call = parse_call(body);
                let (statement, params) = call;
                hear(Heard::Call {
                    statement: statement.clone(),
                    params: params.clone(),
                });
                assert!(
                    before.is_empty(),
                    "the gateway resets with a batch of its own"
                );
                self.call(&statement, &params, hear)
            }
            other => panic!("a message of type {other}"),
        }
    }

    /// The gateway's own batches.
    fn batch(&mut self, text: &str) -> io::Result<Vec<u8>> {
        let manners = self.script.manners;
        if text.contains("SCHEMA_NAME()") {
            let mut out = Vec::new();
            if manners == Manners::NoDefaultSchema {
                out.extend(columns(&[("other", &INT)]));
                out.extend(row(&[&int(1)]));
            }
            out.extend(done(0, 0, 0));
            return Ok(out);
        }
        let mut out = done(1, 0, 0);
        if text.contains("BEGIN TRANSACTION") {
            self.descriptor = Some(0x1122_3344_5566_7788);
            out.extend(begun());
        } else if text.contains("COMMIT TRANSACTION") {
            match manners {
                Manners::HangsUpAtCommit => return Err(io::ErrorKind::ConnectionAborted.into()),
                Manners::SilentAtCommit => loop {
                    self.message()?;
                },
                Manners::RefusesCommit => {
                    self.descriptor = None;
                    return Ok([
                        error(3998, 16, "Uncommittable transaction."),
                        ended(10),
                        done(2, 0, 0),
                    ]
                    .concat());
                }
                _ => {}
            }
            assert!(self.descriptor.take().is_some(), "a commit of nothing");
            out.extend(ended(9));
        } else if text.contains("ROLLBACK") && self.descriptor.take().is_some() {
            out.extend(ended(10));
        }
        out.extend(done(0, 0, 0));
        Ok(out)
    }

    fn call(
        &mut self,
        statement: &str,
        params: &[(String, Option<String>)],
        hear: &dyn Fn(Heard),
    ) -> io::Result<()> {
        let value = |index: usize| {
            params
                .get(index)
                .and_then(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        if statement.contains("dm_exec_describe_first_result_set") {
            let told = self.script.described.get(&value(0)).cloned();
            return self.send(&described(told), true);
        }
        if statement.contains("sql_expression_dependencies") {
            let behind = self
                .script
                .behind
                .get(&format!("{}.{}", value(0), value(1)));
            let mut out = columns(&[("s", &NVARCHAR), ("o", &NVARCHAR), ("c", &NVARCHAR)]);
            for names in behind.into_iter().flatten() {
                let cells = names.map(nvarchar);
                out.extend(row(&[&cells[0], &cells[1], &cells[2]]));
            }
            return self.send(&finished(out), true);
        }
        let mut own = self.script.own.iter();
        if let Some((_, tokens)) = own.find(|(words, _)| statement.contains(words)) {
            return self.send(&tokens.clone(), true);
        }
        let unknown = vec![Act::Tokens(failed(error(
            50_000,
            16,
            &format!("the peer has no answer to {statement}"),
        )))];
        let acts = self
            .script
            .answers
            .get(statement)
            .cloned()
            .unwrap_or(unknown);
        for act in acts {
            match act {
                Act::Tokens(tokens) => {
                    self.notice_transactions(&tokens);
                    self.send(&tokens, false)?;
                }
                Act::Many(tokens, times) => {
                    // To look for an attention takes its time.
                    let at_once = (200_000 / tokens.len()).max(1);
                    let packets = tokens.repeat(at_once);
                    for _ in 0..times.div_ceil(at_once) {
                        self.send(&packets, false)?;
                        if self.is_interrupted()? {
                            return self.acknowledge(hear);
                        }
                    }
                }
                Act::Wait => {
                    let (kind, ..) = self.message()?;
                    assert_eq!(
                        kind, 0x06,
                        "only an attention may come while an answer does"
                    );
                    self.inbound.clear();
                    return self.acknowledge(hear);
                }
                Act::Silence => loop {
                    self.message()?;
                    hear(Heard::Attention);
                },
                Act::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        self.send(&[], true)
    }

    /// A script may end the transaction.
    fn notice_transactions(&mut self, tokens: &[u8]) {
        for kind in [9, 10] {
            let ended = ended(kind);
            if tokens.windows(ended.len()).any(|part| part == ended) {
                self.descriptor = None;
            }
        }
    }

    /// Stops, and with XACT_ABORT on rolls back.
    fn acknowledge(&mut self, hear: &dyn Fn(Heard)) -> io::Result<()> {
        hear(Heard::Attention);
        let mut out = Vec::new();
        if self.descriptor.take().is_some() {
            out.extend(ended(10));
        }
        out.extend(done(0x20, 0, 0));
        self.send(&out, true)
    }

    fn is_interrupted(&mut self) -> io::Result<bool> {
        self.socket()
            .set_read_timeout(Some(Duration::from_micros(200)))?;
        let mut part = [0; 64];
        let read = self.read(&mut part);
        self.socket().set_read_timeout(None)?;
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                assert_eq!(
                    part[..read],
                    [6, 1, 0, 8, 0, 0, 1, 0],
                    "an attention and nothing else"
                );
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    // ------------------------------------------------------------------------------------------ packets

    /// The handshake of TDS 7.x: its records in PRELOGIN packets.
    fn handshake(&mut self) -> io::Result<()> {
        let mut connection = ServerConnection::new(identity().config.clone()).unwrap();
        while connection.is_handshaking() {
            let (kind, _, payload) = self.message()?;
            assert_eq!(kind, 0x12, "a handshake is carried in PRELOGIN packets");
            let mut payload = &payload[..];
            while !payload.is_empty() {
                connection.read_tls(&mut payload)?;
                connection.process_new_packets().map_err(io::Error::other)?;
            }
            let mut out = Vec::new();
            while connection.wants_write() {
                connection.write_tls(&mut out)?;
            }
            if !out.is_empty() {
                let packets = packets(0x12, &out, true);
                self.write(&packets)?;
            }
        }
        let Io::Plain(socket) = &self.io else {
            panic!("encryption twice");
        };
        let socket = socket.try_clone()?;
        self.io = Io::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    fn message(&mut self) -> io::Result<Packet> {
        let mut whole: Option<Packet> = None;
        loop {
            while self.inbound.len() < 8 || self.inbound.len() < length_of(&self.inbound) {
                let mut part = [0; 8192];
                let read = self.read(&mut part)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.inbound.extend_from_slice(&part[..read]);
            }
            let length = length_of(&self.inbound);
            let packet: Vec<u8> = self.inbound.drain(..length).collect();
            let (kind, _, payload) = whole.get_or_insert((packet[0], packet[1], Vec::new()));
            assert_eq!(*kind, packet[0], "one message is of one type");
            payload.extend_from_slice(&packet[8..]);
            if packet[1] & 1 != 0 {
                return Ok(whole.unwrap());
            }
        }
    }

    fn send(&mut self, tokens: &[u8], last: bool) -> io::Result<()> {
        self.write(&packets(0x04, tokens, last))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.io {
            Io::Plain(socket) => socket.write_all(bytes),
            Io::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.io {
            Io::Plain(socket) => socket.read(into),
            Io::Tls(stream) => stream.read(into),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(socket) => socket,
            Io::Tls(stream) => &stream.sock,
        }
    }
}

fn length_of(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => usize::MAX,
    }
}

fn packets(kind: u8, payload: &[u8], last: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts: Vec<&[u8]> = payload.chunks(4088).collect();
    if parts.is_empty() && last {
        parts.push(&[]);
    }
    let count = parts.len();
    for (index, part) in parts.into_iter().enumerate() {
        let [high, low] = u16::try_from(part.len() + 8).unwrap().to_be_bytes();
        let status = u8::from(last && index + 1 == count);
        out.extend([kind, status, high, low, 0, 51, 1, 0]);
        out.extend_from_slice(part);
    }
    out
}

// ---------------------------------------------------------------------------------------------- what is heard

fn prelogin_options(message: &[u8]) -> HashMap<u8, Vec<u8>> {
    let mut options = HashMap::new();
    let mut at = 0;
    while message[at] != 0xff {
        let place = usize::from(u16::from_be_bytes([message[at + 1], message[at + 2]]));
        let length = usize::from(u16::from_be_bytes([message[at + 3], message[at + 4]]));
        options.insert(message[at], message[place..place + length].to_vec());
        at += 5;
    }
    options
}

fn prelogin_answer(encryption: u8, fed_auth: bool) -> Vec<u8> {
    let mut options: Vec<(u8, Vec<u8>)> =
        vec![(0, vec![16, 0, 16, 0, 0, 0]), (1, vec![encryption])];
    if fed_auth {
        options.push((6, vec![1]));
    }
    let mut at = options.len() * 5 + 1;
    let mut out = Vec::new();
    for (option, value) in &options {
        out.push(*option);
        out.extend(u16::try_from(at).unwrap().to_be_bytes());
        out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        at += value.len();
    }
    out.push(0xff);
    for (_, value) in options {
        out.extend(value);
    }
    out
}

fn parse_login(message: &[u8]) -> Login {
    let u16_at =
        |at: usize| usize::from(u16::from_le_bytes(message[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap());
    assert_eq!(
        u32_at(0) as usize,
        message.len(),
        "a login says its own length"
    );
    let bytes = |field: usize| {
        let (at, units) = (u16_at(36 + field * 4), u16_at(38 + field * 4));
        &message[at..at + units * 2]
    };
    let hidden: Vec<u8> = bytes(2)
        .iter()
        .map(|byte| (byte ^ 0xa5).rotate_left(4))
        .collect();
    let mut login = Login {
        version: u32_at(4),
        user: from_utf16(bytes(1)),
        password: from_utf16(&hidden),
        application: from_utf16(bytes(3)),
        language: from_utf16(bytes(7)),
        database: from_utf16(bytes(8)),
        read_only: message[26] & 0x20 != 0,
        ..Login::default()
    };
    assert_eq!(
        message[24] & 0xe0,
        0xe0,
        "database and language must be had"
    );
    assert_eq!(
        message[25] & 0x03,
        0x03,
        "ODBC's settings, which are ANSI's"
    );
    assert_eq!(message[27] & 0x10, 0x10, "there are extensions");
    let mut at = u32_at(u16_at(36 + 5 * 4)) as usize;
    while message[at] != 0xff {
        let length = u32_at(at + 1) as usize;
        let data = &message[at + 5..at + 5 + length];
        match message[at] {
            0x02 => {
                assert_eq!(data[0] >> 1, 1, "a security token");
                login.echo = data[0] & 1 == 1;
                let told = u32::from_le_bytes(data[1..5].try_into().unwrap()) as usize;
                assert_eq!(told, data.len() - 5);
                login.token = Some(from_utf16(&data[5..]));
            }
            0x0a => login.utf8 = data == [1],
            other => panic!("feature {other}"),
        }
        at += 5 + length;
    }
    assert_eq!(at + 1, message.len());
    login
}

/// The statement of an `sp_executesql`, and its parameters behind their declaration, as text.
fn parse_call(body: &[u8]) -> (String, Vec<(String, Option<String>)>) {
    assert_eq!(
        body[..6],
        [0xff, 0xff, 10, 0, 0, 0],
        "sp_executesql, by number"
    );
    let mut rest = &body[6..];
    let mut params = Vec::new();
    while !rest.is_empty() {
        let name_length = usize::from(rest[0]) * 2;
        let name = from_utf16(&rest[1..1 + name_length]);
        assert_eq!(rest[1 + name_length], 0, "by value");
        rest = &rest[2 + name_length..];
        let fixed = |at: usize, length: usize| rest[at..at + length].to_vec();
        let (value, length) = match rest[0] {
            0xe7 => {
                assert_eq!(rest[1..3], [0xff, 0xff]);
                let total = u64::from_le_bytes(rest[8..16].try_into().unwrap());
                if total == u64::MAX {
                    (None, 16)
                } else {
                    let mut at = 16;
                    let mut text = Vec::new();
                    loop {
                        let chunk =
                            u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
                        at += 4;
                        if chunk == 0 {
                            break;
                        }
                        text.extend_from_slice(&rest[at..at + chunk]);
                        at += chunk;
                    }
                    assert_eq!(text.len() as u64, total);
                    (Some(from_utf16(&text)), at)
                }
            }
            0x68 => (Some((rest[3] != 0).to_string()), 4),
            0x26 => (
                Some(i64::from_le_bytes(fixed(3, 8).try_into().unwrap()).to_string()),
                11,
            ),
            0x6d => (
                Some(f64::from_le_bytes(fixed(3, 8).try_into().unwrap()).to_string()),
                11,
            ),
            0x6a => {
                let sign = if rest[5] == 1 { "" } else { "-" };
                let digits = u128::from_le_bytes(fixed(6, 16).try_into().unwrap());
                (Some(format!("{sign}{digits}e-{}", rest[3])), 22)
            }
            other => panic!("a parameter of type {other:#x}"),
        };
        params.push((name, value));
        rest = &rest[length..];
    }
    let statement = params.remove(0).1.unwrap();
    if !params.is_empty() {
        let declaration = params.remove(0).1.unwrap();
        for (name, _) in &params {
            assert!(declaration.contains(&format!("{name} ")), "{declaration}");
        }
    }
    (statement, params)
}

// ---------------------------------------------------------------------------------------------- tokens

pub(crate) const INT: [u8; 2] = [0x26, 4];
pub(crate) const BIT: [u8; 2] = [0x68, 1];
pub(crate) const NVARCHAR: [u8; 8] = [0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34];
pub(crate) const NVARCHAR_MAX: [u8; 8] = [0xe7, 0xff, 0xff, 9, 4, 0xd0, 0, 0x34];

pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn from_utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

fn short_text(text: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(text.encode_utf16().count()).unwrap()];
    out.extend(utf16(text));
    out
}

fn sized(token: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![token];
    out.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
    out.extend_from_slice(body);
    out
}

pub(crate) fn int(value: i32) -> Vec<u8> {
    let mut out = vec![4];
    out.extend(value.to_le_bytes());
    out
}

pub(crate) fn nvarchar(text: &str) -> Vec<u8> {
    let text = utf16(text);
    let mut out = u16::try_from(text.len()).unwrap().to_le_bytes().to_vec();
    out.extend(text);
    out
}

/// A long value in chunks of so many bytes, of a length that is told beforehand or not.
pub(crate) fn chunked(value: &[u8], chunk: usize, told: bool) -> Vec<u8> {
    let total = if told {
        value.len() as u64
    } else {
        u64::MAX - 1
    };
    let mut out = total.to_le_bytes().to_vec();
    for part in value.chunks(chunk) {
        out.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        out.extend_from_slice(part);
    }
    out.extend([0; 4]);
    out
}

pub(crate) fn columns(columns: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0x81];
    out.extend(u16::try_from(columns.len()).unwrap().to_le_bytes());
    for (name, info) in columns {
        out.extend([0, 0, 0, 0, 9, 0]);
        out.extend_from_slice(info);
        // What a `text` comes from: its table, in parts.
        if matches!(info[0], 0x22 | 0x23 | 0x63) {
            out.extend([1, 1, 0, b't', 0]);
        }
        out.extend(short_text(name));
    }
    out
}

pub(crate) fn row(cells: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0xd1];
    out.extend(cells.concat());
    out
}

/// A row in which NULLs are bits.
pub(crate) fn sparse_row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = vec![0xd2];
    let mut bitmap = vec![0; cells.len().div_ceil(8)];
    for (index, _) in cells.iter().enumerate().filter(|(_, cell)| cell.is_none()) {
        bitmap[index / 8] |= 1 << (index % 8);
    }
    out.extend(bitmap);
    out.extend(cells.iter().flatten().copied().collect::<Vec<_>>().concat());
    out
}

pub(crate) fn done(status: u16, command: u16, rows: u64) -> Vec<u8> {
    done_as(0xfd, status, command, rows)
}

fn done_as(token: u8, status: u16, command: u16, rows: u64) -> Vec<u8> {
    let mut out = vec![token];
    out.extend(status.to_le_bytes());
    out.extend(command.to_le_bytes());
    out.extend(rows.to_le_bytes());
    out
}

/// A statement inside the call is done: a query of so many rows.
pub(crate) fn selected(rows: u64) -> Vec<u8> {
    done_as(0xff, 0x11, 0xc1, rows)
}

/// A statement inside the call is done: so many rows changed.
pub(crate) fn affected(rows: u64) -> Vec<u8> {
    done_as(0xff, 0x11, 0xc5, rows)
}

/// The end of a call.
pub(crate) fn finished(mut tokens: Vec<u8>) -> Vec<u8> {
    tokens.extend([0x79, 0, 0, 0, 0]);
    tokens.extend(done_as(0xfe, 0, 0xe0, 0));
    tokens
}

/// The end of a call that failed.
pub(crate) fn failed(mut tokens: Vec<u8>) -> Vec<u8> {
    tokens.extend(done_as(0xff, 0x03, 0, 0));
    tokens.extend([0x79, 1, 0, 0, 0]);
    tokens.extend(done_as(0xfe, 0x02, 0xe0, 0));
    tokens
}

/// The same, with its transaction rolled back, as XACT_ABORT has it.
pub(crate) fn aborted(mut tokens: Vec<u8>) -> Vec<u8> {
    tokens.extend(ended(10));
    failed(tokens)
}

pub(crate) fn error(number: i32, class: u8, text: &str) -> Vec<u8> {
    message(0xaa, number, class, text)
}

pub(crate) fn info(number: i32, class: u8, text: &str) -> Vec<u8> {
    message(0xab, number, class, text)
}

fn message(token: u8, number: i32, class: u8, text: &str) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend([1, class]);
    body.extend(
        u16::try_from(text.encode_utf16().count())
            .unwrap()
            .to_le_bytes(),
    );
    body.extend(utf16(text));
    body.extend(short_text("db-server-7"));
    body.extend(short_text(""));
    body.extend(1_u32.to_le_bytes());
    sized(token, &body)
}

fn change(kind: u8, new: &[u8], old: &[u8]) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend_from_slice(new);
    body.extend_from_slice(old);
    sized(0xe3, &body)
}

fn begun() -> Vec<u8> {
    let mut new = vec![8];
    new.extend(0x1122_3344_5566_7788_u64.to_le_bytes());
    change(8, &new, &[0])
}

/// The transaction is committed (9) or rolled back (10).
pub(crate) fn ended(kind: u8) -> Vec<u8> {
    let mut old = vec![8];
    old.extend(0x1122_3344_5566_7788_u64.to_le_bytes());
    change(kind, &[0], &old)
}

fn login_ack(strict: bool) -> Vec<u8> {
    let version = if strict {
        [8, 0, 0, 0]
    } else {
        [0x74, 0, 0, 4]
    };
    let mut body = vec![1];
    body.extend(version);
    body.extend(short_text("a peer from the specification"));
    body.extend([16, 0, 0, 0]);
    sized(0xad, &body)
}

fn described(told: Option<Vec<Told>>) -> Vec<u8> {
    let mut out = columns(&[
        ("mode", &INT),
        ("column_ordinal", &INT),
        ("is_hidden", &BIT),
        ("name", &NVARCHAR),
        ("source_schema", &NVARCHAR),
        ("source_table", &NVARCHAR),
        ("source_column", &NVARCHAR),
        ("error_number", &INT),
    ]);
    let null = vec![0xff, 0xff];
    let Some(told) = told else {
        for mode in [1, 2] {
            let failed = [
                int(mode),
                int(0),
                vec![1, 0],
                null.clone(),
                null.clone(),
                null.clone(),
                null.clone(),
                int(11_513),
            ];
            out.extend(row(&failed.each_ref().map(|cell| &cell[..])));
        }
        return finished(out);
    };
    for mode in [1, 2] {
        for (ordinal, told) in (1..).zip(&told) {
            let source = if mode == 1 {
                told.base
            } else {
                told.view.or(told.base)
            };
            let part = |index: usize| source.map_or(null.clone(), |source| nvarchar(source[index]));
            let cells = [
                int(mode),
                int(ordinal),
                vec![1, 0],
                nvarchar(told.name),
                part(0),
                part(1),
                part(2),
                vec![0],
            ];
            out.extend(row(&cells.each_ref().map(|cell| &cell[..])));
        }
        // The key that browsing adds.
        let hidden = [
            int(mode),
            int(99),
            vec![1, 1],
            nvarchar("id"),
            nvarchar("dbo"),
            nvarchar("hidden"),
            nvarchar("id"),
            vec![0],
        ];
        out.extend(row(&hidden.each_ref().map(|cell| &cell[..])));
    }
    finished(out)
}
