//! `penstock doctor`: what would keep a server from starting or from staying up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use server::Config;

use crate::client::{Said, Server};
use crate::footing::{self, Verdict};
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

struct Finding {
    what: &'static str,
    verdict: Verdict,
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let mut findings = Vec::new();
        match serve::configuration(self.config.as_deref(), self.data.clone()) {
            Err(error) => findings.push(finding("configuration", Err(error.to_string()))),
            Ok(config) => {
                findings.push(finding("configuration", Ok("good".into())));
                findings.push(finding("exposure", exposure(&config)));
                findings.push(finding("data", directory(&config.data_dir)));
                findings.push(finding("space", footing::room(&config.data_dir)));
                findings.push(finding("clock", footing::clock(&config.data_dir)));
                findings.push(finding("open files", footing::open_files()));
                findings.push(finding("memory", footing::memory()));
                findings.extend(server::tls(&config).map(|verdict| finding("gateway.mqtt_tls", verdict)));
                findings.extend(self.server(&config));
            }
        }
        self.print(&findings);
        let healthy = findings.iter().all(|finding| finding.verdict.is_ok());
        Ok(if healthy { Answer::Yes } else { Answer::No })
    }

    #[allow(clippy::print_stdout)] // stdout is data
    fn print(&self, findings: &[Finding]) {
        let words = |verdict: &Verdict| match verdict {
            Ok(words) | Err(words) => words.clone(),
        };
        if self.format == "json" {
            let row = |f: &Finding| json!({ "check": f.what, "good": f.verdict.is_ok(), "finding": words(&f.verdict) });
            println!("{}", findings.iter().map(row).collect::<serde_json::Value>());
            return;
        }
        for Finding { what, verdict } in findings {
            println!("{:<4} {what}: {}", if verdict.is_ok() { "ok" } else { "BAD" }, words(verdict));
        }
    }

    /// Either a server is up and ready, or its ports and its data are free for one.
    fn server(&self, config: &Config) -> Vec<Finding> {
        // Where --server says nothing else, the configuration does.
        let own = Server::at(&reachable(config.http), &self.server);
        let answer = self.server.get("/health/ready").or_else(|_| own.get("/health/ready"));
        match answer {
            Ok(Said::Fine(_)) => vec![finding("server", Ok("ready".into()))],
            Ok(Said::Refused { status, detail }) => {
                let words = format!("answers, but is not ready: {status} {detail}");
                vec![finding("server", Err(words))]
            }
            Err(_) => {
                let mut findings: Vec<_> =
                    listeners(config).map(|(what, at)| finding(what, free(at))).collect();
                findings.push(finding("server", unlocked(&config.data_dir)));
                findings
            }
        }
    }
}

fn finding(what: &'static str, verdict: Verdict) -> Finding {
    Finding { what, verdict }
}

/// Whoever listens, by the key of its address.
fn listeners(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let all = [
        ("http.listen", Some(config.http)),
        ("pgwire.listen", config.pgwire),
        ("gateway.mqtt.listen", config.gateway.mqtt),
        ("gateway.mqtt_tls.listen", config.gateway.mqtt_tls.as_ref().map(|tls| tls.listen)),
        ("gateway.websocket.listen", config.gateway.websocket),
    ];
    all.into_iter().filter_map(|(what, address)| Some((what, address?)))
}

/// A listener's address as one to be asked at.
fn reachable(listens: SocketAddr) -> String {
    let ip = match listens.ip() {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    format!("http://{}", SocketAddr::new(ip, listens.port()))
}

fn free(address: SocketAddr) -> Verdict {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let Err(error) = TcpListener::bind(address) else { return Ok(format!("{address} is free")) };
    let port = address.port();
    Err(match error.kind() {
        AddrInUse => format!(
            "{address} is taken: see by whom (ss -ltnp 'sport = :{port}') and stop it, or set another address"
        ),
        AddrNotAvailable => format!("{address} is no address of this machine: set one that is, or 0.0.0.0"),
        PermissionDenied => format!(
            "{address} may not be taken by this user: set a port above 1023, or give CAP_NET_BIND_SERVICE"
        ),
        _ => format!("{address}: {error}"),
    })
}

/// Nobody who does not answer has the data directory.
fn unlocked(directory: &Path) -> Verdict {
    match server::holder(directory) {
        Ok(None) => Ok("none is running".into()),
        Ok(Some(process)) => Err(format!(
            "process {process} has {} and does not answer at --server: ask where it listens, or stop it (kill {process})",
            directory.display()
        )),
        Err(error) => Err(format!("the lock of {} cannot be looked at: {error}", directory.display())),
    }
}

fn exposure(config: &Config) -> Verdict {
    let open = config.auth.is_open();
    match listeners(config).find(|(_, address)| open && !address.ip().is_loopback()) {
        Some((what, address)) => Err(format!(
            "{what}: {address} can be reached by others and auth.mode is \"open\": set [auth] mode = \"required\", or listen on 127.0.0.1"
        )),
        None if open => Ok("auth.mode is \"open\", only this machine can reach it".into()),
        None => Ok("credentials are required".into()),
    }
}

/// Whether the directory can be written, and all in it belongs to one user: a server that once ran as another leaves
/// files that this one cannot write.
fn directory(directory: &Path) -> Verdict {
    // Looks without creating it: the directory, or where it would be created.
    let place = footing::existing(directory);
    if let Some(blocked) = directory.ancestors().find(|part| part.exists() && !part.is_dir()) {
        return Err(format!(
            "{} is no directory: move it away, or name another with --data",
            blocked.display()
        ));
    }
    let owner = std::fs::metadata(place).map_err(|error| format!("{}: {error}", place.display()))?.uid();
    let me = rustix::process::geteuid().as_raw();
    let attempt = place.join(format!(".penstock-doctor-{}", std::process::id()));
    if let Err(error) = std::fs::write(&attempt, b"").and_then(|()| std::fs::remove_file(&attempt)) {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let advice = match error.kind() {
            PermissionDenied => format!(
                "it belongs to user {owner}, this is user {me}: run as that user, or give it to this one (chown -R)"
            ),
            ReadOnlyFilesystem => {
                "see why its file system is mounted so (dmesg), or name another with --data".into()
            }
            StorageFull => "free space on its disk, or name another with --data".into(),
            _ => "name another with --data".into(),
        };
        return Err(format!("{} cannot be written: {error}; {advice}", place.display()));
    }
    if place == directory {
        one_owner(directory, owner)?;
    }
    Ok(format!("{} can be written", place.display()))
}

/// One level deep: whoever made files there made them everywhere.
fn one_owner(directory: &Path, owner: u32) -> Result<(), String> {
    for entry in std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        let Ok(entry) = entry else { continue };
        let Ok(about) = entry.metadata() else { continue }; // gone since
        if about.uid() != owner {
            return Err(format!(
                "{} belongs to user {}, the directory to user {owner}: somebody ran penstock there as another user; chown -R {owner} {}",
                entry.path().display(),
                about.uid(),
                directory.display()
            ));
        }
    }
    Ok(())
}
