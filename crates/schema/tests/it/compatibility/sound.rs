//! A verdict of "compatible" is a promise: every value that the old JSON Schema accepts, the new one accepts. Held against
//! the validator, with schemas and values by chance. Defaults and `oneOf` are left out: there the published rules promise
//! more than a validator keeps (docs/decisions/schemas.md).

use std::cell::Cell;
use std::sync::Arc;

use metadata::Memory;
use penstock_schema::{Catalog, Compiled, Level, Schema, SchemaType, Subject};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use record::TenantId;
use serde_json::{Map, Value, json};

fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4_i64..5).prop_map(Value::from),
        (-4_i64..5).prop_map(|n| json!(n as f64 + 0.5)),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

/// A keyword, or none.
fn keyword(
    name: &'static str,
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Option<(String, Value)>> {
    prop_oneof![4 => Just(None), 1 => value.prop_map(move |value| Some((name.to_owned(), value)))].boxed()
}

fn schema() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![Just(json!(true)), Just(json!(false)), Just(json!({}))];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let types = ["null", "boolean", "integer", "number", "string", "array", "object"];
        let count = || (0_u64..4).prop_map(Value::from);
        let bound = || (-3_i64..4).prop_map(Value::from);
        let list = |inner: BoxedStrategy<Value>| proptest::collection::vec(inner, 1..3).prop_map(Value::from);
        let properties = |inner: BoxedStrategy<Value>, names: &'static str| {
            proptest::collection::btree_map(names, inner, 1..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        };
        let inner = inner.boxed();
        let keywords: Vec<BoxedStrategy<Option<(String, Value)>>> = vec![
            prop_oneof![
                1 => Just(None),
                2 => select(types.to_vec()).prop_map(|t| Some(("type".to_owned(), json!(t)))),
                1 => subsequence(types.to_vec(), 1..5).prop_map(|t| Some(("type".to_owned(), json!(t)))),
            ]
            .boxed(),
            keyword("minimum", bound()),
            keyword("maximum", bound()),
            keyword("exclusiveMinimum", bound()),
            keyword("exclusiveMaximum", bound()),
            keyword("multipleOf", (1_u64..5).prop_map(|n| json!(n as f64 / 2.0))),
            keyword("minLength", count()),
            keyword("maxLength", count()),
            keyword("pattern", select(vec![json!("^a"), json!("b$")])),
            keyword("enum", proptest::collection::vec(value(), 1..4).prop_map(Value::from)),
            keyword("const", value()),
            keyword("properties", properties(inner.clone(), "[abc]")),
            keyword("patternProperties", properties(inner.clone(), "\\^[ab]")),
            keyword("additionalProperties", inner.clone()),
            keyword("required", subsequence(vec!["a", "b"], 1..3).prop_map(|names| json!(names))),
            keyword("dependentRequired", Just(json!({"a": ["b"]}))),
            keyword("propertyNames", Just(json!({"maxLength": 0}))),
            keyword("minProperties", count()),
            keyword("maxProperties", count()),
            keyword("items", inner.clone()),
            keyword("prefixItems", list(inner.clone())),
            keyword("contains", inner.clone()),
            keyword("minItems", count()),
            keyword("maxItems", count()),
            keyword("uniqueItems", any::<bool>().prop_map(Value::from)),
            keyword("anyOf", list(inner.clone())),
            keyword("allOf", list(inner.clone())),
            keyword("not", inner.clone()),
            keyword("if", inner.clone()),
            keyword("then", inner),
        ];
        keywords.prop_map(|keywords| Value::Object(keywords.into_iter().flatten().collect::<Map<_, _>>()))
    })
    .boxed()
}

/// A schema, and another one that has some keywords in common with it.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    (schema(), schema(), any::<u64>()).prop_map(|(old, other, choice)| {
        let (Value::Object(a), Value::Object(b)) = (&old, &other) else { return (old, other) };
        let mut new = Map::new();
        for (n, key) in a.keys().chain(b.keys()).enumerate() {
            let from = if choice >> (n % 64) & 3 == 0 { b.get(key) } else { a.get(key) };
            new.extend(from.map(|value| (key.clone(), value.clone())));
        }
        (old, Value::Object(new))
    })
}

fn compiled(schemas: &[&Value]) -> Vec<Arc<Compiled>> {
    let catalog = Catalog::open(Arc::new(Memory::new())).unwrap();
    let (tenant, subject) = (TenantId::default_tenant(), Subject::parse("s").unwrap());
    catalog.set_level(&tenant, None, Some(Level::None)).unwrap();
    let compile = |text: &&Value| {
        let schema =
            Schema { schema_type: SchemaType::Json, schema: text.to_string(), references: Vec::new() };
        let id = catalog.register(&tenant, &subject, schema).unwrap().id;
        catalog.compiled(&tenant, id).unwrap()
    };
    schemas.iter().map(compile).collect()
}

/// Ten seconds of a debug build.
const CASES: u32 = 400;

#[test]
fn what_is_called_compatible_accepts_all_that_was_accepted() {
    let (compatible, held) = (Cell::new(0), Cell::new(0));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(
        std::env::var("PENSTOCK_CASES").map_or(CASES, |cases| cases.parse().unwrap()),
    ));
    runner
        .run(&(pair(), proptest::collection::vec(value(), 40)), |((old, new), values)| {
            let schemas = compiled(&[&old, &new]);
            prop_assert_eq!(schemas[0].cannot_read(&schemas[0]), [], "{} cannot read itself", old);
            if !schemas[1].cannot_read(&schemas[0]).is_empty() {
                return Ok(());
            }
            compatible.set(compatible.get() + 1);
            for value in values {
                if schemas[0].check(&value).is_ok() {
                    held.set(held.get() + 1);
                    prop_assert!(schemas[1].check(&value).is_ok(), "{value} fits {old} and not {new}");
                }
            }
            Ok(())
        })
        .unwrap();
    // A test that never meets a compatible pair would hold anything.
    assert!(compatible.get() > 30 && held.get() > 100, "{} pairs, {} values", compatible.get(), held.get());
}
