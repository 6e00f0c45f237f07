//! One connection to a SQL Server, packet by packet and token by token ([MS-TDS], versions 7.4 and 8.0).
//!
//! It is spoken here rather than through a client library (`tiberius`) for four reasons. A statement is to be stopped by
//! an attention on its own connection while its result is still being read; there that takes the connection from
//! whoever reads. Nothing of a row is fetched beyond the budget; there one value may have 2 GiB. A connection is reset
//! by the server before it is lent again, and whether it was is looked at. And TLS is the one stack, with the machine's
//! own verifier.
//!
//! Refuses to know: what a statement means, what only reads, when to stop.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, Bytes as Shared, BytesMut};
use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{
    address::{Address, Encryption},
    login,
    stream::{Envelope, Stream},
    types::{Bytes, Column},
};
use crate::targets::{credential::NoToken, trust};

/// How long reaching the server and logging in may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// No token of a login is longer; who sends one is no SQL Server.
const MAX_LOGIN_TOKEN: usize = 64 << 10;
/// A server refers to another at most this often.
const MOST_REFERRALS: usize = 3;
/// Length of a packet's header.
const HEADER: usize = 8;
/// The last packet of a message.
const END_OF_MESSAGE: u8 = 0x01;
/// The server brings the session back to what its login made it, before it looks at the request.
const RESET: u8 = 0x08;

/// Kinds of messages.
#[derive(Clone, Copy)]
pub(super) enum Message {
    Batch = 0x01,
    Rpc = 0x03,
    Attention = 0x06,
    Login = 0x10,
    Prelogin = 0x12,
}

/// What the server's packets hold.
const ANSWER: u8 = 0x04;

/// A connection that has logged in.
pub(super) struct Wire {
    stream: Stream,
    /// As it came from the socket.
    packets: BytesMut,
    /// What the packets held: tokens.
    tokens: BytesMut,
    /// How much a packet to the server may hold, its header included.
    packet_size: usize,
    /// The longest token taken.
    max_token: usize,
    /// The layout of the rows that come.
    columns: Option<Arc<[Column]>>,
    row: RowScan,
    transaction: Transaction,
    /// What every request must present while a transaction is open.
    descriptor: [u8; 8],
    answer: Answer,
    attention: Attention,
    reset: Reset,
    /// When it fires, the server is asked to stop what runs.
    stop: Option<CancellationToken>,
}

/// How far the row at the front has been looked through.
#[derive(Default)]
struct RowScan {
    at: usize,
    column: usize,
    in_chunks: bool,
}

/// Where the answer to the last request stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing was asked, or it has been answered in full.
    Complete,
    /// More packets come.
    Coming,
    /// The last packet is here, and something in it is not read yet.
    Arrived,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attention {
    None,
    Asked,
    Acknowledged,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    NotNeeded,
    /// With the next request.
    Due,
    Asked,
}

/// What became of the transaction, as far as the server has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    /// None was begun.
    None,
    Open,
    Committed,
    RolledBack,
}

/// What the server says, token by token.
#[derive(Debug)]
pub(super) enum Reply {
    /// A result begins.
    Columns(Arc<[Column]>),
    /// One row of it.
    Row(Row),
    /// A statement is done, one of several perhaps.
    Done(Done),
    /// An error. What follows may be the end, or further errors.
    Refused(Box<ServerMessage>),
    /// A notice.
    Notice(Box<ServerMessage>),
    /// The login was accepted.
    LoggedIn,
    /// The server wants to be spoken to at another address.
    Referred { host: String, port: u16 },
    /// The request is answered in full.
    Ready,
}

/// One row, undivided.
#[derive(Debug)]
pub(super) struct Row {
    bytes: Shared,
    has_bitmap: bool,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Rows it returned or changed, where it counted.
    pub(super) rows: Option<u64>,
    /// Whether the rows are those of a query.
    pub(super) is_query: bool,
    /// Whether it failed. An error said why before, in all but a few cases.
    pub(super) failed: bool,
}

/// The words of an error or a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerMessage {
    pub(super) number: i32,
    pub(super) class: u8,
    state: u8,
    pub(super) message: String,
    procedure: String,
    line: u32,
}

