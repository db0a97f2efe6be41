//! `penstock serve`

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use server::config::{Raw, RawLogOutput};
use server::{Addresses, Config};
use tokio::signal::unix::{SignalKind, signal};

use crate::notify::{State, notify};
use crate::{Answer, footing};

#[derive(clap::Args)]
pub(crate) struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PENSTOCK_CONFIG")]
    config: Option<PathBuf>,
    /// Where everything is kept, instead of the configuration's `data_dir`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Once ready, writes the process id and the addresses as JSON into this file
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Serve {
    /// How to log, as far as the configuration can be read: what is wrong with it is said by [`Self::run`].
    pub(crate) fn log_output(&self) -> RawLogOutput {
        Raw::load(self.config.as_deref(), std::env::vars()).map(|raw| raw.log_output).unwrap_or_default()
    }

    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let config = match configuration(self.config.as_deref(), self.data) {
            Ok(config) => config,
            Err(error) => {
                eprintln!("penstock: {error}");
                return Ok(Answer::WrongUse);
            }
        };
        crate::fatal::make_panics_fatal();
        fleet::process::raise_open_files_limit();
        standing(&config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("penstock")
            .build()
            .context("the runtime does not start")?;
        runtime.block_on(serve(config, self.ready_file.as_deref()))?;
        Ok(Answer::Yes)
    }
}

/// A clock that was never set stops the start: what is written down with it cannot be put right later. All else is
/// said, and may be wanted.
fn standing(config: &Config) -> anyhow::Result<()> {
    footing::set(SystemTime::now()).map_err(|words| anyhow::anyhow!("the clock {words}"))?;
    for (what, verdict) in [
        ("space", footing::room(&config.data_dir)),
        ("clock", footing::clock(&config.data_dir)),
        ("open files", footing::open_files()),
        ("memory", footing::memory()),
    ] {
        if let Err(finding) = verdict {
            tracing::warn!(check = what, finding, "this machine may not carry a server for long");
        }
    }
    Ok(())
}

/// Reads and checks the configuration, the environment laid over it.
pub(crate) fn configuration(
    file: Option<&Path>,
    data: Option<PathBuf>,
) -> Result<Config, server::ConfigError> {
    let mut raw = Raw::load(file, std::env::vars())?;
    if let Some(data) = data {
        raw.data_dir = data;
    }
    raw.validate()
}

async fn serve(config: Config, ready_file: Option<&Path>) -> anyhow::Result<()> {
    // Before anything starts, so that no signal finds the process without an ear for it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let data_dir = config.data_dir.clone();
    let running = tokio::select! {
        started = server::start(config) => started?,
        // Nothing has been acknowledged yet: there is nothing to drain.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let addresses = running.addresses();
    let shown = |address: Option<std::net::SocketAddr>| address.map_or("off".to_owned(), |a| a.to_string());
    tracing::info!(
        http = %addresses.http,
        mqtt = shown(addresses.mqtt),
        mqtt_tls = shown(addresses.mqtt_tls),
        websocket = shown(addresses.websocket),
        pgwire = shown(addresses.pgwire),
        data = %data_dir.display(),
        "ready"
    );
    if let Some(file) = ready_file {
        announce(file, &addresses).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    notify(State::Ready);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match running.reload() {
                Ok(()) => tracing::info!("keys and certificates are read again"),
                Err(error) => tracing::error!(%error, "what could not be read stays as it was"),
            },
        }
    }
    notify(State::Stopping);
    tracing::info!("draining");
    tokio::select! {
        () = running.shutdown() => tracing::info!("stopped"),
        _ = terminate.recv() => tracing::warn!("told to stop twice: not waiting any longer"),
        _ = interrupt.recv() => tracing::warn!("told to stop twice: not waiting any longer"),
    }
    Ok(())
}

/// Written beside and renamed, so that who waits for the file never reads half of it.
fn announce(file: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let mut text = serde_json::to_value(addresses)?;
    text["pid"] = std::process::id().into();
    let beside = file.with_extension("new");
    std::fs::write(&beside, text.to_string())?;
    Ok(std::fs::rename(&beside, file)?)
}
