//! Subjects, versions, ids, deletion, references; and that all of it is there after a restart.

use std::sync::Arc;

use metadata::{Memory, Metadata};
use penstock_schema::{
    Catalog, Deletion, Error, Level, Mode, Reference, Schema, SchemaId, SchemaType, Selector, Subject,
};
use record::TenantId;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn subject(name: &str) -> Subject {
    Subject::parse(name).unwrap()
}

fn schema(schema_type: SchemaType, text: &str) -> Schema {
    Schema { schema_type, schema: text.into(), references: Vec::new() }
}

fn avro(fields: &[&str]) -> Schema {
    let field = |name: &&str| format!(r#"{{"name":"{name}","type":"int","default":0}}"#);
    let fields: Vec<_> = fields.iter().map(field).collect();
    schema(SchemaType::Avro, &format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(",")))
}

struct Desk {
    metadata: Arc<dyn Metadata>,
    catalog: Catalog,
    tenant: TenantId,
}

impl Desk {
    fn new() -> Self {
        let metadata: Arc<dyn Metadata> = Arc::new(Memory::new());
        let catalog = Catalog::open(Arc::clone(&metadata)).unwrap();
        Self { metadata, catalog, tenant: tenant("acme") }
    }

    fn reopen(&mut self) {
        self.catalog = Catalog::open(Arc::clone(&self.metadata)).unwrap();
    }

    /// Id and version.
    fn register(&self, name: &str, schema: Schema) -> Result<(u32, u32), Error> {
        let registered = self.catalog.register(&self.tenant, &subject(name), schema)?;
        Ok((registered.id.0, registered.version))
    }

    fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> u32 {
        outcome.unwrap_err().code()
    }
}

