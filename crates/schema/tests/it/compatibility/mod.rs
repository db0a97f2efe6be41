//! The published rules, a row each: an old schema, a new one, the direction, and the rule that breaks, if one does.
//! With each row stands the rule in our words.

mod avro;
mod json;
mod protobuf;
mod sound;

use std::sync::Arc;

use metadata::Memory;
use penstock_schema::{Catalog, Level, Schema, SchemaType, Selector, Subject};
use record::TenantId;

/// A row of a table.
pub(super) struct Row {
    pub(super) rule: &'static str,
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// The rule by which the new schema cannot read the old one's data, if it cannot.
    pub(super) backward: Option<&'static str>,
    /// The rule by which the old schema cannot read the new one's data, if it cannot.
    pub(super) forward: Option<&'static str>,
}

pub(super) const fn row(
    rule: &'static str,
    old: &'static str,
    new: &'static str,
    backward: Option<&'static str>,
    forward: Option<&'static str>,
) -> Row {
    Row { rule, old, new, backward, forward }
}

/// The rules that break, with their places.
pub(super) fn broken(schema_type: SchemaType, level: Level, old: &str, new: &str) -> Vec<(String, String)> {
    let catalog = Catalog::open(Arc::new(Memory::new())).unwrap();
    let (tenant, subject) = (TenantId::default_tenant(), Subject::parse("s").unwrap());
    let schema = |text: &str| Schema { schema_type, schema: text.into(), references: Vec::new() };
    catalog.register(&tenant, &subject, schema(old)).unwrap();
    catalog.set_level(&tenant, Some(&subject), Some(level)).unwrap();
    let found = catalog.incompatibilities(&tenant, &subject, Some(Selector::Latest), &schema(new)).unwrap();
    found.into_iter().map(|(_, found)| (found.rule.to_owned(), found.path)).collect()
}

pub(super) fn check(schema_type: SchemaType, rows: &[Row], whole: impl Fn(&str) -> String) {
    let mut wrong = Vec::new();
    for row in rows {
        let (old, new) = (whole(row.old), whole(row.new));
        for (level, expect) in [(Level::Backward, row.backward), (Level::Forward, row.forward)] {
            let found = broken(schema_type, level, &old, &new);
            let same = match expect {
                None => found.is_empty(),
                Some(rule) => found.iter().any(|(broken, _)| broken == rule),
            };
            if !same {
                wrong.push(format!("{}\n  {level}: expected {expect:?}, found {found:?}", row.rule));
            }
        }
        // A schema reads what it wrote itself.
        assert_eq!(broken(schema_type, Level::Full, &old, &old), [], "{}", row.rule);
        assert_eq!(broken(schema_type, Level::Full, &new, &new), [], "{}", row.rule);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_enough_rows() {
    let rows = avro::ROWS.len() + json::ROWS.len() + protobuf::ROWS.len();
    assert!(rows >= 60, "{rows}");
}
