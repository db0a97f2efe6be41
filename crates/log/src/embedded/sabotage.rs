//! Broken controls: each switch takes out one of the steps that make the log durable, and the simulation must
//! notice every one of them. Without the feature `sim` they do not exist.

/// Which step is left out.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// Files are never synced.
    pub no_fsync: bool,
    /// Promises are kept before the write.
    pub ack_first: bool,
    /// New names are never synced.
    pub no_dir_sync: bool,
    /// Recovery keeps the torn end of a crash.
    pub no_truncate: bool,
}

#[cfg(feature = "sim")]
impl Sabotage {
    pub(crate) fn no_fsync(self) -> bool {
        self.no_fsync
    }
    pub(crate) fn ack_first(self) -> bool {
        self.ack_first
    }
    pub(crate) fn no_dir_sync(self) -> bool {
        self.no_dir_sync
    }
    pub(crate) fn no_truncate(self) -> bool {
        self.no_truncate
    }
}

#[cfg(not(feature = "sim"))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sabotage;

#[cfg(not(feature = "sim"))]
#[allow(clippy::unused_self, reason = "stands in for the switches of the feature `sim`")]
impl Sabotage {
    pub(crate) fn no_fsync(self) -> bool {
        false
    }
    pub(crate) fn ack_first(self) -> bool {
        false
    }
    pub(crate) fn no_dir_sync(self) -> bool {
        false
    }
    pub(crate) fn no_truncate(self) -> bool {
        false
    }
}
