//! One connection to a MySQL or MariaDB server, packet by packet (client/server protocol 4.1).
//!
//! It is spoken here rather than through a client library for four reasons. Nothing is read from the socket before the
//! last row was consumed, and no packet is taken that is longer than agreed, so a result takes the memory of one row. A
//! half-read answer survives its reader being dropped, so a statement can be cancelled at any moment. The library's
//! login brings hashes and RSA of its own, and this tree has one source of cryptography. And what the protocol allows
//! a server to ask of its client is not there: INVARIANT: a server that asks for a file (`LOAD DATA LOCAL`) is hung up
//! on, and several statements in one text are refused by it, because neither capability is ever offered.
//!
//! Refuses to know: what a statement means, what is read-only, when to stop.

use std::{io, time::Duration};

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{address::Address, values::ColumnType};
use crate::targets::{credential::NoToken, postgres::Encryption};

/// How long reaching the server and logging in may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// No packet of a login is longer; who sends one is no MySQL server.
const MAX_LOGIN_PACKET: usize = 64 << 10;
/// A packet of this length goes on in the next.
const FULL_PACKET: usize = 0xFF_FF_FF;
/// `utf8mb4_general_ci`, which every server since 5.5 has.
const UTF8MB4: u8 = 45;
/// The collation of what is bytes and not text.
pub(super) const BINARY: u16 = 63;

mod capability {
    /// Rows that a condition finds are counted, changed or not: what other databases count, and what an estimate
    /// estimates. Without it `UPDATE t SET a = 1` would say fewer.
    pub(super) const FOUND_ROWS: u64 = 1 << 1;
    pub(super) const LONG_PASSWORD: u64 = 1;
    pub(super) const LONG_FLAG: u64 = 1 << 2;
    pub(super) const CONNECT_WITH_DB: u64 = 1 << 3;
    pub(super) const PROTOCOL_41: u64 = 1 << 9;
    pub(super) const TLS: u64 = 1 << 11;
    pub(super) const TRANSACTIONS: u64 = 1 << 13;
    pub(super) const SECURE_CONNECTION: u64 = 1 << 15;
    /// A procedure may give several results; without it, one that gives any is refused once it has begun.
    pub(super) const MULTI_RESULTS: u64 = 1 << 17;
    pub(super) const PS_MULTI_RESULTS: u64 = 1 << 18;
    pub(super) const PLUGIN_AUTH: u64 = 1 << 19;
    pub(super) const PLUGIN_AUTH_LENENC: u64 = 1 << 21;
    /// MariaDB says `uuid`, `inet6` and `json` where the protocol's own types end.
    pub(super) const MARIADB_EXTENDED_TYPES: u64 = 1 << 35;
}

/// Bits of the status that comes with every answer.
const IN_TRANSACTION: u16 = 1;
const MORE_RESULTS: u16 = 8;

/// What a command is.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Command {
    Query = 0x03,
    Prepare = 0x16,
    Execute = 0x17,
    Reset = 0x1f,
}

/// A connection that has logged in.
pub(super) struct Wire {
    stream: Stream,
    inbound: BytesMut,
    outbound: BytesMut,
    /// The beginning of what comes in several packets.
    partial: BytesMut,
    /// The server's name for this connection.
    thread: u32,
    /// Commands of the gateway's own whose answers have not been read.
    unsettled: usize,
    /// The longest answer taken.
    max_packet: usize,
    flavour: Flavour,
    /// Whether column definitions have MariaDB's extra part.
    extended_types: bool,
}

/// The two servers that speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    MySql,
    MariaDb,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The beginning of an answer to a statement.
#[derive(Debug)]
pub(super) enum Reply {
    /// It is done, and has no rows.
    Done(Done),
    /// Rows with these columns follow.
    Columns(Vec<Field>),
    /// An error.
    Refused(Box<ServerMessage>),
}

/// What follows the columns.
#[derive(Debug)]
pub(super) enum RowReply {
    Row(Bytes),
    Done(Done),
    Refused(Box<ServerMessage>),
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Rows changed, or found by a change.
    pub(super) affected: u64,
    pub(super) warnings: u16,
    status: u16,
}

impl Done {
    pub(super) fn in_transaction(self) -> bool {
        self.status & IN_TRANSACTION != 0
    }

    pub(super) fn more_results(self) -> bool {
        self.status & MORE_RESULTS != 0
    }
}

