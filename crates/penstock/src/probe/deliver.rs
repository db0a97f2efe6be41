//! From the buffer to the server, oldest first, for ever.

use fleet::packet::{self, Connect};
use fleet::target::TlsFiles;

use super::backoff::Backoff;
use super::link::{Answered, Link};
use super::shared::Shared;

/// Where to, and as whom.
pub(super) struct Delivery {
    pub(super) target: String,
    pub(super) tls: TlsFiles,
    pub(super) client_id: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// What will be refused however often it is sent (MQTT 5.0, 3.4.2.1): the topic's name, the payload's format.
/// Everything else an operator can mend: credentials, quotas, disks.
const NEVER: [u8; 2] = [0x90, 0x99];
const REFUSED: u8 = 0x80;

impl Delivery {
    pub(super) fn run(&self, shared: &Shared) {
        let mut backoff = Backoff::new();
        let mut before = false;
        loop {
            let Err(error) = self.session(shared, before, &mut backoff);
            before = true;
            let wait = backoff.next(chance());
            eprintln!("penstock: {}: {error:#}; trying again in {:.1} s", self.target, wait.as_secs_f64());
            std::thread::sleep(wait);
        }
    }

    /// A connection's life, which only an error ends.
    fn session(
        &self,
        shared: &Shared,
        before: bool,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, anyhow::Error> {
        let connect = Connect {
            client_id: &self.client_id,
            // The buffer is the session: nothing is left to take up from the one before.
            clean_start: true,
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            ..Connect::default()
        };
        let mut link = Link::open(&self.target, &self.tls, &connect)?;
        if before {
            shared.reconnected();
        }
        loop {
            let batch = shared.take(link.receive_maximum.into(), link.ping_after)?;
            if batch.is_empty() {
                link.ping()?;
                continue;
            }
            let mut answered = Vec::with_capacity(batch.len());
            let outcome = link.deliver(&batch, &mut answered);
            settle(shared, &answered)?;
            outcome?;
            if let Some(no) = answered.iter().find(|one| one.code >= REFUSED && !NEVER.contains(&one.code)) {
                anyhow::bail!(
                    "the server does not take measurements now, reason {}",
                    packet::reason(no.code)
                );
            }
            *backoff = Backoff::new(); // what a connection is for, works
        }
    }
}

fn settle(shared: &Shared, answered: &[Answered]) -> anyhow::Result<()> {
    let of = |wanted: fn(u8) -> bool| -> Vec<i64> {
        answered.iter().filter(|one| wanted(one.code)).map(|one| one.seq).collect()
    };
    let refused = of(|code| NEVER.contains(&code));
    if let Some(seq) = refused.first() {
        let count = refused.len();
        eprintln!(
            "penstock: the server will never take {count} measurements, the first is number {seq}: they are dropped and counted"
        );
    }
    Ok(shared.settle(&of(|code| code < REFUSED), &refused)?)
}

/// From the system; without it, none, and the waits are still right.
fn chance() -> u32 {
    getrandom::u32().unwrap_or_default()
}
