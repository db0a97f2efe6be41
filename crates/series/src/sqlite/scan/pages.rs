//! A page of rows: what comes behind the last one, in the order of an index.

use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use super::super::naming::Naming;
use super::sources::{Beside, Of, SERIES_COUNT, Source};
use crate::scan::{BATCH_ROWS, Builder, Scan};

pub(super) struct Page<'a> {
    pub(super) source: &'static Source,
    pub(super) naming: &'static Naming,
    pub(super) tenant: &'a str,
    pub(super) beside: Beside<'a>,
    pub(super) scan: &'a Scan,
    /// The key of the last row; empty at the beginning.
    pub(super) after: &'a mut Vec<Value>,
    /// Most rows the batch is to have.
    pub(super) rows: usize,
}

impl Page<'_> {
    /// Reads on until the builder is full; `true` when there is no more.
    pub(super) fn read(self, connection: &Connection, builder: &mut Builder) -> rusqlite::Result<bool> {
        let Source { of, columns, key, .. } = self.source;
        let devices =
            self.scan.devices.as_ref().filter(|_| *of == Of::Tenant && self.source.device.is_some());
        let devices = devices.map(|devices| {
            let names: Vec<String> = devices.iter().map(|name| quoted(name)).collect();
            format!("[{}]", names.join(","))
        });
        let (from, to) = (self.scan.times.start().nanos(), self.scan.times.end().nanos());
        let scope: &dyn ToSql = match self.beside.series {
            Some(series) => &series.no,
            None => &self.tenant,
        };
        let want = BATCH_ROWS.min(self.rows).saturating_sub(builder.rows());
        let want = i64::try_from(want).unwrap_or(i64::MAX);
        let mut given: Vec<&dyn ToSql> = vec![scope, &from, &to, &want, &devices];
        given.extend(self.after.iter().map(|value| value as &dyn ToSql));
        let sql = self.statement(devices.is_some(), builder);
        let mut statement = connection.prepare_cached(&sql)?;
        // Where a table has no time or no devices are named, the statement does not speak of them.
        for (n, value) in given.iter().enumerate() {
            if n < statement.parameter_count() {
                statement.raw_bind_parameter(n + 1, value)?;
            }
        }
        let mut rows = statement.raw_query();
        let mut count = 0;
        let mut last = Vec::new();
        while let Some(row) = rows.next()? {
            (self.source.put)(row, builder, &self.beside)?;
            count += 1;
            if count == want {
                let first = columns.len();
                last = (first..first + key.len()).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?;
            }
        }
        drop(rows);
        *self.after = last;
        Ok(count < want)
    }

    fn statement(&self, by_device: bool, builder: &Builder) -> String {
        let Source { of, from, columns, key, time, device, .. } = self.source;
        // Nobody counts what nobody asked for: it is most of the work.
        let count = |at: usize| if builder.wants(at) { self.naming.series_count } else { "0" };
        let columns = columns.iter().enumerate();
        let columns = columns.map(|(at, &column)| if column == SERIES_COUNT { count(at) } else { column });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let key = key.join(", ");
        let scope = match of {
            Of::Series => "series",
            Of::Tenant => self.source.tenant,
        };
        let mut sql = format!("SELECT {columns}, {key} FROM {from} WHERE {scope} = ?1");
        if let Some(time) = time {
            sql += &format!(" AND {time} <= ?3");
            // Of two lower bounds SQLite might seek by the wrong one, and read from the beginning for every page.
            if self.after.is_empty() || self.source.key.first() != Some(time) {
                sql += &format!(" AND {time} >= ?2");
            }
        }
        if let Some(device) = device.filter(|_| by_device) {
            sql += &format!(" AND {device} IN (SELECT value FROM json_each(?5))");
        }
        if !self.after.is_empty() {
            let places: Vec<String> = (0..self.after.len()).map(|n| format!("?{}", n + 6)).collect();
            sql += &format!(" AND ({key}) > ({})", places.join(", "));
        }
        sql + &format!(" ORDER BY {key} LIMIT ?4")
    }
}

/// A text of JSON.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            letter if letter < ' ' => json += &format!("\\u{:04x}", u32::from(letter)),
            letter => json.push(letter),
        }
    }
    json + "\""
}
