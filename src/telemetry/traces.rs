//! Whose trace a span goes on with: W3C trace context.
//!
//! A span that has a field `traceparent` goes on with that trace, wherever it was begun: in the caller, or in the process
//! that took the question whose answer came now. Every other span is part of the one around it.

use std::collections::HashMap;

use opentelemetry::{
    Context as OtelContext, propagation::TextMapPropagator, trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context};

const TRACEPARENT: &str = "traceparent";

/// The trace this runs in, as a `traceparent` that others can go on with; `None`: it runs in none, or nobody collects it.
pub fn traceparent() -> Option<String> {
    let current = OtelContext::current();
    if !current.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&current, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Gives spans to the layer inside, each as part of the trace it goes on with.
pub(super) struct Continued<L> {
    inner: L,
}

impl<L> Continued<L> {
    pub(super) fn new(inner: L) -> Self {
        Self { inner }
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Continued<L> {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut carrier = HashMap::new();
        attributes.record(&mut Parent(&mut carrier));
        let _continued = (!carrier.is_empty()).then(|| {
            let remote =
                TraceContextPropagator::new().extract_with_context(&OtelContext::new(), &carrier);
            remote.attach()
        });
        self.inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.inner.on_record(span, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.inner.on_close(id, context);
    }
}

struct Parent<'a>(&'a mut HashMap<String, String>);

impl Visit for Parent<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == TRACEPARENT {
            self.0.insert(TRACEPARENT.into(), value.into());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
