//! The schema resolution rules of the Avro specification 1.12, section "Schema Resolution", without data: what the
//! reader's type needs so that it reads everything the writer's type can hold.
//!
//! Rule names are those of Avro's own compatibility checker.

use super::{Avro, Field, Logical, Name, Type, TypeNo};
use crate::relation::Need;

type Needs = Vec<Need<TypeNo>>;

pub(super) fn needs(reader: &Avro, writer: &Avro, r: TypeNo, w: TypeNo) -> Needs {
    use Type::{
        Array, Boolean, Bytes, Double, Enum, Fixed, Float, Int, Logical, Long, Map, Null, Record, String,
        Union,
    };
    match (reader.get(r), writer.get(w)) {
        // Whatever the writer chose must be readable.
        (_, Union(branches)) => {
            let every = branches.iter().enumerate();
            every.map(|(n, &branch)| pair(format!("/union/{n}"), r, branch)).collect()
        }
        (Union(branches), written) => vec![Need::Any {
            at: "".into(),
            pairs: branches.iter().map(|&branch| (branch, w)).collect(),
            rule: "MISSING_UNION_BRANCH",
            detail: format!("no branch of the reader's union reads the writer's {}", word(writer, written)),
        }],
        (Logical { of: read, logical: a }, Logical { of: written, logical: b }) => {
            let mut needs = vec![pair("", *read, *written)];
            needs.extend(decimals(*a, *b));
            needs
        }
        (Logical { of, .. }, _) => vec![pair("", *of, w)],
        (_, Logical { of, .. }) => vec![pair("", r, *of)],
        (Null, Null) | (Boolean, Boolean) => Vec::new(),
        (Int | Long | Float | Double, Int)
        | (Long | Float | Double, Long)
        | (Float | Double, Float)
        | (Double, Double) => Vec::new(),
        (Bytes | String, Bytes | String) => Vec::new(),
        (Array(read), Array(written)) => vec![pair("/items", *read, *written)],
        (Map(read), Map(written)) => vec![pair("/values", *read, *written)],
        (Fixed { name: read, size: reads }, Fixed { name: written, size: writes }) => {
            let mut needs: Needs = names(read, written).into_iter().collect();
            if reads != writes {
                let detail = format!("the reader's fixed has {reads} bytes, the writer's {writes}");
                needs.push(Need::never("/size", "FIXED_SIZE_MISMATCH", detail));
            }
            needs
        }
        (Enum { name: read, symbols: reads, default }, Enum { name: written, symbols: writes, .. }) => {
            let mut needs: Needs = names(read, written).into_iter().collect();
            let missing: Vec<_> = writes.iter().filter(|symbol| !reads.contains(symbol)).cloned().collect();
            if !missing.is_empty() && default.is_none() {
                let detail = format!(
                    "the reader's enum lacks {} and has no default to read them as",
                    missing.join(", ")
                );
                needs.push(Need::never("/symbols", "MISSING_ENUM_SYMBOLS", detail));
            }
            needs
        }
        (Record { name: read, fields: reads }, Record { name: written, fields: writes }) => {
            let mut needs: Needs = names(read, written).into_iter().collect();
            needs.extend(reads.iter().filter_map(|field| of_field(field, writes)));
            needs
        }
        (read, written) => {
            let detail = format!(
                "the reader's type {} does not read the writer's {}",
                word(reader, read),
                word(writer, written)
            );
            vec![Need::never("", "TYPE_MISMATCH", detail)]
        }
    }
}

fn pair(at: impl Into<String>, r: TypeNo, w: TypeNo) -> Need<TypeNo> {
    Need::Pair { at: at.into(), pair: (r, w) }
}

/// Named types match by their names without namespace, or by an alias of the reader's.
fn names(reader: &Name, writer: &Name) -> Option<Need<TypeNo>> {
    if reader.short() == writer.short() || reader.aliases.contains(&writer.full) {
        return None;
    }
    let detail = format!("the reader expects {}, the writer's type is {}", reader.full, writer.full);
    Some(Need::never("/name", "NAME_MISMATCH", detail))
}

/// A field the writer does not have needs a default; the writer's further fields are skipped.
fn of_field(field: &Field, written: &[Field]) -> Option<Need<TypeNo>> {
    let by_name = written.iter().find(|written| written.name == field.name);
    let found = by_name.or_else(|| written.iter().find(|written| field.aliases.contains(&written.name)));
    let at = format!("/fields/{}", field.name);
    match found {
        Some(written) => Some(pair(at, field.of, written.of)),
        None if field.has_default => None,
        None => {
            let detail = format!("the writer has no field {:?} and the reader's has no default", field.name);
            Some(Need::never(at, "READER_FIELD_MISSING_DEFAULT_VALUE", detail))
        }
    }
}

/// Two decimals match when precision and scale do.
fn decimals(reader: Logical, writer: Logical) -> Option<Need<TypeNo>> {
    let both = matches!((reader, writer), (Logical::Decimal { .. }, Logical::Decimal { .. }));
    (both && reader != writer).then(|| {
        let detail = "the decimals differ in precision or scale: the same bytes would be another number";
        Need::never("", "DECIMAL_MISMATCH", detail)
    })
}

fn word(graph: &Avro, of: &Type) -> String {
    match of {
        Type::Null => "null".into(),
        Type::Boolean => "boolean".into(),
        Type::Int => "int".into(),
        Type::Long => "long".into(),
        Type::Float => "float".into(),
        Type::Double => "double".into(),
        Type::Bytes => "bytes".into(),
        Type::String => "string".into(),
        Type::Array(_) => "array".into(),
        Type::Map(_) => "map".into(),
        Type::Union(_) => "union".into(),
        Type::Record { name, .. } => format!("record {}", name.full),
        Type::Enum { name, .. } => format!("enum {}", name.full),
        Type::Fixed { name, .. } => format!("fixed {}", name.full),
        Type::Logical { of, .. } => word(graph, graph.get(*of)),
    }
}
