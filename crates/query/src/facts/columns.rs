//! What the registry knows of devices, in columns.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, StringBuilder, TimestampNanosecondBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use record::{Facts, Timestamp};
use series::scan::UTC;

/// Their names, in their order. Behind them stands when the device was registered.
pub(super) const COLUMNS: [(&str, DataType); 7] = [
    ("type", DataType::Utf8),
    ("site", DataType::Utf8),
    ("lat", DataType::Float64),
    ("lng", DataType::Float64),
    ("place", DataType::Utf8),
    ("firmware", DataType::Utf8),
    ("tags", DataType::Utf8),
];

/// The store's columns, then the facts, then when the device was registered. A device that has sent nothing has no last
/// moment.
pub(super) fn with_facts(seen: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Field> = seen.fields().iter().map(|field| Field::clone(field)).collect();
    for field in fields.iter_mut().filter(|field| field.name() == "last_seen") {
        *field = field.clone().with_nullable(true);
    }
    let instant = seen.field_with_name("created_at").map(|field| field.data_type().clone());
    fields.extend(COLUMNS.map(|(name, kind)| Field::new(name, kind, true)));
    fields.extend(instant.ok().map(|kind| Field::new("registered_at", kind, true)));
    Arc::new(Schema::new(fields))
}

/// The facts of some devices.
pub(super) struct Columns {
    texts: [StringBuilder; 5],
    coordinates: [Float64Builder; 2],
    registered_at: TimestampNanosecondBuilder,
    /// JSON is made where somebody wants it.
    with_tags: bool,
}

impl Columns {
    pub(super) fn new(with_tags: bool) -> Self {
        Self {
            with_tags,
            texts: Default::default(),
            coordinates: Default::default(),
            registered_at: TimestampNanosecondBuilder::new().with_timezone(UTC),
        }
    }

    pub(super) fn add(&mut self, facts: &Facts, registered_at: Option<Timestamp>) {
        let tags =
            (self.with_tags && !facts.tags.is_empty()).then(|| serde_json::json!(facts.tags).to_string());
        let texts = [
            facts.device_type.as_deref(),
            facts.site.as_deref(),
            facts.place.as_deref(),
            facts.firmware.as_deref(),
            tags.as_deref(),
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.append_option(text);
        }
        let (lat, lng) = facts.coordinates.unzip();
        for (column, degrees) in self.coordinates.iter_mut().zip([lat, lng]) {
            column.append_option(degrees);
        }
        self.registered_at.append_option(registered_at.map(Timestamp::nanos));
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        let [device_type, site, place, firmware, tags] =
            self.texts.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let [lat, lng] = self.coordinates.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let registered_at = Arc::new(self.registered_at.finish()) as ArrayRef;
        vec![device_type, site, lat, lng, place, firmware, tags, registered_at]
    }
}
