//! HTTP APIs: one call to the one host of a connection, with the connection's credential and never the caller's.
//!
//! INVARIANT: what is sent goes below the connection's url, on whichever path: a redirect is never followed, no proxy of the
//! environment is used, and a name that leads to a machine's own neighbourhood (loopback, link-local, the clouds'
//! metadata services) leads nowhere. What is sent is, byte for byte, the form that was judged. Nothing is sent twice.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::ControlFlow,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use reqwest::{
    Client, Method, Request, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect, retry,
};
use rustls::version::{TLS12, TLS13};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::trust;
use crate::{
    domain::{
        connection::{Access, Budget, Token},
        masking::Encoding,
        operation::HttpOperation,
        policy::Upstream,
    },
    gateway::ports::{AnswerHead, ApiUrl, BoxError, Completion, ResultSink, RunError},
    identity::Tokens,
};

/// How long it may take to reach the API.
const CONNECT: Duration = Duration::from_secs(10);
/// The least part of an answer that is taken together with what comes besides it.
const LARGE: usize = 4 << 10;
/// The most of one that is taken together and handed over at once; and where few others are.
const TOGETHER: usize = 16 << 10;
const TOGETHER_OF_FEW: usize = 64 << 10;
/// How many answers may take more at a time: more than these are not masked at once anyway. An answer keeps its place to its
/// end, as what it took may wait for a slow caller: however many do, memory does not grow.
static FEW: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(2 * std::thread::available_parallelism().map_or(1, usize::from))
});
/// What an answer may be compressed with: what can be read here.
const READABLE: &str = "gzip, deflate";

/// Header fields of an answer that are about the connection, or about the body as it was before it was decoded and masked.
const NOT_HANDED_ON: &[&str] = &[
    "connection",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-md5",
    "digest",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "repr-digest",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-ms-content-crc64",
];
/// Those that say where to go on.
const PLACES: &[&str] = &[
    "azure-asyncoperation",
    "content-location",
    "location",
    "operation-location",
];

/// One API with one of its credentials.
pub(super) struct Http {
    client: Client,
    base: Url,
    headers: HeaderMap,
    token: Option<Tokens>,
}

