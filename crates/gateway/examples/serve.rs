//! A gateway alone: `serve [ADDRESS] [DIRECTORY]`; without a directory everything is in memory.

use std::path::Path;
use std::sync::Arc;

use penstock_gateway::{Config, Gateway, Parts};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut config = Config { websocket: None, ..Config::default() };
    if let Some(address) = args.next() {
        config.mqtt = Some(address.parse()?);
    }
    let directory = args.next();
    let log: Arc<dyn log::Log> = match &directory {
        Some(directory) => {
            Arc::new(log::EmbeddedLog::open(&Path::new(directory).join("log"), log::Options::default())?)
        }
        None => Arc::new(log::MemoryLog::new(log::Partitions::default())),
    };
    let metadata: Arc<dyn metadata::Metadata> = match &directory {
        Some(directory) => Arc::new(metadata::Sqlite::open(&Path::new(directory).join("metadata.db"))?),
        None => Arc::new(metadata::Memory::new()),
    };
    let running = Gateway::start(config, Parts::new(Arc::clone(&log), metadata)).await?;
    eprintln!("serving on {:?}", running.local_addrs());
    tokio::signal::ctrl_c().await?;
    running.shutdown().await?;
    log.close().await?;
    Ok(())
}