/// A statement the server has parsed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: u32,
    pub(super) params: usize,
    pub(super) columns: Vec<Field>,
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The database of the table or view it comes from; empty: it is computed.
    pub(super) schema: String,
    /// What the statement calls the table; empty: it is no table's column.
    pub(super) table: String,
    /// What the server calls it. For views and tables made up in the statement, what the statement calls it.
    pub(super) org_table: String,
    pub(super) name: String,
    pub(super) org_name: String,
    pub(super) column_type: ColumnType,
}

impl Field {
    /// Whether both come from the same place, whatever their types.
    pub(super) fn is_same_column(&self, other: &Self) -> bool {
        let place = |field: &Self| {
            [
                &field.schema,
                &field.table,
                &field.org_table,
                &field.name,
                &field.org_name,
            ]
            .map(String::clone)
        };
        place(self) == place(other)
    }
}

/// The words of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerMessage {
    pub(super) number: u16,
    pub(super) sqlstate: String,
    /// Raw: for masking only.
    pub(super) message: String,
}

impl ServerMessage {
    fn parse(mut body: Bytes) -> Result<Self, WireError> {
        byte(&mut body)?;
        let number = short(&mut body)?;
        let mut sqlstate = String::from("HY000");
        if body.first() == Some(&b'#') && body.len() >= 6 {
            sqlstate = String::from_utf8_lossy(&body[1..6]).into_owned();
            body.advance(6);
        }
        Ok(Self {
            number,
            sqlstate,
            message: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// SQLSTATE and the server's own number: `42S22/1054`.
    pub(super) fn code(&self) -> String {
        format!("{}/{}", self.sqlstate, self.number)
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the connection was lost ({0})")]
    Lost(#[from] io::Error),
    #[error("the server sent what is not MySQL's protocol: {0}")]
    Protocol(&'static str),
    #[error(
        "one row of the result is {0} bytes long or longer, more than may be fetched: ask for fewer columns or a part of the value"
    )]
    TooLong(usize),
}

/// Why there is no connection. Never holds the credential, nor the server's own words.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no connection within {} s: is the address right, is the server up, does a firewall stand between?", CONNECT_TIME.as_secs())]
    Slow,
    #[error("{0}: is the server up and the address right?")]
    Io(#[source] io::Error),
    #[error(
        "the server does not offer TLS, and without it only this machine's loopback is reached"
    )]
    NoTls,
    #[error(
        "TLS failed: {0}; is the certificate for this host name, and its authority known (sslrootcert=FILE)?"
    )]
    Tls(#[source] io::Error),
    #[error(
        "the name leads to {0}, which is not loopback, and the connection would not be encrypted"
    )]
    NotLoopback(std::net::IpAddr),
    #[error(
        "the server refused the login (error {0}): check user, password and database of this connection's url"
    )]
    Login(String),
    #[error(
        "the server wants a way to log in that is not supported: use caching_sha2_password or mysql_native_password"
    )]
    Method,
    #[error(transparent)]
    NoToken(#[from] NoToken),
    #[error("{0}")]
    Wire(#[from] WireError),
}

impl Wire {
    /// Reaches the server and logs in.
    pub(super) async fn connect(address: &Address) -> Result<Self, ConnectError> {
        // The token that is good now: one that was good for an earlier connection may have expired.
        let password = address.password.current().await?;
        tokio::time::timeout(CONNECT_TIME, Self::log_in(address, password.as_bytes()))
            .await
            .map_err(|_elapsed| ConnectError::Slow)?
    }

    async fn log_in(address: &Address, password: &[u8]) -> Result<Self, ConnectError> {
        let tcp = TcpStream::connect((&*address.host, address.port))
            .await
            .map_err(ConnectError::Io)?;
        tcp.set_nodelay(true).map_err(ConnectError::Io)?;
        let peer = tcp.peer_addr().map_err(ConnectError::Io)?.ip();
        let mut wire = Self {
            stream: Stream::Plain(tcp),
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            partial: BytesMut::new(),
            thread: 0,
            unsettled: 0,
            max_packet: MAX_LOGIN_PACKET,
            flavour: Flavour::MySql,
            extended_types: false,
        };
        if matches!(address.encryption, Encryption::LoopbackOnly) && !peer.is_loopback() {
            return Err(ConnectError::NotLoopback(peer));
        }
        let greeting = Greeting::parse(wire.packet().await?)?;
        wire.thread = greeting.thread;
        wire.flavour = greeting.flavour;
        let capabilities = greeting.agreed();
        wire.extended_types = capabilities & capability::MARIADB_EXTENDED_TYPES != 0;

        let mut sequence = 1;
        if let Encryption::Verified { config, name } = &address.encryption {
            if greeting.capabilities & capability::TLS == 0 {
                return Err(ConnectError::NoTls);
            }
            let request = login_head(capabilities | capability::TLS);
            wire.put_packet(sequence, &request);
            sequence += 1;
            wire.send().await?;
            // What came in the clear after the greeting would be taken for part of the encrypted conversation.
            if !wire.inbound.is_empty() {
                return Err(WireError::Protocol("a server that speaks before it is asked").into());
            }
            let Stream::Plain(tcp) = wire.stream else {
                return Err(ConnectError::NoTls);
            };
            let tls = TlsConnector::from(config.clone())
                .connect(name.clone(), tcp)
                .await
                .map_err(ConnectError::Tls)?;
            wire.stream = Stream::Tls(Box::new(tls));
        }
        wire.authenticate(address, password, &greeting, capabilities, sequence)
            .await?;
        Ok(wire)
    }

    async fn authenticate(
        &mut self,
        address: &Address,
        password: &[u8],
        greeting: &Greeting,
        capabilities: u64,
        mut sequence: u8,
    ) -> Result<(), ConnectError> {
        let is_private = matches!(self.stream, Stream::Tls(_));
        let capabilities = match is_private {
            true => capabilities | capability::TLS,
            false => capabilities,
        };
        let mut plugin = greeting.plugin.clone();
        let mut nonce = greeting.nonce.clone();
        // A way that cannot be gone is asked for another one.
        let answer = match proof(&plugin, password, &nonce, is_private) {
            Some(answer) => answer,
            None => {
                plugin = NATIVE.into();
                scrambled_sha1(password, &nonce)
            }
        };
        let mut login = login_head(capabilities);
        login.put_slice(address.user.as_bytes());
        login.put_u8(0);
        put_length(&mut login, answer.len());
        login.put_slice(&answer);
        login.put_slice(address.database.as_bytes());
        login.put_u8(0);
        login.put_slice(plugin.as_bytes());
        login.put_u8(0);
        self.put_packet(sequence, &login);
        loop {
            self.send().await?;
            let mut body = self.packet().await?;
            // The server's answer has the number after ours, and ours the one after that.
            sequence = sequence.wrapping_add(2);
            match body.first() {
                Some(0x00) => {
                    self.max_packet = FULL_PACKET;
                    return Ok(());
                }
                Some(0xFF) => {
                    return Err(ConnectError::Login(ServerMessage::parse(body)?.code()));
                }
                Some(0xFE) if body.len() > 1 => {
                    body.advance(1);
                    plugin = terminated(&mut body)?;
                    nonce = body.strip_suffix(&[0]).unwrap_or(&body).to_vec();
                    let answer =
                        proof(&plugin, password, &nonce, is_private).ok_or(ConnectError::Method)?;
                    self.put_packet(sequence, &answer);
                }
                // caching_sha2_password: the server knows the password already.
                Some(0x01) if plugin == CACHING && body.get(1) == Some(&0x03) => {
                    sequence = sequence.wrapping_sub(1);
                }
                // It does not, and wants it whole.
                Some(0x01) if plugin == CACHING && body.get(1) == Some(&0x04) && is_private => {
                    self.put_packet(sequence, &[password, &[0]].concat());
                }
                // Without TLS the password goes under the server's own key; this is loopback, whose server is trusted.
                Some(0x01) if plugin == CACHING && body.get(1) == Some(&0x04) => {
                    self.put_packet(sequence, &[0x02]);
                }
                Some(0x01) if plugin == CACHING && !is_private => {
                    body.advance(1);
                    let sealed = sealed(password, &nonce, &body).ok_or(ConnectError::Method)?;
                    self.put_packet(sequence, &sealed);
                }
                _ => return Err(ConnectError::Method),
            }
        }
    }

    /// Asks the server, on a connection of its own, to stop what runs on the connection it calls `thread`.
    pub(super) async fn cancel(address: &Address, thread: u32) -> Result<(), ConnectError> {
        let asked = async {
            let password = address.password.current().await?;
            let mut wire = Self::log_in(address, password.as_bytes()).await?;
            wire.queue_own(&format!("KILL QUERY {thread}"));
            wire.send().await?;
            // That there is no such connection any more is as good.
            wire.settle().await?;
            Ok(())
        };
        tokio::time::timeout(CONNECT_TIME, asked)
            .await
            .map_err(|_elapsed| ConnectError::Slow)?
    }

    /// What the server calls this connection.
    pub(super) fn thread(&self) -> u32 {
        self.thread
    }

    pub(super) fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Takes no answer longer than this from here on.
    pub(super) fn limit_packets(&mut self, bytes: usize) {
        self.max_packet = bytes;
    }

    // ------------------------------------------------------------------------------------------ sending

    /// Queues a statement of the gateway's own whose answer has no rows.
    pub(super) fn queue_own(&mut self, statement: &str) {
        self.unsettled += 1;
        self.put_command(Command::Query, &[statement.as_bytes()]);
    }

    /// Queues that the session becomes as if new.
    pub(super) fn queue_reset(&mut self) {
        self.unsettled += 1;
        self.put_command(Command::Reset, &[]);
    }

    /// Queues a statement as text: the server refuses a second one in it.
    pub(super) fn queue_text(&mut self, statement: &str) {
        self.put_command(Command::Query, &[statement.as_bytes()]);
    }

    /// Queues parsing one statement, without running it. The server refuses a second one in the text.
    pub(super) fn queue_prepare(&mut self, statement: &str) {
        self.put_command(Command::Prepare, &[statement.as_bytes()]);
    }

    /// Queues running a prepared statement; `params` as [`super::values::encode`] makes them.
    pub(super) fn queue_execute(&mut self, statement: u32, params: &[u8]) {
        let id = statement.to_le_bytes();
        // No cursor, once.
        self.put_command(Command::Execute, &[&id, &[0, 1, 0, 0, 0], params]);
    }

    fn put_command(&mut self, command: Command, parts: &[&[u8]]) {
        let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
        if length < FULL_PACKET {
            self.outbound.put_uint_le(length as u64, 3);
            self.outbound.put_u8(0);
            self.outbound.put_u8(command as u8);
            for part in parts {
                self.outbound.put_slice(part);
            }
            return;
        }
        let mut whole = vec![command as u8];
        for part in parts {
            whole.extend_from_slice(part);
        }
        let mut sequence = 0u8;
        let mut rest = &whole[..];
        loop {
            let (packet, after) = rest.split_at(rest.len().min(FULL_PACKET));
            self.put_packet(sequence, packet);
            sequence = sequence.wrapping_add(1);
            rest = after;
            if packet.len() < FULL_PACKET {
                return;
            }
        }
    }

    fn put_packet(&mut self, sequence: u8, body: &[u8]) {
        self.outbound.put_uint_le(body.len() as u64, 3);
        self.outbound.put_u8(sequence);
        self.outbound.put_slice(body);
    }

    /// Sends what is queued.
    pub(super) async fn send(&mut self) -> Result<(), WireError> {
        if !self.outbound.is_empty() {
            self.stream.write_all(&self.outbound).await?;
            self.outbound.clear();
        }
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ receiving

    /// The beginning of the answer to a statement.
    pub(super) async fn reply(&mut self) -> Result<Reply, WireError> {
        let mut body = self.packet().await?;
        match body.first() {
            Some(0x00) => Ok(Reply::Done(done(body)?)),
            Some(0xFF) => Ok(Reply::Refused(Box::new(ServerMessage::parse(body)?))),
            Some(0xFB) => Err(WireError::Protocol("it asks for a file of this machine")),
            _ => {
                let count = length(&mut body)?;
                Ok(Reply::Columns(self.fields(count).await?))
            }
        }
    }

    /// What comes after the columns, or after a row.
    pub(super) async fn row(&mut self) -> Result<RowReply, WireError> {
        let mut body = self.packet().await?;
        match body.first() {
            Some(0xFE) if body.len() < 9 => {
                body.advance(1);
                let (warnings, status) = (short(&mut body)?, short(&mut body)?);
                Ok(RowReply::Done(Done {
                    affected: 0,
                    warnings,
                    status,
                }))
            }
            Some(0xFF) => Ok(RowReply::Refused(Box::new(ServerMessage::parse(body)?))),
            _ => Ok(RowReply::Row(body)),
        }
    }

    /// The answer to a request to parse a statement.
    pub(super) async fn prepared(
        &mut self,
    ) -> Result<Result<Prepared, Box<ServerMessage>>, WireError> {
        let mut body = self.packet().await?;
        if body.first() == Some(&0xFF) {
            return Ok(Err(Box::new(ServerMessage::parse(body)?)));
        }
        byte(&mut body)?;
        let id = body.try_get_u32_le().map_err(torn)?;
        let columns = usize::from(short(&mut body)?);
        let params = usize::from(short(&mut body)?);
        if params > 0 {
            self.fields(params).await?;
        }
        let columns = match columns {
            0 => Vec::new(),
            some => self.fields(some).await?,
        };
        Ok(Ok(Prepared {
            id,
            params,
            columns,
        }))
    }

    async fn fields(&mut self, count: usize) -> Result<Vec<Field>, WireError> {
        // More than any server allows in one row.
        if count > 1 << 16 {
            return Err(WireError::Protocol("more columns than there can be"));
        }
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let body = self.packet().await?;
            fields.push(field(body, self.extended_types)?);
        }
        let end = self.packet().await?;
        if end.first() != Some(&0xFE) {
            return Err(WireError::Protocol("columns without an end"));
        }
        Ok(fields)
    }

    /// Reads the answers to everything of the gateway's own that was sent; the first error among them, if there is one.
    pub(super) async fn settle(&mut self) -> Result<Option<Box<ServerMessage>>, WireError> {
        let mut refused = None;
        while self.unsettled > 0 {
            let reply = self.reply().await?;
            self.unsettled -= 1;
            match reply {
                Reply::Done(_) => {}
                Reply::Refused(message) => {
                    refused.get_or_insert(message);
                }
                Reply::Columns(_) => {
                    return Err(WireError::Protocol("rows nobody asked for"));
                }
            }
        }
        Ok(refused)
    }

    /// Runs the gateway's own query and gives its rows as text.
    pub(super) async fn own_rows(
        &mut self,
        query: &str,
    ) -> Result<Result<Vec<Vec<Option<String>>>, Box<ServerMessage>>, WireError> {
        self.queue_text(query);
        self.send().await?;
        let columns = match self.reply().await? {
            Reply::Columns(columns) => columns.len(),
            Reply::Done(_) => return Ok(Ok(Vec::new())),
            Reply::Refused(message) => return Ok(Err(message)),
        };
        let mut rows = Vec::new();
        loop {
            match self.row().await? {
                RowReply::Row(mut row) => {
                    let cells = (0..columns).map(|_| {
                        let bytes = text_cell(&mut row)?;
                        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
                    });
                    rows.push(cells.collect::<Result<_, WireError>>()?);
                }
                RowReply::Done(_) => return Ok(Ok(rows)),
                RowReply::Refused(message) => return Ok(Err(message)),
            }
        }
    }

    /// Whether nothing is under way and the server has neither spoken nor hung up.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.unsettled == 0
            && self.inbound.is_empty()
            && self.stream.fill(&mut self.inbound).now_or_never().is_none()
    }

    /// The next answer, of one packet or several. May be dropped while it waits without losing anything.
    async fn packet(&mut self) -> Result<Bytes, WireError> {
        loop {
            if let [a, b, c, _sequence, ..] = self.inbound[..] {
                let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
                let whole = self.partial.len() + length;
                if whole > self.max_packet {
                    return Err(WireError::TooLong(whole));
                }
                if self.inbound.len() >= 4 + length {
                    let mut packet = self.inbound.split_to(4 + length);
                    packet.advance(4);
                    if length == FULL_PACKET {
                        self.partial.unsplit(packet);
                        continue;
                    }
                    if self.partial.is_empty() {
                        return Ok(packet.freeze());
                    }
                    self.partial.extend_from_slice(&packet);
                    return Ok(self.partial.split().freeze());
                }
                self.inbound.reserve(4 + length - self.inbound.len());
            }
            if self.stream.fill(&mut self.inbound).await? == 0 {
                return Err(WireError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl Stream {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn fill(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        into.reserve(8 << 10);
        match self {
            Self::Plain(stream) => stream.read_buf(into).await,
            Self::Tls(stream) => stream.read_buf(into).await,
        }
    }
}

// ---------------------------------------------------------------------------------------------- logging in

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";
const CLEAR: &str = "mysql_clear_password";

/// The first thing a server says.
struct Greeting {
    flavour: Flavour,
    thread: u32,
    capabilities: u64,
    nonce: Vec<u8>,
    plugin: String,
}

impl Greeting {
    fn parse(mut body: Bytes) -> Result<Self, ConnectError> {
        match byte(&mut body)? {
            10 => {}
            // Too many connections, or a host that is blocked.
            0xFF => {
                let number = short(&mut body)?;
                return Err(ConnectError::Login(number.to_string()));
            }
            _ => return Err(WireError::Protocol("an unknown version").into()),
        }
        let version = terminated(&mut body)?;
        let thread = body.try_get_u32_le().map_err(torn)?;
        let mut nonce = taken(&mut body, 8)?.to_vec();
        byte(&mut body)?;
        let low = u64::from(short(&mut body)?);
        let (_charset, _status) = (byte(&mut body)?, short(&mut body)?);
        let high = u64::from(short(&mut body)?);
        let nonce_length = usize::from(byte(&mut body)?);
        taken(&mut body, 6)?;
        let extended = u64::from(body.try_get_u32_le().map_err(torn)?);
        let mut capabilities = low | high << 16;
        // MariaDB says so by leaving this bit out, and only then do the four bytes mean anything.
        if capabilities & capability::LONG_PASSWORD == 0 {
            capabilities |= extended << 32;
        }
        let rest = taken(&mut body, nonce_length.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(&rest));
        let plugin = match capabilities & capability::PLUGIN_AUTH {
            0 => NATIVE.to_owned(),
            _ => terminated(&mut body)?,
        };
        let needed = capability::PROTOCOL_41 | capability::SECURE_CONNECTION;
        if capabilities & needed != needed {
            return Err(WireError::Protocol("a server older than 4.1").into());
        }
        Ok(Self {
            flavour: match version.contains("MariaDB") {
                true => Flavour::MariaDb,
                false => Flavour::MySql,
            },
            thread,
            capabilities,
            nonce,
            plugin,
        })
    }

    fn agreed(&self) -> u64 {
        use capability::*;
        let wanted = FOUND_ROWS
            | LONG_FLAG
            | CONNECT_WITH_DB
            | PROTOCOL_41
            | TRANSACTIONS
            | SECURE_CONNECTION
            | MULTI_RESULTS
            | PS_MULTI_RESULTS
            | PLUGIN_AUTH
            | PLUGIN_AUTH_LENENC
            | MARIADB_EXTENDED_TYPES;
        let mariadb = self.capabilities & LONG_PASSWORD == 0;
        let own = if mariadb { 0 } else { LONG_PASSWORD };
        wanted & self.capabilities | CONNECT_WITH_DB | own
    }
}

/// The beginning of a login, which is all that is said before TLS.
fn login_head(capabilities: u64) -> BytesMut {
    let mut head = BytesMut::with_capacity(128);
    // The two halves are meant.
    head.put_u32_le(capabilities as u32);
    head.put_u32_le(1 << 30);
    head.put_u8(UTF8MB4);
    head.put_bytes(0, 19);
    head.put_u32_le((capabilities >> 32) as u32);
    head
}

/// What proves to `plugin` that we know the password; `None`: it cannot be had, or would give the password away.
fn proof(plugin: &str, password: &[u8], nonce: &[u8], is_private: bool) -> Option<Vec<u8>> {
    match plugin {
        NATIVE => Some(scrambled_sha1(password, nonce)),
        CACHING => Some(scrambled_sha256(password, nonce)),
        CLEAR if is_private => Some([password, &[0]].concat()),
        _ => None,
    }
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(a, b)| a ^ b).collect()
}

/// `SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password)))`
fn scrambled_sha1(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let sha1 = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let once = sha1(password);
    let twice = sha1(once.as_ref());
    xor(
        once.as_ref(),
        sha1(&[nonce, twice.as_ref()].concat()).as_ref(),
    )
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce)`
fn scrambled_sha256(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let sha256 = |bytes: &[u8]| digest(&SHA256, bytes);
    let once = sha256(password);
    let twice = sha256(once.as_ref());
    xor(
        once.as_ref(),
        sha256(&[twice.as_ref(), nonce].concat()).as_ref(),
    )
}

/// The password under the server's public key.
fn sealed(password: &[u8], nonce: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(key).ok()?;
    let key = PublicEncryptingKey::from_der(&key).ok()?;
    let key = OaepPublicEncryptingKey::new(key).ok()?;
    let mut plain = [password, &[0]].concat();
    let nonce = nonce.iter().cycle();
    for (byte, mask) in plain.iter_mut().zip(nonce) {
        *byte ^= mask;
    }
    let mut out = vec![0; key.ciphertext_size()];
    let written = key
        .encrypt(&OAEP_SHA1_MGF1SHA1, &plain, &mut out, None)
        .ok()?;
    Some(written.to_vec())
}

// ---------------------------------------------------------------------------------------------- parts of packets

fn done(mut body: Bytes) -> Result<Done, WireError> {
    byte(&mut body)?;
    let affected = long_length(&mut body)?;
    long_length(&mut body)?;
    let (status, warnings) = (short(&mut body)?, short(&mut body)?);
    Ok(Done {
        affected,
        warnings,
        status,
    })
}

fn field(mut body: Bytes, extended_types: bool) -> Result<Field, WireError> {
    let mut text = || -> Result<String, WireError> {
        let length = length(&mut body)?;
        Ok(String::from_utf8_lossy(&taken(&mut body, length)?).into_owned())
    };
    let _catalog = text()?;
    let (schema, table, org_table) = (text()?, text()?, text()?);
    let (name, org_name) = (text()?, text()?);
    let mut extension = None;
    if extended_types {
        let length = length(&mut body)?;
        let mut parts = taken(&mut body, length)?;
        while !parts.is_empty() {
            let _kind = byte(&mut parts)?;
            let length = self::length(&mut parts)?;
            extension = Some(String::from_utf8_lossy(&taken(&mut parts, length)?).into_owned());
        }
    }
    byte(&mut body)?;
    let collation = short(&mut body)?;
    let width = body.try_get_u32_le().map_err(torn)?;
    let code = byte(&mut body)?;
    let flags = short(&mut body)?;
    let decimals = byte(&mut body)?;
    Ok(Field {
        schema,
        table,
        org_table,
        name,
        org_name,
        column_type: ColumnType {
            code,
            flags,
            collation,
            width,
            decimals,
            extension,
        },
    })
}

/// One cell of a row of text; `None` is NULL.
pub(super) fn text_cell(row: &mut Bytes) -> Result<Option<Bytes>, WireError> {
    if row.first() == Some(&0xFB) {
        row.advance(1);
        return Ok(None);
    }
    Ok(Some(sized(row)?))
}

/// Bytes after their length.
pub(super) fn sized(body: &mut Bytes) -> Result<Bytes, WireError> {
    let length = length(body)?;
    taken(body, length)
}

pub(super) fn put_length(out: &mut impl BufMut, length: usize) {
    match length as u64 {
        small @ 0..=250 => out.put_u8(small as u8),
        medium @ 251..=0xFFFF => {
            out.put_u8(0xFC);
            out.put_u16_le(medium as u16);
        }
        large @ 0x1_0000..=0xFF_FFFF => {
            out.put_u8(0xFD);
            out.put_uint_le(large, 3);
        }
        huge => {
            out.put_u8(0xFE);
            out.put_u64_le(huge);
        }
    }
}

fn length(body: &mut Bytes) -> Result<usize, WireError> {
    usize::try_from(long_length(body)?).map_err(|_| WireError::Protocol("a length beyond memory"))
}

fn long_length(body: &mut Bytes) -> Result<u64, WireError> {
    match byte(body)? {
        small @ 0..=0xFA => Ok(u64::from(small)),
        0xFC => Ok(u64::from(short(body)?)),
        0xFD if body.len() >= 3 => Ok(body.get_uint_le(3)),
        0xFE => body.try_get_u64_le().map_err(torn),
        _ => Err(WireError::Protocol("a length that is none")),
    }
}

pub(super) fn taken(body: &mut Bytes, length: usize) -> Result<Bytes, WireError> {
    if body.len() < length {
        return Err(WireError::Protocol("a packet that ends too soon"));
    }
    Ok(body.split_to(length))
}

fn terminated(body: &mut Bytes) -> Result<String, WireError> {
    let end = memchr::memchr(0, body).ok_or(WireError::Protocol("text without an end"))?;
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Ok(text)
}

pub(super) fn byte(body: &mut Bytes) -> Result<u8, WireError> {
    body.try_get_u8().map_err(torn)
}

fn short(body: &mut Bytes) -> Result<u16, WireError> {
    body.try_get_u16_le().map_err(torn)
}

pub(super) fn torn(_: bytes::TryGetError) -> WireError {
    WireError::Protocol("a packet that ends too soon")
}
