//! What a server says about itself on `/metrics`, and the system about its process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// The page of a server.
///
/// # Errors
/// It does not answer.
pub fn page(http: SocketAddr, token: Option<&str>) -> anyhow::Result<String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build().into();
    let mut request = agent.get(format!("http://{http}/metrics"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Ok(request.call().context("/metrics does not answer")?.body_mut().read_to_string()?)
}

/// The sum of what the store's reader has not taken, of one lane or of both; `None`: the page does not say.
#[must_use]
pub fn lag(page: &str, lane: Option<&str>) -> Option<u64> {
    let lane = lane.map(|lane| format!("lane=\"{lane}\"")).unwrap_or_default();
    let of_store = |line: &&str| {
        line.starts_with("penstock_reader_lag_records{")
            && line.contains("reader=\"store\"")
            && line.contains(&lane)
    };
    let value = |line: &str| Some(line.rsplit(' ').next()?.parse::<f64>().ok()? as u64);
    let mut values = page.lines().filter(of_store).map(value).peekable();
    values.peek()?;
    values.sum()
}

/// The sum of the values whose lines begin so.
#[must_use]
pub fn named(page: &str, beginning: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(beginning));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Resident memory of a process, bytes.
///
/// # Errors
/// There is no such process.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// CPU time a process has used, user and system.
///
/// # Errors
/// There is no such process.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything: fields 14 and 15, in ticks of 10 ms.
    let rest = stat.rsplit(')').next().context("no fields")?;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// What all files under a folder hold. One that is removed meanwhile counts as nothing.
///
/// # Errors
/// The folder cannot be read.
pub fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(facts) if facts.is_dir() => folder_bytes(&entry.path())?,
            Ok(facts) => facts.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{cpu_time, lag, resident_bytes};

    #[test]
    fn the_lag_is_the_sum_over_partitions() {
        let text = "# HELP penstock_reader_lag_records x\n\
            penstock_reader_lag_records{reader=\"store\",topic=\"raw\",lane=\"live\",partition=\"0\"} 3\n\
            penstock_reader_lag_records{reader=\"gateway\",topic=\"raw\",lane=\"live\",partition=\"0\"} 9\n\
            penstock_reader_lag_records{reader=\"store\",topic=\"raw\",lane=\"backfill\",partition=\"1\"} 4\n";
        assert_eq!(lag(text, None), Some(7));
        assert_eq!(lag(text, Some("live")), Some(3));
        assert_eq!(lag("penstock_up 1\n", None), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).expect("it runs") > 1 << 20);
        cpu_time(pid).expect("it runs");
    }
}
