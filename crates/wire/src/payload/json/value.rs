//! JSON values as values of readings.

use record::{ValueRef, limits};

use super::scan::{Fault, Scanner};
use crate::payload::number::Number;
use crate::payload::reason::ValueError;

/// The value at hand; the inner error when it is JSON but no value.
#[inline]
pub(super) fn value<'a: 'b, 'b>(
    scanner: &mut Scanner<'a>,
    buffer: &'b mut String,
) -> Result<Result<ValueRef<'b>, ValueError>, Fault> {
    Ok(match scanner.peek() {
        Some(b'-' | b'0'..=b'9') => match scanner.number()?.0 {
            Number::Int(n) => Ok(ValueRef::Int(n)),
            Number::Float(x) => Ok(ValueRef::Float(x)),
            Number::IntegerRange => Err(ValueError::IntegerRange),
            Number::FloatRange => Err(ValueError::FloatRange),
        },
        Some(b'"') => match scanner.string()?.text(buffer) {
            text if text.len() > limits::TEXT_VALUE_BYTES => Err(ValueError::TextLength),
            text => Ok(ValueRef::Text(text)),
        },
        Some(b't') => scanner.literal("true").map(|()| Ok(ValueRef::Bool(true)))?,
        Some(b'f') => scanner.literal("false").map(|()| Ok(ValueRef::Bool(false)))?,
        Some(b'{') => location(scanner, buffer)?,
        Some(b'[') => scanner.skip().map(|()| Err(ValueError::Array))?,
        _ => scanner.literal("null").map(|()| Err(ValueError::Null))?,
    })
}

/// Which part of a location a key names.
pub(super) fn is_latitude(key: &str) -> Option<bool> {
    match key {
        "lat" | "latitude" => Some(true),
        "lng" | "lon" | "longitude" => Some(false),
        _ => None,
    }
}

fn location(
    scanner: &mut Scanner<'_>,
    buffer: &mut String,
) -> Result<Result<ValueRef<'static>, ValueError>, Fault> {
    let (mut lat, mut lng) = (None, None);
    let (mut any, mut odd) = (false, false);
    let mut more = scanner.open(b'}')?;
    while more {
        let part = is_latitude(scanner.key()?.text(buffer));
        let is_number = matches!(scanner.peek(), Some(b'-' | b'0'..=b'9'));
        match part {
            Some(is_lat) if is_number => {
                let place = if is_lat { &mut lat } else { &mut lng };
                let degrees = match scanner.number()?.0 {
                    Number::Float(x) => x,
                    Number::Int(n) => n as f64, // out of range where it would not be exact
                    Number::IntegerRange | Number::FloatRange => f64::NAN,
                };
                odd |= place.replace(degrees).is_some();
            }
            _ => {
                odd = true;
                scanner.skip()?;
            }
        }
        any |= part.is_some();
        more = scanner.more(b'}')?;
    }
    Ok(match (lat, lng) {
        (Some(lat), Some(lng)) if !odd => on_earth(lat, lng),
        _ if any => Err(ValueError::Location),
        _ => Err(ValueError::Object),
    })
}

pub(super) fn on_earth(lat: f64, lng: f64) -> Result<ValueRef<'static>, ValueError> {
    if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lng) {
        Ok(ValueRef::Location { lat, lng })
    } else {
        Err(ValueError::Location)
    }
}
