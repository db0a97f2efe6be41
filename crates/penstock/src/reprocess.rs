//! `penstock reprocess`

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use crate::Answer;
use crate::client::{Said, Server, encoded};
use crate::query::{Format, csv_of, table_of};

#[derive(clap::Subcommand)]
pub(crate) enum Reprocess {
    /// Runs what the log holds through another configuration, into a data set of its own
    Start(Start),
    /// Lists data sets and how far they are
    List(List),
    /// Stops a data set if it is running, and deletes it
    Remove(Remove),
}

#[derive(clap::Args)]
pub(crate) struct Start {
    /// The data set's name: lowercase letters, digits and -, at most 40
    name: String,
    /// From this time on, by when messages came in: RFC 3339, or a number since the epoch; without it, all there is
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// A configuration file, of which `[stream]` counts, or the keys of `[stream]` alone
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Remove {
    /// The data set's name
    name: String,
    #[command(flatten)]
    server: Server,
}

impl Reprocess {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::Start(start) => start.run(),
            Self::List(list) => list.run(),
            Self::Remove(remove) => remove.run(),
        }
    }
}

impl Start {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let config = std::fs::read_to_string(&self.config)
            .with_context(|| format!("{} cannot be read", self.config.display()))?;
        let body = json!({ "name": self.name, "since": self.since, "config": config });
        match self.server.post("/v1/reprocess", "application/json", &body)? {
            Said::Fine(answer) => println!("{}", answer.trim_end()),
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        }
        Ok(Answer::Yes)
    }
}

const COLUMNS: [&str; 15] = [
    "name",
    "state",
    "done",
    "total",
    "since",
    "started_at",
    "ended_at",
    "accepted",
    "stored",
    "duplicate",
    "corrected",
    "late",
    "dead_lettered",
    "shed",
    "reason",
];

impl List {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let answer = match self.server.get("/v1/reprocess")? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        let parsed: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let datasets = parsed["datasets"].as_array().context("the server's answer has no data sets")?;
        let rows: Vec<Value> = datasets.iter().map(flat).collect();
        match self.format {
            Format::Json => println!("{}", answer.trim_end()),
            Format::Csv => println!("{}", csv_of(&COLUMNS, &rows)),
            Format::Table => println!("{}", table_of(&COLUMNS, &rows)),
        }
        Ok(Answer::Yes)
    }
}

/// A data set as one row: progress and counts beside the rest.
fn flat(dataset: &Value) -> Value {
    let value = |name: &&str| {
        let places = [&dataset[*name], &dataset["progress"][*name], &dataset["counts"][*name]];
        let found = places.into_iter().find(|value| !value.is_null()).cloned().unwrap_or_default();
        ((*name).to_owned(), found)
    };
    COLUMNS.iter().map(value).collect::<serde_json::Map<_, _>>().into()
}

impl Remove {
    fn run(&self) -> anyhow::Result<Answer> {
        match self.server.delete(&format!("/v1/reprocess/{}", encoded(&self.name)))? {
            Said::Fine(_) => Ok(Answer::Yes),
            Said::Refused { status, detail } => Ok(refused(status, &detail)),
        }
    }
}

fn refused(status: u16, detail: &str) -> Answer {
    eprintln!("penstock: {detail}");
    if status == 400 { Answer::WrongUse } else { Answer::No }
}