impl Http {
    pub(super) fn open(upstream: &Upstream) -> Result<Self, String> {
        let base = Url::parse(&upstream.api.url).map_err(|error| format!("its url: {error}"))?;
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .connect_timeout(CONNECT)
            .dns_resolver(Arc::new(Neighbourless));
        if base.scheme() == "https" {
            let root = upstream.sslrootcert.as_deref();
            let config = trust::client_config(root, &[&TLS13, &TLS12])?;
            builder = builder.tls_backend_preconfigured(config).https_only(true);
        }
        let client = builder
            .build()
            .map_err(|error| format!("HTTP cannot be set up: {error}"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &upstream.headers {
            let wrong = || {
                format!("its header field `{name}` has characters that none has; check its secret")
            };
            let field = HeaderName::try_from(name).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(field, value);
        }
        let token = upstream.token.as_ref();
        let token = token.map(|(Token::Entra, scope)| Tokens::of(scope.clone()));
        Ok(Self {
            client,
            base,
            headers,
            token,
        })
    }

    pub(super) async fn run(
        &self,
        operation: &HttpOperation,
        access: Access,
        budget: &Budget,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let time_up = Instant::now() + budget.timeout;
        let request = self
            .request(operation)
            .await
            .map_err(RunError::Unreachable)?;
        let sent = tokio::select! {
            () = cancel.cancelled() => Err(stopped(access, Stop::Left)),
            sent = timeout_at(time_up, self.client.execute(request)) => match sent {
                Err(_elapsed) => Err(stopped(access, Stop::TimeUp)),
                Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                    Err(RunError::Unreachable(told(error)))
                }
                Ok(Err(error)) => Err(RunError::Unknown(told(error))),
                Ok(Ok(response)) => Ok(response),
            },
        };
        let mut response = sent?;
        let mut wanted = sink.head(self.head(&response)).await.is_continue();
        let mut ahead = None;
        let mut one_of_few = None;
        loop {
            // A change runs to its end, whether or not anyone sees more of what is said about it.
            if !wanted && access == Access::Read {
                return Ok(Completion::default());
            }
            let next = match ahead.take() {
                Some(next) => Ok(next),
                None => tokio::select! {
                    () = cancel.cancelled() => return Err(stopped(access, Stop::Left)),
                    next = timeout_at(time_up, response.chunk()) => next,
                },
            };
            let cut = match next {
                Ok(Ok(Some(first))) if wanted => {
                    if first.len() >= LARGE && one_of_few.is_none() {
                        one_of_few = FEW.try_acquire().ok();
                    }
                    let most = match one_of_few {
                        Some(_) => TOGETHER_OF_FEW,
                        None => TOGETHER,
                    };
                    let bytes;
                    (bytes, ahead) = together(first, most, &mut response).await;
                    match timeout_at(time_up, handed_over(&bytes, most, sink)).await {
                        Ok(flow) => {
                            wanted = flow.is_continue();
                            continue;
                        }
                        Err(_elapsed) => "the time is up".into(),
                    }
                }
                Ok(Ok(Some(_))) => continue,
                Ok(Ok(None)) => return Ok(Completion::default()),
                Ok(Err(error)) => told(error),
                Err(_elapsed) if access == Access::Read => {
                    return Err(stopped(access, Stop::TimeUp));
                }
                Err(_elapsed) => "the time is up".into(),
            };
            return Ok(Completion {
                cut: Some(cut),
                ..Completion::default()
            });
        }
    }

    async fn request(&self, operation: &HttpOperation) -> Result<Request, String> {
        let at = self.base.as_str().trim_end_matches('/');
        let url = operation.url(at);
        let parsed = Url::parse(&url).map_err(|error| error.to_string())?;
        if parsed.as_str() != url || parsed.origin() != self.base.origin() {
            return Err(
                "its path would be sent in another form than the one that was judged".into(),
            );
        }
        let method = Method::from_bytes(operation.method.as_bytes())
            .map_err(|_| "its method is no word".to_owned())?;
        let has_body = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
        let mut request = Request::new(method, parsed);
        let fields = request.headers_mut();
        for (name, value) in &operation.headers {
            let wrong = |_| format!("its header field `{name}` has characters that none has");
            let field = HeaderName::try_from(name).map_err(|_| wrong(()))?;
            let value = HeaderValue::try_from(value).map_err(|_| wrong(()))?;
            if !self.headers.contains_key(&field) {
                fields.append(field, value);
            }
        }
        fields.extend(self.headers.clone());
        if let Some(token) = &self.token {
            let token = token.current().await.map_err(|error| error.to_string())?;
            let bearer = format!("Bearer {}", token.token.secret());
            let mut bearer = HeaderValue::try_from(bearer)
                .map_err(|_| "its token has characters that none has".to_owned())?;
            bearer.set_sensitive(true);
            fields.insert(header::AUTHORIZATION, bearer);
        }
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(READABLE));
        if has_body || !operation.body.is_empty() {
            *request.body_mut() = Some(operation.body.clone().into());
        }
        Ok(request)
    }

    fn head(&self, response: &Response) -> AnswerHead {
        let status = response.status();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut refused = None;
        let mut headers = Vec::new();
        for (name, value) in response.headers() {
            let name = name.as_str();
            if NOT_HANDED_ON.contains(&name) {
                continue;
            }
            let value = text(value);
            if !PLACES.contains(&name) {
                headers.push((name.to_owned(), value));
                continue;
            }
            match self.api().below(response.url(), &value) {
                Some(path) => headers.push((name.to_owned(), path)),
                None if status.is_redirection() => {
                    refused = Some(
                        "it leads to another host or path than the connection's, which is not followed",
                    );
                }
                // Where to go on is all it says, and nobody could go there from here.
                None => {}
            }
        }
        let encodings = response.headers().get_all(header::CONTENT_ENCODING);
        let encodings: Vec<_> = encodings.iter().map(text).collect();
        let encoding = Encoding::from_header(&encodings.join(", "));
        AnswerHead {
            status: status.as_u16(),
            headers,
            refused: match (&encoding, refused) {
                (Err(error), _) => Some(format!(
                    "it cannot be read, so it cannot be masked: {error}"
                )),
                _ if status.as_u16() < 200 => Some("it turns into another protocol".into()),
                (Ok(_), refused) => refused.map(str::to_owned),
            },
            encoding: encoding.unwrap_or(Encoding::Identity),
            api: self.api(),
        }
    }

