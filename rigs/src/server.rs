//! The real binary as a process: started, watched, killed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Where a server listens and keeps its data; the same from start to start.
#[derive(Debug, Clone)]
pub struct Place {
    /// The binary.
    pub binary: PathBuf,
    /// Its data.
    pub data: PathBuf,
    /// Where its configuration and output are written, not on the disk under test.
    pub folder: PathBuf,
    /// The MQTT listener.
    pub mqtt: SocketAddr,
    /// The HTTP listener.
    pub http: SocketAddr,
    /// `roles` of its configuration, as TOML.
    pub roles: String,
    /// Further tables of its configuration, as TOML.
    pub more: String,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    place: Place,
    /// From the start of the process to the first "ready".
    pub ready_after: Duration,
}

/// A server that is not ready after this is broken.
const READY_LIMIT: Duration = Duration::from_secs(60);

impl Place {
    /// A place with ports of its own.
    ///
    /// # Errors
    /// No free port, or the configuration cannot be written.
    pub fn new(binary: &Path, data: &Path, folder: &Path) -> anyhow::Result<Self> {
        // Held together, so that they differ.
        let (mqtt, http) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let place = Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            folder: folder.to_owned(),
            mqtt: mqtt.local_addr()?,
            http: http.local_addr()?,
            roles: "[\"gateway\"]".to_owned(),
            more: String::new(),
        };
        Ok(place)
    }

    /// With all roles that a server on one machine has.
    #[must_use]
    pub fn with_everything(self) -> Self {
        let roles = r#"["gateway", "stream", "store", "query", "control"]"#.to_owned();
        Self { roles, ..self }
    }

    /// Starts the server and waits until `/health/ready` is 200. `prepare` may change how it is started.
    ///
    /// # Errors
    /// It ended, or was not ready in time; with its last words.
    pub fn start(&self, prepare: impl FnOnce(&mut Command)) -> anyhow::Result<Server> {
        let config = self.folder.join("penstock.toml");
        std::fs::write(&config, self.config())?;
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))
            .context("server.log")?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&config).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        prepare(&mut command);
        let began = Instant::now();
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", self.binary.display()))?;
        let mut server = Server { child, place: self.clone(), ready_after: Duration::ZERO };
        while get(self.http, "/health/ready") != Some(200) {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}: {}", server.last_words());
            }
            if began.elapsed() > READY_LIMIT {
                bail!("the server is not ready after {READY_LIMIT:?}: {}", server.last_words());
            }
            // Fine enough for a figure of hundreds of milliseconds.
            std::thread::sleep(Duration::from_millis(5));
        }
        server.ready_after = began.elapsed();
        Ok(server)
    }

    fn config(&self) -> String {
        format!(
            "data_dir = {:?}\nroles = {}\n[gateway.mqtt]\nlisten = \"{}\"\n[gateway.websocket]\nlisten = \"\"\n[pgwire]\nlisten = \"\"\n\
             [http]\nlisten = \"{}\"\n{}",
            self.data, self.roles, self.mqtt, self.http, self.more
        )
    }
}

impl Server {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill9(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Errors
    /// It did not end with 0 within 30 s.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "SIGTERM: the server ended with {status}");
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "SIGTERM: the server still runs after 30 s");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// It runs.
    ///
    /// # Errors
    /// The system does not say.
    pub fn is_running(&mut self) -> std::io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.place.folder.join("server.log")).unwrap_or_default();
        log.chars().rev().take(1500).collect::<Vec<_>>().into_iter().rev().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of `GET path`, or `None` when nobody answers within a second.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<u16> {
    let limit = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n").ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

/// The binary to test: `given`, or the one beside this program.
///
/// # Errors
/// It is not there.
pub fn binary(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("penstock"),
    };
    anyhow::ensure!(path.exists(), "no server at {}: build it or give --binary", path.display());
    Ok(path)
}