impl ServerMessage {
    fn parse(body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let number = bytes.u32()?.cast_signed();
        let [state, class] = bytes.array()?;
        let message = bytes.long_text()?;
        let _server = bytes.short_text()?;
        let procedure = bytes.short_text()?;
        let line = bytes.u32()?;
        Some(Self {
            number,
            class,
            state,
            message,
            procedure,
            line,
        })
    }

    /// `Msg 208`: how SQL Server's own tools name an error.
    pub(super) fn code(&self) -> String {
        format!("Msg {}", self.number)
    }

    /// Everything the server said but its own name, raw: for masking only.
    pub(super) fn raw(&self) -> String {
        let procedure = match &*self.procedure {
            "" => String::new(),
            procedure => format!(", Procedure {procedure}"),
        };
        format!(
            "{}\nLevel {}, State {}{procedure}, Line {}",
            self.message, self.class, self.state, self.line
        )
    }

    /// A notice: what PRINT and RAISERROR say below an error.
    pub(super) fn raw_notice(&self) -> String {
        match self.number {
            0 => self.message.clone(),
            number => format!("Msg {number}: {}", self.raw()),
        }
    }

    /// Whether the server ends the connection with it.
    pub(super) fn ends_the_connection(&self) -> bool {
        self.class >= 20
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the connection was lost ({0})")]
    Lost(#[from] io::Error),
    #[error("the server sent what is not SQL Server's protocol: {0}")]
    Protocol(&'static str),
    #[error(
        "one row of the result is at least {0} bytes long, more than may be fetched: ask for fewer columns or a part of the value"
    )]
    TooLong(usize),
    #[error("the server did not reset the session")]
    NotReset,
}

/// Why there is no connection. Never holds the credential, nor the server's own words.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no connection within {} s: is the address right, is the server up, does a firewall stand between?", CONNECT_TIME.as_secs())]
    Slow,
    #[error("{0}: is the server up and the address right?")]
    Io(#[source] io::Error),
    #[error(
        "the server does not offer encryption, and without it only this machine's loopback is reached"
    )]
    NoTls,
    #[error("the server insists on encryption: leave encrypt=off out of the url")]
    MustEncrypt,
    #[error(
        "TLS failed: {0}; is the certificate for this host name, and its authority known (sslrootcert=FILE)?"
    )]
    Tls(#[source] io::Error),
    #[error(
        "the name leads to {0}, which is not loopback, and the connection would not be encrypted"
    )]
    NotLoopback(std::net::IpAddr),
    #[error(
        "the server refused the login (Msg {0}): check user, password or token, and database of this connection's url"
    )]
    Login(i32),
    #[error("the server refers to a server without end")]
    Referrals,
    #[error("the server refers to an address that cannot be used: {0}")]
    BadReferral(String),
    #[error(transparent)]
    NoToken(#[from] NoToken),
    #[error("{0}")]
    Wire(#[from] WireError),
}

impl Wire {
    /// Reaches the server, or the one it refers to, and logs in. `read_only`: says that it will only read, for which the
    /// server may refer to a replica.
    pub(super) async fn connect(address: &Address, read_only: bool) -> Result<Self, ConnectError> {
        let secret = address.password.current().await?;
        let connected = async {
            let mut address = address.clone();
            for _ in 0..=MOST_REFERRALS {
                match Self::log_in(&address, &secret, read_only).await? {
                    Ok(wire) => return Ok(wire),
                    Err((host, port)) => {
                        trust::server_name(&host).map_err(ConnectError::BadReferral)?;
                        address = address.routed(host, port);
                    }
                }
            }
            Err(ConnectError::Referrals)
        };
        tokio::time::timeout(CONNECT_TIME, connected)
            .await
            .map_err(|_elapsed| ConnectError::Slow)?
    }

    async fn log_in(
        address: &Address,
        secret: &str,
        read_only: bool,
    ) -> Result<Result<Self, (String, u16)>, ConnectError> {
        let socket = TcpStream::connect((&*address.host, address.port))
            .await
            .map_err(ConnectError::Io)?;
        socket.set_nodelay(true).map_err(ConnectError::Io)?;
        let mut stream = match &address.encryption {
            Encryption::Strict(config) => {
                tls(Envelope::new(socket, false), config, address).await?
            }
            Encryption::LoopbackOnly => {
                let peer = socket.peer_addr().map_err(ConnectError::Io)?.ip();
                if !peer.is_loopback() {
                    return Err(ConnectError::NotLoopback(peer));
                }
                Stream::Plain(socket)
            }
            Encryption::Inside(_) => Stream::Plain(socket),
        };
        let offer = negotiate(&mut stream, address).await?;
        let stream = match (&address.encryption, stream) {
            (Encryption::Inside(_), _) if !offer.encrypts => return Err(ConnectError::NoTls),
            (Encryption::Inside(config), Stream::Plain(socket)) => {
                tls(Envelope::new(socket, true), config, address).await?
            }
            (Encryption::LoopbackOnly, _) if offer.insists => {
                return Err(ConnectError::MustEncrypt);
            }
            (_, stream) => stream,
        };
        let mut wire = Self {
            stream,
            packets: BytesMut::new(),
            tokens: BytesMut::new(),
            packet_size: login::PACKET_SIZE,
            max_token: MAX_LOGIN_TOKEN,
            columns: None,
            row: RowScan::default(),
            transaction: Transaction::None,
            descriptor: [0; 8],
            answer: Answer::Complete,
            attention: Attention::None,
            reset: Reset::NotNeeded,
            stop: None,
        };
        let login = login::login7(address, secret, &offer, read_only);
        wire.request(Message::Login, &login).await?;
        let (mut accepted, mut referral) = (false, None);
        loop {
            match wire.next().await? {
                Reply::LoggedIn => accepted = true,
                Reply::Referred { host, port } => referral = Some((host, port)),
                Reply::Refused(message) => return Err(ConnectError::Login(message.number)),
                Reply::Ready => break,
                _ => {}
            }
        }
        match (accepted, referral) {
            (true, Some(referral)) => Ok(Err(referral)),
            (true, None) => Ok(Ok(wire)),
            (false, _) => Err(WireError::Protocol("a login without an answer").into()),
        }
    }

    /// Takes no token longer than this from here on.
    pub(super) fn limit_tokens(&mut self, bytes: usize) {
        self.max_token = bytes;
    }

    /// Asks the server to stop what runs as soon as `stop` fires, until the next call. The answer is read to its end
    /// all the same: it is what says that nothing runs any more.
    pub(super) fn stop_on(&mut self, stop: Option<CancellationToken>) {
        self.stop = stop;
    }

    /// Has the server reset the session before the next request.
    pub(super) fn reset_first(&mut self) {
        self.reset = Reset::Due;
    }

    /// What became of the transaction.
    pub(super) fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// Whether the server said that it stopped the last request.
    pub(super) fn was_stopped(&self) -> bool {
        self.attention == Attention::Acknowledged
    }

    // ------------------------------------------------------------------------------------------ sending

    /// Sends a batch of the gateway's own, never a caller's text.
    pub(super) async fn send_own(&mut self, statements: &str) -> Result<(), WireError> {
        let mut payload = self.headers();
        login::put_utf16(&mut payload, statements);
        self.request(Message::Batch, &payload).await
    }

    /// Sends a call of a procedure.
    pub(super) async fn send_call(&mut self, call: &[u8]) -> Result<(), WireError> {
        let mut payload = self.headers();
        payload.extend_from_slice(call);
        self.request(Message::Rpc, &payload).await
    }

    /// What stands before every request: in which transaction it is to run.
    fn headers(&self) -> Vec<u8> {
        let mut headers = Vec::with_capacity(64);
        headers.extend(22_u32.to_le_bytes());
        headers.extend(18_u32.to_le_bytes());
        headers.extend(2_u16.to_le_bytes());
        headers.extend(self.descriptor);
        headers.extend(1_u32.to_le_bytes());
        headers
    }

    async fn request(&mut self, kind: Message, payload: &[u8]) -> Result<(), WireError> {
        if self.answer != Answer::Complete {
            return Err(WireError::Protocol(
                "a request before the last was answered",
            ));
        }
        let mut first = 0;
        if self.reset == Reset::Due {
            self.reset = Reset::Asked;
            self.transaction = Transaction::None;
            self.descriptor = [0; 8];
            first = RESET;
        }
        self.attention = Attention::None;
        self.columns = None;
        self.answer = Answer::Coming;
        let packets = packed(kind, first, payload, self.packet_size);
        Ok(self.stream.write_all(&packets).await?)
    }

    // ------------------------------------------------------------------------------------------ receiving

    /// The next token of interest. May be dropped while it waits without losing anything.
    pub(super) async fn next(&mut self) -> Result<Reply, WireError> {
        loop {
            match self.token()? {
                Step::Reply(reply) => {
                    // What was on its way when the server was asked to stop is of no interest any more.
                    let wanted = self.attention == Attention::None || matches!(reply, Reply::Ready);
                    if wanted {
                        return Ok(reply);
                    }
                }
                Step::Passed => {}
                Step::More => self.packet().await?,
            }
        }
    }

    /// Reads to the end of the answer; the first error in it, if there is one.
    pub(super) async fn settle(&mut self) -> Result<Option<Box<ServerMessage>>, WireError> {
        let mut refused = None;
        while self.answer != Answer::Complete {
            if let Reply::Refused(message) = self.next().await? {
                refused.get_or_insert(message);
            }
        }
        Ok(refused)
    }

    /// Whether nothing is under way and the server has neither spoken nor hung up.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.answer == Answer::Complete
            && self.packets.is_empty()
            && self.stream.fill(&mut self.packets).now_or_never().is_none()
    }

    /// Asks the server to stop, if anything runs, and reads its answer to the end.
    pub(super) async fn stop(&mut self) -> Result<(), WireError> {
        let stop = CancellationToken::new();
        stop.cancel();
        self.stop = Some(stop);
        self.settle().await.map(drop)
    }

    /// Takes one more packet in.
    async fn packet(&mut self) -> Result<(), WireError> {
        loop {
            if let [kind, status, high, low, ..] = self.packets[..] {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if kind != ANSWER || length < HEADER {
                    return Err(WireError::Protocol("a packet that is no answer"));
                }
                if self.packets.len() >= length {
                    let packet = self.packets.split_to(length);
                    self.tokens.extend_from_slice(&packet[HEADER..]);
                    if status & END_OF_MESSAGE != 0 {
                        self.answer = Answer::Arrived;
                    }
                    return Ok(());
                }
            }
            let stop = self.stop.clone();
            let asked = async {
                match stop {
                    Some(stop) => stop.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = asked, if self.attention == Attention::None => {
                    self.attention = Attention::Asked;
                    let attention = packed(Message::Attention, 0, &[], self.packet_size);
                    self.stream.write_all(&attention).await?;
                }
                read = self.stream.fill(&mut self.packets) => {
                    if read? == 0 {
                        return Err(WireError::Lost(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
    }

    /// Takes the token at the front apart.
    fn token(&mut self) -> Result<Step, WireError> {
        if self.tokens.is_empty() {
            return Ok(match self.answer {
                // The acknowledgement may come in a message of its own.
                Answer::Arrived if self.attention == Attention::Asked => {
                    self.answer = Answer::Coming;
                    Step::More
                }
                Answer::Arrived => {
                    self.answer = Answer::Complete;
                    if self.reset == Reset::Asked {
                        return Err(WireError::NotReset);
                    }
                    Step::Reply(Reply::Ready)
                }
                Answer::Coming => Step::More,
                Answer::Complete => {
                    return Err(WireError::Protocol(
                        "nothing was asked that could be answered",
                    ));
                }
            });
        }
        let step = match self.tokens[0] {
            0xd1 | 0xd2 => self.row()?,
            0x81 => self.columns()?,
            token => self.sized(token)?,
        };
        match step {
            Step::More if self.answer == Answer::Arrived => {
                Err(WireError::Protocol("an answer that ends too soon"))
            }
            Step::More if self.tokens.len() > self.max_token => {
                Err(WireError::TooLong(self.tokens.len()))
            }
            step => Ok(step),
        }
    }

    fn row(&mut self) -> Result<Step, WireError> {
        let columns = self
            .columns
            .clone()
            .ok_or(WireError::Protocol("a row before its columns"))?;
        let has_bitmap = self.tokens[0] == 0xd2;
        let bitmap = if has_bitmap {
            columns.len().div_ceil(8)
        } else {
            0
        };
        if self.row.at == 0 {
            if self.tokens.len() < 1 + bitmap {
                return Ok(Step::More);
            }
            self.row.at = 1 + bitmap;
        }
        while let Some(column) = columns.get(self.row.column) {
            let is_null = has_bitmap && is_null(&self.tokens[1..], self.row.column);
            let mut needs = 0;
            if !is_null {
                let RowScan { at, in_chunks, .. } = &mut self.row;
                let length = column.info.length;
                let whole = length.skip(&self.tokens, at, in_chunks, &mut needs);
                if needs.max(*at) > self.max_token {
                    return Err(WireError::TooLong(needs.max(*at)));
                }
                if !whole {
                    return Ok(Step::More);
                }
            }
            self.row.column += 1;
        }
        let mut bytes = self.tokens.split_to(self.row.at).freeze();
        self.row = RowScan::default();
        bytes.advance(1);
        Ok(Step::Reply(Reply::Row(Row { bytes, has_bitmap })))
    }

    fn columns(&mut self) -> Result<Step, WireError> {
        let mut bytes = Bytes(&self.tokens[1..]);
        let count = match bytes.u16() {
            None => return Ok(Step::More),
            // No description: the rows are as those before.
            Some(u16::MAX) => 0,
            Some(count) => count,
        };
        let mut columns = Vec::with_capacity(count.into());
        for _ in 0..count {
            match Column::parse(&mut bytes)? {
                Some(column) => columns.push(column),
                None => return Ok(Step::More),
            }
        }
        let length = self.tokens.len() - bytes.0.len();
        self.tokens.advance(length);
        if columns.is_empty() {
            return Ok(Step::Passed);
        }
        let columns: Arc<[Column]> = columns.into();
        self.columns = Some(columns.clone());
        Ok(Step::Reply(Reply::Columns(columns)))
    }

    /// A token whose length is fixed or stands in front of it.
    fn sized(&mut self, token: u8) -> Result<Step, WireError> {
        let mut bytes = Bytes(&self.tokens[1..]);
        let body = match token {
            0xfd..=0xff => bytes.take(12),
            0x79 => bytes.take(4),
            0xa4 | 0xa5 | 0xa9 | 0xaa | 0xab | 0xad | 0xe3 => bytes
                .u16()
                .and_then(|length| bytes.take(usize::from(length))),
            0xe4 => bytes.u32().and_then(|length| bytes.take(length as usize)),
            0xae => features(&mut bytes),
            _ => return Err(WireError::Protocol("a token that is not known")),
        };
        let Some(body) = body else {
            return Ok(Step::More);
        };
        let torn = WireError::Protocol("a token that ends too soon");
        let length = self.tokens.len() - bytes.0.len();
        let message = |body| Some(Box::new(ServerMessage::parse(body)?));
        let step = match token {
            0xfd..=0xff => {
                let mut body = Bytes(body);
                let status = body.u16().ok_or(torn)?;
                let command = body.u16().unwrap_or_default();
                let rows = body.u64().unwrap_or_default();
                if status & 0x20 != 0 {
                    self.attention = Attention::Acknowledged;
                }
                Step::Reply(Reply::Done(Done {
                    rows: (status & 0x10 != 0).then_some(rows),
                    is_query: command == 0xc1,
                    failed: status & 0x102 != 0,
                }))
            }
            0xaa => Step::Reply(Reply::Refused(message(body).ok_or(torn)?)),
            0xab => Step::Reply(Reply::Notice(message(body).ok_or(torn)?)),
            0xad => Step::Reply(Reply::LoggedIn),
            0xe3 => {
                let body = body.to_vec();
                self.tokens.advance(length);
                return self.changed(&body).ok_or(torn);
            }
            _ => Step::Passed,
        };
        self.tokens.advance(length);
        Ok(step)
    }

    /// A change of the session.
    fn changed(&mut self, body: &[u8]) -> Option<Step> {
        let mut bytes = Bytes(body);
        match bytes.u8()? {
            4 => {
                let size: usize = bytes.short_text()?.parse().ok()?;
                self.packet_size = size.clamp(512, 32_767);
            }
            8 => {
                self.descriptor = match bytes.u8()? {
                    8 => bytes.array()?,
                    _ => return None,
                };
                self.transaction = Transaction::Open;
            }
            9 => self.ended(Transaction::Committed),
            // Rolled back, left, or ended by someone else.
            10 | 12 | 17 => self.ended(Transaction::RolledBack),
            18 => self.reset = Reset::NotNeeded,
            20 => {
                bytes.u16()?;
                let (0, port) = (bytes.u8()?, bytes.u16()?) else {
                    return None;
                };
                let host = bytes.long_text()?;
                return Some(Step::Reply(Reply::Referred { host, port }));
            }
            _ => {}
        }
        Some(Step::Passed)
    }

    fn ended(&mut self, how: Transaction) {
        self.transaction = how;
        self.descriptor = [0; 8];
    }
}

/// What taking a token apart came to.
enum Step {
    Reply(Reply),
    /// Nothing to be told.
    Passed,
    /// There is more of it to come.
    More,
}

impl Row {
    /// The values, column by column; `None` inside is NULL.
    pub(super) fn values<'a>(
        &'a self,
        columns: &'a [Column],
    ) -> impl Iterator<Item = Result<Option<std::borrow::Cow<'a, [u8]>>, WireError>> {
        let bitmap = if self.has_bitmap {
            columns.len().div_ceil(8)
        } else {
            0
        };
        let (nulls, rest) = self.bytes.split_at(bitmap.min(self.bytes.len()));
        let mut bytes = Bytes(rest);
        columns.iter().enumerate().map(move |(index, column)| {
            if self.has_bitmap && is_null(nulls, index) {
                return Ok(None);
            }
            column
                .value(&mut bytes)
                .ok_or(WireError::Protocol("a torn row"))
        })
    }
}

fn is_null(bitmap: &[u8], column: usize) -> bool {
    bitmap
        .get(column / 8)
        .is_some_and(|byte| byte & (1 << (column % 8)) != 0)
}

/// What the server says to the features the login asked for, to its end.
fn features<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let all = bytes.0;
    while bytes.u8()? != 0xff {
        let length = bytes.u32()?;
        bytes.take(length as usize)?;
    }
    all.get(..all.len() - bytes.0.len())
}

/// A message in packets of at most `size` bytes.
fn packed(kind: Message, first: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let room = size - HEADER;
    let count = payload.len().div_ceil(room).max(1);
    let mut out = Vec::with_capacity(payload.len() + count * HEADER);
    for index in 0..count {
        let part = &payload[index * room..payload.len().min((index + 1) * room)];
        let mut status = if index == 0 { first } else { 0 };
        if index + 1 == count {
            status |= END_OF_MESSAGE;
        }
        let length = u16::try_from(part.len() + HEADER).unwrap_or(u16::MAX);
        let [high, low] = length.to_be_bytes();
        let [.., number] = (index + 1).to_be_bytes();
        out.extend([kind as u8, status, high, low, 0, 0, number, 0]);
        out.extend_from_slice(part);
    }
    out
}

/// The first exchange, in the clear unless TLS stands already: what the server can do. Anything that comes after its
/// answer is refused: it would be taken for part of the encrypted conversation.
async fn negotiate(stream: &mut Stream, address: &Address) -> Result<login::Offer, ConnectError> {
    let asked = login::prelogin(address);
    let packets = packed(Message::Prelogin, 0, &asked, login::PACKET_SIZE);
    stream.write_all(&packets).await.map_err(WireError::Lost)?;
    let mut answered = BytesMut::new();
    loop {
        if let [kind, _status, high, low, ..] = answered[..] {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if kind != ANSWER || !(HEADER..=login::PACKET_SIZE).contains(&length) {
                return Err(WireError::Protocol("its first packet is no answer").into());
            }
            if answered.len() == length {
                break;
            }
            if answered.len() > length {
                return Err(WireError::Protocol("it says more than it was asked").into());
            }
        }
        let read = stream.fill(&mut answered).await.map_err(WireError::Lost)?;
        if read == 0 {
            return Err(WireError::Lost(io::ErrorKind::UnexpectedEof.into()).into());
        }
    }
    login::Offer::parse(&answered[HEADER..])
        .ok_or_else(|| WireError::Protocol("its first packet is torn").into())
}

async fn tls(
    envelope: Envelope,
    config: &Arc<rustls::ClientConfig>,
    address: &Address,
) -> Result<Stream, ConnectError> {
    let name = trust::server_name(&address.host).map_err(ConnectError::BadReferral)?;
    let mut stream = TlsConnector::from(config.clone())
        .connect(name, envelope)
        .await
        .map_err(ConnectError::Tls)?;
    stream.get_mut().0.open().map_err(ConnectError::Tls)?;
    Ok(Stream::Tls(Box::new(stream)))
}
