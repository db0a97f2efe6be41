//! `penstock alert`

use anyhow::Context;
use serde_json::{Value, json};

use crate::Answer;
use crate::client::{Said, Server, encoded};
use crate::query::{Format, csv_of, table_of};
use crate::rules::{print, refused};

#[derive(clap::Subcommand)]
pub(crate) enum Alerts {
    /// Lists alerts, the newest first
    List(List),
    /// Prints an alert with its history, who was told, and what became of its messages
    Show(One),
    /// Prints how many alerts there are by state
    Counts(Counts),
    /// Says that somebody looks after an alert
    Ack(Remark),
    /// Says that an alert is over
    Resolve(Remark),
    /// Raises an alert from outside
    Raise(Raise),
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// open, or raised, acknowledged, resolved, suppressed; several with commas
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this device
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Of this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// How many
    #[arg(long, default_value = "100")]
    limit: u32,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Counts {
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct One {
    /// The alert's id
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Remark {
    /// The alert's id
    id: String,
    /// Who says so
    #[arg(long)]
    by: Option<String>,
    /// And what
    #[arg(long)]
    remark: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Raise {
    /// About which device
    #[arg(long, value_name = "ID")]
    device: String,
    /// Under which rule's name; there need not be such a rule
    #[arg(long, value_name = "ID")]
    rule: String,
    /// info, warning or critical
    #[arg(long)]
    severity: Option<String>,
    /// In words
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    server: Server,
}

impl Alerts {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::List(command) => command.run(),
            Self::Show(One { id, server }) => print(server.get(&path(&id))?),
            Self::Counts(Counts { server }) => print(server.get("/v1/alerts/counts")?),
            Self::Ack(said) => said.run("ack"),
            Self::Resolve(said) => said.run("resolve"),
            Self::Raise(command) => command.run(),
        }
    }
}

const COLUMNS: [&str; 8] =
    ["id", "severity", "state", "device_id", "rule", "triggered_at", "resolved_at", "why"];

impl List {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let limit = self.limit.to_string();
        let parameters = [
            ("state", self.state.as_deref()),
            ("device_id", self.device.as_deref()),
            ("rule", self.rule.as_deref()),
            ("limit", Some(limit.as_str())),
        ];
        let answer = match self.server.get_with("/v1/alerts", &parameters)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        let parsed: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let alerts = parsed["alerts"].as_array().context("the server's answer has no alerts")?;
        match self.format {
            Format::Json => println!("{}", answer.trim_end()),
            Format::Csv => println!("{}", csv_of(&COLUMNS, alerts)),
            Format::Table => println!("{}", table_of(&COLUMNS, alerts)),
        }
        Ok(Answer::Yes)
    }
}

impl Remark {
    fn run(&self, what: &str) -> anyhow::Result<Answer> {
        let body = json!({ "by": self.by, "remark": self.remark });
        print(self.server.post(&format!("{}/{what}", path(&self.id)), "application/json", &body)?)
    }
}

impl Raise {
    fn run(&self) -> anyhow::Result<Answer> {
        let body = json!({
            "device_id": self.device, "rule": self.rule, "severity": self.severity, "why": self.why,
        });
        print(self.server.post("/v1/alerts", "application/json", &body)?)
    }
}

fn path(id: &str) -> String {
    format!("/v1/alerts/{}", encoded(id))
}
