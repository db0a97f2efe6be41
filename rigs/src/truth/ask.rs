//! Asks a server by SQL, over HTTP, as any client would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use record::{Timestamp, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::found::{Found, Letter, WindowFound};
use super::model::{Account, Key, WindowKey};
use super::scenario::{MINUTE, Nanos};
use super::windows::Numbers;

/// Longer than any of these answers takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who asks.
#[derive(Debug)]
pub struct Asker {
    url: String,
    token: String,
    agent: ureq::Agent,
}

/// A row of an answer: cells as they were written, because a float must come through to its last bit.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Row(BTreeMap<String, Box<RawValue>>);

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

impl Row {
    /// A cell as JSON; `None` when it is null.
    ///
    /// # Errors
    /// There is no such column.
    pub fn cell(&self, column: &str) -> anyhow::Result<Option<&str>> {
        let cell = self.0.get(column).with_context(|| format!("the answer has no column {column}"))?.get();
        Ok((cell != "null").then_some(cell))
    }

    /// A cell as text.
    ///
    /// # Errors
    /// There is no such column, or it holds no text.
    pub fn text(&self, column: &str) -> anyhow::Result<Option<String>> {
        self.cell(column)?.map(|cell| Ok(serde_json::from_str(cell)?)).transpose()
    }

    /// A number; whatever Rust reads the digits as, to the last bit.
    ///
    /// # Errors
    /// There is no such column, or it holds no such number.
    pub fn number<T: std::str::FromStr>(&self, column: &str) -> anyhow::Result<T> {
        let cell = self.cell(column)?.with_context(|| format!("{column} is null"))?;
        cell.parse().map_err(|_| anyhow::anyhow!("{column} is {cell}"))
    }

    fn name(&self, column: &str) -> anyhow::Result<String> {
        self.text(column)?.with_context(|| format!("{column} is null"))
    }

    fn time(&self, column: &str) -> anyhow::Result<Nanos> {
        Ok(Timestamp::parse_rfc3339(&self.name(column)?)?.nanos())
    }

    fn is_true(&self, column: &str) -> anyhow::Result<bool> {
        Ok(matches!(self.cell(column)?, Some("1" | "true")))
    }

    /// The value in `value`, `text`, `lat`, `lng` and `kind`.
    fn value(&self, prefix: &str) -> anyhow::Result<Value> {
        let column = |name: &str| format!("{prefix}{name}");
        Ok(match self.name(&column("kind"))?.as_str() {
            "float" => Value::Float(self.number(&column("value"))?),
            "integer" => Value::Int(self.number(&column("value"))?),
            "boolean" => Value::Bool(self.is_true(&column("value"))?),
            "text" => Value::Text(self.name(&column("text"))?),
            "location" => {
                Value::Location { lat: self.number(&column("lat"))?, lng: self.number(&column("lng"))? }
            }
            other => bail!("a value of kind {other}"),
        })
    }

    /// Device, metric, the device's time and sequence number.
    fn key(&self) -> anyhow::Result<Key> {
        let claimed = if self.cell("device_time")?.is_some() { "device_time" } else { "time" };
        Ok(Key {
            device: self.name("device_id")?,
            metric: self.name("metric")?,
            time: self.time(claimed)?,
            seq: if self.cell("seq")?.is_some() { Some(self.number("seq")?) } else { None },
        })
    }
}

