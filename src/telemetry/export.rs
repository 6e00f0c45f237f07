//! The way to a collector: OTLP (protobuf over HTTP), set by the variables of the OpenTelemetry specification, which its own
//! crates read. Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! Spans wait in a bounded queue and are sent by a thread of their own; metrics are read at intervals by another. What finds
//! the queue full is dropped, and what cannot be sent is counted. A process that is killed, as the Functions host ends its
//! own, takes with it what it had not sent: some seconds of spans, a minute of metrics.
//!
//! Application Insights that takes Entra tokens alone takes OTLP from a collector that logs in with one (the OpenTelemetry
//! Collector with its `azureauth` extension, or Azure Monitor's agent); the one crate that speaks its own protocol needs
//! `chrono` and would change what compressed bodies are read with.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider},
    trace::TracerProvider,
};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{SdkTracer, SdkTracerProvider, SpanData},
};
use tokio::runtime::Handle;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Who says all this, to the collector.
const NAME: &str = "portcullis";
/// How long a collector may take over what it is sent, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long, at the end, for what has not been sent yet.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The longest answer of a collector that is read.
const LONGEST_ANSWER: usize = 64 << 10;

/// A setting of the environment that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct BadSetting {
    setting: &'static str,
    problem: String,
}

/// What sends spans and metrics, if anything does.
#[must_use = "what was not sent yet is lost unless it is stopped"]
#[derive(Debug)]
pub struct Telemetry {
    sending: Option<Sending>,
}

#[derive(Debug)]
struct Sending {
    spans: SdkTracerProvider,
    metrics: SdkMeterProvider,
    lost: Lost,
}

/// How many spans could not be sent.
type Lost = Arc<AtomicU64>;

impl Telemetry {
    /// To the collector that the environment names; to none, if it names none.
    pub(super) fn to_collector(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let off = get(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if off || get(ENDPOINT).is_none() {
            return Ok(Self { sending: None });
        }
        let bad = |setting| move |problem: String| BadSetting { setting, problem };
        if let Some(protocol) = get(PROTOCOL).filter(|protocol| protocol != "http/protobuf") {
            let problem =
                format!("`{protocol}` is not spoken here; unset it, or set it to http/protobuf");
            return Err(bad(PROTOCOL)(problem));
        }
        let patience =
            match get(TIMEOUT) {
                None => PATIENCE,
                Some(text) => Duration::from_millis(text.parse().map_err(|_| {
                    bad(TIMEOUT)(format!("`{text}` is not a number of milliseconds"))
                })?),
            };
        let client = Client::new(patience).map_err(bad(ENDPOINT))?;
        let unusable = |error: opentelemetry_otlp::ExporterBuildError| {
            bad(ENDPOINT)(format!("{error}; it looks like http://127.0.0.1:4318"))
        };
        let lost = Lost::default();
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone());
        let spans = Counted {
            inner: spans.build().map_err(unusable)?,
            lost: Arc::clone(&lost),
        };
        let metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(client);
        let metrics = metrics.build().map_err(unusable)?;
        let mut resource = Resource::builder();
        if get(SERVICE).is_none() {
            resource = resource.with_service_name(NAME);
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = resource.with_attribute(version).build();
        Ok(Self {
            sending: Some(Sending {
                spans: SdkTracerProvider::builder()
                    .with_batch_exporter(spans)
                    .with_resource(resource.clone())
                    .build(),
                metrics: SdkMeterProvider::builder()
                    .with_reader(PeriodicReader::builder(metrics).build())
                    .with_resource(resource)
                    .build(),
                lost,
            }),
        })
    }

    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.sending
            .as_ref()
            .map(|sending| sending.spans.tracer(NAME))
    }

    pub(super) fn meter(&self) -> Option<Meter> {
        self.sending
            .as_ref()
            .map(|sending| sending.metrics.meter(NAME))
    }

    /// Sends what has not been sent yet, for a few seconds at most.
    pub async fn stop(self) {
        let Some(Sending {
            spans,
            metrics,
            lost,
        }) = self.sending
        else {
            return;
        };
        // Both wait for threads of their own, and those for this runtime.
        let stopped = tokio::task::spawn_blocking(move || {
            let spans = spans.shutdown_with_timeout(LAST_WORDS);
            spans.and(metrics.shutdown_with_timeout(LAST_WORDS))
        });
        let stopped = tokio::time::timeout(LAST_WORDS * 2, stopped).await;
        let lost = lost.load(Ordering::Relaxed);
        if lost > 0 || !matches!(stopped, Ok(Ok(Ok(())))) {
            tracing::warn!(lost, "not all telemetry arrived");
        }
    }
}

/// Counts the spans that could not be sent.
#[derive(Debug)]
struct Counted {
    inner: SpanExporter,
    lost: Lost,
}

impl opentelemetry_sdk::trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let sent = self.inner.export(batch).await;
        if sent.is_err() {
            self.lost.fetch_add(spans, Ordering::Relaxed);
            tracing::event!(
                name: "portcullis.telemetry.lost",
                target: super::measures::MEASURED,
                tracing::Level::TRACE,
                value = spans,
            );
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Posts what is to be sent, on the runtime: the threads that ask for it have none.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    fn new(patience: Duration) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            // What is sent may bear a key of the collector's, which is for nobody else.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(patience)
            .build()
            .map_err(|error| error.to_string())?;
        let runtime = Handle::try_current().map_err(|error| error.to_string())?;
        Ok(Self { http, runtime })
    }
}

impl HttpClient for Client {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let mut answer = http.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.extend(std::mem::take(answer.headers_mut()));
            }
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await? {
                if body.len() + part.len() > LONGEST_ANSWER {
                    return Err("the collector's answer is too long".into());
                }
                body.extend_from_slice(&part);
            }
            Ok(response.body(body.into())?)
        });
        Box::pin(async move { sent.await? })
    }
}
