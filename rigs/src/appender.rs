//! A process that appends to a log as fast as it becomes durable and says on a pipe what is: the smallest thing
//! that makes promises.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use fleet::random::{Random, mix};
use log::{Batch, EmbeddedLog, Lane, Log, Options, PartitionId, Topic};

use crate::outcome::{Result, broken};

/// Writers at a time, each to a partition of its own.
const WRITERS: u32 = 4;
/// Batches that a writer has waiting.
const WAITING: usize = 8;

/// Small segments, so that cuts meet their making and sealing too.
#[must_use]
pub fn options() -> Options {
    Options { segment_bytes: 1 << 20, ..Options::default() }
}

/// The child's side: appends until it is killed, or the log fails.
///
/// # Errors
/// The log does not open.
pub fn append(folder: &Path, first_writer: u32) -> anyhow::Result<()> {
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder, options())?);
    let threads = (first_writer..first_writer + WRITERS).map(|writer| {
        let log = log.clone();
        std::thread::spawn(move || write(&*log, writer))
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("writers do not panic")?;
    }
    Ok(())
}

fn write(log: &dyn Log, writer: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut random = Random::new(u64::from(writer));
    let mut waiting = std::collections::VecDeque::new();
    let mut next = 0;
    loop {
        while waiting.len() < WAITING {
            let mut batch = Batch::new();
            for _ in 0..1 + (random.unit() * 20.0) as u64 {
                let partition = partition(writer);
                batch.push_with(partition, |out| encode(writer, next, out));
                next += 1;
            }
            waiting.push_back((next, log.append(batch)));
        }
        let Some((end, promise)) = waiting.pop_front() else { continue };
        runtime.block_on(promise)?;
        // Shorter than PIPE_BUF, so writers do not mix.
        let mut line = [0; 12];
        line[..4].copy_from_slice(&writer.to_le_bytes());
        line[4..].copy_from_slice(&end.to_le_bytes());
        io::stdout().lock().write_all(&line)?;
        io::stdout().lock().flush()?;
    }
}

fn partition(writer: u32) -> PartitionId {
    PartitionId { topic: Topic::Raw, lane: Lane::Live, index: (writer % WRITERS) as u16 }
}

/// Writer, sequence, and bytes that follow from both, 20 to 420 of them.
fn encode(writer: u32, sequence: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&writer.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    let mut state = mix(u64::from(writer) << 40 ^ sequence);
    for _ in 0..1 + state % 50 {
        state = mix(state);
        out.extend_from_slice(&state.to_le_bytes());
    }
}

/// What was promised: for each writer, how many of its records are durable.
pub type Promised = HashMap<u32, u64>;

/// The parent's side.
#[derive(Debug)]
pub struct Appender {
    child: Child,
    promised: Arc<Mutex<Promised>>,
    listener: JoinHandle<()>,
}

impl Appender {
    /// Starts this program again as an appender (`append FOLDER WRITER`); returns when it has promised something.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        folder: &Path,
        first_writer: u32,
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("append").arg(folder).arg(first_writer.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // What it says when the disk is gone from under it is expected.
        command.stderr(Stdio::null());
        prepare(&mut command);
        let mut child = command.spawn()?;
        let mut pipe = child.stdout.take().expect("stdout is piped");
        let promised = Arc::<Mutex<Promised>>::default();
        let into = promised.clone();
        let listener = std::thread::spawn(move || {
            let mut line = [0; 12];
            while pipe.read_exact(&mut line).is_ok() {
                let (writer, end) = line.split_at(4);
                let writer = u32::from_le_bytes(writer.try_into().expect("4 bytes"));
                let end = u64::from_le_bytes(end.try_into().expect("8 bytes"));
                into.lock().expect("no holder panics").insert(writer, end);
            }
        });
        Ok(Self { child, promised, listener })
    }

    /// What has been promised by now.
    #[must_use]
    pub fn promised(&self) -> Promised {
        self.promised.lock().expect("no holder panics").clone()
    }

    /// It runs.
    ///
    /// # Errors
    /// The system does not say.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.listener.join().expect("the listener does not panic");
        Ok(())
    }
}

/// Reads the whole log: every record as it was written, every writer without a hole, everything promised there.
/// Returns how many records there are.
///
/// # Errors
/// A promise was broken.
pub fn check(folder: &Path, promised: &Promised) -> Result<u64> {
    let mut next: Promised = HashMap::new();
    let mut expected = Vec::new();
    let mut count = 0;
    crate::logged::for_each(folder, options(), Topic::Raw, |partition, value| {
        let (Some(writer), Some(sequence)) = (value.first_chunk::<4>(), value.get(4..12)) else {
            return broken(format!("{partition}: a record of {} bytes that nobody wrote", value.len()));
        };
        let writer = u32::from_le_bytes(*writer);
        let sequence = u64::from_le_bytes(sequence.try_into().expect("8 bytes"));
        expected.clear();
        encode(writer, sequence, &mut expected);
        if expected != value {
            return broken(format!(
                "{partition}: record {sequence} of writer {writer} is not what was written"
            ));
        }
        let place = next.entry(writer).or_default();
        if sequence != *place {
            return broken(format!("{partition}: writer {writer} goes from {place} to {sequence}"));
        }
        *place += 1;
        count += 1;
        Ok(())
    })?;
    for (writer, end) in promised {
        let there = next.get(writer).copied().unwrap_or(0);
        if there < *end {
            return broken(format!("writer {writer}: {end} records were acknowledged, {there} are there"));
        }
    }
    Ok(count)
}
