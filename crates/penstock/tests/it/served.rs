//! A real server on ports of the system's choice, ended with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Generous: the machine that runs the tests may be busy with others.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PENSTOCK: &str = env!("CARGO_BIN_EXE_penstock");

/// A server and its data directory.
pub(crate) struct Served {
    child: Child,
    pub(crate) http: String,
    pub(crate) mqtt_port: String,
    /// Empty where there is none.
    pub(crate) mqtt_tls_port: String,
    pub(crate) websocket_port: String,
    pub(crate) pgwire_port: String,
    pub(crate) dir: PathBuf,
}

impl Served {
    /// Starts a server over the data in `dir` and waits until it is ready.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::with(dir, &[])
    }

    /// As [`Self::start`], with more of the environment.
    pub(crate) fn with(dir: &Path, environment: &[(&str, &str)]) -> Self {
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let said = File::options().create(true).append(true).open(dir.join("server.log")).unwrap();
        let child = serve(dir)
            .envs(environment.iter().copied())
            .arg("--ready-file")
            .arg(&ready)
            .stderr(said)
            .spawn()
            .unwrap();
        let none = String::new;
        let mut served = Self {
            child,
            http: none(),
            mqtt_port: none(),
            mqtt_tls_port: none(),
            websocket_port: none(),
            pgwire_port: none(),
            dir: dir.to_owned(),
        };
        let addresses = until("the server is ready", || {
            if let Some(ended) = served.child.try_wait().unwrap() {
                panic!("the server ended with {ended}:\n{}", served.log());
            }
            let text = std::fs::read_to_string(&ready).ok()?;
            Some(serde_json::from_str::<Value>(&text).unwrap())
        });
        served.http = format!("http://{}", addresses["http"].as_str().unwrap());
        let port =
            |name: &str| addresses[name].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
        served.mqtt_port = port("mqtt");
        served.mqtt_tls_port = port("mqtt_tls");
        served.websocket_port = port("websocket");
        served.pgwire_port = port("pgwire");
        served
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGHUP.
    pub(crate) fn hangup(&self) {
        run(Command::new("kill").arg("-HUP").arg(self.child.id().to_string()));
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        run(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()));
        until("the server ends", || self.child.try_wait().unwrap())
    }

    /// `penstock query`, its stdout.
    pub(crate) fn query(&self, arguments: &[&str]) -> String {
        let output = penstock(&[&["query", "--server", &self.http], arguments].concat());
        assert!(output.status.success(), "{}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// The first answer to an SQL statement, as CSV without its header, that is not empty.
    pub(crate) fn eventually(&self, statement: &str) -> String {
        until(statement, || {
            let csv = self.query(&["--format", "csv", statement]);
            let rows = csv.lines().skip(1).collect::<Vec<_>>().join("\n");
            Some(rows).filter(|rows| !rows.is_empty())
        })
    }

    /// `curl`, with the status in the last line.
    pub(crate) fn curl(&self, arguments: &[&str], path: &str) -> String {
        let url = format!("{}{path}", self.http);
        text(&run(Command::new("curl").args(["-sS", "-w", "\n%{http_code}"]).args(arguments).arg(url)).stdout)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// `penstock serve` over `dir`, on any free ports.
pub(crate) fn serve(dir: &Path) -> Command {
    let mut command = Command::new(PENSTOCK);
    command
        .args(["serve", "--data"])
        .arg(dir.join("data"))
        .env("PENSTOCK__HTTP__LISTEN", "127.0.0.1:0")
        .env("PENSTOCK__PGWIRE__LISTEN", "127.0.0.1:0")
        .env("PENSTOCK__GATEWAY__MQTT__LISTEN", "127.0.0.1:0")
        .env("PENSTOCK__GATEWAY__WEBSOCKET__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

pub(crate) fn penstock(arguments: &[&str]) -> Output {
    Command::new(PENSTOCK).args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a tool that must be there and must succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?}: {error}: scripts/install-test-deps.sh installs what is missing", command.get_program())
    });
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "after {PATIENCE:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
