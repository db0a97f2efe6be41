//! Reading a table in pages that the server's limits on an answer let through.
//!
//! An answer has at most 100 000 rows and 64 MiB. A date is first counted by device; devices are put together, or one device's
//! date is cut up, so that a page is likely to fit. What is refused all the same is asked for in halves: of the devices, then of the time.

use std::io::Cursor;
use std::sync::mpsc::SyncSender;

use anyhow::{Context, bail};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::SchemaRef;
use serde_json::{Value, json};

use super::tables::{Filter, Span, Table, quoted};
use crate::client::{Request, Server};

/// Rows of a page, as far as they are known beforehand: half of what an answer may have, for what arrives meanwhile.
const PAGE_ROWS: u64 = 50_000;
/// Devices of a page: their names stand in the statement.
const PAGE_DEVICES: usize = 500;
/// Devices of one answer with counts.
const COUNTED_DEVICES: usize = 20_000;
/// Rows of one instant and device that are asked for at a time, at first.
const INSTANT_ROWS: u64 = 1_000;

/// Days since the epoch.
pub(super) type Day = i64;

pub(super) const DAY_NANOS: i64 = 86_400_000_000_000;

/// Asks a server for the rows of a table.
pub(super) struct Pages<'a> {
    pub(super) server: &'a Server,
    pub(super) table: &'a Table,
    pub(super) filter: &'a Filter,
    pub(super) told: &'a (dyn Fn(&str) + Sync),
}

/// A part of a table that is asked for at once.
#[derive(Debug)]
struct Page<'d> {
    span: Span,
    /// `None`: whatever device.
    devices: Option<Vec<&'d str>>,
}

impl<'d> Page<'d> {
    fn halves(&self) -> Option<[Self; 2]> {
        if let Some(devices) = self.devices.as_ref().filter(|devices| devices.len() > 1) {
            let (first, second) = devices.split_at(devices.len() / 2);
            return Some([first, second].map(|half| Self { span: self.span, devices: Some(half.to_vec()) }));
        }
        let halves = self.span.halves()?;
        Some(halves.map(|span| Self { span, devices: self.devices.clone() }))
    }
}

/// What became of a question.
enum Found<T> {
    All(T),
    /// It is more than an answer may be.
    TooMuch(String),
}

