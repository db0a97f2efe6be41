//! `penstock rule`

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use record::Timestamp;
use serde_json::{Map, Value, json};

use crate::Answer;
use crate::client::{Said, Server, encoded};
use crate::query::{Format, csv_of, table_of};

#[derive(clap::Subcommand)]
pub(crate) enum Rules {
    /// Lists rules
    List(List),
    /// Prints a rule's document, with its version
    Show(One),
    /// Adds a rule: from a file, or from --name and --when
    Add(Add),
    /// Gives a rule another document: a version more
    Set(Set),
    /// Has a rule evaluated again
    Enable(One),
    /// Has a rule evaluated no more; what is raised by it ends
    Disable(One),
    /// Removes a rule; what is raised by it ends
    Remove(One),
    /// What a rule would have done over what is stored; with two, what is different
    Test(Test),
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
pub(crate) struct One {
    /// The rule's id
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Add {
    /// A document in JSON; `-`: from stdin
    #[arg(conflicts_with_all = ["name", "when"], required_unless_present = "when")]
    file: Option<PathBuf>,
    /// What people call it
    #[arg(long, requires = "when")]
    name: Option<String>,
    /// The condition, such as "temperature > 80 AND device.type = 'motor'"
    #[arg(long, value_name = "SQL", requires = "name")]
    when: Option<String>,
    /// How long it must hold, such as 5m
    #[arg(long = "for", value_name = "DURATION", requires = "when")]
    hold: Option<String>,
    /// What must hold for it to end
    #[arg(long, value_name = "SQL", requires = "when")]
    clear_when: Option<String>,
    /// info, warning or critical
    #[arg(long, requires = "when")]
    severity: Option<String>,
    /// Who is told: an URL, an e-mail address, mqtt:TOPIC, sms:NUMBER or person:ID; may be repeated
    #[arg(long, value_name = "ADDRESS", requires = "when")]
    notify: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Set {
    /// The rule's id
    id: String,
    /// The document in JSON; `-`: from stdin
    file: PathBuf,
    /// Only if the rule has this version still
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u32>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Test {
    /// The id of a rule, or a file with a document
    rule: String,
    /// A file with another version of it
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// From when on: so long ago, such as 7d, or an RFC 3339 time
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

impl Rules {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::List(command) => command.run(),
            Self::Show(One { id, server }) => print(server.get(&path(&id))?),
            Self::Add(command) => command.run(),
            Self::Set(command) => command.run(),
            Self::Enable(one) => one.enable(true),
            Self::Disable(one) => one.enable(false),
            Self::Remove(One { id, server }) => print(server.delete(&path(&id))?),
            Self::Test(command) => command.run(),
        }
    }
}

const COLUMNS: [&str; 6] = ["id", "version", "enabled", "severity", "name", "when"];
const EPISODES: [&str; 5] = ["device_id", "triggered_at", "resolved_at", "suppressed", "why"];

impl List {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let answer = match self.server.get("/v1/rules")? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        let parsed: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let rules = parsed["rules"].as_array().context("the server's answer has no rules")?;
        match self.format {
            Format::Json => println!("{}", answer.trim_end()),
            Format::Csv => println!("{}", csv_of(&COLUMNS, rules)),
            Format::Table => println!("{}", table_of(&COLUMNS, rules)),
        }
        Ok(Answer::Yes)
    }
}

impl Add {
    fn run(&self) -> anyhow::Result<Answer> {
        let document = match &self.file {
            Some(file) => document(file)?,
            None => self.document()?,
        };
        print(self.server.post("/v1/rules", "application/json", &document)?)
    }

