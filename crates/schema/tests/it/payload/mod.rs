//! Messages checked by a schema, and binary ones read by it.

mod binary;
mod checks;
mod hostile;

use std::sync::Arc;

use metadata::Memory;
use penstock_schema::{
    Catalog, Facts, Level, RawRule, Reference, Rules, Schema, SchemaType, Schemas, Strictness, Subject,
    Violation,
};
use record::{Encoding, Readings, TenantId, Timestamp, ValueRef};
use wire::payload::{Message, Scratch, decode};

pub(super) struct Desk {
    catalog: Arc<Catalog>,
    tenant: TenantId,
}

impl Desk {
    pub(super) fn new() -> Self {
        let catalog = Arc::new(Catalog::open(Arc::new(Memory::new())).unwrap());
        let tenant = TenantId::default_tenant();
        catalog.set_level(&tenant, None, Some(Level::None)).unwrap();
        Self { catalog, tenant }
    }

    /// Registers a schema; returns its id.
    pub(super) fn with(&self, subject: &str, schema_type: SchemaType, text: &str) -> u32 {
        let schema = Schema { schema_type, schema: text.into(), references: Vec::<Reference>::new() };
        self.catalog.register(&self.tenant, &Subject::parse(subject).unwrap(), schema).unwrap().id.0
    }

    pub(super) fn under(&self, rules: &[RawRule]) -> Schemas {
        Schemas::new(Arc::clone(&self.catalog), Rules::check(rules).unwrap())
    }
}

pub(super) fn rule(subject: &str) -> RawRule {
    RawRule { subject: subject.into(), ..RawRule::default() }
}

pub(super) fn lenient(subject: &str) -> RawRule {
    RawRule { mode: Strictness::Lenient, ..rule(subject) }
}

pub(super) fn raw(subject: &str, version: u32) -> RawRule {
    RawRule { raw: true, version: Some(version), ..rule(subject) }
}

pub(super) fn facts<'a>() -> Facts<'a> {
    Facts { tenant: TenantId::DEFAULT, topic: "devices/d1/telemetry", ..Facts::default() }
}

/// The message as text that `wire` reads.
pub(super) fn plain(schemas: &Schemas, encoding: Encoding, payload: &[u8]) -> Result<String, Violation> {
    let mut buffer = String::new();
    let view = schemas.view();
    let plain = view.plain(&facts(), encoding, payload, &mut buffer)?;
    assert!(!matches!(plain.encoding, Encoding::Avro | Encoding::Protobuf));
    Ok(String::from_utf8(plain.payload.to_vec()).unwrap())
}

/// The readings of a message, as `device metric time value`.
pub(super) fn readings(schemas: &Schemas, encoding: Encoding, payload: &[u8]) -> Vec<String> {
    let mut buffer = String::new();
    let view = schemas.view();
    let plain = view.plain(&facts(), encoding, payload, &mut buffer).unwrap();
    let message = Message {
        encoding: plain.encoding,
        device: Some("d1"),
        metric: None,
        arrived_at: Timestamp::from_nanos(0),
        time_unit: None,
        payload: plain.payload,
    };
    let (mut readings, mut scratch) = (Readings::new(), Scratch::new());
    decode(&message, &mut readings, &mut scratch).unwrap();
    assert_eq!(scratch.rejected(), [], "{}", String::from_utf8_lossy(plain.payload));
    let value = |value: ValueRef<'_>| match value {
        ValueRef::Float(float) => format!("{float:?}"),
        ValueRef::Int(int) => int.to_string(),
        ValueRef::Bool(bool) => bool.to_string(),
        ValueRef::Text(text) => format!("{text:?}"),
        ValueRef::Location { lat, lng } => format!("{lat}/{lng}"),
    };
    readings
        .iter()
        .map(|r| format!("{} {} {} {}", r.device, r.metric, r.when.time.to_rfc3339(), value(r.value)))
        .collect()
}
