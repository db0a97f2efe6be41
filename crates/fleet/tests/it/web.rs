//! A web server of a few lines: takes lines of JSON and answers as a test tells it to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the server does with its n-th request of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Takes,
    /// Takes it and closes the connection without an answer.
    Breaks,
    /// Answers with a status.
    Says(u16),
    /// Takes it and says that it closes the connection.
    Closes,
    /// Takes it after so many milliseconds.
    Stalls(u64),
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The how-manieth connection of all.
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) lines: Vec<String>,
}

pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
}

/// Serves until the test's process ends.
pub(crate) fn serve(does: fn(usize) -> Does) -> Web {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<Mutex<Vec<Asked>>>::default();
    let (into, count) = (asked.clone(), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (into, count) = (into.clone(), count.clone());
            std::thread::spawn(move || talk(connection, stream.unwrap(), &into, &count, does));
        }
    });
    Web { address, asked }
}

/// Serves answers of 200 that a test makes of the bodies, until the test's process ends; returns the address.
pub(crate) fn answers(make: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let make = Arc::new(make);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (make, mut stream) = (make.clone(), stream.unwrap());
            std::thread::spawn(move || {
                let mut buffer = Vec::new();
                while let Some((_, body)) = request(&mut stream, &mut buffer) {
                    if answer(&mut stream, 200, &make(&body), "Content-Type: application/json\r\n").is_none()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Ends when the client does, or as it is told.
fn talk(
    connection: usize,
    mut stream: TcpStream,
    asked: &Mutex<Vec<Asked>>,
    count: &AtomicUsize,
    does: fn(usize) -> Does,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let (head, body) = request(&mut stream, &mut buffer)?;
        let lines: Vec<String> = body.lines().map(str::to_owned).collect();
        let doing = does(count.fetch_add(1, Ordering::SeqCst));
        if !matches!(doing, Does::Says(_)) {
            asked.lock().unwrap().push(Asked { connection, head, lines: lines.clone() });
        }
        match doing {
            Does::Breaks => return None,
            Does::Says(status) => answer(&mut stream, status, "{\"detail\":\"as told\"}", "")?,
            Does::Stalls(millis) => {
                // The stall is what the test is about, not a wait for something.
                std::thread::sleep(std::time::Duration::from_millis(millis));
                answer(&mut stream, 200, &verdict(&lines), "")?;
            }
            Does::Takes => answer(&mut stream, 200, &verdict(&lines), "")?,
            Does::Closes => {
                answer(&mut stream, 200, &verdict(&lines), "Connection: close\r\n")?;
                return None;
            }
        }
    }
}

fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let named = |line: &str| line.to_ascii_lowercase().starts_with("content-length:");
            let length = head.lines().find(|line| named(line))?.split_once(' ')?.1;
            let length: usize = length.parse().unwrap();
            if length > 16 << 20 {
                answer(stream, 413, "{}", "")?;
                return None;
            }
            if rest.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Some((head.to_owned(), rest[..length].to_owned()));
            }
        }
        let mut chunk = [0; 65536];
        let len = stream.read(&mut chunk).ok().filter(|len| *len > 0)?;
        buffer.extend_from_slice(&chunk[..len]);
    }
}

/// Lines that are no JSON are rejected, the others taken.
fn verdict(lines: &[String]) -> String {
    let bad = |line: &&(usize, &String)| serde_json::from_str::<serde_json::Value>(line.1).is_err();
    let numbered: Vec<_> = lines.iter().enumerate().collect();
    let rejected: Vec<_> = numbered
        .iter()
        .filter(bad)
        .map(|(index, _)| serde_json::json!({"index": index, "reason": "x"}))
        .collect();
    serde_json::json!({"accepted": lines.len() - rejected.len(), "rejected": rejected}).to_string()
}

fn answer(stream: &mut TcpStream, status: u16, body: &str, more: &str) -> Option<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{more}\r\n{body}").ok()
}
