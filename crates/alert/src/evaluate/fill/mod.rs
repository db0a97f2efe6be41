//! Windows that are new are filled with what was stored, beside the evaluation.
//!
//! ```text
//!              watch        read           apply
//!   worker  ─────●────────────────────────────●──▶ clean topic, every record by its place in the raw topic
//!                └ remembers what it judges ──┤
//!   store   ──────────────────●───────────────┘
//!                             P: what it holds is before P, what the worker remembers from P on is added
//! ```
//!
//! A page of devices at a time. The worker watches them: what it judges of them it remembers as well. Once the store holds all that was in the
//! raw topic then, the reader asks it for each device, at a place P of the raw topic. When the worker has judged what was in the clean topic by then
//! (the stream writes it before the store), it puts behind that what it remembers from P on. So each reading is in the window once.

mod filler;
mod reader;
mod watch;

use std::sync::Arc;

use log::Position;
use record::{DeviceId, TenantId};
use rule::{Filled, OpenWindows};
use series::SeriesReader;
use tokio::sync::oneshot;

use crate::Directory;

pub(super) use filler::Filler;
pub(super) use watch::Watch;

/// Where what was stored is asked for.
#[derive(Clone)]
pub struct Past {
    /// The store.
    pub store: Arc<dyn SeriesReader>,
    /// The next offsets of the raw topic that the store wants: what is before them it holds.
    pub positions: Arc<dyn Fn() -> series::Result<Vec<series::Position>> + Send + Sync>,
    /// What is known of devices.
    pub directory: Arc<dyn Directory>,
}

/// What the reader tells the worker.
pub(super) enum Ask {
    /// From now on readings of these devices are to be remembered. The answer: the next offset of each backfill partition of the raw topic, as
    /// far as the worker has come.
    Watch { open: Arc<OpenWindows>, devices: Vec<DeviceId>, answer: oneshot::Sender<Vec<(u16, u64)>> },
    /// What was stored of them.
    Apply(Page),
    /// That was all.
    Done(Arc<OpenWindows>),
}

/// What was stored of some devices.
pub(super) struct Page {
    pub(super) tenant: TenantId,
    pub(super) devices: Vec<Stored>,
    /// Where the clean topic ended when they had been read: what the store held then is before it, and must not be judged after they are filled.
    pub(super) ends: Vec<Position>,
    /// Those that have to be read again.
    pub(super) answer: oneshot::Sender<Vec<DeviceId>>,
}

/// What was stored of a device.
pub(super) struct Stored {
    pub(super) filled: Filled,
    /// Its partition of the raw topic.
    pub(super) partition: u16,
    /// Readings before this time are there up to `old`, later ones up to `recent`: next offsets, live and backfill.
    pub(super) cut: record::Timestamp,
    pub(super) old: [u64; 2],
    pub(super) recent: [u64; 2],
}
