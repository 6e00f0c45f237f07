//! The instruments: what is measured, in which unit, and by what it can be told apart.
//!
//! A measurement is a `tracing` event of the target [`MEASURED`] whose name is an instrument's, with a `value` and labels; a
//! stage's duration is measured by the span of its name. Whoever measures knows nothing of this file, and this file takes
//! nothing but what it lists, so that no label ever holds more than a word of ours or a name of the policy.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// The target of measurements.
pub(super) const MEASURED: &str = "portcullis::measured";

/// The stages of a request: each is a span of this name, but for `mask`, which is spread over the rows of a result.
const STAGES: [&str; 4] = ["judge", "append", "execute", "publish"];
/// The durations of stages.
const STAGE: &str = "portcullis.stage.duration";

/// From a tenth of a millisecond, which an append to a local file takes, to the longest budget.
const SECONDS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0,
];

/// How an instrument adds up.
#[derive(Clone, Copy)]
enum Kind {
    /// Ever more of it.
    Count,
    /// As many as there are now.
    Level,
    /// How long, told in microseconds, sent in seconds.
    Duration,
}

/// An instrument: its name, how it adds up, its unit, what it is, its labels.
type Row = (
    &'static str,
    Kind,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// All of them.
const INSTRUMENTS: [Row; 10] = [
    (
        "portcullis.decisions",
        Kind::Count,
        "{request}",
        "Requests decided",
        &["action", "effect", "connection"],
    ),
    (
        "portcullis.executions",
        Kind::Count,
        "{execution}",
        "Executions ended, by how",
        &["ended"],
    ),
    (
        STAGE,
        Kind::Duration,
        "s",
        "How long a stage of a request took",
        &["stage"],
    ),
    (
        "portcullis.masked",
        Kind::Count,
        "{value}",
        "Values masked in results, by what",
        &["kind"],
    ),
    (
        "portcullis.approvals",
        Kind::Count,
        "{approval}",
        "Questions to approvers, by what became of them",
        &["became"],
    ),
    (
        "portcullis.approvals.pending",
        Kind::Level,
        "{approval}",
        "Questions that nobody has answered",
        &[],
    ),
    (
        "portcullis.answers",
        Kind::Count,
        "{message}",
        "Answers of approvers that came by message, by what became of them",
        &["became"],
    ),
    (
        "portcullis.redeliveries",
        Kind::Count,
        "{message}",
        "Answers that were delivered again",
        &[],
    ),
    (
        "portcullis.append.conflicts",
        Kind::Count,
        "{append}",
        "Appends that another was before",
        &[],
    ),
    (
        "portcullis.telemetry.lost",
        Kind::Count,
        "{span}",
        "Spans that could not be sent",
        &[],
    ),
];

enum Instrument {
    Count(Counter<u64>),
    Level(Gauge<u64>),
    Duration(Histogram<f64>),
}

/// Turns what is said by `tracing` into measurements.
pub(super) struct Measures {
    instruments: HashMap<&'static str, (Instrument, &'static [&'static str])>,
}

/// When a stage began.
struct Began(Instant);

impl Measures {
    pub(super) fn new(meter: &Meter) -> Self {
        let instruments = INSTRUMENTS.map(|(name, kind, unit, what, labels)| {
            let instrument = match kind {
                Kind::Count => Instrument::Count(
                    meter
                        .u64_counter(name)
                        .with_unit(unit)
                        .with_description(what)
                        .build(),
                ),
                Kind::Level => Instrument::Level(
                    meter
                        .u64_gauge(name)
                        .with_unit(unit)
                        .with_description(what)
                        .build(),
                ),
                Kind::Duration => {
                    let histogram = meter
                        .f64_histogram(name)
                        .with_unit(unit)
                        .with_description(what);
                    Instrument::Duration(histogram.with_boundaries(SECONDS.to_vec()).build())
                }
            };
            (name, (instrument, labels))
        });
        Self {
            instruments: instruments.into(),
        }
    }

    fn record(&self, name: &str, value: u64, mut labels: Vec<KeyValue>) {
        let Some((instrument, known)) = self.instruments.get(name) else {
            return;
        };
        labels.retain(|label| known.contains(&label.key.as_str()));
        match instrument {
            Instrument::Count(counter) => counter.add(value, &labels),
            Instrument::Level(gauge) => gauge.record(value, &labels),
            Instrument::Duration(histogram) => {
                histogram.record(Duration::from_micros(value).as_secs_f64(), &labels);
            }
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Measures {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if STAGES.contains(&attributes.metadata().name())
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(Began(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let took = span
            .extensions()
            .get::<Began>()
            .map(|began| began.0.elapsed());
        if let Some(took) = took {
            let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.record(STAGE, took, vec![KeyValue::new("stage", span.name())]);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != MEASURED {
            return;
        }
        let mut said = Said {
            value: None,
            labels: Vec::new(),
        };
        event.record(&mut said);
        self.record(
            event.metadata().name(),
            said.value.unwrap_or(1),
            said.labels,
        );
    }
}

/// What an event says.
struct Said {
    value: Option<u64>,
    labels: Vec<KeyValue>,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "value" {
            self.value = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.labels
            .push(KeyValue::new(field.name(), value.to_owned()));
    }

    /// Labels are words: whatever needs to be rendered is none.
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
