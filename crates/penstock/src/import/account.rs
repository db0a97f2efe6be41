//! What became of the rows, and where to go on.
//!
//! Beside the file stand, while it is imported, `FILE.import.json`, the place up to which everything is answered, and, where rows were
//! rejected, `FILE.rejected.csv` (docs/formats/import.md). The place is noted after the rejected rows before it are written, and goes back to
//! nothing when it cannot be read: then the import begins anew, and what is there already is recognised by the server.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Import;
use super::lanes::Answered;
use super::mapping::REJECTED_COLUMNS;
use super::portion::Portion;
use super::source::Position;

/// Behind the name of a file: its rejected rows.
pub(super) const REJECTED: &str = ".rejected.csv";
const STATE: &str = ".import.json";
const VERSION: u32 = 1;
/// How often the place is noted: what is sent again after an interruption is at most of that time.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Reasons shown by a dry run, which writes no list.
const SHOWN: u64 = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) rows: u64,
    /// Readings the server has taken; in a dry run: that would be sent.
    pub(super) readings: u64,
    pub(super) empty_cells: u64,
    pub(super) rejected_rows: u64,
    /// Readings with a time that a server had put right.
    pub(super) other_clock: u64,
    #[serde(skip)]
    pub(super) rejected_file: Option<PathBuf>,
}

/// How far an import is.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    /// Of what file, and how it is read.
    fingerprint: String,
    position: Position,
    totals: Totals,
    /// How long the list of rejected rows is.
    rejected_bytes: u64,
}

pub(super) struct Account {
    header: Vec<String>,
    /// Columns at the beginning that an earlier list of rejected rows had put there, and that a new one puts anew.
    told_before: usize,
    fingerprint: String,
    state_file: PathBuf,
    rejected_file: PathBuf,
    rejected: Option<csv::Writer<File>>,
    rejected_bytes: u64,
    totals: Totals,
    /// Behind the last portion of which everything is answered.
    position: Option<Position>,
    is_dry: bool,
    pending: VecDeque<Pending>,
    /// The number of the first pending portion.
    first: u64,
    /// `None`: not noted yet.
    saved_at: Option<Instant>,
    /// Whether the place can be noted at all.
    can_save: bool,
}

struct Pending {
    portion: Portion,
    waiting: usize,
    accepted: u64,
}

impl Account {
    pub(super) fn open(
        file: &Path,
        fingerprint: String,
        header: &[String],
        asked: &Import,
    ) -> anyhow::Result<Self> {
        let again = header.iter().zip(REJECTED_COLUMNS).filter(|(name, own)| name == own).count();
        let mut account = Self {
            header: header.to_vec(),
            told_before: if again == REJECTED_COLUMNS.len() { again } else { 0 },
            fingerprint,
            state_file: beside(file, STATE),
            rejected_file: beside(file, REJECTED),
            rejected: None,
            rejected_bytes: 0,
            totals: Totals::default(),
            position: None,
            is_dry: asked.dry_run,
            pending: VecDeque::new(),
            first: 0,
            saved_at: None,
            can_save: true,
        };
        if !account.is_dry && (asked.restart || !account.resume()?) {
            account.forget();
            remove(&account.rejected_file)?;
        }
        Ok(account)
    }

    /// Where to go on.
    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    pub(super) const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Takes up where an import of the same file was broken off, if one was.
    fn resume(&mut self) -> anyhow::Result<bool> {
        let Ok(text) = fs::read(&self.state_file) else { return Ok(false) };
        let Ok(state) = serde_json::from_slice::<State>(&text) else { return Ok(false) };
        if state.version != VERSION || state.fingerprint != self.fingerprint {
            return Ok(false);
        }
        if state.totals.rejected_rows > 0 {
            let Ok(file) = File::options().read(true).write(true).open(&self.rejected_file) else {
                return Ok(false);
            };
            if file.metadata()?.len() < state.rejected_bytes {
                return Ok(false);
            }
            file.set_len(state.rejected_bytes).with_context(|| unwritable(&self.rejected_file))?;
            drop(file);
            let file = File::options().append(true).open(&self.rejected_file)?;
            self.rejected = Some(writer(file));
            self.rejected_bytes = state.rejected_bytes;
        } else {
            remove(&self.rejected_file)?;
        }
        (self.totals, self.position) = (state.totals, Some(state.position));
        Ok(true)
    }

    /// Takes note of a portion; `accepted` of its readings are in already.
    pub(super) fn read(&mut self, portion: Portion, accepted: u64) -> anyhow::Result<()> {
        let waiting = portion.requests;
        self.pending.push_back(Pending { portion, waiting, accepted });
        self.close().map(|_| ())
    }

    /// Takes note of an answer. How far it is, when that made a portion complete.
    pub(super) fn answered(&mut self, answered: Answered) -> anyhow::Result<Option<u64>> {
        let at = answered.portion.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let pending = at.and_then(|at| self.pending.get_mut(at));
        let pending = pending.context("an answer to a request that nobody made")?;
        pending.waiting -= 1;
        pending.accepted += answered.accepted;
        for (reading, reason) in answered.rejected {
            let rows = match reading {
                Some(reading) => answered.rows.get(reading..=reading).unwrap_or(&answered.rows),
                None => &answered.rows,
            };
            let mut last = None;
            for row in rows.iter().filter(|row| last.replace(**row) != Some(**row)) {
                pending.portion.notes[*row].reasons.push(reason.clone());
            }
        }
        self.close()
    }

