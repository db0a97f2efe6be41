//! `PENSTOCK__HTTP__LISTEN=…` over `[http] listen = …`.

use serde::Deserialize;
use toml::{Table, Value};

use super::{ConfigError, Raw};

const PREFIX: &str = "PENSTOCK__";

pub(super) fn read(
    file: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Raw, Table), ConfigError> {
    let refused =
        |error: toml::de::Error| ConfigError::Text { file: file.to_owned(), reason: error.to_string() };
    // From the text, so that an error shows line and column; the table below has lost them.
    let mut raw: Raw = toml::from_str(text).map_err(refused)?;
    let mut table: Table = toml::from_str(text).map_err(refused)?;
    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort(); // the same environment gives the same error
    // One after the other, so that an error can name its variable.
    for (variable, value) in variables {
        (raw, table) = lay_over(&table, &variable, &value)
            .map_err(|reason| ConfigError::Environment { variable: variable.clone(), reason })?;
    }
    Ok((raw, table))
}

fn lay_over(table: &Table, variable: &str, value: &str) -> Result<(Raw, Table), String> {
    let path = variable[PREFIX.len()..].to_lowercase();
    // `[1, 2]` and `true` are what they look like in TOML, and a plain word is text without quotes. A text
    // that happens to look like a number is tried as text where the number does not fit.
    let as_toml =
        toml::from_str::<Table>(&format!("v = {value}")).ok().and_then(|mut table| table.remove("v"));
    let as_text = Value::String(value.to_owned());
    let mut refused = String::new();
    for value in as_toml.into_iter().chain([as_text]) {
        let mut table = table.clone();
        put(&mut table, &path, value)?;
        match Raw::deserialize(table.clone()) {
            Ok(raw) => return Ok((raw, table)),
            Err(error) if refused.is_empty() => refused = error.message().to_owned(),
            Err(_) => {}
        }
    }
    Err(refused)
}

fn put(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    match path.split_once("__") {
        None => {
            table.insert(path.to_owned(), value);
            Ok(())
        }
        Some((part, rest)) => {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let inner =
                inner.as_table_mut().ok_or_else(|| format!("{part} is a value, not a part of the file"))?;
            put(inner, rest, value)
        }
    }
}
