//! A receiver of e-mail: a mail server of others (aiosmtpd), and what came to whom.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::outcome::{Failure, Result};

const PEER: &str = include_str!("../clients/mail_server.py");

/// What came with one `Message-ID`, as it came first: a mailbox that looks at it shows it once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mail {
    id: String,
    /// To which addresses.
    pub to: Vec<String>,
    /// Its date, milliseconds since 1970; to the second.
    pub at_ms: i64,
    /// Its plain text.
    pub text: String,
}

/// A mail server that runs until it is dropped.
#[derive(Debug)]
pub struct MailServer {
    peer: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    by_id: BTreeMap<String, Mail>,
    /// Of a mail that came again and said something else, or that is none.
    wrong: Option<String>,
}

impl MailServer {
    /// On a port of the system's choice.
    ///
    /// # Errors
    /// [`Failure::CannotRun`] where no Python knows aiosmtpd; it does not start.
    pub fn start() -> Result<Self> {
        let Some(python) = python() else {
            return Err(Failure::CannotRun(
                "no Python here knows aiosmtpd: scripts/install-test-deps.sh installs it and says where; set PENSTOCK_TEST_DEPS to that"
                    .to_owned(),
            ));
        };
        let mut command = Command::new(&python);
        command.args(["-c", PEER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut peer = command.spawn().with_context(|| format!("{} cannot be started", python.display()))?;
        let mut lines = BufReader::new(peer.stdout.take().context("its output")?).lines();
        let port = lines.next().context("the mail server ended")??.parse().context("its port")?;
        let taken = Arc::<Mutex<Taken>>::default();
        let taking = Arc::clone(&taken);
        std::thread::spawn(move || take_all(lines, &taking));
        Ok(Self { peer, port, taken })
    }

    /// What came to an address so far.
    ///
    /// # Errors
    /// A `Message-ID` stood for two texts, or what came cannot be read.
    pub fn received(&self, address: &str) -> anyhow::Result<Vec<Mail>> {
        let taken = self.taken.lock().expect("nothing panics while it holds what came");
        ensure!(taken.wrong.is_none(), "{}", taken.wrong.as_deref().unwrap_or_default());
        let is_to = |mail: &&Mail| mail.to.iter().any(|to| to == address);
        Ok(taken.by_id.values().filter(is_to).cloned().collect())
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.peer.kill(); // it may have ended
        let _ = self.peer.wait();
    }
}

fn take_all(lines: Lines<BufReader<ChildStdout>>, taken: &Mutex<Taken>) {
    for line in lines.map_while(std::io::Result::ok) {
        let mut taken = taken.lock().expect("nothing panics while it holds what came");
        let mail: Mail = match serde_json::from_str(&line) {
            Ok(mail) => mail,
            Err(error) => {
                taken.wrong = Some(format!("{error}: {line}"));
                continue;
            }
        };
        let id = mail.id.clone();
        let first = taken.by_id.entry(id).or_insert_with(|| mail.clone());
        if *first != mail {
            taken.wrong = Some(format!("{} came with two texts", mail.id));
        }
    }
}

/// A Python that knows aiosmtpd: that of the tests' tools, or the system's.
fn python() -> Option<PathBuf> {
    let of_tests = std::env::var("PENSTOCK_TEST_DEPS").map(|folder| format!("{folder}/venv/bin/python"));
    let candidates = of_tests.into_iter().chain(["python3".to_owned()]);
    candidates.map(PathBuf::from).find(|python| {
        let check = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    })
}
