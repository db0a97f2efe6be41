//! How much room the disk of the data directory has.

use std::io;
use std::path::Path;

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this process may still write, bytes.
    pub free_bytes: u64,
    /// Its size, bytes.
    pub total_bytes: u64,
}

/// The disk that `directory` is on.
///
/// # Errors
/// There is no such directory, or it cannot be looked at.
pub fn space(directory: &Path) -> io::Result<Space> {
    let disk = rustix::fs::statvfs(directory)?;
    // Available, not free: the rest is kept for the superuser.
    Ok(Space { free_bytes: disk.f_bavail * disk.f_frsize, total_bytes: disk.f_blocks * disk.f_frsize })
}
