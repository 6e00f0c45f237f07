//! One connection to a PostgreSQL server, message by message (protocol 3.0).
//!
//! It is spoken here rather than through a client library for three reasons. Results come as the server's own text, so
//! every type there is, extensions included, shows what PostgreSQL itself would print. A read travels as one flight of
//! messages and costs one round trip. And nothing is read from the socket before the last row was consumed, so a result
//! takes the memory of one row, however long it is.
//!
//! Refuses to know: what a statement means, what is read-only, when to stop.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::frontend,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::address::{Address, Encryption};
use crate::targets::credential::NoToken;

/// How long reaching the server and logging in may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// No message of a login is longer; who sends one is no PostgreSQL server.
const MAX_LOGIN_MESSAGE: usize = 64 << 10;

/// A connection that has logged in.
pub(super) struct Wire {
    stream: Stream,
    inbound: BytesMut,
    outbound: BytesMut,
    /// What a request to cancel must present.
    key: CancelKey,
    /// The server's major version; 0: it did not say.
    version: u32,
    /// `ReadyForQuery` messages still to come for what was sent and not waited for.
    unsettled: usize,
    /// The longest message taken.
    max_message: usize,
    /// Whether the server still sends UTF-8.
    utf8: bool,
}

/// What a request to cancel must present.
#[derive(Clone, Copy)]
pub(super) struct CancelKey {
    process: i32,
    secret: i32,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One row of the gateway's own query, as text; `None` is NULL.
pub(super) type OwnRow = Vec<Option<String>>;

/// One message from the server.
#[derive(Debug)]
pub(super) enum Reply {
    /// A step of the extended protocol was taken.
    Step,
    /// How many parameters the statement has.
    Parameters(usize),
    /// The result's columns.
    Columns(Vec<Field>),
    /// There is no result.
    NoColumns,
    /// One row: per column a length and its bytes.
    Row(Bytes),
    /// The command tag: a statement is done.
    Complete(String),
    /// There was no statement in the text.
    Empty,
    /// The statement wants to exchange a copy stream.
    Copy,
    /// An error: what follows up to the next `Ready` is skipped by the server.
    Refused(Box<ServerMessage>),
    /// A notice or warning.
    Notice(Box<ServerMessage>),
    /// The server waits for the next message.
    Ready(TransactionStatus),
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    /// The relation it comes from, or 0.
    pub(super) relation: u32,
    /// Which of the relation's columns, or 0.
    pub(super) attribute: i16,
    pub(super) type_oid: u32,
}

/// Whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionStatus {
    Idle,
    Open,
    Failed,
}

/// The words of an error or a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerMessage {
    pub(super) code: String,
    severity: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    context: Option<String>,
}

impl ServerMessage {
    fn parse(mut body: Bytes) -> Result<Self, WireError> {
        let mut found = Self::default();
        loop {
            match byte(&mut body)? {
                0 => return Ok(found),
                b'C' => found.code = text(&mut body)?,
                b'S' => found.severity = text(&mut body)?,
                b'M' => found.message = text(&mut body)?,
                b'D' => found.detail = Some(text(&mut body)?),
                b'H' => found.hint = Some(text(&mut body)?),
                b'W' => found.context = Some(text(&mut body)?),
                _ => drop(text(&mut body)?),
            }
        }
    }

    /// Everything the server said, raw: for masking only.
    pub(super) fn raw(&self) -> String {
        let mut out = self.message.clone();
        for (label, part) in [
            ("DETAIL", &self.detail),
            ("HINT", &self.hint),
            ("CONTEXT", &self.context),
        ] {
            if let Some(part) = part {
                out.push_str(&format!("\n{label}: {part}"));
            }
        }
        out
    }

