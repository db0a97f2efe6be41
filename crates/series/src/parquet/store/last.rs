//! The last reading of each metric of a device, as it is kept in the manifest: by metric's number, its times and value.
//!
//! ```text
//! version u8 = 1, then for each metric by rising number:
//! number LEB128 · origin u8 · seq LEB128 · time, claimed, arrived_at i64 · kind u8 · value as in a run's exceptions
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use record::{TimeOrigin, Timestamp, Value, ValueRef, When};

use crate::Error;
use crate::parquet::ColumnNo;
use crate::parquet::run::{read_value, varint, write_value};

const VERSION: u8 = 1;

/// The last readings of a device.
pub(super) type LastRow = BTreeMap<ColumnNo, (When, Value)>;

/// What the later of two readings of a series is decided by.
pub(super) fn order(when: &When) -> (Timestamp, u64, Timestamp) {
    (when.time, when.seq, when.claimed)
}

/// A last row that cannot be read.
pub(super) fn damaged(manifest: &Path, device: u32) -> Error {
    Error::Damaged {
        place: manifest.display().to_string(),
        at: format!("the last row of device {device}"),
        reason: "it cannot be read".to_owned(),
    }
}

pub(super) fn encode(row: &LastRow) -> Vec<u8> {
    let mut to = vec![VERSION];
    for (no, (when, value)) in row {
        varint::put(&mut to, u64::from(no.0));
        to.push(when.origin as u8);
        varint::put(&mut to, when.seq);
        for time in [when.time, when.claimed, when.arrived_at] {
            to.extend_from_slice(&time.nanos().to_le_bytes());
        }
        write_value(&mut to, value.as_ref());
    }
    to
}

/// `None` where the bytes make no sense.
pub(super) fn decode(bytes: &[u8]) -> Option<LastRow> {
    decode_of(bytes, |_| true)
}

/// The readings of some metrics.
pub(super) fn decode_of(bytes: &[u8], wants: impl Fn(ColumnNo) -> bool) -> Option<LastRow> {
    let mut from = varint::Bytes(bytes);
    if from.byte()? != VERSION {
        return None;
    }
    let mut row = LastRow::new();
    while !from.0.is_empty() {
        let no = ColumnNo(u32::try_from(from.get()?).ok()?);
        let origin = TimeOrigin::from_number(from.byte()?)?;
        let seq = from.get()?;
        let mut time = || from.array().map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(bytes)));
        let (time, claimed, arrived_at) = (time()?, time()?, time()?);
        let value: ValueRef<'_> = read_value(&mut from)?;
        if wants(no) {
            row.insert(no, (When { time, origin, arrived_at, claimed, seq }, value.to_value()));
        }
    }
    Some(row)
}
