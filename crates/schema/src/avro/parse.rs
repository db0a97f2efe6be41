//! From the text to the graph. The text has been accepted by `apache-avro` before, so that what is missing or of
//! another kind here is a fault of its checks, refused all the same.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Avro, Field, Logical, Name, Type, TypeNo};

pub(super) fn parse(text: &str, used: &[&str]) -> Result<Avro, String> {
    accepted(text, used)?;
    let mut graph = Graph { types: Vec::new(), named: HashMap::new() };
    for used in used {
        graph.add(&json(used)?, "")?;
    }
    let root = graph.add(&json(text)?, "")?;
    Ok(Avro { types: graph.types, root })
}

/// Whether `apache-avro` takes it.
fn accepted(text: &str, used: &[&str]) -> Result<(), String> {
    json(text)?; // its own word for this does not say where
    let parsed = match used.is_empty() {
        true => apache_avro::Schema::parse_str(text).map(drop),
        false => apache_avro::Schema::parse_str_with_list(text, used).map(drop),
    };
    parsed.map_err(|error| error.to_string())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

struct Graph {
    types: Vec<Type>,
    named: HashMap<String, TypeNo>,
}

impl Graph {
    fn push(&mut self, of: Type) -> TypeNo {
        self.types.push(of);
        self.types.len() - 1
    }

    fn add(&mut self, value: &Value, namespace: &str) -> Result<TypeNo, String> {
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.add(branch, namespace));
                let branches = branches.collect::<Result<_, _>>()?;
                Ok(self.push(Type::Union(branches)))
            }
            Value::Object(object) => self.add_object(object, namespace),
            _ => Err(format!("{value} is no type")),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<TypeNo, String> {
        let primitive = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            _ => {
                let named = self.named.get(&full(name, namespace)).or_else(|| self.named.get(name));
                return named
                    .copied()
                    .ok_or_else(|| format!("the type {name:?} is not defined before its use"));
            }
        };
        Ok(self.push(primitive))
    }

    fn add_object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeNo, String> {
        let kind = object.get("type").ok_or("a type without \"type\"")?;
        let of = match kind.as_str() {
            Some("record" | "error") => self.add_record(object, namespace)?,
            Some("enum") => {
                let symbols = texts(object, "symbols").unwrap_or_default();
                let default = object.get("default").and_then(Value::as_str).map(str::to_owned);
                let (name, _) = name(object, namespace)?;
                self.define(name, |name| Type::Enum { name, symbols, default })
            }
            Some("fixed") => {
                let size = object.get("size").and_then(Value::as_u64).ok_or("a fixed without a size")?;
                let size = usize::try_from(size).map_err(|_| "a fixed beyond this machine's memory")?;
                let (name, _) = name(object, namespace)?;
                self.define(name, |name| Type::Fixed { name, size })
            }
            Some("array") => {
                let items = self.add(object.get("items").ok_or("an array without items")?, namespace)?;
                self.push(Type::Array(items))
            }
            Some("map") => {
                let values = self.add(object.get("values").ok_or("a map without values")?, namespace)?;
                self.push(Type::Map(values))
            }
            _ => self.add(kind, namespace)?,
        };
        Ok(match logical(object) {
            Some(logical) => self.push(Type::Logical { of, logical }),
            None => of,
        })
    }

    fn add_record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeNo, String> {
        let (name, inner) = name(object, namespace)?;
        // Known before its fields are read: they may hold it.
        let number = self.define(name, |name| Type::Record { name, fields: Vec::new() });
        let mut read = Vec::new();
        for field in object.get("fields").and_then(Value::as_array).ok_or("a record without fields")? {
            let field = field.as_object().ok_or("a field that is no object")?;
            read.push(Field {
                name: text(field, "name").ok_or("a field without a name")?.to_owned(),
                aliases: texts(field, "aliases").unwrap_or_default(),
                of: self.add(field.get("type").ok_or("a field without a type")?, &inner)?,
                has_default: field.contains_key("default"),
            });
        }
        if let Type::Record { fields, .. } = &mut self.types[number] {
            *fields = read;
        }
        Ok(number)
    }

    fn define(&mut self, name: Name, of: impl FnOnce(Name) -> Type) -> TypeNo {
        let full = name.full.clone();
        let number = self.push(of(name));
        self.named.insert(full, number);
        number
    }
}

/// The full name of a definition, and the namespace that holds inside it.
fn name(object: &Map<String, Value>, enclosing: &str) -> Result<(Name, String), String> {
    let name = text(object, "name").ok_or("a named type without a name")?;
    let namespace = text(object, "namespace").unwrap_or(enclosing);
    let full_name = full(name, namespace);
    let inner = full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
    let aliases = texts(object, "aliases").unwrap_or_default();
    let aliases = aliases.iter().map(|alias| full(alias, &inner)).collect();
    Ok((Name { full: full_name, aliases }, inner))
}

fn full(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The logical types that mean something here. Others are what they are made of (specification, "Logical Types").
fn logical(object: &Map<String, Value>) -> Option<Logical> {
    Some(match text(object, "logicalType")? {
        "decimal" => Logical::Decimal {
            precision: object.get("precision").and_then(Value::as_u64)?,
            scale: object.get("scale").and_then(Value::as_u64).unwrap_or(0),
        },
        "date" => Logical::Date,
        "timestamp-millis" => Logical::TimestampMillis,
        "timestamp-micros" => Logical::TimestampMicros,
        "timestamp-nanos" => Logical::TimestampNanos,
        _ => return None,
    })
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn texts(object: &Map<String, Value>, key: &str) -> Option<Vec<String>> {
    let list = object.get(key)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
