//! Retained messages that are overwritten all the time, and what a newcomer must be given of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet::packet::{Connect, Version};
use fleet::subscriber::Subscriber;

use crate::outcome::{Result, broken};

/// How many retained topics.
const TOPICS: usize = 10;

/// Versions written to each topic: the highest that was sent, the highest that was acknowledged.
#[derive(Debug, Default)]
struct Versions {
    sent: [AtomicU64; TOPICS],
    acked: [AtomicU64; TOPICS],
}

/// Writes ever higher numbers to retained topics, through restarts of the server.
#[derive(Debug)]
pub struct Retained {
    versions: Arc<Versions>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    address: SocketAddr,
}

impl Retained {
    /// Starts to write.
    #[must_use]
    pub fn start(address: SocketAddr) -> Self {
        let (versions, stop) = (Arc::<Versions>::default(), Arc::<AtomicBool>::default());
        let (into, until) = (versions.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                // A server that is down is what this is about.
                let _ = write(address, &into, &until);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { versions, stop, thread, address }
    }

    /// What was acknowledged by now: the lower bound for [`Retained::check`].
    #[must_use]
    pub fn acknowledged(&self) -> Vec<u64> {
        self.versions.acked.iter().map(|version| version.load(Ordering::SeqCst)).collect()
    }

    /// A newcomer must be given, of each topic, at least the version of `floor` and at most the last one sent.
    ///
    /// # Errors
    /// A retained message is missing, too old or was never sent.
    pub fn check(&self, floor: &[u64]) -> Result<()> {
        let says = Connect { client_id: "rig-newcomer", clean_start: true, ..Connect::default() };
        let mut newcomer = Subscriber::connect(self.address, &says)?;
        newcomer.subscribe("keep/#", 1)?;
        let mut given = [None; TOPICS];
        let deadline = Instant::now() + Duration::from_secs(5);
        let wanted = |given: &[Option<u64>; TOPICS]| (0..TOPICS).any(|k| floor[k] > 0 && given[k].is_none());
        while wanted(&given) && Instant::now() < deadline {
            let Some(message) = newcomer.next(Duration::from_millis(500))? else { continue };
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            let topic = message.topic.trim_start_matches("keep/").parse::<usize>();
            if let (Ok(topic), Ok(version)) = (topic, text.parse::<u64>())
                && topic < TOPICS
                && given[topic].is_none()
            {
                given[topic] = Some(version);
            }
        }
        for (topic, (given, &floor)) in given.iter().zip(floor).enumerate() {
            let sent = self.versions.sent[topic].load(Ordering::SeqCst);
            match given {
                Some(version) if *version < floor || *version > sent => {
                    return broken(format!(
                        "retained keep/{topic} is version {version}; {floor} was acknowledged, {sent} sent"
                    ));
                }
                None if floor > 0 => {
                    return broken(format!("retained keep/{topic} is gone (version {floor})"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Stops writing.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // Its thread holds nothing that could be lost.
        let _ = self.thread.join();
    }
}

fn write(address: SocketAddr, versions: &Versions, stop: &AtomicBool) -> anyhow::Result<()> {
    let says =
        Connect { version: Version::V311, client_id: "rig-keeper", clean_start: true, ..Connect::default() };
    let mut keeper = Subscriber::connect(address, &says)?;
    let mut topic = 0;
    while !stop.load(Ordering::Relaxed) {
        let version = versions.sent[topic].fetch_add(1, Ordering::SeqCst) + 1;
        keeper.publish(&format!("keep/{topic}"), version.to_string().as_bytes(), 1, true)?;
        versions.acked[topic].store(version, Ordering::SeqCst);
        topic = (topic + 1) % TOPICS;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
