//! Losing data on purpose, for the broken controls.

use std::fs::{self, File};
use std::path::Path;

/// Loses what was written last, as a server that acknowledges too early would: the last tenth of what the newest
/// segment of the log holds. (Behind it there may be reserved space, which is zeros.)
///
/// # Errors
/// There is no segment, or it cannot be changed.
pub fn cut_newest(data: &Path) -> anyhow::Result<()> {
    let log = data.join("log");
    let mut newest = None;
    for entry in fs::read_dir(&log)? {
        let path = entry?.path();
        // Segments are named by their number, with leading zeros.
        if path.extension().is_some_and(|extension| extension == "seg") && Some(&path) > newest.as_ref() {
            newest = Some(path);
        }
    }
    let path = newest.ok_or_else(|| anyhow::anyhow!("no segment in {}", log.display()))?;
    let held = fs::read(&path)?.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
    File::options().write(true).open(&path)?.set_len(held * 9 / 10)?;
    Ok(())
}