    fn api(&self) -> ApiUrl {
        ApiUrl::new(self.base.clone())
    }
}

/// What comes next of a body; `None`: nothing, it is whole.
type Next = reqwest::Result<Option<Bytes>>;

/// A large part of a body with what came besides it, and what comes then if that is known already. An API that sends faster
/// than its answer can be masked sends it in many parts, and each part that passes alone wakes everyone on its way. What
/// comes in small parts passes as it comes.
async fn together(first: Bytes, most: usize, response: &mut Response) -> (Bytes, Option<Next>) {
    if !(LARGE..most).contains(&first.len()) {
        return (first, None);
    }
    // A copy: a part keeps all of what was read with it, and a slow caller would keep the part.
    let mut all = BytesMut::with_capacity(most);
    all.extend_from_slice(&first);
    drop(first);
    while all.len() < most {
        // Whoever reads the connection has its turn.
        tokio::task::yield_now().await;
        match response.chunk().now_or_never() {
            Some(Ok(Some(more))) => all.extend_from_slice(&more),
            after => return (all.freeze(), after),
        }
    }
    (all.freeze(), None)
}

/// Hands a part over, no more than `most` at a time.
async fn handed_over(part: &[u8], most: usize, sink: &mut dyn ResultSink) -> ControlFlow<()> {
    for piece in part.chunks(most) {
        sink.body(piece).await?;
    }
    ControlFlow::Continue(())
}

/// Why a call is no longer waited for.
#[derive(Clone, Copy)]
enum Stop {
    Left,
    TimeUp,
}

fn stopped(access: Access, stop: Stop) -> RunError {
    match (access, stop) {
        (Access::Read, Stop::Left) => RunError::Cancelled { timeout: false },
        (Access::Read, Stop::TimeUp) => RunError::Cancelled { timeout: true },
        (Access::Write, _) => RunError::Unknown("the API did not answer in time".into()),
    }
}

/// An error without the address it is about, with what is behind it.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Resolves names to addresses elsewhere than in this machine's own neighbourhood.
struct Neighbourless;

impl Resolve for Neighbourless {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| {
                    is_elsewhere(address.ip()) || host == "localhost" && address.ip().is_loopback()
                })
                .collect();
            if allowed.is_empty() {
                let why = "its name leads to this machine, a link-local address or a metadata service, which is not followed";
                return Err(BoxError::from(why));
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is none of those that mean something only from where this process runs, and whose services trust
/// whoever can reach them.
fn is_elsewhere(address: IpAddr) -> bool {
    /// Azure's, Alibaba's; Amazon's and most others' are link-local.
    const PLATFORMS: [Ipv4Addr; 2] = [
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(100, 100, 100, 200),
    ];
    const AMAZONS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.octets()[0] == 0
                || v4.is_multicast()
                || v4.is_broadcast()
                || PLATFORMS.contains(&v4))
        }
        IpAddr::V6(v6) => match v6.segments() {
            // An address of the other kind, as NAT64 writes it.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                is_elsewhere(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into())
            }
            [0, 0, 0, 0, 0, 0, ..] => false,
            _ => !(v6.is_unicast_link_local() || v6.is_multicast() || v6 == AMAZONS),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_address_that_means_something_only_from_here() {
        for near in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "::a9fe:a9fe",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!is_elsewhere(near.parse().unwrap()), "{near}");
        }
        for far in [
            "10.0.0.1",
            "192.168.1.1",
            "20.1.2.3",
            "fd12::1",
            "2603::1",
            "64:ff9b::1401:203",
        ] {
            assert!(is_elsewhere(far.parse().unwrap()), "{far}");
        }
    }
}
