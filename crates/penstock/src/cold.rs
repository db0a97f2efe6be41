//! `penstock cold`: what lies in the cold tier (docs/tiers.md), without the server that put it there.

use std::path::PathBuf;

use serde_json::{Value, json};
use server::{Progress, RestoreError, Restored, Restoring};

use crate::bar::{Bar, Unit};
use crate::query::{Format, csv_of, table_of};
use crate::{Answer, WrongUse};

#[derive(clap::Subcommand)]
pub(crate) enum Cold {
    /// Makes a data directory of what lies in an object store, when the disk is lost; exit 1 when not all of it is good
    Restore(Restore),
}

#[derive(clap::Args)]
pub(crate) struct Restore {
    /// Where the objects are, as series.cold.url had it; keys come from the environment (docs/tiers.md)
    #[arg(long, value_name = "URL")]
    url: String,
    /// The data directory that is made; it must be empty, or not there
    #[arg(long, value_name = "DATA_DIR")]
    to: PathBuf,
    /// Which store, by its number, where several lie there
    #[arg(long, value_name = "NUMBER")]
    store: Option<String>,
    /// Leaves out what is damaged or not there. Without it, it is named, and the data directory is not finished
    #[arg(long)]
    without_damaged: bool,
    /// How the summary is printed: table or csv of tenants and their readings; json, one object with what is damaged or not in the
    /// catalogue too
    #[arg(long, short, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
}

impl Cold {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let Self::Restore(restore) = self;
        restore.run()
    }
}

impl Restore {
    fn run(self) -> anyhow::Result<Answer> {
        let bar = Bar::new();
        let wanted = Restoring { store: self.store.clone(), without_damaged: self.without_damaged };
        let outcome = server::restore(&self.url, &self.to, &wanted, &|progress| match progress {
            Progress::Expect { runs, size_bytes } => {
                bar.say(&format!("{runs} files of {size_bytes} bytes are read and checked"));
                bar.expect(size_bytes, Unit::Bytes);
            }
            Progress::Took(size_bytes) => bar.add(size_bytes),
            Progress::Damaged(error) => bar.say(&error.to_string()),
            Progress::Again(error) => bar.say(&format!("{error}; trying again")),
        });
        bar.finish();
        let restored = match outcome {
            Ok(restored) => restored,
            Err(
                error @ (RestoreError::Url(_)
                | RestoreError::NoDirectory { .. }
                | RestoreError::NotEmpty { .. }),
            ) => {
                return Err(WrongUse(error.to_string()).into());
            }
            Err(error) => return Err(error.into()),
        };
        self.print(&restored)?;
        self.advise(&restored);
        Ok(if restored.is_finished { Answer::Yes } else { Answer::No })
    }

    #[allow(clippy::print_stdout)] // stdout is data
    fn print(&self, restored: &Restored) -> anyhow::Result<()> {
        let Restored { store, catalogue, runs, size_bytes, is_finished, unlisted, .. } = restored;
        let readings = restored.readings.iter();
        let readings: Vec<Value> =
            readings.map(|(tenant, of)| json!({ "tenant": tenant, "readings": of })).collect();
        let names = ["tenant", "readings"];
        match self.format {
            Format::Json => {
                let damaged: Vec<String> = restored.damaged.iter().map(ToString::to_string).collect();
                let summary = json!({
                    "store": store, "catalogue": catalogue, "finished": is_finished, "files": runs, "bytes": size_bytes,
                    "tenants": readings, "damaged": damaged, "not_in_catalogue": unlisted,
                });
                println!("{}", serde_json::to_string(&summary)?);
            }
            Format::Csv if *is_finished => println!("{}", csv_of(&names, &readings)),
            Format::Table if *is_finished => println!("{}", table_of(&names, &readings)),
            Format::Csv | Format::Table => {}
        }
        Ok(())
    }

    fn advise(&self, restored: &Restored) {
        let to = self.to.display();
        eprintln!(
            "penstock: {} files of {} bytes are good, by {}",
            restored.runs, restored.size_bytes, restored.catalogue
        );
        for key in &restored.unlisted {
            eprintln!("penstock: {key} is not in the catalogue, and not restored");
        }
        match (restored.damaged.len(), restored.is_finished) {
            (0, _) => {}
            (damaged, false) => {
                eprintln!(
                    "penstock: {damaged} files are damaged or not there, and {to} is not finished: bring them back (earlier versions of the \
                     objects, a copy of the bucket) and run this again, which goes on from here; or run it with --without-damaged"
                );
                return;
            }
            (damaged, true) => eprintln!("penstock: {damaged} files are left out"),
        }
        if !restored.unlisted.is_empty() || !restored.damaged.is_empty() {
            eprintln!(
                "penstock: a server on {to} removes objects that it does not know, once they are a day old: copy what you want of them before"
            );
        }
        eprintln!("penstock: {to} is made: start a server on it with series.cold.url = {:?}", self.url);
    }
}