    /// Settles the portions that are complete, in order.
    fn close(&mut self) -> anyhow::Result<Option<u64>> {
        let mut progress = None;
        while self.pending.front().is_some_and(|pending| pending.waiting == 0) {
            let Some(Pending { portion, accepted, .. }) = self.pending.pop_front() else { break };
            self.first += 1;
            self.totals.rows += portion.rows.len() as u64;
            self.totals.readings += accepted;
            for (row, notes) in portion.rows.iter().zip(&portion.notes) {
                self.totals.empty_cells += notes.empty_cells;
                self.totals.other_clock += u64::from(notes.other_clock);
                if !notes.reasons.is_empty() {
                    let cells = row.cells.iter().map(super::cell::Cell::shown);
                    self.reject(row.number, &notes.reasons.join("; "), cells)?;
                }
            }
            self.position = Some(portion.end);
            progress = Some(portion.progress);
        }
        if progress.is_some() && self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_EVERY) {
            self.save()?;
        }
        Ok(progress)
    }

    fn reject<'c>(
        &mut self,
        number: u64,
        reason: &str,
        cells: impl Iterator<Item = std::borrow::Cow<'c, str>>,
    ) -> anyhow::Result<()> {
        self.totals.rejected_rows += 1;
        if self.is_dry {
            if self.totals.rejected_rows <= SHOWN {
                eprintln!("penstock: row in line {number}: {reason}");
            }
            return Ok(());
        }
        let words = || unwritable(&self.rejected_file);
        let rejected = match &mut self.rejected {
            Some(rejected) => rejected,
            None => {
                let file = File::create(&self.rejected_file).with_context(words)?;
                let own = self.header.iter().skip(self.told_before).map(String::as_str);
                let header = REJECTED_COLUMNS.into_iter().chain(own);
                let rejected = self.rejected.insert(writer(file));
                rejected.write_record(header).with_context(words)?;
                rejected
            }
        };
        rejected.write_field(number.to_string()).with_context(words)?;
        rejected.write_field(reason).with_context(words)?;
        for cell in cells.skip(self.told_before) {
            rejected.write_field(&*cell).with_context(words)?;
        }
        rejected.write_record(None::<&[u8]>).with_context(words)
    }

    /// Notes how far it is.
    pub(super) fn save(&mut self) -> anyhow::Result<()> {
        let (Some(position), false) = (self.position, self.is_dry) else { return Ok(()) };
        self.flush()?;
        if !self.can_save {
            return Ok(());
        }
        let state = State {
            version: VERSION,
            fingerprint: self.fingerprint.clone(),
            position,
            totals: self.totals.clone(),
            rejected_bytes: self.rejected_bytes,
        };
        let beside = self.state_file.with_extension("tmp");
        let save = || -> anyhow::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec(&state)?)?;
            file.sync_all()?;
            fs::rename(&beside, &self.state_file)?;
            Ok(())
        };
        if let Err(error) = save() {
            self.can_save = false;
            let file = self.state_file.display();
            eprintln!("penstock: {file} cannot be written: {error}; broken off, the import would begin anew");
        }
        self.saved_at = Some(Instant::now());
        Ok(())
    }

    /// The note is only a shortcut: one that cannot be removed leads to a place up to which everything is answered.
    fn forget(&self) {
        let _ = fs::remove_file(&self.state_file);
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(rejected) = &mut self.rejected {
            rejected.flush().with_context(|| unwritable(&self.rejected_file))?;
            let file = rejected.get_ref();
            file.sync_data().with_context(|| unwritable(&self.rejected_file))?;
            self.rejected_bytes = file.metadata()?.len();
        }
        Ok(())
    }

    /// All of the file is answered.
    pub(super) fn finish(mut self) -> anyhow::Result<Totals> {
        self.flush()?;
        if !self.is_dry {
            self.forget();
        }
        if self.is_dry && self.totals.rejected_rows > SHOWN {
            eprintln!("penstock: and {} more", self.totals.rejected_rows - SHOWN);
        }
        let rejected_file = self.rejected.is_some().then(|| self.rejected_file.clone());
        Ok(Totals { rejected_file, ..self.totals })
    }
}

fn writer(file: File) -> csv::Writer<File> {
    // A row of another shape than the header stays as it is.
    csv::WriterBuilder::new().flexible(true).from_writer(file)
}

fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}

fn unwritable(file: &Path) -> String {
    format!("{} cannot be written", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_for_ever() {
        let fixture = include_str!("../../tests/fixtures/import-v1.json");
        let state: State = serde_json::from_str(fixture).unwrap();
        let totals = Totals { rows: 2, readings: 5, empty_cells: 1, rejected_rows: 1, ..Totals::default() };
        assert_eq!((state.version, state.totals, state.rejected_bytes), (1, totals, 77));
        assert_eq!(state.position, Position::Text { byte: 91, line: 4, record: 3 });
    }
}