#[test]
fn the_same_schema_has_the_same_id_and_version() {
    let mut desk = Desk::new();
    let a = schema(SchemaType::Json, r#"{"type":"object","properties":{"a":{"type":"string"},"b":true}}"#);
    let same = schema(
        SchemaType::Json,
        "{ \"properties\": {\"b\": true, \"a\": {\"type\": \"string\"}},\n \"type\": \"object\" }",
    );
    assert_eq!(desk.register("s", a.clone()).unwrap(), (1, 1));
    assert_eq!(desk.register("s", same.clone()).unwrap(), (1, 1));
    assert_eq!(desk.register("t", same).unwrap(), (1, 1), "the id belongs to the schema, not the subject");
    assert_eq!(desk.register("u", avro(&["x"])).unwrap(), (2, 1));
    desk.reopen();
    assert_eq!(desk.register("s", a.clone()).unwrap(), (1, 1));
    assert_eq!(desk.catalog.schema(&desk.tenant, SchemaId(1)).unwrap(), a, "as it was first sent");
    let places = desk.catalog.places(&desk.tenant, SchemaId(1), false).unwrap();
    assert_eq!(places, [("s".to_owned(), 1), ("t".to_owned(), 1)]);
    assert_eq!(desk.catalog.subjects(&desk.tenant, false), ["s", "t", "u"]);
}

#[test]
fn a_protobuf_text_and_its_descriptor_are_the_same_schema() {
    let desk = Desk::new();
    let text = "syntax = \"proto3\";\n// a comment\nmessage M { int32 a_b = 1; }";
    assert_eq!(desk.register("s", schema(SchemaType::Protobuf, text)).unwrap(), (1, 1));
    let compiled = desk.catalog.compiled(&desk.tenant, SchemaId(1)).unwrap();
    let descriptor = compiled.serialized().unwrap();
    assert_eq!(desk.register("s", schema(SchemaType::Protobuf, &descriptor)).unwrap(), (1, 1));
}

#[test]
fn tenants_know_nothing_of_each_other() {
    let desk = Desk::new();
    desk.register("s", avro(&["x"])).unwrap();
    let other = tenant("other");
    assert!(desk.catalog.subjects(&other, true).is_empty());
    assert_eq!(Desk::code(desk.catalog.schema(&other, SchemaId(1))), 40403);
    let registered = desk.catalog.register(&other, &subject("s"), avro(&["y"])).unwrap();
    assert_eq!((registered.id.0, registered.version), (1, 1));
}

#[test]
fn a_version_that_breaks_the_level_is_refused() {
    let mut desk = Desk::new();
    let of = |kind: &str| schema(SchemaType::Avro, &format!(r#""{kind}""#));
    desk.register("s", of("int")).unwrap();
    let refused = desk.register("s", of("string")).unwrap_err();
    assert_eq!(refused.code(), 409);
    let text = refused.to_string();
    assert!(text.contains("version 1: TYPE_MISMATCH at \"/\""), "{text}");
    assert_eq!(desk.register("s", of("long")).unwrap(), (2, 2));

    // Backward asks the last version only: a string reads nothing of both, bytes neither; none asks nothing.
    let level = |name: Option<&str>, level| {
        let name = name.map(subject);
        desk.catalog.set_level(&desk.tenant, name.as_ref(), Some(level)).unwrap();
    };
    level(None, Level::None);
    assert_eq!(desk.register("s", of("bytes")).unwrap(), (3, 3));
    level(Some("s"), Level::Backward);
    assert_eq!(desk.register("s", of("string")).unwrap(), (4, 4));
    level(Some("s"), Level::BackwardTransitive);
    assert_eq!(Desk::code(desk.register("s", schema(SchemaType::Avro, r#"["null","bytes"]"#))), 409);
    let all = schema(SchemaType::Avro, r#"["long","bytes","null"]"#);
    assert_eq!(desk.register("s", all).unwrap(), (5, 5));
    desk.reopen();
    assert_eq!(desk.catalog.level(&desk.tenant, None), Some(Level::None));
    assert_eq!(desk.catalog.level(&desk.tenant, Some(&subject("s"))), Some(Level::BackwardTransitive));
    desk.catalog.set_level(&desk.tenant, Some(&subject("s")), None).unwrap();
    assert_eq!(desk.register("s", of("boolean")).unwrap(), (6, 6), "the tenant's level is NONE");
}

#[test]
fn a_subject_keeps_its_language() {
    let desk = Desk::new();
    desk.register("s", avro(&["x"])).unwrap();
    let refused = desk.register("s", schema(SchemaType::Json, "{}")).unwrap_err().to_string();
    assert!(refused.contains("SCHEMA_TYPE_CHANGED"), "{refused}");
}

#[test]
fn what_is_deleted_softly_can_be_read_by_its_id_and_what_is_deleted_for_good_cannot() {
    let mut desk = Desk::new();
    let s = subject("s");
    desk.register("s", avro(&["x"])).unwrap();
    desk.register("s", avro(&["x", "y"])).unwrap();
    let (one, catalog, tenant) = (Selector::Number(1), &desk.catalog, &desk.tenant);
    assert_eq!(Desk::code(catalog.delete_version(tenant, &s, one, Deletion::Permanent)), 40407);
    assert_eq!(catalog.delete_version(tenant, &s, one, Deletion::Soft).unwrap(), 1);
    assert_eq!(Desk::code(catalog.delete_version(tenant, &s, one, Deletion::Soft)), 40406);
    assert_eq!(catalog.versions(tenant, &s, false).unwrap(), [2]);
    assert_eq!(catalog.versions(tenant, &s, true).unwrap(), [1, 2]);
    assert_eq!(Desk::code(catalog.version(tenant, &s, one, false)), 40402);
    assert!(catalog.schema(tenant, SchemaId(1)).is_ok());
    assert_eq!(catalog.delete_version(tenant, &s, one, Deletion::Permanent).unwrap(), 1);
    assert_eq!(Desk::code(catalog.schema(tenant, SchemaId(1))), 40403);

    assert_eq!(Desk::code(catalog.delete_subject(tenant, &s, Deletion::Permanent)), 40405);
    assert_eq!(catalog.delete_subject(tenant, &s, Deletion::Soft).unwrap(), [2]);
    assert_eq!(Desk::code(catalog.delete_subject(tenant, &s, Deletion::Soft)), 40404);
    assert_eq!(Desk::code(catalog.versions(tenant, &s, false)), 40401);
    assert!(catalog.subjects(tenant, false).is_empty());
    assert_eq!(catalog.subjects(tenant, true), ["s"]);
    assert_eq!(
        desk.register("s", avro(&["x", "y"])).unwrap(),
        (2, 3),
        "the number of a version is not given twice"
    );
    desk.catalog.delete_subject(&desk.tenant, &s, Deletion::Soft).unwrap();
    desk.catalog.delete_subject(&desk.tenant, &s, Deletion::Permanent).unwrap();
    desk.reopen();
    assert!(desk.catalog.subjects(&desk.tenant, true).is_empty());
    assert_eq!(desk.register("s", avro(&["z"])).unwrap(), (3, 1), "nor is an id, also after a restart");
}

#[test]
fn references_are_resolved_in_the_catalog_and_keep_what_they_name() {
    for (schema_type, part, whole, name) in [
        (
            SchemaType::Avro,
            r#"{"type":"record","name":"a.Point","fields":[{"name":"x","type":"double"}]}"#,
            r#"{"type":"record","name":"a.Line","fields":[{"name":"from","type":"Point"},{"name":"to","type":"a.Point"}]}"#,
            "a.Point",
        ),
        (
            SchemaType::Json,
            r#"{"type":"number"}"#,
            r#"{"type":"object","properties":{"x":{"$ref":"number.json"}}}"#,
            "number.json",
        ),
        (
            SchemaType::Protobuf,
            "syntax = \"proto3\"; package a; message Point { double x = 1; }",
            "syntax = \"proto3\"; package a; import \"point.proto\"; import \"google/protobuf/timestamp.proto\"; message Line { Point from = 1; google.protobuf.Timestamp at = 2; }",
            "point.proto",
        ),
    ] {
        let desk = Desk::new();
        desk.register("part", schema(schema_type, part)).unwrap();
        let missing = schema(schema_type, whole);
        assert_eq!(
            Desk::code(desk.register("whole", missing)),
            42201,
            "{schema_type}: without the reference"
        );
        let reference = |version| Reference { name: name.into(), subject: "part".into(), version };
        let refers = |version| Schema { references: vec![reference(version)], ..schema(schema_type, whole) };
        assert_eq!(Desk::code(desk.register("whole", refers(7))), 42201, "{schema_type}: no such version");
        assert_eq!(desk.register("whole", refers(1)).unwrap(), (2, 1), "{schema_type}");
        let (s, one) = (subject("part"), Selector::Number(1));
        assert_eq!(desk.catalog.used_by(&desk.tenant, &s, one).unwrap(), [SchemaId(2)]);
        assert_eq!(Desk::code(desk.catalog.delete_version(&desk.tenant, &s, one, Deletion::Soft)), 42206);
        desk.catalog.delete_subject(&desk.tenant, &subject("whole"), Deletion::Soft).unwrap();
        assert_eq!(desk.catalog.delete_version(&desk.tenant, &s, one, Deletion::Soft).unwrap(), 1);
    }
}

#[test]
fn what_is_no_schema_is_refused_with_the_reason() {
    let desk = Desk::new();
    let deep = format!("syntax = \"proto3\"; {}{}", "message M {".repeat(5_000), "}".repeat(5_000));
    for (schema_type, text, reason) in [
        (SchemaType::Avro, "{", "EOF"),
        (SchemaType::Avro, r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Nope"}]}"#, "Nope"),
        (SchemaType::Json, "[]", "an object or a boolean"),
        (SchemaType::Json, r#"{"type":"nothing"}"#, "nothing"),
        (SchemaType::Json, r#"{"$ref":"https://127.0.0.1:1/x.json"}"#, "not among the schema's references"),
        (SchemaType::Protobuf, "syntax = \"proto3\"; message M { Nope a = 1; }", "Nope"),
        (SchemaType::Protobuf, &deep, "nested deeper"),
    ] {
        let refused = desk.register("s", schema(schema_type, text)).unwrap_err();
        assert_eq!(refused.code(), 42201);
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    let large = schema(SchemaType::Json, &format!("{{\"title\":\"{}\"}}", "x".repeat(1 << 20)));
    assert_eq!(Desk::code(desk.register("s", large)), 42201);
    assert!(desk.catalog.subjects(&desk.tenant, true).is_empty());
}

#[test]
fn a_subject_that_is_read_only_takes_no_version() {
    let desk = Desk::new();
    desk.register("s", avro(&["x"])).unwrap();
    desk.catalog.set_mode(&desk.tenant, Some(&subject("s")), Some(Mode::ReadOnly)).unwrap();
    assert_eq!(Desk::code(desk.register("s", avro(&["x", "y"]))), 42205);
    assert_eq!(desk.register("s", avro(&["x"])).unwrap(), (1, 1), "what is there is still found");
    assert_eq!(desk.register("t", avro(&["x", "y"])).unwrap(), (2, 1));
}

/// What the file's fixture holds (crates/metadata/tests/it/fixtures/v2.sql).
#[test]
fn a_catalog_of_version_2_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    let fixture = include_str!("../../../metadata/tests/it/fixtures/v2.sql");
    rusqlite::Connection::open(&path).unwrap().execute_batch(fixture).unwrap();
    let catalog = Catalog::open(Arc::new(metadata::Sqlite::open(&path).unwrap())).unwrap();
    let acme = tenant("acme");
    assert_eq!(catalog.level(&acme, None), Some(Level::Full));
    let found = catalog.version(&acme, &subject("pumps-value"), Selector::Latest, false).unwrap();
    assert_eq!((found.id, found.version), (SchemaId(1), 1));
    let same = catalog.register(&acme, &subject("pumps-value"), found.schema).unwrap();
    assert!(!same.is_new);
}

#[test]
fn a_value_that_does_not_fit_is_told_where() {
    let desk = Desk::new();
    let text = r#"{"type":"object","properties":{"metrics":{"additionalProperties":{"type":"number"}}},"required":["ts"]}"#;
    desk.register("s", schema(SchemaType::Json, text)).unwrap();
    let compiled = desk.catalog.compiled(&desk.tenant, SchemaId(1)).unwrap();
    assert_eq!(compiled.check(&serde_json::json!({"ts": 1, "metrics": {"a": 1.5}})), Ok(()));
    let (path, reason) =
        compiled.check(&serde_json::json!({"ts": 1, "metrics": {"a": "secret"}})).unwrap_err();
    assert_eq!(path, "/metrics/a");
    assert!(reason.contains("number") && !reason.contains("secret"), "{reason}");
}
