//! `penstock export`: tables of a server as files that others read (docs/import-export.md).

mod folder;
mod pages;
mod part;
mod tables;

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use anyhow::{Context, bail};
use record::Timestamp;
use serde_json::{Value, json};

use folder::{Folder, Manifest, Settings};
use pages::{DAY_NANOS, Day, Pages};
use part::{Format, Writing};
use server::files::Columns;
pub(crate) use server::files::NANOS;
use tables::{Filter, Name, Span, Table};

use crate::bar::{Bar, Unit};
use crate::client::Server;
use crate::query::{csv_of, table_of};
use crate::{Answer, WrongUse};

/// Batches between the one that asks and the one that writes: the next page is asked for while one is written.
const AHEAD: usize = 16;

#[derive(clap::Args)]
pub(crate) struct Export {
    /// The folder to write to; the table gets one of its name within
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// What is exported
    #[arg(long, value_enum, default_value_t)]
    table: Name,
    /// From the date of this time on: 2026-11-20, RFC 3339, or a number since the epoch. Dates (UTC) are exported whole
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Up to this time; a date of which a part lies before it is exported whole
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Of this device only; may be given several times
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<String>,
    /// Of this metric only; may be given several times
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// The format of the files
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    /// How exactly columns of times are typed (Parquet, Avro)
    #[arg(long, value_enum, default_value_t)]
    times: Times,
    /// Also replaces dates that have fewer rows now than in the folder, and removes those that have none. Without it they stay as
    /// they are: what the server no longer keeps is not taken from the files
    #[arg(long)]
    shrink: bool,
    /// How the list of what was written is printed
    #[arg(long, value_enum, default_value_t)]
    summary: crate::query::Format,
    #[command(flatten)]
    server: Server,
}

/// What an export came to.
#[derive(Default)]
struct Done {
    dates: Vec<Manifest>,
    removed: Vec<String>,
    /// Dates that are in the folder and not on the server.
    gone: Vec<String>,
    /// Dates with fewer rows on the server than in the folder, with both.
    smaller: Vec<(String, u64, u64)>,
    /// Whether times had digits below the microsecond.
    finer: bool,
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let table = self.table.table();
        if let Some(wrong) = self.wrong_use(&table) {
            bail!(WrongUse(wrong));
        }
        self.server.reach()?;
        let bar = Bar::new();
        let told = |words: &str| bar.say(words);
        let filter = Filter { devices: sorted(&self.devices), metrics: sorted(&self.metrics) };
        let pages = Pages { server: &self.server, table: &table, filter: &filter, told: &told };
        let columns = Columns::new(&*pages.schema()?, self.times.into())?;
        let names = columns.schema.fields().iter().map(|field| field.name().clone()).collect();
        let settings = Settings {
            columns: names,
            devices: filter.devices.clone(),
            metrics: filter.metrics.clone(),
            ..Settings::new(table.name, self.format.name())
        };
        let span = self.span();
        let days = pages.days(span)?;
        let folder = Folder::open(&self.to, &settings)?;
        let writing = Writing::new(self.format, table.name, columns.schema.clone())?;
        bar.expect(days.iter().map(|(_, rows)| rows).sum(), Unit::Rows);
        let mut done = Done::default();
        for (day, rows) in days.into_iter().filter(|(_, rows)| *rows > 0) {
            let before = folder.rows_before(day).filter(|_| table.time.is_some() && !self.shrink);
            if let Some(before) = before.filter(|before| *before > rows) {
                done.smaller.push((folder::date_of(day), before, rows));
                bar.add(rows);
                continue;
            }
            done.dates.push(one_date(
                &pages,
                &folder,
                &columns,
                &writing,
                &bar,
                (day, rows),
                &mut done.finer,
            )?);
        }
        if table.time.is_some() {
            self.find_gone(&folder, span, &mut done)?;
        }
        folder.succeed(&summary_of(&done.dates))?;
        bar.finish();
        self.report(&done);
        Ok(if done.smaller.is_empty() { Answer::Yes } else { Answer::No })
    }

    /// Dates of the span that were exported before and have no rows any more.
    fn find_gone(&self, folder: &Folder, span: Span, done: &mut Done) -> anyhow::Result<()> {
        let (from, to) = (folder::date_of(first_day(span)), folder::date_of(last_day(span)));
        for date in folder.dates()? {
            let written = done.dates.iter().map(|manifest| &manifest.date);
            let there = written.chain(done.smaller.iter().map(|(date, ..)| date)).any(|there| *there == date);
            if there || date < from || date > to {
                continue;
            }
            if self.shrink {
                folder.remove(&date)?;
                done.removed.push(date);
            } else {
                done.gone.push(date);
            }
        }
        Ok(())
    }

    fn wrong_use(&self, table: &Table) -> Option<String> {
        let name = table.name;
        if !self.metrics.is_empty() && table.metric.is_none() {
            return Some(format!("--metric: the table {name} has no metrics"));
        }
        if !self.devices.is_empty() && table.device.is_none() {
            return Some(format!("--device: the table {name} cannot be narrowed to devices"));
        }
        if (self.since.is_some() || self.until.is_some()) && table.time.is_none() {
            return Some(format!("--since, --until: the table {name} is exported as it is now"));
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Some("--since is not before --until".to_owned());
        }
        if self.to.exists() && !self.to.is_dir() {
            return Some(format!("--to: {} is no folder", self.to.display()));
        }
        None
    }

    /// The whole dates asked for.
    fn span(&self) -> Span {
        let from = self.since.map_or(i64::MIN, |since| {
            since.nanos().div_euclid(DAY_NANOS).checked_mul(DAY_NANOS).unwrap_or(i64::MIN)
        });
        let to = self.until.map_or(i64::MAX, |until| {
            let last = until.nanos().saturating_sub(1).div_euclid(DAY_NANOS);
            last.checked_add(1).and_then(|next| next.checked_mul(DAY_NANOS)).map_or(i64::MAX, |next| next - 1)
        });
        Span { from, to }
    }

    #[allow(clippy::print_stdout)] // stdout is data
    fn report(&self, done: &Done) {
        let rows: Vec<Value> = done
            .dates
            .iter()
            .flat_map(|date| date.files.iter().map(move |file| (date, file)))
            .map(|(date, file)| {
                let path = self.to.join(self.table.table().name).join(format!("date={}", date.date));
                json!({
                    "file": path.join(&file.name).display().to_string(),
                    "date": date.date, "rows": file.rows, "size_bytes": file.size_bytes,
                })
            })
            .collect();
        let names = ["date", "rows", "size_bytes", "file"];
        match self.summary {
            crate::query::Format::Table => println!("{}", table_of(&names, &rows)),
            crate::query::Format::Csv => println!("{}", csv_of(&names, &rows)),
            crate::query::Format::Json => {
                let mut summary = summary_of(&done.dates);
                summary["files"] = rows.into();
                summary["removed"] = done.removed.clone().into();
                println!("{summary}");
            }
        }
        let total: u64 = done.dates.iter().map(|date| date.rows).sum();
        eprintln!("penstock: {total} rows of {} dates are in {}", done.dates.len(), self.to.display());
        for date in &done.removed {
            eprintln!("penstock: {date} has no rows any more and was removed");
        }
        for (date, before, now) in &done.smaller {
            eprintln!(
                "penstock: {date} has {before} rows in the folder and {now} on the server: it stays as it is; --shrink replaces it"
            );
        }
        if let (Some(first), Some(last)) = (done.gone.first(), done.gone.last()) {
            eprintln!(
                "penstock: {} dates from {first} to {last} are in the folder and not on the server, and stay; --shrink removes them",
                done.gone.len()
            );
        }
        if done.finer && self.format != Format::Csv {
            eprintln!(
                "penstock: some times are finer than a microsecond: their last three digits are in the columns …{NANOS} \
                 (--times ns for nanoseconds in one column)"
            );
        }
    }
}

