//! What the table of a type is called: as the type is, unless somebody else's is called so.

use parking_lot::Mutex;
use series::scan::Shape;
use series::{Result, Snapshot};

use super::roster::Roster;

/// The columns of a wide table that are not its own.
const FIXED: usize = 3;

/// Who has which name. A table of docs/sql.md has its own, and a measurement that has fields or tags. A type whose name is taken has
/// underscores behind it, as many as it takes.
pub(super) struct Names<'n> {
    pub(super) store: &'n dyn Snapshot,
    pub(super) roster: &'n Mutex<Roster>,
}

/// Whether a table is nothing but one metric of one part: it says no more than `telemetry` does.
pub(super) fn gives_way(table: &Shape) -> bool {
    let own = || table.schema.fields().iter().skip(FIXED).map(|field| field.name().as_str());
    let wide = table.device == Some(2) && table.metric.is_none() && table.own && own().next().is_some();
    wide && own().all(|field| ["value", "value_lat", "value_lng"].contains(&field))
}

impl Names<'_> {
    /// The name of a type's table.
    pub(super) fn of(&self, device_type: &str) -> Result<String> {
        let mut name = device_type.to_owned();
        while self.is_taken(&name, device_type)? {
            name.push('_');
        }
        Ok(name)
    }

    /// The type whose table has a name.
    pub(super) fn find(&self, name: &str) -> Result<Option<String>> {
        let mut device_type = name;
        loop {
            let is_one = self.roster.lock().has(device_type);
            if is_one && self.of(device_type)? == name {
                return Ok(Some(device_type.to_owned()));
            }
            match device_type.strip_suffix('_') {
                Some(shorter) => device_type = shorter,
                None => return Ok(None),
            }
        }
    }

    fn is_taken(&self, name: &str, device_type: &str) -> Result<bool> {
        let is_other = name != device_type && self.roster.lock().has(name);
        if name == crate::alerts::TABLE || is_other {
            return Ok(true);
        }
        Ok(self.store.table(name)?.is_some_and(|table| !gives_way(&table)))
    }
}
