//! `penstock import`: history from files, through the front door (docs/import-export.md).
//!
//! The way of a row: source ▸ mapping ▸ readings ▸ portion ▸ lanes ▸ the server ▸ account. A portion is some thousand rows; its readings are
//! spread over lanes by their series, so that a series stays in order while several requests are in flight. When all of a portion is
//! answered, its rejected rows are written down and the place behind it is noted: there an import that was broken off goes on.

mod account;
mod cell;
mod csv_file;
mod kinds;
mod lanes;
mod mapping;
mod parquet_file;
mod portion;
mod reading;
mod source;
mod times;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono_tz::Tz;
use record::TimeUnit;
use serde_json::{Value, json};

use crate::bar::{Bar, Unit};
use crate::client::Server;
use crate::query::{Format, csv_of, table_of};
use crate::{Answer, WrongUse};
use account::{Account, Totals};
use kinds::Kind;
use mapping::Mapping;
use source::Source;
use times::Clock;

#[derive(clap::Args)]
pub(crate) struct Import {
    /// CSV or Parquet files, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The device that all rows are of
    #[arg(long, value_name = "ID", conflicts_with = "device_column")]
    device: Option<String>,
    /// The column with the device; device_id where there is one
    #[arg(long, value_name = "NAME")]
    device_column: Option<String>,
    /// The column with the time; time, timestamp or ts where there is one
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
    /// The unit of times that are numbers: s, ms, us, ns. Without it told from their size
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    time_unit: Option<TimeUnit>,
    /// Where the clocks of times without an offset stood: UTC, Europe/Berlin
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    time_zone: Option<Tz>,
    /// Takes times before 2000 and in the future, which the server may take for those of a clock that was reset
    #[arg(long)]
    any_time: bool,
    /// The column with the metric's name, one reading a row. Without it each column that is left is a metric
    #[arg(long, value_name = "NAME", requires = "value_column")]
    metric_column: Option<String>,
    /// The column with the value
    #[arg(long, value_name = "NAME")]
    value_column: Option<String>,
    /// The metric of all rows, where there is a column with values and none with names
    #[arg(long, value_name = "NAME", requires = "value_column", conflicts_with = "metric_column")]
    metric: Option<String>,
    /// The column with sequence numbers
    #[arg(long, value_name = "NAME")]
    seq_column: Option<String>,
    /// A column that is left out; may be given several times
    #[arg(long = "skip-column", value_name = "NAME")]
    skip: Vec<String>,
    /// The type of a metric that CSV shows wrongly: serial=text; integer, float, boolean, text; may be given several times
    #[arg(long = "type", value_name = "METRIC=TYPE", value_parser = typed)]
    types: Vec<(String, Kind)>,
    /// What stands between the fields of a CSV file; without it told from its header
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Reads and checks everything and sends nothing
    #[arg(long)]
    dry_run: bool,
    /// Begins anew where an earlier import of the file was broken off
    #[arg(long)]
    restart: bool,
    /// Requests under way at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// How the summary is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

impl Import {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let files = source::files(&self.files)?;
        if !self.dry_run {
            self.server.reach()?;
        }
        let mut done = Vec::new();
        for file in files {
            let totals = self.one(&file).with_context(|| file.display().to_string());
            match totals {
                Ok(totals) => done.push((file, totals)),
                Err(error) => {
                    if !done.is_empty() {
                        self.report(&done);
                    }
                    return Err(error);
                }
            }
        }
        self.report(&done);
        let rejected = done.iter().any(|(_, totals)| totals.rejected_rows > 0);
        Ok(if rejected { Answer::No } else { Answer::Yes })
    }

    fn one(&self, file: &Path) -> anyhow::Result<Totals> {
        let held = File::open(file).context("the file cannot be read")?;
        if !self.dry_run && matches!(held.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!("another import of it is under way");
        }
        let bar = Bar::new();
        let mut source = Source::open(file, self.delimiter)?;
        let clock = Clock { unit: self.time_unit, zone: self.time_zone, any_time: self.any_time };
        if let (Some((metric, _)), false) = (self.types.first(), source.is_text()) {
            bail!(WrongUse(format!("--type {metric}: the file has types of its own")));
        }
        let mut mapping = Mapping::new(self, source.header())?;
        mapping.check_times(&mut source, &clock)?;
        if mapping.wants_kinds() && source.is_text() {
            bar.say(&format!("reading {} to learn its types", file.display()));
            for note in mapping.learn(&mut source, &self.types)? {
                bar.say(&note);
            }
        }
        let mut account = Account::open(file, self.fingerprint(&source, &mapping), source.header(), self)?;
        if let Some(position) = account.position() {
            bar.say(&format!("{}: goes on where it was broken off, {position}", file.display()));
            source.seek(position)?;
        }
        bar.expect(source.size(), if source.is_text() { Unit::Bytes } else { Unit::Rows });
        if self.dry_run {
            eprintln!("penstock: {}: {mapping}", file.display());
        }
        let outcome = lanes::carry(self, &mut source, (&mapping, &clock), &mut account, &bar);
        bar.finish();
        outcome?;
        account.finish()
    }

    /// What must be the same for an import to go on where one was broken off.
    fn fingerprint(&self, source: &Source, mapping: &Mapping) -> String {
        let address = self.server.address();
        format!(
            "{address}; {}; {mapping}; unit {:?}; zone {:?}; any time {}",
            source.identity(),
            self.time_unit,
            self.time_zone,
            self.any_time
        )
    }

    #[allow(clippy::print_stdout)] // stdout is data
    fn report(&self, done: &[(PathBuf, Totals)]) {
        let rows: Vec<Value> = done
            .iter()
            .map(|(file, totals)| {
                let mut row = json!(totals);
                row["file"] = file.display().to_string().into();
                row["rejected_file"] =
                    totals.rejected_file.as_ref().map(|file| file.display().to_string()).into();
                row
            })
            .collect();
        let names = ["file", "rows", "readings", "empty_cells", "rejected_rows", "rejected_file"];
        match self.format {
            Format::Table => println!("{}", table_of(&names, &rows)),
            Format::Csv => println!("{}", csv_of(&names, &rows)),
            Format::Json => println!("{}", json!({ "dry_run": self.dry_run, "files": rows })),
        }
        let corrected: u64 = done.iter().map(|(_, totals)| totals.other_clock).sum();
        if corrected > 0 {
            eprintln!(
                "penstock: {corrected} readings had their time put right by a server (clock = corrected); it is given as the \
                 device's own. The server that they come from would store them a second time"
            );
        }
    }
}

fn unit(text: &str) -> Result<TimeUnit, String> {
    match text {
        "s" | "ms" | "us" | "ns" => TimeUnit::from_precision(text).ok_or_else(|| "no unit".to_owned()),
        _ => Err("one of s, ms, us, ns".to_owned()),
    }
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("no time zone {text:?}: such as UTC or Europe/Berlin"))
}

fn typed(text: &str) -> Result<(String, Kind), String> {
    let (metric, kind) = text.rsplit_once('=').ok_or("METRIC=TYPE, such as serial=text")?;
    let kind = match kind {
        "integer" | "int" => Kind::Integer,
        "float" => Kind::Float,
        "boolean" | "bool" => Kind::Boolean,
        "text" => Kind::Text,
        other => return Err(format!("no type {other:?}: integer, float, boolean or text")),
    };
    Ok((metric.to_owned(), kind))
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" | b"tab" => Ok(b'\t'),
        _ => Err("one character, such as ; or \\t".to_owned()),
    }
}
