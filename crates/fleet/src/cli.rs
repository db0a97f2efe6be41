//! The `penstock fleet …` commands.

mod bench;
mod connections;
mod run;
mod story;
mod watch;

pub use bench::Bench;
pub use connections::Connections;
pub use run::Run;

use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand, ValueEnum};

use crate::load::Options;
use crate::packet::Version;
use crate::target::{Target, TlsFiles};

/// Simulated devices and load over real protocols.
#[derive(Debug, Subcommand)]
pub enum Fleet {
    /// Simulated devices that report for a while; ends with what was sent, acknowledged and how fast
    Run(Box<Run>),
    /// Raw publishes as fast as the server acknowledges them, or at a rate
    Bench(Box<Bench>),
    /// Connections held idle, and storms of them coming back at once
    Connections(Box<Connections>),
}

/// How a command ended: what goes to stdout, and whether the answer is yes (exit 0) or no (exit 1).
#[derive(Debug)]
pub struct Outcome {
    /// For stdout.
    pub text: String,
    /// Exit 0.
    pub good: bool,
}

/// What is wrong with a command, rather than with what it found: exit 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUse(pub String);

impl Fleet {
    /// Runs the command to its end. Blocks; call it on a thread of its own inside a runtime. Once `stop` is true a
    /// run sends nothing new, waits for its answers and reports.
    ///
    /// # Errors
    /// Wrong options, a server that cannot be reached or does not let all connections in.
    pub fn run(&self, stop: &AtomicBool) -> anyhow::Result<Outcome> {
        crate::process::raise_open_files_limit();
        match self {
            Self::Run(run) => run.run(stop),
            Self::Bench(bench) => bench.run(),
            Self::Connections(connections) => connections.run(),
        }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Where to connect and as whom.
#[derive(Debug, Clone, Args)]
pub struct Broker {
    /// The MQTT listener
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub target: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub tls: TlsFiles,
    /// MQTT version
    #[arg(long, value_enum, default_value_t)]
    pub mqtt: Version,
    /// User name of every connection
    #[arg(long)]
    pub username: Option<String>,
    /// Password of every connection
    #[arg(long, env = "PENSTOCK_FLEET_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Client identifiers are this and a number
    #[arg(long, value_name = "PREFIX", default_value = "fleet-")]
    pub client_id: String,
    /// Keep-alive, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub keep_alive: u16,
    /// Connect from this many loopback addresses (127.0.0.2 and up) in turn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub sources: u8,
    /// New connections per second at the start [default: all at once]
    #[arg(long, value_name = "PER_SECOND")]
    pub connect_rate: Option<f64>,
    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub workers: usize,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl Broker {
    /// The credentials, as the header `Authorization` has them.
    fn authorization(&self) -> Option<String> {
        let password = self.password.as_ref()?;
        Some(match &self.username {
            Some(user) => format!("Token {user}:{password}"),
            None => format!("Bearer {password}"),
        })
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut target = Target::new(&self.target, &self.tls)?;
        target.spread_sources(self.sources)?;
        let mut options = Options::new(target);
        options.version = self.mqtt;
        options.username.clone_from(&self.username);
        options.password.clone_from(&self.password);
        options.client_id.clone_from(&self.client_id);
        options.keep_alive_s = self.keep_alive;
        options.connect_rate = self.connect_rate;
        options.workers = self.workers;
        Ok(options)
    }
}
