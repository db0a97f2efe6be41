//! Who is told by webhook, and how the API is asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::served::Served;

/// A receiver of webhooks: by `Idempotency-Key`, what came and how often.
#[derive(Clone, Default)]
pub(super) struct Receiver(Arc<Mutex<BTreeMap<String, (Value, u32)>>>);

impl Receiver {
    /// Listens on a port of the system's choice until the test ends.
    pub(super) fn listen() -> (Self, String) {
        let (receiver, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let taking = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                taking.take(stream.unwrap());
            }
        });
        (receiver, url)
    }

    fn take(&self, mut stream: std::net::TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut key, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            match line.trim().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => key = value.to_owned(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_ok() && !key.is_empty() {
            let body = serde_json::from_slice(&body).unwrap();
            self.0.lock().unwrap().entry(key).or_insert((body, 0)).1 += 1;
        }
        let _ =
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }

    /// What came, by kind.
    pub(super) fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for (body, _) in self.0.lock().unwrap().values() {
            *kinds.entry(body["type"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        kinds
    }

    /// What came, each once.
    pub(super) fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().values().map(|(body, _)| body.clone()).collect()
    }
}

/// Posts a body: the status, and what was said.
pub(super) fn post(served: &Served, path: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.post(format!("{}{path}", served.http)).send_json(body);
    let mut answer = answer.unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}
