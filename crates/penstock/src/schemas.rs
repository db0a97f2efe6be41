//! `penstock schema`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use record::{Encoding, TenantId};
use schema::{Catalog, Facts, Level, RawRule, Reference, Rules, Schema, SchemaType, Strictness, Subject};
use serde_json::{Value, json};

use crate::Answer;
use crate::client::{Said, Server};

/// Longest chain of references that is followed.
const CHAIN: usize = 64;

#[derive(clap::Subcommand)]
pub(crate) enum Schemas {
    /// Lists subjects with their newest versions
    List(List),
    /// Prints a schema's text
    Show(Show),
    /// Registers the next version of a subject; the answer is no when it is incompatible
    Register(Register),
    /// Whether a file may become the next version of a subject; if not, which rules it breaks
    Compat(Compat),
    /// Whether a message fits a schema; prints it in the shape of JSON
    Check(Check),
}

#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// The subject
    subject: String,
    /// The version
    #[arg(long, default_value = "latest")]
    version: String,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Register {
    #[command(flatten)]
    schema: Given,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Compat {
    #[command(flatten)]
    schema: Given,
    /// Held against this version; else against those that the subject's level names
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// The message: JSON, or bare Avro or Protobuf
    #[arg(value_name = "FILE")]
    message: PathBuf,
    /// The subject
    #[arg(long)]
    subject: String,
    /// The version
    #[arg(long, default_value = "latest")]
    version: String,
    /// Only required fields count
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    server: Server,
}

/// A schema in a file.
#[derive(clap::Args)]
struct Given {
    /// The schema
    file: PathBuf,
    /// The subject
    #[arg(long)]
    subject: String,
    /// Its language; else told from the file's name: .avsc, .proto, .json
    #[arg(long = "type", value_name = "avro|json|protobuf")]
    language: Option<String>,
    /// A schema that it uses: the name it uses, the subject and the version
    #[arg(long = "reference", value_name = "NAME=SUBJECT:VERSION")]
    references: Vec<String>,
}

impl Schemas {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Register(command) => command.run(),
            Self::Compat(command) => command.run(),
            Self::Check(command) => command.run(),
        }
    }
}

impl List {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let all = match answer(self.server.get("/schemas?latestOnly=true")?)? {
            Ok(all) => all,
            Err(no) => return Ok(no),
        };
        for version in all.as_array().into_iter().flatten() {
            let language = version["schemaType"].as_str().unwrap_or("AVRO");
            let subject = version["subject"].as_str().unwrap_or_default();
            println!("{subject}\tversion {}\tid {}\t{language}", version["version"], version["id"]);
        }
        Ok(Answer::Yes)
    }
}

impl Show {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        match self.server.get(&format!("{}/schema", path(&self.subject, &self.version)))? {
            Said::Fine(text) => println!("{}", text.trim_end()),
            Said::Refused { detail, .. } => return Ok(no(&detail)),
        }
        Ok(Answer::Yes)
    }
}

impl Register {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let path = format!("/subjects/{}/versions", escaped(&self.schema.subject));
        match answer(self.server.post(&path, "application/json", &self.schema.read()?)?)? {
            Ok(registered) => println!("version {}\tid {}", registered["version"], registered["id"]),
            Err(no) => return Ok(no),
        }
        Ok(Answer::Yes)
    }
}

impl Compat {
    fn run(&self) -> anyhow::Result<Answer> {
        let version = self.version.as_ref().map(|version| format!("/{}", escaped(version)));
        let subject = escaped(&self.schema.subject);
        let path =
            format!("/compatibility/subjects/{subject}/versions{}?verbose=true", version.unwrap_or_default());
        let verdict = match answer(self.server.post(&path, "application/json", &self.schema.read()?)?)? {
            Ok(verdict) => verdict,
            Err(no) => return Ok(no),
        };
        if verdict["is_compatible"] == true {
            return Ok(Answer::Yes);
        }
        for message in verdict["messages"].as_array().into_iter().flatten() {
            eprintln!("{}", message.as_str().unwrap_or_default());
        }
        Ok(Answer::No)
    }
}

