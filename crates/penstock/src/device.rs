//! `penstock device …` and `penstock key …`: credentials and facts, in a data directory.
//!
//! They go straight to the metadata: who can write the data directory is the administrator. A running server
//! reads credentials at every authentication, so a change counts at once; facts within a second.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use metadata::Metadata;
use record::{DeviceId, TenantId, Timestamp};
use registry::{Administration, DeviceEntry, Devices, LOCK_FILE, SubjectKind};
use serde_json::json;

use crate::client::{Said, Server, encoded};
use crate::{Answer, facts, serve};

#[derive(clap::Subcommand)]
pub(crate) enum Device {
    /// Registers a device, makes a token for it and prints it, once; it is kept only as a hash
    Add {
        /// The device
        id: String,
        #[command(flatten)]
        facts: Box<facts::Facts>,
        /// Days until the token ends; without it, never
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
    /// Changes what is known of a device: what is named; the rest stays
    Set(Box<facts::Set>),
    /// Shows what is known of a device; exit 1 when nothing is
    Show(facts::Show),
    /// Lists devices that are registered or have credentials
    List(List),
    /// Takes one token (--token-id) or all of them from a device
    Revoke(Revoke),
    /// Removes all readings of a device from a server's store, for good, and prints the record of it
    Erase(Erase),
}

#[derive(clap::Args)]
pub(crate) struct Erase {
    /// The device
    id: String,
    /// Why: it stands in the record
    #[arg(long, value_name = "WORDS")]
    reason: String,
    #[command(flatten)]
    server: Server,
}

impl Erase {
    #[allow(clippy::print_stdout)] // stdout is data
    #[allow(clippy::print_stderr)] // stderr is for people
    fn run(&self) -> anyhow::Result<Answer> {
        let path = format!("/v1/devices/{}/data?reason={}", encoded(&self.id), encoded(&self.reason));
        match self.server.delete(&path)? {
            Said::Fine(record) => {
                println!("{}", record.trim_end());
                eprintln!(
                    "its messages stay in the log until the log's retention; its registration and tokens stay until they are removed"
                );
                Ok(Answer::Yes)
            }
            Said::Refused { status, detail } => {
                eprintln!("not erased ({status}): {detail}");
                Ok(Answer::No)
            }
        }
    }
}

#[derive(clap::Subcommand)]
pub(crate) enum Key {
    /// Makes a token for a service and prints it, once; it is kept only as a hash
    Add {
        /// The service
        id: String,
        /// Topics it may publish to, as patterns
        #[arg(long, value_name = "PATTERN")]
        publish: Vec<String>,
        /// Topics it may subscribe to; `#` also lets it ask over HTTP
        #[arg(long, value_name = "PATTERN")]
        subscribe: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Lists services that have credentials
    List(List),
    /// Takes one token (--token-id) or all of them from a service
    Revoke(Revoke),
}

/// Where, and whose.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The data directory, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PENSTOCK_CONFIG")]
    config: Option<PathBuf>,
    /// The tenant
    #[arg(long, default_value = TenantId::DEFAULT)]
    tenant: String,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    format: String,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(crate) struct Revoke {
    /// Whose
    id: String,
    /// Which token, as `list` shows it; without it, all
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Device {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::Add { id, facts, expires, place } => {
                let patch = facts.patch()?;
                let desk = place.open()?;
                let now = Timestamp::now();
                let expires_at = expires.map(|days| after(now, days)).transpose()?;
                desk.devices.patch(&desk.tenant, &name(&id)?, &patch, now)?;
                let token = desk.office.add_device_token(&desk.tenant, &name(&id)?, expires_at, now)?;
                desk.show(&id, token.reveal());
                Ok(Answer::Yes)
            }
            Self::Set(set) => set.run(),
            Self::Show(show) => show.run(),
            Self::List(list) => list.run(SubjectKind::Device),
            Self::Revoke(revoke) => revoke.run(),
            Self::Erase(erase) => erase.run(),
        }
    }
}

impl Key {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        match self {
            Self::Add { id, publish, subscribe, place } => {
                let desk = place.open()?;
                let service = name(&id)?;
                if publish.is_empty() && subscribe.is_empty() {
                    eprintln!(
                        "penstock: it may do nothing: grant it something with --publish and --subscribe ('#': ask everything)"
                    );
                }
                let token = desk.office.add_service_token(
                    &desk.tenant,
                    &service,
                    &publish,
                    &subscribe,
                    Timestamp::now(),
                )?;
                desk.show(&id, token.reveal());
                Ok(Answer::Yes)
            }
            Self::List(list) => list.run(SubjectKind::Service),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

/// The administration of one data directory, held by this process alone.
pub(crate) struct Desk {
    office: Administration,
    pub(crate) devices: Devices,
    pub(crate) tenant: TenantId,
    _lock: File,
}

impl Desk {
    #[allow(clippy::print_stdout)] // stdout is data
    fn show(&self, id: &str, token: &str) {
        eprintln!("user name {}/{id}; the token, which is shown only now:", self.tenant);
        println!("{token}");
    }
}

impl Place {
    pub(crate) fn open(&self) -> anyhow::Result<Desk> {
        let config = serve::configuration(self.config.as_deref(), self.data.clone())?;
        let tenant = TenantId::parse(&self.tenant)?;
        let lock = lock(&config.data_dir)?;
        let file = config.data_dir.join("metadata.db");
        if !file.exists() {
            eprintln!(
                "penstock: no server has used {} yet: if yours keeps its data elsewhere, say where with --data or --config",
                config.data_dir.display()
            );
        }
        let metadata: Arc<dyn Metadata> = Arc::new(metadata::Sqlite::open(&file)?);
        // The lock is held here already.
        let devices = Devices::new(Arc::clone(&metadata), None);
        Ok(Desk { office: Administration::new(&config.auth, metadata), devices, tenant, _lock: lock })
    }
}

/// Two that change one user at once would overwrite each other.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(LOCK_FILE);
    std::fs::create_dir_all(data_dir).with_context(|| format!("{} cannot be created", data_dir.display()))?;
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    file.lock().with_context(|| format!("{} cannot be locked", path.display()))?;
    Ok(file)
}

impl List {
    #[allow(clippy::print_stdout)] // stdout is data
    fn run(&self, kind: SubjectKind) -> anyhow::Result<Answer> {
        let desk = self.place.open()?;
        let found = desk.office.list(Some(&desk.tenant))?;
        let wanted = found.into_iter().filter(|summary| summary.kind == kind);
        let mut rows = Vec::new();
        let mut registered = match kind {
            SubjectKind::Device => desk.registered()?,
            SubjectKind::Service => BTreeMap::new(),
        };
        for summary in wanted {
            let device = registered.remove(&summary.name);
            for token in summary.tokens {
                let mut row = json!({
                    "tenant": summary.tenant, "id": summary.name, "token_id": token.id,
                    "created_at": query::rfc3339(token.created_at),
                    "expires_at": token.expires_at.map(query::rfc3339),
                    "publish": summary.publish, "subscribe": summary.subscribe,
                });
                if let Some(device) = &device {
                    row["device"] = facts::describe(&desk, device);
                }
                let text = |key: &str| row[key].as_str().unwrap_or("never").to_owned();
                let [id, token, created, ends] = ["id", "token_id", "created_at", "expires_at"].map(text);
                let known = device.as_ref().map(facts::line).map(|line| format!("\t{line}"));
                let line =
                    format!("{id}\t{token}\tcreated {created}\tends {ends}{}", known.unwrap_or_default());
                rows.push((line, row));
            }
        }
        for (id, device) in registered {
            let row = json!({ "tenant": desk.tenant.as_str(), "id": id, "device": facts::describe(&desk, &device) });
            rows.push((format!("{id}\tno token\t{}", facts::line(&device)), row));
        }
        if self.format == "json" {
            println!("{}", rows.into_iter().map(|(_, row)| row).collect::<serde_json::Value>());
        } else {
            rows.iter().for_each(|(line, _)| println!("{line}"));
        }
        Ok(Answer::Yes)
    }
}

impl Desk {
    fn registered(&self) -> anyhow::Result<BTreeMap<String, DeviceEntry>> {
        let all = self.devices.registered(&self.tenant, None, usize::MAX)?;
        Ok(all.into_iter().map(|device| (device.id.to_string(), device)).collect())
    }
}

impl Revoke {
    fn run(&self) -> anyhow::Result<Answer> {
        let desk = self.place.open()?;
        let name = name(&self.id)?;
        let was_there = match &self.token_id {
            Some(token) => desk.office.revoke_token(&desk.tenant, &name, token)?,
            None => desk.office.remove(&desk.tenant, &name)?,
        };
        if was_there {
            eprintln!("revoked; connections that were let in with it end at their next check");
            Ok(Answer::Yes)
        } else {
            eprintln!("penstock: {}/{} has no such credentials", desk.tenant, self.id);
            Ok(Answer::No)
        }
    }
}

pub(crate) fn name(id: &str) -> anyhow::Result<DeviceId> {
    Ok(DeviceId::parse(id)?)
}

fn after(now: Timestamp, days: u32) -> anyhow::Result<Timestamp> {
    let span = Duration::from_secs(u64::from(days) * 86_400);
    let nanos = i64::try_from(span.as_nanos()).ok().and_then(|span| now.nanos().checked_add(span));
    match nanos {
        Some(nanos) => Ok(Timestamp::from_nanos(nanos)),
        None => bail!("--expires {days}: so far ahead that no clock here can hold it"),
    }
}
