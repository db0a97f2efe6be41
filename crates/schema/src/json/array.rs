//! Arrays: items by place and beyond, counts, uniqueness.

use serde_json::{Map, Value};

use super::compare::{ANYTHING, Needs, Node, accepts_anything, pair};
use super::scalar::{at_least, at_most};
use crate::relation::Need;

/// Items by place, and the schema of those beyond. Until draft 2019-09 `items` may be a list and `additionalItems` is
/// what comes beyond; from 2020-12 on `prefixItems` is the list and `items` what comes beyond.
fn items(schema: &Map<String, Value>) -> (&[Value], &Value) {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice);
    match (list("prefixItems"), list("items")) {
        (Some(prefix), _) => (prefix, schema.get("items").unwrap_or(&ANYTHING)),
        (None, Some(prefix)) => (prefix, schema.get("additionalItems").unwrap_or(&ANYTHING)),
        (None, None) => (&[], schema.get("items").unwrap_or(&ANYTHING)),
    }
}

pub(super) fn needs<'a>(
    r: Node<'a>,
    w: Node<'a>,
    read: &'a Map<String, Value>,
    written: &'a Map<String, Value>,
) -> Needs<'a> {
    let ((reads, beyond_read), (writes, beyond_written)) = (items(read), items(written));
    let mut needs = Vec::new();
    for place in 0..reads.len().max(writes.len()) {
        let at = format!("/items/{place}");
        match (reads.get(place), writes.get(place)) {
            (Some(reads), Some(writes)) => needs.push(pair(at, r.inner(reads), w.inner(writes))),
            (Some(reads), None) => needs.extend(added(r, w, at, reads, beyond_written)),
            (None, Some(writes)) => needs.extend(removed(r, w, at, beyond_read, writes)),
            (None, None) => {}
        }
    }
    if beyond_written != &Value::Bool(false) && !accepts_anything(beyond_read) {
        if beyond_read == &Value::Bool(false) {
            let detail = "the reader takes no further items, the writer may have some";
            needs.push(Need::never("/items", "ADDITIONAL_ITEMS_REMOVED", detail));
        } else {
            needs.push(pair("/items", r.inner(beyond_read), w.inner(beyond_written)));
        }
    }
    needs.extend(at_most(read, written, "maxItems", ["MAX_ITEMS_ADDED", "MAX_ITEMS_DECREASED"]));
    needs.extend(at_least(read, written, "minItems", ["MIN_ITEMS_ADDED", "MIN_ITEMS_INCREASED"]));
    let unique = |schema: &Map<String, Value>| schema.get("uniqueItems") == Some(&Value::Bool(true));
    if unique(read) && !unique(written) {
        needs.push(Need::never("/uniqueItems", "UNIQUE_ITEMS_ADDED", "the reader demands that items differ"));
    }
    if let Some(contains) = read.get("contains").filter(|reads| written.get("contains") != Some(reads)) {
        let detail = format!("the reader demands an item like {contains}");
        needs.push(Need::never("/contains", "CONTAINS_CHANGED", detail));
    }
    needs
}

fn added<'a>(r: Node<'a>, w: Node<'a>, at: String, reads: &'a Value, beyond: &'a Value) -> Needs<'a> {
    if beyond == &Value::Bool(false) || accepts_anything(reads) {
        return Vec::new();
    }
    if accepts_anything(beyond) {
        let detail = "the writer's data may hold anything at this place";
        return vec![Need::never(at, "ITEM_ADDED_TO_OPEN_CONTENT_MODEL", detail)];
    }
    vec![Need::Any {
        at,
        pairs: vec![(r.inner(reads), w.inner(beyond))],
        rule: "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        detail: "the writer's further items allow what this place does not".into(),
    }]
}

fn removed<'a>(r: Node<'a>, w: Node<'a>, at: String, beyond: &'a Value, writes: &'a Value) -> Needs<'a> {
    if accepts_anything(beyond) || writes == &Value::Bool(false) {
        return Vec::new();
    }
    if beyond == &Value::Bool(false) {
        let detail = "the reader takes no item at this place";
        return vec![Need::never(at, "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", detail)];
    }
    vec![Need::Any {
        at,
        pairs: vec![(r.inner(beyond), w.inner(writes))],
        rule: "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        detail: "the reader's further items do not accept what stood at this place".into(),
    }]
}
