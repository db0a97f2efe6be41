//! One element: an object, or a value on its own.

use record::{DeviceNo, Readings};

use super::Stop;
use super::object::Object;
use super::scan::{Fault, Scanner};
use super::value::value;
use crate::payload::Message;
use crate::payload::reason::{Problem, Reason, excerpt};
use crate::payload::scratch::{Element, Notes};

/// Reads the element at hand, an object or, `alone`, a bare value; commits its readings or notes why not.
pub(super) fn element(
    scanner: &mut Scanner<'_>,
    alone: bool,
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let (start, first_row, rejected_before) = (scanner.at(), readings.len(), notes.rejected.len());
    let mark = readings.mark();
    notes.next_element();
    let outcome = if scanner.peek() == Some(b'{') {
        // The buffer is lent out, as the key in it is needed while notes are taken.
        let mut key_buffer = std::mem::take(&mut notes.key);
        let outcome = Object::new(message, readings, notes, start).read(scanner, &mut key_buffer);
        notes.key = key_buffer;
        outcome?
    } else {
        bare(scanner, alone, message, readings, notes)?
    };
    let device = match outcome {
        Ok(device) => Some(device),
        Err(reason) => {
            readings.rollback(&mark);
            notes.rejected.truncate(rejected_before);
            notes.reject(reason);
            None
        }
    };
    let element = Element { range: start..scanner.at(), device, rows: first_row..readings.len() };
    notes.element(element, rejected_before, readings).map_err(Stop::TooMany)
}

/// A value on its own, on a topic that names its metric.
fn bare(
    scanner: &mut Scanner<'_>,
    alone: bool,
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<Result<DeviceNo, Reason>, Fault> {
    let at = scanner.at();
    let Some(metric) = message.metric.filter(|_| alone) else {
        scanner.skip()?;
        return Ok(Err(Problem::Shape(match alone {
            true => "a value on its own needs a topic that names its metric",
            false => "an element of an array must be an object",
        })
        .at(at)));
    };
    let value = match value(scanner, &mut notes.text)? {
        Ok(value) => value,
        Err(error) => return Ok(Err(Problem::Value { metric: excerpt(metric), error }.at(at))),
    };
    let Some(device) = message.device else { return Ok(Err(Problem::NoDevice.at(at))) };
    Ok((|| {
        let (device, metric) = (readings.device(device)?, readings.metric(metric)?);
        readings.push(device, metric, message.when(None), value);
        Ok(device)
    })()
    .map_err(|error| Problem::Id(error).at(at)))
}