/// Writes one date.
fn one_date(
    pages: &Pages<'_>,
    folder: &Folder,
    columns: &Columns,
    writing: &Writing,
    bar: &Bar,
    (day, rows): (Day, u64),
    finer: &mut bool,
) -> anyhow::Result<Manifest> {
    let mut date = folder.date(day, writing)?;
    let writer = &mut date;
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        let asking = scope.spawn(move || pages.send(span_of(day), rows, &send));
        // Moved in, so that the one who asks ends when this one does.
        let written = move || -> anyhow::Result<()> {
            for batch in receive {
                let (batch, is_finer) = columns.convert(&batch)?;
                *finer |= is_finer;
                writer.write(&batch)?;
                bar.add(batch.num_rows() as u64);
            }
            Ok(())
        };
        let written = written();
        let asked = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and(asked)
    })?;
    folder.replace(date)
}

/// How exactly times are kept in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Times {
    /// Microseconds, for every reader; what is finer stands in columns of its own, such as time_nanos
    #[default]
    Us,
    /// Nanoseconds, for readers that know them: DuckDB, pandas, Polars
    Ns,
}

impl From<Times> for server::files::Times {
    fn from(times: Times) -> Self {
        match times {
            Times::Us => Self::Us,
            Times::Ns => Self::Ns,
        }
    }
}

/// A day, as far as there are times in it.
fn span_of(day: Day) -> Span {
    let from = day.checked_mul(DAY_NANOS).unwrap_or(i64::MIN);
    Span { from, to: from.checked_add(DAY_NANOS - 1).unwrap_or(i64::MAX) }
}

fn first_day(span: Span) -> Day {
    span.from.div_euclid(DAY_NANOS)
}

fn last_day(span: Span) -> Day {
    span.to.div_euclid(DAY_NANOS)
}

fn summary_of(dates: &[Manifest]) -> Value {
    let rows: u64 = dates.iter().map(|date| date.rows).sum();
    json!({ "version": 1, "rows": rows, "finished_at": query::rfc3339(Timestamp::now()), "dates": dates })
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    let read = query::parse_rfc3339(text).map_or_else(|| Timestamp::parse(text, None), Ok);
    read.with_context(|| {
        format!("{text:?} is no time: write 2026-11-20, 2026-11-20T12:00:00Z, or a number since 1970")
    })
}
