//! A receiver of webhooks: what came, how often, and when.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

/// What came under one `Idempotency-Key`.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its body, as it came first.
    pub body: Value,
    /// How often it came.
    pub times: u32,
    /// Whether it was another body another time.
    pub differs: bool,
    /// When it came first.
    pub at: Instant,
}

/// Listens until the process ends. Clones show the same.
#[derive(Clone, Debug)]
pub struct Receiver {
    taken: Arc<Mutex<Taken>>,
    /// Where it listens, as a URL.
    pub url: String,
}

#[derive(Debug, Default)]
struct Taken {
    by_key: BTreeMap<String, Received>,
    requests: u64,
    without_key: u64,
    /// Every so manyth request is answered with 500; 0: none.
    fails_every: u64,
}

impl Receiver {
    /// On a port of the system's choice. Every so manyth request is answered with 500 before anything is taken; 0: none.
    ///
    /// # Errors
    /// There is no port.
    pub fn listen(fails_every: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let receiver = Self { taken: Arc::new(Mutex::new(Taken { fails_every, ..Taken::default() })), url };
        let taking = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taking = taking.clone();
                std::thread::spawn(move || {
                    let _ = taking.serve(stream); // whoever sends may be killed
                });
            }
        });
        Ok(receiver)
    }

    /// What came so far, by key.
    #[must_use]
    pub fn received(&self) -> BTreeMap<String, Received> {
        self.taken().by_key.clone()
    }

    /// How many different messages came whose body `wanted` says yes to.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.taken().by_key.values().filter(|received| wanted(&received.body)).count()
    }

    /// Forgets what came.
    pub fn forget(&self) {
        self.taken().by_key.clear();
    }

    /// Requests that had no key.
    #[must_use]
    pub fn without_key(&self) -> u64 {
        self.taken().without_key
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nothing panics while it holds what came")
    }

    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
        loop {
            let (mut key, mut length, mut line) = (String::new(), 0, String::new());
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            loop {
                line.clear();
                if reader.read_line(&mut line)? <= 2 {
                    break;
                }
                let (name, value) = line.trim().split_once(':').context("a header")?;
                match name.to_ascii_lowercase().as_str() {
                    "idempotency-key" => key = value.trim().to_owned(),
                    "content-length" => length = value.trim().parse()?,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let status = self.take(key, serde_json::from_slice(&body)?);
            write!(writer, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
        }
    }

    fn take(&self, key: String, body: Value) -> &'static str {
        let (at, mut taken) = (Instant::now(), self.taken());
        taken.requests += 1;
        if taken.fails_every > 0 && taken.requests.is_multiple_of(taken.fails_every) {
            return "500 Internal Server Error";
        }
        if key.is_empty() {
            taken.without_key += 1;
            return "204 No Content";
        }
        match taken.by_key.get_mut(&key) {
            Some(received) => {
                received.times += 1;
                received.differs |= received.body != body;
            }
            None => {
                taken.by_key.insert(key, Received { body, times: 1, differs: false, at });
            }
        }
        "204 No Content"
    }
}
