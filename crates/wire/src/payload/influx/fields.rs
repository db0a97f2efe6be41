//! The fields of a line, and their types.

use record::{IdError, Readings, ValueRef, limits};

use super::scan::{Name, Scanner, Token, unescape};
use crate::payload::number::{self, Number};
use crate::payload::reason::{Problem, Reason, ValueError, excerpt};
use crate::payload::scratch::Notes;

/// Stages the fields of a line. `name` holds the measurement and is built upon.
pub(super) fn read(
    scanner: &mut Scanner<'_>,
    name: &mut String,
    measurement: Name<'_>,
    tags: &str,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<(), Reason> {
    let measurement_bytes = name.len();
    scanner.spaces();
    // Each field's name is built from these, so their length is bounded before, not for each field again.
    let stem_bytes = measurement_bytes + tags.len();
    if stem_bytes > limits::METRIC_NAME_BYTES {
        let (what, max) = ("the metric name of measurement and tags", limits::METRIC_NAME_BYTES);
        return Err(Problem::Id(IdError::TooLong { what, got: stem_bytes, max }).at(scanner.at()));
    }
    loop {
        if read_expected(scanner, &name[..measurement_bytes], tags, readings, notes)? {
            if !scanner.more_fields()? {
                return Ok(());
            }
            continue;
        }
        let key_at = scanner.at();
        let (key, token) = scanner.field()?;
        name.truncate(measurement_bytes);
        if key.raw != "value" {
            name.push('.');
            key.append_to(name);
        }
        if !tags.is_empty() {
            name.extend(["{", tags, "}"]);
        }
        match readings.metric(name) {
            Ok(metric) => {
                if notes.is_twice(metric) {
                    return Err(Problem::Twice(excerpt(key.raw)).at(key_at));
                }
                match value(token, &mut notes.text) {
                    Ok(Ok(value)) => readings.stage(metric, value),
                    Ok(Err(error)) => {
                        let metric = excerpt(&format!("{}.{}", measurement.raw, key.raw));
                        notes.reject(Problem::Value { metric, error }.at(key_at));
                    }
                    Err(what) => return Err(Problem::Line(what).at(key_at)),
                }
            }
            Err(error) => notes.reject(Problem::Id(error).at(key_at)),
        }
        if !scanner.more_fields()? {
            return Ok(());
        }
    }
}

/// Stages the field at hand if it is what most are: the metric that comes behind the one before, and a plain number.
/// Otherwise nothing has happened.
#[inline]
fn read_expected(
    scanner: &mut Scanner<'_>,
    measurement: &str,
    tags: &str,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<bool, Reason> {
    let key_at = scanner.at();
    let key = readings.metric_in_turn().and_then(|next| key_of(next, measurement, tags));
    let Some(key) = key else { return Ok(false) };
    let Some(value) = scanner.plain_field(key) else { return Ok(false) };
    let metric = readings.take_metric_in_turn();
    if notes.is_twice(metric) {
        let key = key_of(readings.metric_name(metric), measurement, tags).unwrap_or_default();
        return Err(Problem::Twice(excerpt(key)).at(key_at));
    }
    readings.stage(metric, value);
    Ok(true)
}

/// The field that becomes a metric of that name, if there is one.
#[inline]
fn key_of<'n>(metric: &'n str, measurement: &str, tags: &str) -> Option<&'n str> {
    let key = metric.strip_prefix(measurement)?.strip_prefix('.')?;
    let key = match key.split_once('{') {
        None => Some(key).filter(|_| tags.is_empty()),
        Some((key, rest)) => Some(key).filter(|_| !tags.is_empty() && rest.strip_suffix('}') == Some(tags)),
    }?;
    // A field called `value` has the name of its measurement.
    (!matches!(key, "" | "value")).then_some(key)
}

/// A field's value; the outer error when it is no line protocol.
fn value<'a: 'b, 'b>(
    token: Token<'a>,
    buffer: &'b mut String,
) -> Result<Result<ValueRef<'b>, ValueError>, &'static str> {
    let text = match token {
        Token::Quoted(raw) => {
            buffer.clear();
            unescape(raw, |byte| matches!(byte, b'"' | b'\\'), buffer);
            if buffer.len() > limits::TEXT_VALUE_BYTES {
                return Ok(Err(ValueError::TextLength));
            }
            return Ok(Ok(ValueRef::Text(buffer)));
        }
        Token::Bare(text) => text,
    };
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Ok(Ok(ValueRef::Bool(true))),
        "f" | "F" | "false" | "False" | "FALSE" => return Ok(Ok(ValueRef::Bool(false))),
        _ => {}
    }
    if let Some(digits) = text.strip_suffix('i') {
        return integer(digits, true).ok_or("an integer is digits and i");
    }
    if let Some(digits) = text.strip_suffix('u') {
        return integer(digits, false).ok_or("an unsigned integer is digits and u");
    }
    float(text)
        .ok_or("a field's value is a number, an integer such as 1i, true, false or a text in double quotes")
}

fn integer(text: &str, signed: bool) -> Option<Result<ValueRef<'static>, ValueError>> {
    let digits = if signed { text.strip_prefix('-').unwrap_or(text) } else { text };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map(ValueRef::Int).map_err(|_| ValueError::IntegerRange))
}

/// Without a suffix every number is a float, `1` too.
fn float(text: &str) -> Option<Result<ValueRef<'static>, ValueError>> {
    let number = match number::json(text, 0) {
        Ok((Number::Int(n), end)) if end == text.len() => n as f64,
        Ok((Number::Float(x), end)) if end == text.len() => x,
        // Line protocol also knows 1., .5, +1 and 007; but not inf and nan.
        _ if text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) => {
            text.parse().ok()?
        }
        _ => return None,
    };
    Some(if number.is_finite() { Ok(ValueRef::Float(number)) } else { Err(ValueError::FloatRange) })
}
