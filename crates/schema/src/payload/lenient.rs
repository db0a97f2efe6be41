//! The lenient reading of a JSON Schema: what must be there is there.

use serde_json::Value;

/// Deepest nesting that is looked at; messages may not be deeper.
const DEPTH: usize = record::limits::JSON_DEPTH;
/// Most parts of a schema looked at for one message. References may lead to the same part again and again.
const STEPS: usize = 1_000_000;

/// Whether every required property is there, wherever the schema says so by `properties`, `items`, `allOf` or a reference
/// within the document.
pub(super) fn check(root: &Value, value: &Value) -> Result<(), (String, String)> {
    Walk { root, path: String::new(), steps: 0 }.required(root, value, 0)
}

/// Whether the schema is about an array, and not about its elements one by one.
pub(super) fn describes_arrays(root: &Value) -> bool {
    match root.get("type") {
        Some(Value::String(one)) => one == "array",
        Some(Value::Array(several)) => several.iter().any(|one| one == "array"),
        _ => root.get("items").is_some() || root.get("prefixItems").is_some(),
    }
}

struct Walk<'s> {
    root: &'s Value,
    path: String,
    steps: usize,
}

impl Walk<'_> {
    fn required(&mut self, schema: &Value, value: &Value, depth: usize) -> Result<(), (String, String)> {
        self.steps += 1;
        if depth > DEPTH {
            return Ok(());
        }
        if self.steps > STEPS {
            return Err((self.path.clone(), "the schema leads round in circles".into()));
        }
        let root = self.root;
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        if let Some(target) = reference.and_then(|pointer| root.pointer(pointer)) {
            self.required(target, value, depth + 1)?;
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.required(part, value, depth + 1)?;
        }
        match value {
            Value::Object(object) => {
                let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
                if let Some(missing) =
                    names.filter_map(Value::as_str).find(|name| !object.contains_key(*name))
                {
                    return Err((self.path.clone(), format!("{missing:?} is a required property")));
                }
                let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
                for (name, schema) in properties {
                    if let Some(value) = object.get(name) {
                        self.inside(name, schema, value, depth)?;
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = schema.get("items").filter(|items| items.is_object()) else {
                    return Ok(());
                };
                for (n, item) in items.iter().enumerate() {
                    self.inside(&n.to_string(), schema, item, depth)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn inside(
        &mut self,
        name: &str,
        schema: &Value,
        value: &Value,
        depth: usize,
    ) -> Result<(), (String, String)> {
        let before = self.path.len();
        self.path.push('/');
        self.path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        self.required(schema, value, depth + 1)?;
        self.path.truncate(before);
        Ok(())
    }
}
