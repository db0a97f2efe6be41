//! What a node does, told to an OpenTelemetry collector: its figures, and the way of a few readings. OTLP over HTTP
//! as JSON (opentelemetry-proto 1.x; docs/decisions/otlp.md says why by hand). Nothing of it stands in the way of a
//! reading: figures are those of `/metrics`, and the way of a reading is watched from beside the log and behind the
//! store.

mod collector;
mod figures;
mod way;

use std::sync::Arc;
use std::time::Duration;

use log::Log;
use serde_json::{Value, json};

use self::collector::Collector;
pub(crate) use self::way::{Stored, stored};

/// Where to, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The collector's address, without a path of ours and without a slash at its end.
    pub endpoint: String,
    /// Between two messages with figures.
    pub figures_every: Duration,
    /// The way of one record in so many is told; 0: of none.
    pub trace_one_in: u64,
}

/// What telling stands on.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) exporter: Arc<api::Exporter>,
    pub(crate) log: Arc<dyn Log>,
    /// What the store has taken, where this node has one.
    pub(crate) stored: Option<Stored>,
}

/// Tells, until it is dropped.
pub(crate) struct Telling(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Begins to tell.
pub(crate) fn start(parts: Parts) -> Telling {
    let collector = Collector::start(parts.settings.endpoint.clone());
    let mut tasks =
        vec![tokio::spawn(figures::tell(parts.exporter, parts.settings.figures_every, collector.clone()))];
    if let (Some(stored), 1..) = (parts.stored, parts.settings.trace_one_in) {
        tasks.push(tokio::spawn(way::tell(parts.log, parts.settings.trace_one_in, stored, collector)));
    }
    Telling(tasks)
}

/// Who tells.
fn resource() -> Value {
    json!({ "attributes": [
        attribute("service.name", "penstock"),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
    ] })
}

fn scope() -> Value {
    json!({ "name": "penstock", "version": env!("CARGO_PKG_VERSION") })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