    fn document(&self) -> anyhow::Result<Value> {
        let notify = self.notify.iter().map(|text| address(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut document = Map::new();
        let texts = [
            ("name", &self.name),
            ("when", &self.when),
            ("for", &self.hold),
            ("clear_when", &self.clear_when),
            ("severity", &self.severity),
        ];
        for (key, text) in texts {
            document.extend(text.as_ref().map(|text| (key.to_owned(), json!(text))));
        }
        if !notify.is_empty() {
            document.insert("notify".to_owned(), notify.into());
        }
        Ok(document.into())
    }
}

impl Set {
    fn run(&self) -> anyhow::Result<Answer> {
        let (path, document) = (path(&self.id), document(&self.file)?);
        print(match self.if_version {
            Some(version) => self.server.put_if(&path, version, &document)?,
            None => self.server.put(&path, &document)?,
        })
    }
}

impl One {
    fn enable(&self, enabled: bool) -> anyhow::Result<Answer> {
        print(self.server.patch(&path(&self.id), &json!({ "enabled": enabled }))?)
    }
}

impl Test {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let mut body = json!({ "since": since(&self.since)? });
        if let Some(other) = &self.other {
            body["document"] = document(other)?;
        }
        let file = Path::new(&self.rule);
        let path = if file.is_file() {
            if self.other.is_some() {
                bail!("--other is compared with a rule that the server has: name it by its id");
            }
            body["document"] = document(file)?;
            "/v1/rules/dry-run".to_owned()
        } else {
            format!("{}/dry-run", path(&self.rule))
        };
        let answer = match self.server.post(&path, "application/json", &body)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => return Ok(refused(status, &detail)),
        };
        let found: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        summary(&found);
        let episodes = found["episodes"].as_array().context("the server's answer has no episodes")?;
        match self.format {
            Format::Json => println!("{}", answer.trim_end()),
            Format::Csv => println!("{}", csv_of(&EPISODES, episodes)),
            Format::Table => println!("{}", table_of(&EPISODES, episodes)),
        }
        Ok(Answer::Yes)
    }
}

/// What it comes to, for people.
fn summary(found: &Value) {
    let of = |found: &Value| {
        format!(
            "{} alerts of {} devices, {} suppressed; looked at {} readings of {} devices",
            found["alerts"],
            found["devices_concerned"],
            found["suppressed"],
            found["readings"],
            found["devices"],
        )
    };
    let time = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    eprintln!("{} to {}: {}", time("since"), time("until"), of(found));
    if found["is_partial"] == json!(true) {
        eprintln!("this is not all: it took too long; take a later --since");
    }
    let difference = &found["difference"];
    if !difference.is_null() {
        eprintln!("the other: {}", of(&found["other"]));
        eprintln!(
            "{} alerts in both, {} only in the first, {} only in the other",
            difference["both"], difference["only_before"], difference["only_after"]
        );
    }
}

/// `https://…`, `ann@example.com`, `mqtt:alerts/hot`, `sms:+49…`, `person:ann`.
fn address(text: &str) -> anyhow::Result<Value> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(json!({ "webhook": text }));
    }
    match text.split_once(':') {
        Some((kind @ ("mqtt" | "sms" | "person"), to)) => Ok(json!({ kind: to })),
        None if text.contains('@') => Ok(json!({ "email": text })),
        _ => bail!(
            "{text:?} is no address: write https://…, ann@example.com, mqtt:TOPIC, sms:NUMBER or person:ID"
        ),
    }
}

/// A time, from how long ago it was.
fn since(text: &str) -> anyhow::Result<String> {
    if query::parse_rfc3339(text).is_some() {
        return Ok(text.to_owned());
    }
    let Ok(ago) = rule::Duration::parse(text) else {
        bail!("--since {text:?} is no time: write 7d, 12h, or 2026-01-31T08:00:00Z");
    };
    let since = Timestamp::now().nanos().saturating_sub(ago.nanos());
    Ok(query::rfc3339(Timestamp::from_nanos(since)))
}

fn document(file: &Path) -> anyhow::Result<Value> {
    let text = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).context("stdin cannot be read")?,
        _ => std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?,
    };
    let read: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    Ok(as_written(read))
}

/// What `show` prints can be changed and given back: what stands there beside the document is left out.
fn as_written(mut shown: Value) -> Value {
    if let Some(keys) = shown.as_object_mut().filter(|keys| keys.contains_key("version")) {
        for beside in ["id", "version", "enabled"] {
            keys.remove(beside);
        }
    }
    shown
}

fn path(id: &str) -> String {
    format!("/v1/rules/{}", encoded(id))
}

#[allow(clippy::print_stdout)] // stdout is data
pub(crate) fn print(said: Said) -> anyhow::Result<Answer> {
    match said {
        Said::Fine(answer) if answer.is_empty() => {}
        Said::Fine(answer) => println!("{}", for_people(&answer)),
        Said::Refused { status, detail } => return Ok(refused(status, &detail)),
    }
    Ok(Answer::Yes)
}

/// JSON as it can be read, and changed, by people.
fn for_people(answer: &str) -> String {
    let laid_out = serde_json::from_str(answer).and_then(|read: Value| serde_json::to_string_pretty(&read));
    laid_out.unwrap_or_else(|_| answer.trim_end().to_owned())
}

pub(crate) fn refused(status: u16, detail: &str) -> Answer {
    eprintln!("penstock: {detail}");
    if status == 400 { Answer::WrongUse } else { Answer::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_given_back() {
        let shown = json!({"id": "hot", "version": 3, "enabled": false, "name": "hot", "when": "t > 80"});
        assert_eq!(as_written(shown), json!({"name": "hot", "when": "t > 80"}));
        // Not taken for what `show` printed: the server says what is wrong.
        let misspelt = json!({"id": "hot", "when": "t > 80"});
        assert_eq!(as_written(misspelt.clone()), misspelt);
    }

    #[test]
    fn addresses_are_told_by_their_looks() {
        for (text, expected) in [
            ("https://example.com/hook", json!({ "webhook": "https://example.com/hook" })),
            ("ann@example.com", json!({ "email": "ann@example.com" })),
            ("mqtt:alerts/hot", json!({ "mqtt": "alerts/hot" })),
            ("sms:+491701234", json!({ "sms": "+491701234" })),
            ("person:ann", json!({ "person": "ann" })),
        ] {
            assert_eq!(address(text).unwrap(), expected);
        }
        assert!(address("ftp://x").is_err() && address("ann").is_err());
        assert!(since("7d").is_ok() && since("2026-01-31T08:00:00Z").is_ok() && since("soon").is_err());
    }
}
