//! `penstock doctor`: what would keep a server from starting or from staying up.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::json;
use server::Config;

use crate::client::{Said, Server};
use crate::{Answer, serve};

#[derive(clap::Args)]
pub(crate) struct Doctor {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PENSTOCK_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How the findings are printed
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    format: String,
    #[command(flatten)]
    server: Server,
}

/// Below this the log of a busy site is full within the hour.
const LITTLE_SPACE_BYTES: u64 = 5 << 30;
/// Each connection is an open file.
const FEW_FILES: u64 = 4096;

struct Finding {
    what: &'static str,
    good: bool,
    words: String,
}

impl Doctor {
    #[allow(clippy::print_stdout)] // stdout is data
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let mut findings = Vec::new();
        match serve::configuration(self.config.as_deref(), self.data.clone()) {
            Err(error) => findings.push(bad("configuration", error.to_string())),
            Ok(config) => {
                findings.push(good("configuration", "good"));
                findings.push(exposure(&config));
                findings.push(directory(&config.data_dir));
                findings.push(space(&config.data_dir));
                findings.push(open_files());
                findings.extend(self.listeners(&config));
            }
        }
        let healthy = findings.iter().all(|finding| finding.good);
        if self.format == "json" {
            let rows: Vec<_> = findings
                .iter()
                .map(|f| json!({ "check": f.what, "good": f.good, "finding": f.words }))
                .collect();
            println!("{}", serde_json::Value::from(rows));
        } else {
            for Finding { what, good, words } in findings {
                println!("{:<4} {what}: {words}", if good { "ok" } else { "BAD" });
            }
        }
        Ok(if healthy { Answer::Yes } else { Answer::No })
    }

    /// Either a server is up and ready, or its ports are free for one.
    fn listeners(&self, config: &Config) -> Vec<Finding> {
        match self.server.get("/health/ready") {
            Ok(Said::Fine(_)) => vec![good("server", "ready")],
            Ok(Said::Refused { status, detail }) => {
                vec![bad("server", format!("answers, but is not ready: {status} {detail}"))]
            }
            Err(_) => {
                let ports = [
                    ("http", Some(config.http)),
                    ("mqtt", config.gateway.mqtt),
                    ("websocket", config.gateway.websocket),
                ];
                let ports = ports.into_iter().filter_map(|(what, address)| Some(free(what, address?)));
                ports.chain([good("server", "none is running")]).collect()
            }
        }
    }
}

fn good(what: &'static str, words: impl Into<String>) -> Finding {
    Finding { what, good: true, words: words.into() }
}

fn bad(what: &'static str, words: impl Into<String>) -> Finding {
    Finding { what, good: false, words: words.into() }
}

fn free(what: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => good(what, format!("{address} is free")),
        Err(error) => bad(what, format!("{address}: {error}")),
    }
}

fn exposure(config: &Config) -> Finding {
    let listeners = [Some(config.http), config.gateway.mqtt, config.gateway.websocket];
    let open = config.auth.is_open();
    match listeners.into_iter().flatten().find(|address| open && !address.ip().is_loopback()) {
        Some(address) => {
            bad("exposure", format!("{address} can be reached by others and auth.mode is \"open\""))
        }
        None if open => good("exposure", "auth.mode is \"open\", only this machine can reach it"),
        None => good("exposure", "credentials are required"),
    }
}

fn directory(directory: &Path) -> Finding {
    // Looks without creating it: the directory, or where it would be created.
    let place = existing(directory);
    let probe = place.join(format!(".penstock-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => good("data", format!("{} can be written", place.display())),
        Err(error) => bad("data", format!("{}: {error}", place.display())),
    }
}

/// The directory, or the nearest one above it that is there.
fn existing(directory: &Path) -> &Path {
    let there = directory.ancestors().find(|place| place.is_dir());
    there.filter(|place| !place.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn space(directory: &Path) -> Finding {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(existing(directory).as_os_str().as_bytes()) else {
        return bad("space", "the path holds a zero byte");
    };
    // SAFETY: statvfs is plain old data, for which all zeros is a value; the call fills it in.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and the path ends in a zero byte.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } != 0 {
        return bad("space", std::io::Error::last_os_error().to_string());
    }
    let free_bytes = stat.f_bavail * stat.f_frsize;
    let words = format!("{:.1} GiB free", free_bytes as f64 / f64::from(1 << 30));
    if free_bytes < LITTLE_SPACE_BYTES { bad("space", words) } else { good("space", words) }
}

fn open_files() -> Finding {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for the call, which fills the struct in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return bad("open files", std::io::Error::last_os_error().to_string());
    }
    let words = format!("at most {} (connections included)", limit.rlim_max);
    if limit.rlim_max < FEW_FILES { bad("open files", words) } else { good("open files", words) }
}
