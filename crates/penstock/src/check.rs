//! `penstock config check|show`

use std::path::PathBuf;

use server::config::Raw;

use crate::{Answer, serve};

#[derive(clap::Subcommand)]
pub(crate) enum Config {
    /// Says whether the configuration is good; exit 1 when it is not
    Check(File),
    /// Shows the configuration as the server would see it, defaults and environment included
    Show(File),
}

#[derive(clap::Args)]
pub(crate) struct File {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PENSTOCK_CONFIG")]
    config: Option<PathBuf>,
}

impl Config {
    #[allow(clippy::print_stdout)] // stdout is data
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let (Self::Check(file) | Self::Show(file)) = &self;
        if let Err(error) = serve::configuration(file.config.as_deref(), None) {
            eprintln!("penstock: {error}");
            return Ok(Answer::No);
        }
        match self {
            Self::Check(_) => eprintln!("the configuration is good"),
            Self::Show(file) => {
                print!("{}", Raw::show(file.config.as_deref(), std::env::vars())?);
            }
        }
        Ok(Answer::Yes)
    }
}