    /// The same for a notice, with how serious it is.
    pub(super) fn raw_notice(&self) -> String {
        format!("{}: {}", self.severity, self.raw())
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the connection was lost ({0})")]
    Lost(#[from] io::Error),
    #[error("the server sent what is not PostgreSQL's protocol: {0}")]
    Protocol(&'static str),
    #[error(
        "one row of the result is {0} bytes long, more than may be fetched: ask for fewer columns or a part of the value"
    )]
    TooLong(usize),
    #[error("the server sent text that is not UTF-8: leave client_encoding alone")]
    Encoding,
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
        "the server refused the login (SQLSTATE {0}): check user, password and database of this connection's url"
    )]
    Login(String),
    #[error(
        "the server wants a way to log in that is not supported: use a password with SCRAM-SHA-256"
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
        let mut wire = Self {
            stream: Stream::open(address).await?,
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            key: CancelKey {
                process: 0,
                secret: 0,
            },
            version: 0,
            unsettled: 0,
            max_message: MAX_LOGIN_MESSAGE,
            utf8: true,
        };
        frontend::startup_message(
            [
                ("user", &*address.user),
                ("database", &address.database),
                ("application_name", "portcullis"),
                ("client_encoding", "UTF8"),
                ("DateStyle", "ISO, YMD"),
                ("TimeZone", "UTC"),
                ("standard_conforming_strings", "on"),
            ],
            &mut wire.outbound,
        )
        .map_err(WireError::Lost)?;
        wire.send().await?;
        wire.authenticate(address, password).await?;
        Ok(wire)
    }

    async fn authenticate(
        &mut self,
        address: &Address,
        password: &[u8],
    ) -> Result<(), ConnectError> {
        let mut scram: Option<ScramSha256> = None;
        loop {
            let (tag, mut body) = self.message().await?;
            match tag {
                b'R' => match int(&mut body)? {
                    0 => {}
                    3 => frontend::password_message(password, &mut self.outbound)
                        .map_err(WireError::Lost)?,
                    5 => {
                        let mut salt = [0; 4];
                        if body.len() < 4 {
                            return Err(WireError::Protocol("a short salt").into());
                        }
                        body.copy_to_slice(&mut salt);
                        let hash = md5_hash(address.user.as_bytes(), password, salt);
                        frontend::password_message(hash.as_bytes(), &mut self.outbound)
                            .map_err(WireError::Lost)?;
                    }
                    10 => {
                        let mut offered = false;
                        while body.first().is_some_and(|byte| *byte != 0) {
                            offered |= text(&mut body)? == SCRAM_SHA_256;
                        }
                        if !offered {
                            return Err(ConnectError::Method);
                        }
                        let exchange = ScramSha256::new(password, ChannelBinding::unsupported());
                        frontend::sasl_initial_response(
                            SCRAM_SHA_256,
                            exchange.message(),
                            &mut self.outbound,
                        )
                        .map_err(WireError::Lost)?;
                        scram = Some(exchange);
                    }
                    11 => {
                        let exchange = scram.as_mut().ok_or(ConnectError::Method)?;
                        exchange.update(&body).map_err(WireError::Lost)?;
                        frontend::sasl_response(exchange.message(), &mut self.outbound)
                            .map_err(WireError::Lost)?;
                    }
                    // The server proves here that it knows the password too.
                    12 => scram
                        .as_mut()
                        .ok_or(ConnectError::Method)?
                        .finish(&body)
                        .map_err(WireError::Lost)?,
                    _ => return Err(ConnectError::Method),
                },
                b'K' => {
                    self.key = CancelKey {
                        process: int(&mut body)?,
                        secret: int(&mut body)?,
                    };
                }
                b'S' => {
                    let (name, value) = (text(&mut body)?, text(&mut body)?);
                    if name == "server_version" {
                        let digits = value.split(|character: char| !character.is_ascii_digit());
                        let major = digits.into_iter().next().map(str::parse);
                        self.version = major.and_then(Result::ok).unwrap_or(0);
                    }
                }
                b'E' => return Err(ConnectError::Login(ServerMessage::parse(body)?.code)),
                b'Z' => return Ok(()),
                _ => {}
            }
            self.send().await?;
        }
    }

    /// Asks the server, on a connection of its own, to cancel what runs under `key`. It never says whether it did.
    pub(super) async fn cancel(address: &Address, key: CancelKey) -> Result<(), ConnectError> {
        let asked = async {
            let mut stream = Stream::open(address).await?;
            let mut request = BytesMut::new();
            frontend::cancel_request(key.process, key.secret, &mut request);
            stream.write_all(&request).await.map_err(ConnectError::Io)?;
            // The server closes the connection once it has signalled the process.
            let mut rest = BytesMut::new();
            let _closed = stream.fill(&mut rest).await;
            Ok(())
        };
        tokio::time::timeout(CONNECT_TIME, asked)
            .await
            .map_err(|_elapsed| ConnectError::Slow)?
    }

    pub(super) fn cancel_key(&self) -> CancelKey {
        self.key
    }

    /// The server's major version, such as 15; 0 if it did not say.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// Takes no message longer than this from here on.
    pub(super) fn limit_messages(&mut self, bytes: usize) {
        self.max_message = bytes;
    }

    // ------------------------------------------------------------------------------------------ sending

    /// Queues the gateway's own text, never a caller's: it may hold several statements.
    pub(super) fn queue_own(&mut self, statements: &str) -> Result<(), WireError> {
        self.unsettled += 1;
        Ok(frontend::query(statements, &mut self.outbound)?)
    }

    /// Queues parsing and describing one statement, without running it. The server refuses a second one in the text.
    /// `types` fixes the types of the first parameters; 0 leaves one to the server.
    pub(super) fn queue_describe(
        &mut self,
        statement: &str,
        types: &[u32],
    ) -> Result<(), WireError> {
        frontend::parse("", statement, types.iter().copied(), &mut self.outbound)?;
        frontend::describe(b'S', "", &mut self.outbound)?;
        frontend::sync(&mut self.outbound);
        self.unsettled += 1;
        Ok(())
    }

    /// Queues running one statement with all parameters and results as text.
    pub(super) fn queue_run<'a>(
        &mut self,
        statement: &str,
        types: &[u32],
        params: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<(), WireError> {
        frontend::parse("", statement, types.iter().copied(), &mut self.outbound)?;
        frontend::describe(b'S', "", &mut self.outbound)?;
        let bound = frontend::bind(
            "",
            "",
            [0],
            params,
            |param, out| match param {
                Some(text) => {
                    out.extend_from_slice(text.as_bytes());
                    Ok(postgres_protocol::IsNull::No)
                }
                None => Ok(postgres_protocol::IsNull::Yes),
            },
            [0],
            &mut self.outbound,
        );
        bound.map_err(|_too_many| WireError::Protocol("too many parameters to send"))?;
        frontend::execute("", 0, &mut self.outbound)?;
        frontend::sync(&mut self.outbound);
        self.unsettled += 1;
        Ok(())
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

    /// The next message of interest. May be dropped while it waits without losing anything.
    pub(super) async fn next(&mut self) -> Result<Reply, WireError> {
        loop {
            let (tag, mut body) = self.message().await?;
            return Ok(match tag {
                b'D' => {
                    short(&mut body)?;
                    Reply::Row(body)
                }
                b'1' | b'2' | b'3' => Reply::Step,
                b'T' => Reply::Columns(fields(body)?),
                b't' => Reply::Parameters(usize::from(short(&mut body)?.cast_unsigned())),
                b'n' => Reply::NoColumns,
                b'C' => Reply::Complete(text(&mut body)?),
                b'I' => Reply::Empty,
                b'G' | b'H' | b'W' => Reply::Copy,
                b'E' => Reply::Refused(Box::new(ServerMessage::parse(body)?)),
                b'N' => Reply::Notice(Box::new(ServerMessage::parse(body)?)),
                b'Z' => {
                    self.unsettled = self.unsettled.saturating_sub(1);
                    if !self.utf8 {
                        return Err(WireError::Encoding);
                    }
                    Reply::Ready(match byte(&mut body)? {
                        b'I' => TransactionStatus::Idle,
                        b'T' => TransactionStatus::Open,
                        b'E' => TransactionStatus::Failed,
                        _ => return Err(WireError::Protocol("an unknown transaction status")),
                    })
                }
                b'S' => {
                    let (name, value) = (text(&mut body)?, text(&mut body)?);
                    if name == "client_encoding" && value != "UTF8" {
                        self.utf8 = false;
                    }
                    continue;
                }
                b'A' => continue,
                _ => return Err(WireError::Protocol("an unknown message")),
            });
        }
    }

    /// Reads to the end of everything sent so far; the first error among it, if there is one.
    pub(super) async fn settle(&mut self) -> Result<Option<Box<ServerMessage>>, WireError> {
        let mut refused = None;
        while self.unsettled > 0 {
            if let Reply::Refused(message) = self.next().await? {
                refused.get_or_insert(message);
            }
        }
        Ok(refused)
    }

    /// Runs the gateway's own query and gives its rows as text.
    pub(super) async fn own_rows(
        &mut self,
        query: &str,
    ) -> Result<Result<Vec<OwnRow>, Box<ServerMessage>>, WireError> {
        self.queue_own(query)?;
        self.send().await?;
        let mut rows = Vec::new();
        let refused = self.own_answer(|row| rows.push(row)).await?;
        Ok(refused.map_or(Ok(rows), Err))
    }

    /// Hands on the rows that answer the next of the gateway's own queries, as text; the server's refusal, if it
    /// refused.
    pub(super) async fn own_answer(
        &mut self,
        mut take: impl FnMut(OwnRow),
    ) -> Result<Option<Box<ServerMessage>>, WireError> {
        let mut refused = None;
        loop {
            match self.next().await? {
                Reply::Row(row) => take(
                    cells(&row)
                        .map(|cell| {
                            cell?
                                .map(|bytes| String::from_utf8(bytes.to_vec()))
                                .transpose()
                                .map_err(|_| WireError::Encoding)
                        })
                        .collect::<Result<_, _>>()?,
                ),
                Reply::Refused(message) => refused = Some(message),
                Reply::Ready(_) => return Ok(refused),
                _ => {}
            }
        }
    }

    /// Whether nothing is under way and the server has neither spoken nor hung up.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.unsettled == 0
            && self.inbound.is_empty()
            && self.stream.fill(&mut self.inbound).now_or_never().is_none()
    }

    async fn message(&mut self) -> Result<(u8, Bytes), WireError> {
        loop {
            if let [tag, a, b, c, d, ..] = self.inbound[..] {
                let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
                let Some(body) = length.checked_sub(4) else {
                    return Err(WireError::Protocol("a message without a length"));
                };
                if length > self.max_message {
                    return Err(WireError::TooLong(body));
                }
                if self.inbound.len() > length {
                    let mut message = self.inbound.split_to(length + 1).freeze();
                    message.advance(5);
                    return Ok((tag, message));
                }
                self.inbound.reserve(length + 1 - self.inbound.len());
            }
            if self.stream.fill(&mut self.inbound).await? == 0 {
                return Err(WireError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl Stream {
    async fn open(address: &Address) -> Result<Self, ConnectError> {
        let mut tcp = TcpStream::connect((&*address.host, address.port))
            .await
            .map_err(ConnectError::Io)?;
        tcp.set_nodelay(true).map_err(ConnectError::Io)?;
        match &address.encryption {
            Encryption::LoopbackOnly => {
                let peer = tcp.peer_addr().map_err(ConnectError::Io)?.ip();
                if peer.is_loopback() {
                    Ok(Self::Plain(tcp))
                } else {
                    Err(ConnectError::NotLoopback(peer))
                }
            }
            Encryption::Verified { config, name } => {
                let mut request = BytesMut::new();
                frontend::ssl_request(&mut request);
                tcp.write_all(&request).await.map_err(ConnectError::Io)?;
                // Exactly one byte: anything the server (or someone between) sent after it in the clear would
                // otherwise be taken for part of the encrypted conversation.
                if tcp.read_u8().await.map_err(ConnectError::Io)? != b'S' {
                    return Err(ConnectError::NoTls);
                }
                let tls = TlsConnector::from(config.clone())
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(ConnectError::Tls)?;
                Ok(Self::Tls(Box::new(tls)))
            }
        }
    }

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

/// The cells of one row; `None` is NULL.
pub(super) fn cells(row: &[u8]) -> impl Iterator<Item = Result<Option<&[u8]>, WireError>> {
    let mut rest = row;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (cell, after) = match split_cell(rest) {
            Some(found) => found,
            None => {
                rest = &[];
                return Some(Err(WireError::Protocol("a torn row")));
            }
        };
        rest = after;
        Some(Ok(cell))
    })
}

fn split_cell(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) => {
            let (cell, rest) = rest.split_at_checked(length)?;
            Some((Some(cell), rest))
        }
        Err(_negative) => Some((None, rest)),
    }
}

fn fields(mut body: Bytes) -> Result<Vec<Field>, WireError> {
    let count = short(&mut body)?;
    (0..count)
        .map(|_| {
            let name = text(&mut body)?;
            let relation = int(&mut body)?.cast_unsigned();
            let attribute = short(&mut body)?;
            let type_oid = int(&mut body)?.cast_unsigned();
            let (_length, _modifier, _format) =
                (short(&mut body)?, int(&mut body)?, short(&mut body)?);
            Ok(Field {
                name,
                relation,
                attribute,
                type_oid,
            })
        })
        .collect()
}

fn byte(body: &mut Bytes) -> Result<u8, WireError> {
    body.try_get_u8().map_err(torn)
}

fn short(body: &mut Bytes) -> Result<i16, WireError> {
    body.try_get_i16().map_err(torn)
}

fn int(body: &mut Bytes) -> Result<i32, WireError> {
    body.try_get_i32().map_err(torn)
}

fn text(body: &mut Bytes) -> Result<String, WireError> {
    let end = memchr::memchr(0, body).ok_or(WireError::Protocol("text without an end"))?;
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Ok(text)
}

fn torn(_: bytes::TryGetError) -> WireError {
    WireError::Protocol("a message that ends too soon")
}
