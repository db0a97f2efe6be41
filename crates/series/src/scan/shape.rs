//! The public tables: names, columns, types.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The time zone of every time column. Written as an offset, so that nobody needs a list of zones to read it.
pub const UTC: &str = "+00:00";

/// Columns of floats, and the columns beside them that hold their whole numbers exactly: a 64-bit integer does not fit
/// into a float.
pub const EXACT: [(&str, &str); 2] = [("value", "integer"), ("old_value", "old_integer")];

/// The tables every tenant has.
pub const TABLES: [&str; 8] =
    ["telemetry", "devices", "dlq", "aggregations", "late", "corrections", "ledger", "latest"];

/// What a table looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: Arc<str>,
    /// Its columns. Times are nanoseconds in [`UTC`].
    pub schema: SchemaRef,
    /// The column of times by which [`super::Scan::times`] goes.
    pub time: Option<usize>,
    /// The column of devices by which [`super::Scan::devices`] goes.
    pub device: Option<usize>,
    /// The column of metrics by which [`super::Scan::metrics`] goes.
    pub metric: Option<usize>,
    /// The column of kinds of value by which [`super::Scan::kinds`] goes, where the backend can.
    pub kind: Option<usize>,
    /// Whether its rows are the store's own, so that they change only when something is written to the store.
    pub own: bool,
}

/// The shape of one of [`TABLES`].
#[must_use]
pub fn shape(table: &str) -> Option<Shape> {
    let place = TABLES.iter().position(|name| *name == table)?;
    SHAPES.get(place).cloned()
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| TABLES.iter().map(|table| describe(table)).collect());

fn describe(table: &str) -> Shape {
    let (time, device, metric) = match table {
        "telemetry" | "latest" | "late" | "corrections" => (Some(0), Some(2), Some(3)),
        "aggregations" => (Some(2), Some(0), Some(1)),
        "devices" => (None, Some(0), None),
        "dlq" => (Some(1), Some(2), None),
        _ => (Some(1), None, None), // the ledger
    };
    let schema = Arc::new(Schema::new(fields(table)));
    Shape { name: table.into(), schema, time, device, metric, kind: None, own: true }
}

fn fields(table: &str) -> Vec<Field> {
    match table {
        "telemetry" | "latest" => [reading(""), vec![null("integer", DataType::Int64)]].concat(),
        "late" => {
            let of_late = vec![time("watermark"), int("deliveries"), null("integer", DataType::Int64)];
            [reading(""), of_late].concat()
        }
        "corrections" => {
            [reading("old_"), vec![time("replaced_at"), null("old_integer", DataType::Int64)]].concat()
        }
        "aggregations" => {
            let mut fields =
                vec![text("device_id"), text("metric"), time("window_start"), time("window_end")];
            fields.extend([text("window"), int("count")]);
            fields.extend(["sum", "avg", "min", "max", "stddev", "p95", "first", "last"].map(float));
            fields.push(Field::new("revised", DataType::Boolean, false));
            fields
        }
        "devices" => vec![
            text("id"),
            time("created_at"),
            time("last_seen"),
            int("metrics"),
            float("clock_skew_ms"),
            null("clock_suspect", DataType::Boolean),
        ],
        "dlq" => {
            let mut fields = vec![text("id"), time("arrived_at"), text("device_id"), text("topic")];
            fields.extend([text("stage"), text("reason"), null("reading", DataType::Int64), text("lost")]);
            fields.extend([
                int("attempts"),
                time("first_at"),
                time("last_at"),
                text("payload"),
                text("lane"),
            ]);
            fields.extend([int("partition"), int("offset")]);
            fields
        }
        _ => {
            let mut fields = vec![text("topic"), time("minute")];
            fields.extend(["records", "accepted", "stored", "duplicate", "corrected"].map(int));
            fields.extend(["dead_lettered", "late", "shed", "residue"].map(int));
            fields
        }
    }
}

/// The first twelve columns of a table of readings.
fn reading(prefix: &str) -> Vec<Field> {
    let old = |name: &str, kind| null(&format!("{prefix}{name}"), kind);
    vec![
        time("time"),
        time("arrived_at"),
        text("device_id"),
        text("metric"),
        old("value", DataType::Float64),
        old("text", DataType::Utf8),
        old("lat", DataType::Float64),
        old("lng", DataType::Float64),
        Field::new(format!("{prefix}kind"), DataType::Utf8, false),
        text("clock"),
        null("device_time", instant()),
        null("seq", DataType::UInt64),
    ]
}

pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()))
}

fn time(name: &str) -> Field {
    Field::new(name, instant(), false)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn float(name: &str) -> Field {
    null(name, DataType::Float64)
}

fn null(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}