impl Check {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self) -> anyhow::Result<Answer> {
        let message = read_file(&self.message)?;
        // The server's schema, in a catalog of our own: the message goes nowhere.
        let catalog = Catalog::open(Arc::new(metadata::Memory::new()))?;
        let tenant = TenantId::default_tenant();
        catalog.set_level(&tenant, None, Some(Level::None))?;
        let copied = copy(&self.server, &catalog, &tenant, &self.subject, &self.version, CHAIN)?;
        let Some((version, language)) = copied else {
            return Ok(no(&format!("there is no version {} of {:?}", self.version, self.subject)));
        };
        let encoding = match language {
            SchemaType::Json => Encoding::Json,
            SchemaType::Avro => Encoding::Avro,
            SchemaType::Protobuf => Encoding::Protobuf,
        };
        let rule = RawRule {
            subject: self.subject.clone(),
            version: Some(version),
            mode: if self.lenient { Strictness::Lenient } else { Strictness::Strict },
            raw: true,
            ..RawRule::default()
        };
        let schemas = schema::Schemas::new(Arc::new(catalog), Rules::check(&[rule])?);
        let facts = Facts { tenant: TenantId::DEFAULT, ..Facts::default() };
        let mut buffer = String::new();
        match schemas.view().plain(&facts, encoding, &message, &mut buffer) {
            Ok(plain) => println!("{}", String::from_utf8_lossy(plain.payload).trim_end()),
            Err(violation) if violation.path.is_empty() => return Ok(no(&violation.reason)),
            Err(violation) => return Ok(no(&format!("{}: {}", violation.path, violation.reason))),
        }
        Ok(Answer::Yes)
    }
}

/// Copies a version and all that it uses; returns its number in the copy.
fn copy(
    server: &Server,
    catalog: &Catalog,
    tenant: &TenantId,
    subject: &str,
    version: &str,
    chain: usize,
) -> anyhow::Result<Option<(u32, SchemaType)>> {
    let text = match server.get(&format!("{}?deleted=true", path(subject, version)))? {
        Said::Fine(text) => text,
        Said::Refused { status: 404, .. } => return Ok(None),
        Said::Refused { detail, .. } => bail!("{detail}"),
    };
    let found: Value = serde_json::from_str(&text).context("the server's answer is no JSON")?;
    let mut references: Vec<Reference> = found
        .get("references")
        .map(|all| serde_json::from_value(all.clone()))
        .transpose()?
        .unwrap_or_default();
    for reference in &mut references {
        let left = chain.checked_sub(1).ok_or_else(|| anyhow!("the references lead round in circles"))?;
        let number = reference.version.to_string();
        let copied = copy(server, catalog, tenant, &reference.subject, &number, left)?;
        reference.version = copied.with_context(|| format!("{} is not there", reference.subject))?.0;
    }
    let schema_type = found["schemaType"].as_str().unwrap_or("AVRO").parse()?;
    let schema = found["schema"].as_str().context("the server's answer has no schema")?.to_owned();
    let registered =
        catalog.register(tenant, &Subject::parse(subject)?, Schema { schema_type, schema, references })?;
    Ok(Some((registered.version, schema_type)))
}

impl Given {
    fn read(&self) -> anyhow::Result<Value> {
        let text = String::from_utf8(read_file(&self.file)?);
        let text = text.with_context(|| format!("{} is not UTF-8", self.file.display()))?;
        let extension = self.file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let language = match (&self.language, extension) {
            (Some(language), _) => language.to_uppercase(),
            (None, "avsc") => "AVRO".into(),
            (None, "proto") => "PROTOBUF".into(),
            (None, "json") => "JSON".into(),
            (None, _) => bail!("{} does not tell its language: give --type", self.file.display()),
        };
        let references = self.references.iter().map(|text| reference(text));
        let references = references.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(json!({ "schema": text, "schemaType": language, "references": references }))
    }
}

fn reference(text: &str) -> anyhow::Result<Reference> {
    let parts = text.split_once('=').and_then(|(name, place)| Some((name, place.rsplit_once(':')?)));
    let (name, (subject, version)) =
        parts.with_context(|| format!("--reference {text:?} is not NAME=SUBJECT:VERSION"))?;
    let version =
        version.parse().with_context(|| format!("--reference {text:?}: the version is no number"))?;
    Ok(Reference { name: name.into(), subject: subject.into(), version })
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn answer(said: Said) -> anyhow::Result<Result<Value, Answer>> {
    Ok(match said {
        Said::Fine(text) => Ok(serde_json::from_str(&text).context("the server's answer is no JSON")?),
        Said::Refused { detail, .. } => Err(no(&detail)),
    })
}

fn no(detail: &str) -> Answer {
    eprintln!("penstock: {detail}");
    Answer::No
}

fn path(subject: &str, version: &str) -> String {
    format!("/subjects/{}/versions/{}", escaped(subject), escaped(version))
}

/// As a segment of a path (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