impl Asker {
    /// Asks this server with this token.
    #[must_use]
    pub fn new(http: SocketAddr, token: &str) -> Self {
        let config = ureq::Agent::config_builder();
        let agent = config.timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into();
        Self { url: format!("http://{http}/v1/sql"), token: token.to_owned(), agent }
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// The server does not answer, or refuses the statement.
    pub fn rows(&self, statement: &str) -> anyhow::Result<Vec<Row>> {
        let mut request = self.agent.post(&self.url).content_type("application/json");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let body = serde_json::json!({ "query": statement }).to_string();
        let mut answer = request.send(body).context("the server does not answer")?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        ensure!(status.is_success(), "{statement}: {status}: {text}");
        let table: Table =
            serde_json::from_str(&text).with_context(|| format!("{statement}: {text:.200}"))?;
        Ok(table.rows)
    }

    /// Everything the tenant has.
    ///
    /// # Errors
    /// The server does not answer, or not as documented.
    pub fn everything(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        for row in self.rows("SELECT * FROM telemetry")? {
            self.reading(&row, &mut found)?;
        }
        for row in self.rows("SELECT * FROM late")? {
            found.late.push(row.key()?);
        }
        for row in self.rows("SELECT * FROM corrections")? {
            found.replaced.push((row.key()?, row.value("old_")?));
        }
        for row in self.rows("SELECT payload, reading, reason FROM dlq")? {
            let index = row.cell("reading")?.map(str::parse).transpose()?;
            found.dead.push(Letter { payload: row.name("payload")?, index, reason: row.name("reason")? });
        }
        for row in self.rows("SELECT * FROM aggregations")? {
            let (key, window) = window(&row)?;
            ensure!(found.windows.insert(key.clone(), window).is_none(), "{key:?} has two rows");
        }
        for row in self.rows("SELECT * FROM ledger")? {
            add(&row, &mut found)?;
        }
        Ok(found)
    }

    /// The windows of a device.
    ///
    /// # Errors
    /// The server does not answer, or not as documented.
    pub fn windows_of(&self, device: &str) -> anyhow::Result<BTreeMap<WindowKey, WindowFound>> {
        let rows = self.rows(&format!("SELECT * FROM aggregations WHERE device_id = '{device}'"))?;
        rows.iter().map(window).collect()
    }

    fn reading(&self, row: &Row, found: &mut Found) -> anyhow::Result<()> {
        let (key, value) = (row.key()?, row.value("")?);
        let (time, arrived_at) = (row.time("time")?, row.time("arrived_at")?);
        if row.name("clock")? == "server" {
            ensure!(time == arrived_at, "{key:?} has the server's time, but not that of its arrival");
            found.clockless.push((Key { time, seq: None, ..key }, value));
        } else {
            ensure!(time == key.time, "{key:?} has another time than the device said");
            found.rows.push((key, value));
        }
        Ok(())
    }
}

fn window(row: &Row) -> anyhow::Result<(WindowKey, WindowFound)> {
    let length = match row.name("window")?.as_str() {
        "1m" => MINUTE,
        "5m" => 5 * MINUTE,
        other => bail!("a window of {other}"),
    };
    let start = row.time("window_start")?;
    ensure!(row.time("window_end")? == start + length, "a window of {length} ns has another end");
    let key = WindowKey { device: row.name("device_id")?, metric: row.name("metric")?, length, start };
    let numbers = Numbers {
        count: row.number("count")?,
        sum: row.number("sum")?,
        avg: row.number("avg")?,
        min: row.number("min")?,
        max: row.number("max")?,
        stddev: row.number("stddev")?,
        p95: row.number("p95")?,
        first: row.number("first")?,
        last: row.number("last")?,
    };
    Ok((key, WindowFound { numbers, revised: row.is_true("revised")? }))
}

fn add(row: &Row, found: &mut Found) -> anyhow::Result<()> {
    let Account { accepted, stored, duplicate, dead, late, corrected } = &mut found.account;
    for (sum, column) in [
        (accepted, "accepted"),
        (stored, "stored"),
        (duplicate, "duplicate"),
        (dead, "dead_lettered"),
        (late, "late"),
        (corrected, "corrected"),
        (&mut found.shed, "shed"),
    ] {
        *sum += row.number::<i64>(column)?;
    }
    ensure!(row.number::<i64>("residue")? == 0, "a line of the ledger does not balance: {row:?}");
    Ok(())
}
