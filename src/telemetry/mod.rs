//! What this process says of itself: log lines on standard output (not standard error: the Functions host takes every line
//! of that for an error), and, where a collector is named, spans and metrics to it.
//!
//! | file | owns |
//! |---|---|
//! | here | what is started and stopped, and the log |
//! | `export` | the way to a collector: OTLP over the one HTTP and TLS stack |
//! | `measures` | which instruments there are, and what they may be told apart by |
//! | `traces` | whose trace a span goes on with |
//!
//! INVARIANT: none of it holds content. The rest of the program says what happens with `tracing` alone, and names here what
//! leaves: spans have ids, names of the policy and numbers in their fields, no log line leaves this way, and a measurement
//! has no label that its instrument does not list. Nothing waits for a collector, and what does not arrive there is counted.

mod export;
mod measures;
mod traces;

use tracing::{Metadata, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::dynamic_filter_fn,
    fmt,
    layer::{Context, Filter},
    prelude::*,
};

pub use export::{BadSetting, Telemetry};
pub use traces::traceparent;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Plain,
}

/// Logs nothing but errors: for commands whose output is their own.
pub fn quiet() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    let layer = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    drop(
        tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .try_init(),
    );
}

/// Starts logging for this process, and sending spans and metrics where the environment (`get`) names a collector. Called
/// within the runtime that will do the sending.
///
/// `RUST_LOG` says what is logged; by default this program's own `info` and others' warnings. It has no say in what is sent.
pub fn start(
    format: LogFormat,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Telemetry, BadSetting> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,portcullis=info"));
    let log = match format {
        // The spans it happened in, outermost first, hold session and request.
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
        LogFormat::Plain => fmt::layer().with_target(false).with_ansi(false).boxed(),
    };
    let telemetry = Telemetry::to_collector(get)?;
    let spans = telemetry.tracer().map(|tracer| {
        traces::Continued::new(
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_error_fields_to_exceptions(false)
                .with_error_records_to_exceptions(false),
        )
        .with_filter(each_time(|is| is.is_span() && is_ours(is)))
    });
    let measures = telemetry.meter().map(|meter| {
        measures::Measures::new(&meter).with_filter(each_time(|is| {
            is.target() == measures::MEASURED || is.is_span() && is_ours(is)
        }))
    });
    let registry = tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(spans)
        .with(measures);
    // Only ever fails when logging was started before, which then goes on.
    drop(registry.try_init());
    Ok(telemetry)
}

/// A filter that is asked each time, and not once for each place in the program.
///
/// What the filters of several layers say of a span or event is kept for its thread until that is made. `tracing::enabled!`
/// asks them too and makes nothing, so that a place which is not asked about any more, because all layers always take it,
/// would be taken for what was asked about last, and lost.
fn each_time<S>(takes: fn(&Metadata<'_>) -> bool) -> impl Filter<S> {
    dynamic_filter_fn(move |metadata, _: &Context<'_, S>| takes(metadata)).with_callsite_filter(
        move |metadata| {
            if takes(metadata) {
                Interest::sometimes()
            } else {
                Interest::never()
            }
        },
    )
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "portcullis" || target.starts_with("portcullis::")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tracing::{Subscriber, span};

    use super::*;

    struct Counting(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Counting {
        fn on_new_span(&self, _: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_span_is_lost_to_a_question_that_was_asked_before() {
        let seen = Arc::new(AtomicUsize::new(0));
        let spans = Counting(Arc::clone(&seen)).with_filter(each_time(|is| is.is_span()));
        let all = Counting(Arc::default()).with_filter(each_time(|_| true));
        let registry = tracing_subscriber::registry().with(spans).with(all);
        tracing::subscriber::with_default(registry, || {
            for _ in 0..3 {
                assert!(tracing::enabled!(tracing::Level::ERROR));
                drop(tracing::error_span!("one"));
            }
        });
        assert_eq!(seen.load(Ordering::Relaxed), 3);
    }
}