impl Pages<'_> {
    /// The columns of the table.
    pub(super) fn schema(&self) -> anyhow::Result<SchemaRef> {
        match self.rows(&format!("SELECT * FROM {} LIMIT 0", self.table.name))? {
            Found::All((schema, _)) => Ok(schema),
            Found::TooMuch(words) => bail!("{words}"),
        }
    }

    /// The days of `span` that have rows, and how many.
    pub(super) fn days(&self, span: Span) -> anyhow::Result<Vec<(Day, u64)>> {
        let Some(time) = self.table.time else {
            let today = record::Timestamp::now().nanos().div_euclid(DAY_NANOS);
            return Ok(vec![(today, self.count()?)]);
        };
        let mut days = Vec::new();
        let mut spans = vec![span];
        while let Some(span) = spans.pop() {
            let condition = self.table.condition(span, self.filter, None);
            let sql = format!(
                "SELECT date_trunc('day', {time}) AS day, count(*) AS n FROM {} WHERE {condition} GROUP BY 1 ORDER BY 1",
                self.table.name
            );
            match self.table_of(&sql)? {
                Found::All(rows) => {
                    for row in rows {
                        let day = row["day"].as_str().and_then(query::parse_rfc3339);
                        let day =
                            day.with_context(|| format!("the server gave no day, but {}", row["day"]))?;
                        days.push((day.nanos().div_euclid(DAY_NANOS), count_of(&row)?));
                    }
                }
                // Halves at midnight: a day in two spans would be counted twice.
                Found::TooMuch(words) => {
                    let Some(middle) = midnight_within(span) else { bail!("{words}") };
                    (self.told)(&format!("{words}: counting in smaller steps"));
                    spans.push(Span { from: middle, to: span.to });
                    spans.push(Span { from: span.from, to: middle - 1 });
                }
            }
        }
        Ok(days)
    }

    /// Sends every row of a span that lies within one day, in order.
    pub(super) fn send(&self, span: Span, rows: u64, to: &SyncSender<RecordBatch>) -> anyhow::Result<()> {
        if self.table.device.is_none() {
            for span in span.parts(rows.div_ceil(PAGE_ROWS).max(1)) {
                self.fetch(Page { span, devices: None }, to)?;
            }
            return Ok(());
        }
        let mut after = None;
        loop {
            let devices = self.devices(span, after.as_deref())?;
            self.by_device(span, &devices, to)?;
            match devices.last() {
                Some((last, _)) if devices.len() == COUNTED_DEVICES => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    fn by_device(
        &self,
        span: Span,
        devices: &[(String, u64)],
        to: &SyncSender<RecordBatch>,
    ) -> anyhow::Result<()> {
        let mut together: Vec<&str> = Vec::new();
        let mut together_rows = 0;
        for (device, rows) in devices {
            if !together.is_empty() && (together_rows + rows > PAGE_ROWS || together.len() == PAGE_DEVICES) {
                self.fetch(Page { span, devices: Some(std::mem::take(&mut together)) }, to)?;
                together_rows = 0;
            }
            if *rows > PAGE_ROWS {
                for span in span.parts(rows.div_ceil(PAGE_ROWS)) {
                    self.fetch(Page { span, devices: Some(vec![device.as_str()]) }, to)?;
                }
                continue;
            }
            together.push(device);
            together_rows += rows;
        }
        if together.is_empty() {
            return Ok(());
        }
        self.fetch(Page { span, devices: Some(together) }, to)
    }

    /// The devices of a span in order, and how many rows they have.
    fn devices(&self, span: Span, after: Option<&str>) -> anyhow::Result<Vec<(String, u64)>> {
        let column = self.table.device.context("a table of devices")?;
        let condition = self.table.condition(span, self.filter, None);
        let after = after.map(|after| format!(" AND {column} > {}", quoted(after))).unwrap_or_default();
        let sql = format!(
            "SELECT {column} AS device, count(*) AS n FROM {} WHERE {condition}{after} GROUP BY 1 ORDER BY 1 \
             LIMIT {COUNTED_DEVICES}",
            self.table.name
        );
        match self.table_of(&sql)? {
            Found::All(rows) => rows
                .iter()
                .map(|row| {
                    let device = row["device"].as_str().context("the server gave no device")?;
                    Ok((device.to_owned(), count_of(row)?))
                })
                .collect(),
            Found::TooMuch(words) => bail!("{words}; narrow the export with --device"),
        }
    }

    fn count(&self) -> anyhow::Result<u64> {
        let condition = self.table.condition(Span::ALWAYS, self.filter, None);
        let sql = format!("SELECT count(*) AS n FROM {} WHERE {condition}", self.table.name);
        match self.table_of(&sql)? {
            Found::All(rows) => count_of(rows.first().context("the server counted nothing")?),
            Found::TooMuch(words) => bail!("{words}"),
        }
    }

    /// Sends a page, in halves where it is too much.
    fn fetch(&self, page: Page<'_>, to: &SyncSender<RecordBatch>) -> anyhow::Result<()> {
        let mut pages = vec![page];
        while let Some(page) = pages.pop() {
            let condition = self.table.condition(page.span, self.filter, page.devices.as_deref());
            let sql = self.select(&condition);
            match self.rows(&sql)? {
                Found::All((_, batches)) => pass_on(batches, to)?,
                Found::TooMuch(_) => match self.closer(page, &condition)?.halves() {
                    Some([first, second]) => pages.extend([second, first]),
                    None => self.by_number(&sql, to)?,
                },
            }
        }
        Ok(())
    }

    /// A page that can only be halved in time, cut down to the time its rows really are of: a burst of a second within a day would
    /// take a page seventeen halves to find.
    fn closer<'d>(&self, page: Page<'d>, condition: &str) -> anyhow::Result<Page<'d>> {
        let one_device = page.devices.as_ref().is_none_or(|devices| devices.len() == 1);
        let Some(time) = self.table.time.filter(|_| one_device) else { return Ok(page) };
        let sql = format!(
            "SELECT min({time}) AS first, max({time}) AS last FROM {} WHERE {condition}",
            self.table.name
        );
        let Found::All(rows) = self.table_of(&sql)? else { return Ok(page) };
        let nanos = |name: &str| {
            let text = rows.first().and_then(|row| row[name].as_str());
            text.and_then(query::parse_rfc3339).map(record::Timestamp::nanos)
        };
        Ok(match (nanos("first"), nanos("last")) {
            (Some(from), Some(to)) => Page { span: Span { from, to }, ..page },
            _ => page, // they are gone meanwhile
        })
    }

    /// What cannot be halved: one instant of one device, by the numbers of its rows.
    fn by_number(&self, sql: &str, to: &SyncSender<RecordBatch>) -> anyhow::Result<()> {
        let (mut skip, mut most) = (0, INSTANT_ROWS);
        loop {
            match self.rows(&format!("{sql} LIMIT {most} OFFSET {skip}"))? {
                Found::All((_, batches)) => {
                    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
                    pass_on(batches, to)?;
                    if rows < most {
                        return Ok(());
                    }
                    skip += rows;
                }
                Found::TooMuch(words) if most == 1 => bail!("{words}"),
                Found::TooMuch(_) => most /= 2,
            }
        }
    }

    fn select(&self, condition: &str) -> String {
        format!("SELECT * FROM {} WHERE {condition} ORDER BY {}", self.table.name, self.table.order())
    }

    fn table_of(&self, sql: &str) -> anyhow::Result<Found<Vec<Value>>> {
        Ok(match self.ask(sql, "application/json")? {
            Found::TooMuch(words) => Found::TooMuch(words),
            Found::All(body) => {
                let mut answer: Value =
                    serde_json::from_slice(&body).context("the server's answer is no JSON")?;
                match answer["rows"].take() {
                    Value::Array(rows) => Found::All(rows),
                    _ => bail!("the server's answer has no rows"),
                }
            }
        })
    }

    fn rows(&self, sql: &str) -> anyhow::Result<Found<(SchemaRef, Vec<RecordBatch>)>> {
        Ok(match self.ask(sql, "application/vnd.apache.arrow.stream")? {
            Found::TooMuch(words) => Found::TooMuch(words),
            Found::All(body) => {
                let reader = StreamReader::try_new(Cursor::new(body), None);
                let reader = reader.context("the server's answer is no Arrow stream")?;
                let schema = reader.schema();
                let batches: Result<Vec<_>, _> = reader.collect();
                Found::All((schema, batches.context("the server's answer is no Arrow stream")?))
            }
        })
    }

    fn ask(&self, sql: &str, accept: &str) -> anyhow::Result<Found<Vec<u8>>> {
        let body = json!({ "query": sql }).to_string();
        let request =
            Request { path: "/v1/sql", content_type: "application/json", accept, body: body.as_bytes() };
        let reply = self.server.ask_patiently(&request, &|words| (self.told)(words))?;
        match reply.status {
            200..=299 => Ok(Found::All(reply.body)),
            422 => Ok(Found::TooMuch(reply.detail())),
            status => bail!("{} ({status})", reply.detail()),
        }
    }
}

fn pass_on(batches: Vec<RecordBatch>, to: &SyncSender<RecordBatch>) -> anyhow::Result<()> {
    for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
        // It ended because it could not write, and says so itself.
        to.send(batch).ok().context("the writer has ended")?;
    }
    Ok(())
}

fn count_of(row: &Value) -> anyhow::Result<u64> {
    row["n"].as_u64().with_context(|| format!("the server gave no count, but {}", row["n"]))
}

/// A midnight about the middle of a span.
fn midnight_within(span: Span) -> Option<i64> {
    let [_, second] = span.halves()?;
    let midnight = second.from.div_euclid(DAY_NANOS).checked_mul(DAY_NANOS)?;
    [midnight, midnight.checked_add(DAY_NANOS)?]
        .into_iter()
        .find(|midnight| (span.from + 1..=span.to).contains(midnight))
}
