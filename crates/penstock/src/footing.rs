//! What a server stands on: room on the disk, a clock, open files, memory. Told by `doctor` before, and by `serve`
//! when it starts.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Good, or wrong; in words that say what to do.
pub(crate) type Verdict = Result<String, String>;

/// Below this the log of a busy site is full within the hour.
const LITTLE_SPACE_BYTES: u64 = 5 << 30;
/// Each connection is an open file.
const FEW_FILES: u64 = 4096;
/// SQL alone may take this much; below it the system ends the process under load.
const LITTLE_MEMORY_BYTES: u64 = 512 << 20;
/// 2020-01-01: a clock before it was never set.
const FIRST_CLOCK: Duration = Duration::from_secs(1_577_836_800);
/// A file is not this much younger than now, unless the clock was set back.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
/// Files looked at for their times: the newest directory entries of a small tree.
const FILES_LOOKED_AT: usize = 10_000;

/// The directory, or the nearest one above it that is there.
pub(crate) fn existing(directory: &Path) -> &Path {
    let there = directory.ancestors().find(|place| place.is_dir());
    there.filter(|place| !place.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Room on the disk of the data directory.
pub(crate) fn room(directory: &Path) -> Verdict {
    let place = existing(directory);
    match server::space(place) {
        Ok(space) => enough_room(place, space.free_bytes),
        Err(error) => Err(format!("the disk of {} cannot be looked at: {error}", place.display())),
    }
}

fn enough_room(place: &Path, free_bytes: u64) -> Verdict {
    let words = format!("{} free on the disk of {}", gib(free_bytes), place.display());
    if free_bytes >= LITTLE_SPACE_BYTES {
        return Ok(words);
    }
    Err(format!(
        "{words}, less than {}: when it is full nothing is taken any more; free some, lower [log] max_bytes or [series] keep_days, \
         or move the data to a larger disk",
        gib(LITTLE_SPACE_BYTES)
    ))
}

/// The clock, against the calendar and the files of the data directory.
pub(crate) fn clock(directory: &Path) -> Verdict {
    let now = SystemTime::now();
    set(now)?;
    plausible(now, newest(directory))
}

/// Whether the clock was ever set. A server that is wrong about the time writes that down with each reading.
pub(crate) fn set(now: SystemTime) -> Verdict {
    let first = SystemTime::UNIX_EPOCH + FIRST_CLOCK;
    if now >= first {
        return Ok("is set".into());
    }
    Err(format!(
        "says {}, before 2020: set it (timedatectl set-ntp true, or date -s), for the time of arrival is kept with each reading",
        shown(now)
    ))
}

fn plausible(now: SystemTime, newest: Option<SystemTime>) -> Verdict {
    match newest.filter(|newest| *newest > now + CLOCK_MARGIN) {
        Some(newest) => Err(format!(
            "says {}, but files of the data directory were written at {}: set the clock, or, where it was wrong then and is right now, \
             go on and look at the readings of that time",
            shown(now),
            shown(newest)
        )),
        None => Ok(format!("says {}", shown(now))),
    }
}

/// When the youngest file was written.
fn newest(directory: &Path) -> Option<SystemTime> {
    let mut folders = vec![directory.to_owned()];
    let (mut newest, mut looked) = (None, 0);
    while let Some(folder) = folders.pop() {
        // What cannot be looked at is told by the check of the directory.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            looked += 1;
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                newest = newest.max(about.modified().ok());
            }
            if looked >= FILES_LOOKED_AT {
                return newest;
            }
        }
    }
    newest
}

/// Open files, connections included.
pub(crate) fn open_files() -> Verdict {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let Some(limit) = limit else { return Ok("as many as the system has".into()) };
    let words = format!("at most {limit}, connections included");
    if limit >= FEW_FILES {
        return Ok(words);
    }
    Err(format!(
        "{words}, fewer than {FEW_FILES}: raise it (ulimit -n, LimitNOFILE= in the unit, nofile in the container)"
    ))
}

/// Memory that can be had, of the machine and of the control group.
pub(crate) fn memory() -> Verdict {
    use sysinfo::{MemoryRefreshKind, RefreshKind, System};
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what);
    let group = system.cgroup_limits().map(|group| group.free_memory);
    enough_memory(group.map_or(system.available_memory(), |group| group.min(system.available_memory())))
}

fn enough_memory(available_bytes: u64) -> Verdict {
    let words = format!("{} available", gib(available_bytes));
    if available_bytes >= LITTLE_MEMORY_BYTES {
        return Ok(words);
    }
    Err(format!(
        "{words}, less than {}: the system may end the server; stop what else runs here, raise the container's limit, or lower \
         [stream] window_bytes, series_in_memory and devices_in_memory, and [query] cache_bytes",
        gib(LITTLE_MEMORY_BYTES)
    ))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn shown(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = chrono::DateTime::from_timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), 0);
    time.map_or_else(|| "no time".into(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // in a test a panic is the verdict

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_that_was_never_set_is_told() {
        assert!(set(at(1_600_000_000)).is_ok());
        let told = set(at(7_200)).unwrap_err();
        assert!(told.contains("1970-01-01 02:00:00") && told.contains("timedatectl"), "{told}");
    }

    #[test]
    fn a_clock_behind_the_files_is_told() {
        assert!(
            plausible(at(1_700_000_000), Some(at(1_700_000_500))).is_ok(),
            "clocks are put right by seconds"
        );
        assert!(plausible(at(1_700_000_000), None).is_ok());
        let told = plausible(at(1_700_000_000), Some(at(1_700_086_400))).unwrap_err();
        assert!(told.contains("2023-11-14") && told.contains("2023-11-15"), "{told}");
    }

    #[test]
    fn little_room_and_little_memory_are_told_with_what_to_do() {
        let told = enough_room(Path::new("/data"), 1 << 30).unwrap_err();
        assert!(told.contains("1.0 GiB free on the disk of /data") && told.contains("keep_days"), "{told}");
        assert!(enough_room(Path::new("/data"), 6 << 30).is_ok());
        let told = enough_memory(100 << 20).unwrap_err();
        assert!(told.contains("0.1 GiB") && told.contains("window_bytes"), "{told}");
        assert!(enough_memory(1 << 30).is_ok());
    }
}
