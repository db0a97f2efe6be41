//! Receivers on this machine, good ones and bad ones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What a receiver does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// This, and closes.
    Say(String),
    /// Nothing, for ever.
    Hang,
    /// Headers, and then bytes without end.
    Endless,
    /// Headers that promise more than comes.
    Stall,
    /// It closes at once.
    Drop,
}

/// An HTTP server of few words.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    /// Bytes that an endless answer got rid of.
    pub(crate) sent: Arc<Mutex<u64>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn status(status: &str) -> Answer {
    Answer::Say(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"))
}

impl Receiver {
    /// Answers the n-th request, from 0, as `answer` says.
    pub(crate) async fn new(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (taken, out, answer) = (Arc::clone(&requests), Arc::clone(&sent), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (taken, out, answer) = (Arc::clone(&taken), Arc::clone(&out), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let Some(request) = read(&mut stream).await else { return };
                    let answer = {
                        let mut taken = taken.lock();
                        let answer = answer(taken.len(), &request);
                        taken.push(request);
                        answer
                    };
                    reply(stream, answer, &out).await;
                });
            }
        });
        Self { address, requests, sent, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

async fn reply(mut stream: TcpStream, answer: Answer, out: &Mutex<u64>) {
    match answer {
        Answer::Say(text) => drop(stream.write_all(text.as_bytes()).await),
        Answer::Hang => std::future::pending().await,
        Answer::Stall => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nso").await.unwrap();
            std::future::pending().await
        }
        Answer::Drop => {}
        Answer::Endless => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
            let mut bytes: &[u8] = head;
            while stream.write_all(bytes).await.is_ok() {
                *out.lock() += bytes.len() as u64;
                bytes = &[b'x'; 65_536];
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend(&some[..n]),
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => body.extend(&some[..n]),
        }
    }
    Some(Request { path, headers, body: String::from_utf8(body).unwrap() })
}
