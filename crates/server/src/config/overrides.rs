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
    let mut table: Table = toml::from_str(text).map_err(refused)?;
    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort(); // the same environment gives the same error
    // From the text, so that an error shows line and column; the table has lost them.
    let lacking = match toml::from_str::<Raw>(text) {
        Ok(_) => None,
        Err(error) if wants_more(&error) && !variables.is_empty() => Some(error),
        Err(error) => return Err(refused(error)),
    };
    // One after the other, so that an error can name its variable.
    let mut unfinished = None;
    for (variable, value) in &variables {
        let named = |reason| ConfigError::Environment { variable: variable.clone(), reason };
        let is_whole;
        (table, is_whole) = lay_over(&table, variable, value).map_err(named)?;
        if !is_whole {
            unfinished.get_or_insert(variable);
        }
    }
    let error = match Raw::deserialize(table.clone()) {
        Ok(raw) => return Ok((raw, table)),
        Err(error) => error,
    };
    let alone =
        variables.iter().map(|(variable, _)| variable).find(|one| is_well_without(text, &variables, one));
    match (alone, lacking) {
        (None, Some(lacking)) => Err(refused(lacking)),
        (alone, _) => {
            let variable = alone.or(unfinished).expect("the last one left it unfinished");
            Err(ConfigError::Environment { variable: variable.clone(), reason: error.message().to_owned() })
        }
    }
}

/// A part lacks a key that it cannot be without: another variable may bring it, as the three of `[gateway.mqtt_tls]` do.
fn wants_more(error: &toml::de::Error) -> bool {
    error.message().starts_with("missing field")
}

/// Whether it is this variable that leaves the configuration unfinished.
fn is_well_without(text: &str, variables: &[(String, String)], variable: &str) -> bool {
    let Ok(table) = toml::from_str::<Table>(text) else { return false };
    let mut others = variables.iter().filter(|(name, _)| name != variable);
    let laid_over =
        others.try_fold(table, |table, (name, value)| lay_over(&table, name, value).map(|(table, _)| table));
    laid_over.is_ok_and(|table| Raw::deserialize(table).is_ok())
}

/// The table with the variable in it, and whether that is a whole configuration.
fn lay_over(table: &Table, variable: &str, value: &str) -> Result<(Table, bool), String> {
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
            Ok(_) => return Ok((table, true)),
            Err(error) if wants_more(&error) => return Ok((table, false)),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The error, or the address of MQTT over TLS.
    fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let environment =
            environment.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned()));
        let (_, table) = read("x.toml", text, environment).map_err(|error| error.to_string())?;
        let listen = table.get("gateway").and_then(|part| part.get("mqtt_tls")?.get("listen"));
        Ok(listen.and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    const TLS: &str = "GATEWAY__MQTT_TLS__";
    const FILE: &str = "[gateway.mqtt_tls]\nlisten = \"127.0.0.1:8883\"\ncert = \"c\"\n";

    #[test]
    fn a_part_may_come_from_several_variables() {
        let [listen, cert, key] = ["LISTEN", "CERT", "KEY"].map(|name| format!("{TLS}{name}"));
        let all = [(&*listen, "0.0.0.0:8883"), (&*cert, "c"), (&*key, "k")];
        assert_eq!(read_with("", &all), Ok("0.0.0.0:8883".into()));
        // What the file leaves to the environment, a key for instance.
        assert_eq!(read_with(FILE, &[(&key, "k")]), Ok("127.0.0.1:8883".into()));
        assert_eq!(read_with(FILE, &[(&key, "k"), (&listen, "[::]:1")]), Ok("[::]:1".into()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_variable_or_its_line() {
        let [cert, lock] = ["CERT", "LOCK"].map(|name| format!("{TLS}{name}"));
        for (text, environment, words) in [
            (
                "",
                &[(&*cert, "c")][..],
                "variable PENSTOCK__GATEWAY__MQTT_TLS__CERT is refused: missing field",
            ),
            (FILE, &[(&*lock, "k")], "__LOCK is refused: unknown field `lock`"),
            (FILE, &[("HTTP__LISTEN", "127.0.0.1:1")], "TOML parse error at line 1"),
            (FILE, &[], "missing field `key`"),
            ("", &[(&*cert, "c"), ("HTTP__LISTN", "x")], "__CERT is refused: missing field"),
            ("", &[("HTTP__LISTN", "x")], "__LISTN is refused: unknown field `listn`"),
        ] {
            let told = read_with(text, environment).expect_err(words);
            assert!(told.contains(words), "{environment:?}: {told}");
        }
    }
}
