//! The bytes under the packets: plain, or TLS, whose handshake TDS 7.4 carries inside its own packets.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Type of the packets that hold a handshake.
const PRELOGIN: u8 = 0x12;
/// Length of a packet's header.
const HEADER: usize = 8;
/// Payload of one packet before anything larger was agreed.
const PAYLOAD: usize = 4096 - HEADER;

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Envelope>>),
}

impl Stream {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    pub(super) async fn fill(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        into.reserve(8 << 10);
        match self {
            Self::Plain(stream) => stream.read_buf(into).await,
            Self::Tls(stream) => stream.read_buf(into).await,
        }
    }
}

/// A socket that puts what is written into packets, and takes what is read out of them, until told to stop.
pub(super) struct Envelope {
    socket: TcpStream,
    wraps: bool,
    /// Written and not yet in a packet.
    unsent: BytesMut,
    /// In packets and not yet sent.
    packets: BytesMut,
    /// The header being read.
    header: [u8; HEADER],
    header_read: usize,
    /// Payload still to come of the packet being read.
    payload: usize,
}

impl Envelope {
    pub(super) fn new(socket: TcpStream, wraps: bool) -> Self {
        Self {
            socket,
            wraps,
            unsent: BytesMut::new(),
            packets: BytesMut::new(),
            header: [0; HEADER],
            header_read: 0,
            payload: 0,
        }
    }

    /// The handshake is over: from here on the socket is TLS's alone.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.payload > 0 || self.header_read > 0 || !self.unsent.is_empty() {
            return Err(unexpected("the handshake ended in the middle of a packet"));
        }
        self.wraps = false;
        Ok(())
    }
}

fn unexpected(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl AsyncRead for Envelope {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.wraps {
            return Pin::new(&mut this.socket).poll_read(cx, into);
        }
        while this.payload == 0 {
            let mut rest = ReadBuf::new(&mut this.header[this.header_read..]);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut rest))?;
            let read = rest.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.header_read += read;
            if this.header_read == HEADER {
                this.header_read = 0;
                let length = usize::from(u16::from_be_bytes([this.header[2], this.header[3]]));
                if this.header[0] != PRELOGIN || length < HEADER {
                    return Poll::Ready(Err(unexpected("a packet that is no part of a handshake")));
                }
                this.payload = length - HEADER;
            }
        }
        // Never more than this packet holds: what follows has a header of its own, or none any more.
        let most = this.payload.min(into.remaining());
        let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
        ready!(Pin::new(&mut this.socket).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        this.payload -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Envelope {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.wraps {
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
        }
        self.unsent.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.unsent.is_empty() {
            let payload = this.unsent.split_to(this.unsent.len().min(PAYLOAD));
            let last = u8::from(this.unsent.is_empty());
            let length = u16::try_from(payload.len() + HEADER).unwrap_or(u16::MAX);
            let [high, low] = length.to_be_bytes();
            this.packets
                .extend_from_slice(&[PRELOGIN, last, high, low, 0, 0, 0, 0]);
            this.packets.extend_from_slice(&payload);
        }
        while !this.packets.is_empty() {
            let sent = ready!(Pin::new(&mut this.socket).poll_write(cx, &this.packets))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.packets.advance(sent);
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
