//! What drives the writer: a thread in production, a test's hand in a simulation.

use std::sync::Arc;

use super::EmbeddedLog;
use super::writer::Writer;
use crate::{Error, Result};

/// Starts the writer's thread.
pub(crate) fn start(mut writer: Writer) -> Result<EmbeddedLog> {
    let shared = Arc::clone(writer.shared());
    let run = move || {
        let shared = Arc::clone(writer.shared());
        // However the thread ends, nobody may wait for it in vain.
        let _last_word = LastWord(Arc::clone(&shared));
        loop {
            let work = shared.queue.wait(shared.options.retry_interval, shared.options.commit_delay);
            if !writer.step(work) {
                break;
            }
        }
    };
    let thread = std::thread::Builder::new().name("log-writer".to_owned()).spawn(run);
    let place = shared.disk.place();
    let thread = thread.map_err(|error| Error::Io {
        operation: "starting the writer thread",
        place,
        reason: error.to_string(),
    })?;
    Ok(EmbeddedLog { shared, thread: Some(thread) })
}

struct LastWord(Arc<super::shared::Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.closed(Err(Error::Closed));
            let mut wakers = Vec::new();
            let mut held = self.0.held.lock();
            held.closed = true;
            held.waiters.everyone(&mut wakers);
            drop(held);
            wakers.into_iter().for_each(std::task::Waker::wake);
        }
    }
}

/// The writer in the hands of a simulation: nothing happens between its steps.
#[cfg(feature = "sim")]
pub struct Stepper(Writer);

#[cfg(feature = "sim")]
impl Stepper {
    /// Does what is waiting, one commit group at most; `false` once the log is closed.
    pub fn step(&mut self) -> bool {
        let work = self.0.shared().queue.poll();
        self.0.step(work)
    }
}

#[cfg(feature = "sim")]
impl EmbeddedLog {
    /// Opens a log on any disk, with its thread.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_on(
        disk: Arc<dyn crate::disk::Disk>,
        clock: Arc<dyn crate::Clock>,
        options: super::Options,
        new_id: u128,
    ) -> Result<Self> {
        start(super::open::open(disk, clock, options, new_id, super::Sabotage::default())?)
    }

    /// Opens a log on any disk, without a thread: the simulation calls [`Stepper::step`].
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_stepped(
        disk: Arc<dyn crate::disk::Disk>,
        clock: Arc<dyn crate::Clock>,
        options: super::Options,
        new_id: u128,
        sabotage: super::Sabotage,
    ) -> Result<(Self, Stepper)> {
        let writer = super::open::open(disk, clock, options, new_id, sabotage)?;
        let log = Self { shared: Arc::clone(writer.shared()), thread: None };
        Ok((log, Stepper(writer)))
    }
}
