//! `penstock ledger`

use anyhow::Context;
use serde_json::Value;

use crate::Answer;
use crate::client::{Said, Server};
use crate::query::{Format, csv_of, table_of};

/// The columns after the one that names the line.
const AMOUNTS: [&str; 9] =
    ["records", "accepted", "stored", "duplicate", "corrected", "dead_lettered", "late", "shed", "residue"];

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    show: Show,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Compares the account with what the log gave and the tables hold; exits 1 when they differ
    Verify(Verify),
}

#[derive(clap::Args)]
struct Show {
    /// Readings that arrived from then on, such as 2026-11-20T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Readings that arrived before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What a line stands for
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Verify {
    /// Looks at the account's lines from then on; everything else has no time and is compared as a whole
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// A kind of topic
    #[default]
    Topic,
    /// A minute of arrival
    Minute,
    /// Everything
    Total,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Minute => "minute",
            Self::Total => "total",
        }
    }
}

impl Ledger {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self.verb {
            Some(Verb::Verify(verify)) => verify.run(),
            None => self.show.run(),
        }
    }
}

impl Show {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let parameters = [
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("by", Some(self.by.name())),
        ];
        let answer = match self.server.get_with("/v1/ledger", &parameters)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        if self.format == Format::Json {
            println!("{}", answer.trim_end());
        }
        let answer: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let mut rows = answer["lines"].as_array().context("the server's answer has no lines")?.clone();
        let names: Vec<&str> = match self.by {
            By::Total => AMOUNTS.to_vec(),
            named => std::iter::once(named.name()).chain(AMOUNTS).collect(),
        };
        match self.format {
            Format::Json => {}
            Format::Csv => println!("{}", csv_of(&names, &rows)),
            Format::Table => {
                if self.by != By::Total {
                    let mut totals = answer["totals"].clone();
                    totals[self.by.name()] = "total".into();
                    rows.push(totals);
                }
                println!("{}", table_of(&names, &rows));
                eprintln!("{} records are in flight", answer["in_flight"]["records"]);
            }
        }
        Ok(balanced(&answer))
    }
}

impl Verify {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let parameters = [("since", self.since.as_deref())];
        let answer = match self.server.get_with("/v1/ledger/verify", &parameters)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        if self.format == Format::Json {
            println!("{}", answer.trim_end());
        }
        let answer: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let checks = answer["checks"].as_array().context("the server's answer has no checks")?;
        let names = ["equation", "account", "found", "holds"];
        match self.format {
            Format::Json => {}
            Format::Csv => println!("{}", csv_of(&names, checks)),
            Format::Table => println!("{}", table_of(&names, checks)),
        }
        Ok(balanced(&answer))
    }
}

/// Says what does not balance.
fn balanced(answer: &Value) -> Answer {
    for reason in answer["reasons"].as_array().into_iter().flatten() {
        eprintln!("penstock: {}", reason.as_str().unwrap_or_default());
    }
    if answer["balanced"] == true { Answer::Yes } else { Answer::No }
}

fn refused(status: u16, detail: &str) -> Answer {
    eprintln!("penstock: {detail}");
    if status == 400 { Answer::WrongUse } else { Answer::No }
}
