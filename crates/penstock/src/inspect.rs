//! `penstock log inspect`

use std::path::PathBuf;

use crate::Answer;

#[derive(clap::Subcommand)]
pub(crate) enum Log {
    /// Shows segments, partitions and damage of a log, without changing it; exit 1 when it is damaged
    Inspect {
        /// The log's directory, such as penstock-data/log
        dir: PathBuf,
        /// How the findings are printed
        #[arg(long, value_parser = ["table", "json"], default_value = "table")]
        format: String,
    },
}

impl Log {
    #[allow(clippy::print_stdout)] // stdout is data
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let Self::Inspect { dir, format } = self;
        let report = log::inspect(&dir)?;
        if format == "json" {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print!("{report}");
        }
        Ok(if report.damage.is_empty() { Answer::Yes } else { Answer::No })
    }
}
