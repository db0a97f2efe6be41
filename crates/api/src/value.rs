//! Values of readings as JSON.

use record::Value;
use serde_json::{Value as Json, json};

/// Numbers keep their type; NaN and infinities, for which JSON has no word, are `null`.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Float(float) => json!(float),
        Value::Int(int) => json!(int),
        Value::Bool(bool) => json!(bool),
        Value::Text(text) => json!(text),
        Value::Location { lat, lng } => json!({ "lat": lat, "lng": lng }),
    }
}
