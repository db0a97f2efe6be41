//! What the kernel says about a process (Linux, proc(5)).

use std::fs;
use std::io;

/// CPU time and memory of a process at a moment.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Usage {
    /// User and system time of all its threads, seconds (to 10 ms).
    pub cpu_seconds: f64,
    /// Resident memory, KiB (`VmRSS`).
    pub rss_kib: u64,
}

/// Reads the usage of a process; `None` is this one.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub fn usage(pid: Option<u32>) -> io::Result<Usage> {
    let dir = pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
    let stat = fs::read_to_string(format!("{dir}/stat"))?;
    let status = fs::read_to_string(format!("{dir}/status"))?;
    let unexpected = || io::Error::new(io::ErrorKind::InvalidData, format!("{dir} reads unlike proc(5)"));
    // The name in parentheses may hold anything; what follows is numbers. utime and stime are fields 14, 15.
    let after_name = stat.rsplit_once(')').ok_or_else(unexpected)?.1;
    let ticks: Vec<u64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let [user, system] = ticks[..] else { return Err(unexpected()) };
    let rss_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
        .ok_or_else(unexpected)?;
    Ok(Usage {
        cpu_seconds: (user + system) as f64 / rustix::param::clock_ticks_per_second() as f64,
        rss_kib,
    })
}

/// Raises the soft limit on open files to the hard one: a connection is a file.
pub fn raise_open_files_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // When it is refused the connections that do not fit fail one by one and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
