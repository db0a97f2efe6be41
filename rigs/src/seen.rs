//! A persistent subscriber that lives through restarts of the server and remembers everything it was given.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet::content::Id;
use fleet::packet::{Connect, Version};
use fleet::subscriber::Subscriber;

/// What arrived: how often each message, by topic group (the level after the first) and [`Id`].
pub type Counts = HashMap<(String, Id), u32>;

/// The subscriber's side of the story.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often each message arrived.
    pub counts: Counts,
    /// Reconnects at which the server had no session.
    pub sessions_lost: u32,
    /// When something last arrived.
    last: Option<Instant>,
}

/// The subscriber on its thread.
#[derive(Debug)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Subscribes to `filter` at QoS 2 with a session that outlives connections.
    ///
    /// # Errors
    /// The first connection or the subscription fails.
    pub fn start(address: SocketAddr, filter: &str) -> anyhow::Result<Self> {
        let mut client = connect(address)?;
        client.subscribe(filter, 2)?;
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (into, until, filter) = (seen.clone(), stop.clone(), filter.to_owned());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                match client.next(Duration::from_millis(100)) {
                    Ok(None) => {}
                    Ok(Some(message)) => {
                        let mut seen = into.lock().expect("no holder panics");
                        seen.last = Some(Instant::now());
                        let group = message.topic.split('/').nth(1).unwrap_or_default().to_owned();
                        if let Some(id) = Id::read(&message.payload) {
                            *seen.counts.entry((group, id)).or_default() += 1;
                        }
                    }
                    Err(_) => match again(address, &client, &filter, &into, &until) {
                        Some(back) => client = back,
                        None => return,
                    },
                }
            }
        });
        Ok(Self { seen, stop, thread })
    }

    /// Waits until nothing has arrived for `quiet`, at most `limit`; then ends and hands over.
    #[must_use]
    pub fn finish(self, quiet: Duration, limit: Duration) -> Seen {
        let (began, deadline) = (Instant::now(), Instant::now() + limit);
        loop {
            let last = self.seen.lock().expect("no holder panics").last.unwrap_or(began).max(began);
            if last.elapsed() >= quiet || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the subscriber's thread does not panic");
        std::mem::take(&mut self.seen.lock().expect("no holder panics"))
    }
}

fn connect(address: SocketAddr) -> anyhow::Result<Subscriber> {
    let says = Connect {
        version: Version::V5,
        client_id: "rig-watcher",
        clean_start: false,
        session_expiry_s: 3600,
        keep_alive_s: 60,
        ..Connect::default()
    };
    Subscriber::connect(address, &says)
}

/// Comes back until it is let in or told to stop.
fn again(
    address: SocketAddr,
    before: &Subscriber,
    filter: &str,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) -> Option<Subscriber> {
    loop {
        if let Ok(client) = connect(address) {
            if client.session_present {
                return Some(client.resuming(before));
            }
            seen.lock().expect("no holder panics").sessions_lost += 1;
            let mut client = client;
            if client.subscribe(filter, 2).is_ok() {
                return Some(client);
            }
        }
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
