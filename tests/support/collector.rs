//! A collector of OpenTelemetry: takes OTLP as it is sent, protobuf over HTTP, and keeps all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
    trace::v1::Span,
};
use prost::Message;

/// What has come.
#[derive(Default)]
pub(crate) struct Received {
    /// As it came: whatever was never to be sent is searched for in this.
    pub(crate) raw: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    /// Each instrument's points, the latest of each, by their labels.
    pub(crate) metrics: BTreeMap<String, BTreeMap<String, f64>>,
    /// What instruments and spans have said of themselves.
    pub(crate) keys: BTreeMap<String, BTreeSet<String>>,
    pub(crate) resource: BTreeSet<String>,
}

/// A collector on a loopback port, for as long as the runtime of the test runs.
pub(crate) struct Collector {
    pub(crate) port: u16,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Received::default()));
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, received }
    }

    /// What a gateway has to be told to send here, soon.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("OTEL_SERVICE_NAME", "the-gate".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned()),
        ]
    }

    /// What has come, once it is enough.
    #[track_caller]
    pub(crate) fn until<T>(&self, enough: impl Fn(&Received) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let received = self.received.lock().unwrap();
            if let Some(found) = enough(&received) {
                return found;
            }
            let spans: Vec<_> = received.spans.iter().map(|span| &span.name).collect();
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it never came; this did: {spans:?} {:#?}",
                received.metrics
            );
            drop(received);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn traces(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> &'static str {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let received = &mut *received.lock().unwrap();
    received.raw.extend_from_slice(&body);
    for spans in request.resource_spans {
        let resource = spans.resource.unwrap();
        received
            .resource
            .extend(resource.attributes.iter().map(label));
        for span in spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let keys = received.keys.entry(span.name.clone()).or_default();
            keys.extend(span.attributes.iter().map(|one| one.key.clone()));
            received.spans.push(span);
        }
    }
    ""
}

async fn metrics(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> &'static str {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
    let received = &mut *received.lock().unwrap();
    received.raw.extend_from_slice(&body);
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|resource| resource.scope_metrics);
    for metric in scopes.flat_map(|scope| scope.metrics) {
        let number = |value: Option<number_data_point::Value>| match value.unwrap() {
            number_data_point::Value::AsInt(number) => number as f64,
            number_data_point::Value::AsDouble(number) => number,
        };
        let points: Vec<(Vec<KeyValue>, f64)> = match metric.data.unwrap() {
            Data::Sum(sum) => {
                let points = sum.data_points.into_iter();
                points
                    .map(|point| (point.attributes, number(point.value)))
                    .collect()
            }
            Data::Gauge(gauge) => {
                let points = gauge.data_points.into_iter();
                points
                    .map(|point| (point.attributes, number(point.value)))
                    .collect()
            }
            Data::Histogram(histogram) => {
                assert_eq!(metric.unit, "s");
                let points = histogram.data_points.into_iter();
                points
                    .map(|point| (point.attributes, point.count as f64))
                    .collect()
            }
            other => panic!("{other:?}"),
        };
        for (mut labels, value) in points {
            labels.sort_by(|one, other| one.key.cmp(&other.key));
            let keys = received.keys.entry(metric.name.clone()).or_default();
            keys.extend(labels.iter().map(|one| one.key.clone()));
            let labels: Vec<String> = labels.iter().map(label).collect();
            let metric = received.metrics.entry(metric.name.clone()).or_default();
            metric.insert(labels.join(" "), value);
        }
    }
    ""
}

/// `key=value`.
pub(crate) fn label(label: &KeyValue) -> String {
    let value = match label.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    format!("{}={value}", label.key)
}
