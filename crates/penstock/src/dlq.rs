//! `penstock dlq`

use std::path::PathBuf;

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::Answer;
use crate::client::{Said, Server, encoded};
use crate::query::{Format, csv_of, table_of};

#[derive(clap::Subcommand)]
pub(crate) enum Dlq {
    /// Lists dead letters, the latest first
    List(List),
    /// Shows one message: its payload on stdout, what was wrong on stderr
    Show(Show),
    /// Tries messages again; those that can be used now leave the table
    Replay(Replay),
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// A condition over the columns of dlq, such as "stage = 'decode' AND first_at > '2026-11-20'"
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// Most dead letters
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// The message's id, as in the list
    id: String,
    /// Everything as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Replay {
    /// Which: a condition over the columns of dlq, such as "reason LIKE '%range%'"; without one, all
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// Most messages
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,
    /// The mended payload, for exactly one message
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

impl Dlq {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Replay(replay) => replay.run(),
        }
    }
}

impl List {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let limit = self.limit.to_string();
        let parameters = [("where", self.condition.as_deref()), ("limit", Some(&limit[..]))];
        let answer = match self.server.get_with("/v1/dlq", &parameters)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        let parsed: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let columns = parsed["columns"].as_array().context("the server's answer has no columns")?;
        let names: Vec<&str> = columns.iter().filter_map(Value::as_str).collect();
        let rows = parsed["rows"].as_array().context("the server's answer has no rows")?;
        match self.format {
            Format::Json => println!("{}", answer.trim_end()),
            Format::Csv => println!("{}", csv_of(&names, rows)),
            Format::Table => println!("{}", table_of(&names, rows)),
        }
        Ok(Answer::Yes)
    }
}

impl Show {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let answer = match self.server.get(&format!("/v1/dlq/{}", encoded(&self.id)))? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        if self.json {
            println!("{}", answer.trim_end());
            return Ok(Answer::Yes);
        }
        let answer: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        eprintln!("topic {}, device {:?}, stage {}", text("topic"), text("device_id"), text("stage"));
        eprintln!(
            "arrived {}, tried {} times, last {}",
            text("first_at"),
            answer["attempts"],
            text("last_at")
        );
        for reason in answer["reasons"].as_array().into_iter().flatten() {
            let which = reason["reading"].as_u64().map(|n| format!("reading {n}: ")).unwrap_or_default();
            eprintln!("{which}{}", reason["reason"].as_str().unwrap_or_default());
        }
        let payload = text("payload");
        let bytes = match answer["payload_encoding"].as_str() {
            Some("base64") => BASE64_STANDARD.decode(payload).context("the payload is no base64")?,
            _ => payload.into_bytes(),
        };
        // As it came, so that `show > file`, mending, and `replay --payload file` go together.
        std::io::Write::write_all(&mut std::io::stdout(), &bytes).context("stdout")?;
        Ok(Answer::Yes)
    }
}

impl Replay {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let mut body = json!({ "where": self.condition, "limit": self.limit });
        if let Some(path) = &self.payload {
            let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            match String::from_utf8(bytes) {
                Ok(text) => body["payload"] = text.into(),
                Err(binary) => body["payload_base64"] = BASE64_STANDARD.encode(binary.as_bytes()).into(),
            }
        }
        let answer = match self.server.post("/v1/dlq/replay", "application/json", &body)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        let answer: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        println!("{}", answer["replayed"]);
        if answer["replayed"].as_u64().is_some_and(|replayed| replayed > 0) {
            eprintln!(
                "penstock: they are tried again now; what still cannot be used stays in `penstock dlq list`, with one attempt more"
            );
        }
        let skipped = answer["skipped"].as_array().into_iter().flatten();
        let mut complete = Answer::Yes;
        for message in skipped {
            let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
            eprintln!("penstock: {} was not replayed: {}", text("id"), text("reason"));
            complete = Answer::No;
        }
        if answer["more"] == true {
            eprintln!("penstock: there are more: replay again once these are through, or raise --limit");
        }
        Ok(complete)
    }
}

fn refused(status: u16, detail: &str) -> Answer {
    eprintln!("penstock: {detail}");
    if status == 400 { Answer::WrongUse } else { Answer::No }
}
