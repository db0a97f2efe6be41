//! A gateway alone: `serve [ADDRESS] [DIRECTORY|-] [CONFIG]`; `-` keeps everything in memory. CONFIG is TOML with
//! `[gateway]` and `[auth]` as in the server's file.

use std::path::Path;
use std::sync::Arc;

use penstock_gateway::{Config, Gateway, Parts};
use registry::{AuthConfig, Authenticator};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:1883".into());
    let directory = args.next().filter(|d| d != "-");
    let (log, metadata): (Arc<dyn log::Log>, Arc<dyn metadata::Metadata>) = match &directory {
        Some(directory) => {
            let directory = Path::new(directory);
            std::fs::create_dir_all(directory)?;
            let log = log::EmbeddedLog::open(&directory.join("log"), log::Options::default())?;
            (Arc::new(log), Arc::new(metadata::Sqlite::open(&directory.join("metadata.db"))?))
        }
        None => {
            let log = log::MemoryLog::new(log::Partitions::default());
            (Arc::new(log), Arc::new(metadata::Memory::new()))
        }
    };
    let mut parts = Parts::new(Arc::clone(&log), Arc::clone(&metadata));
    let mut config = Config { websocket: None, ..Config::default() };
    if let Some(file) = args.next() {
        let mut file: toml::Table = std::fs::read_to_string(file)?.parse()?;
        if let Some(raw) = file.remove("gateway") {
            config = Config::try_from(raw.try_into::<penstock_gateway::config::Raw>()?)?;
        }
        if let Some(raw) = file.remove("auth") {
            let policy = raw.try_into::<AuthConfig>()?.validate()?;
            parts = parts.with_authenticator(Arc::new(Authenticator::open(policy, metadata)?));
        }
    }
    config.mqtt = Some(address.parse()?);
    let running = Gateway::start(config, parts).await?;
    eprintln!("serving on {:?}", running.local_addrs());
    tokio::signal::ctrl_c().await?;
    running.shutdown().await?;
    log.close().await?;
    Ok(())
}
