//! The session's half of HTTP/1.1: a request with some messages at a time, on a connection that is kept.

use std::collections::HashSet;

use super::{Dialogue, End, Moment, Session};
use crate::content::Writer;
use crate::disorder::Flaw;
use crate::flight::Sent;
use crate::load::{Http, Options, Protocol};
use crate::report::Stats;

/// Headers of an answer, at most; ours has four.
const HEADERS: usize = 64;
/// The largest answer: a rejection for each message of a request takes some hundred bytes.
const ANSWER_BYTES: usize = 1 << 20;
/// What a request that is too large says it has. The server need not read it to know.
const OVERSIZE_BYTES: u64 = (16 << 20) + 1;
/// Digits that are left for the length of a body until it is there.
const LENGTH_DIGITS: usize = 10;

/// What was asked and is not yet answered.
#[derive(Debug, Default)]
pub(super) struct Requests {
    sent: Vec<Sent>,
    /// The request, for sending it again.
    request: Vec<u8>,
}

impl Requests {
    pub(super) fn waiting(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn postpone(&mut self, until_ns: u64) {
        for sent in &mut self.sent {
            sent.intended_ns = sent.intended_ns.max(until_ns);
        }
    }

    /// The request that has to be sent again.
    pub(super) fn again(&self) -> Option<&[u8]> {
        (!self.sent.is_empty()).then_some(&self.request)
    }

    /// What is too large is not sent again: it would end every connection.
    pub(super) fn give_up_oversize(&mut self, stats: &mut Stats) {
        if self.sent.iter().any(|sent| sent.flaw == Flaw::Oversize) {
            *stats.refused.entry(413).or_default() += self.sent.len() as u64;
            self.sent.clear();
        }
    }
}

/// An answer, as far as it matters here.
struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    closes: bool,
    len: usize,
}

impl Session {
    fn requests(&mut self) -> &mut Requests {
        match &mut self.dialogue {
            Dialogue::Http(requests) => requests,
            Dialogue::Mqtt(_) => unreachable!("only sessions of HTTP make requests"),
        }
    }

    /// Makes a request of what waits, if none is on its way.
    pub(super) fn request(
        &mut self,
        moment: Moment,
        options: &Options,
        writer: &mut Writer,
        stats: &mut Stats,
    ) {
        let Protocol::Http(http) = &options.protocol else { return };
        if self.requests().waiting() > 0 {
            return;
        }
        let mut request = std::mem::take(&mut self.requests().request);
        request.clear();
        let body_at = head(&mut request, http);
        let mut sent = Vec::new();
        let mut breaks = false;
        while sent.len() < http.batch {
            let Some(message) = self.next(moment, options, writer, stats) else { break };
            if message.flaw == Flaw::Oversize && !sent.is_empty() {
                // It goes alone: with it the whole request would be refused.
                self.put_back(message, stats);
                break;
            }
            // The connection breaks after the request, not in it: what was sent has to be sent again.
            breaks |= std::mem::take(&mut self.break_now);
            let stamp_ms = writer.line(self.local, message, &mut request);
            sent.push(self.sent(message, stamp_ms));
        }
        self.break_now = breaks;
        if !sent.is_empty() {
            let says = if self.ends { OVERSIZE_BYTES } else { (request.len() - body_at) as u64 };
            let digits = format!("{says:0LENGTH_DIGITS$}");
            let length_at = body_at - 4 - LENGTH_DIGITS;
            request[length_at..length_at + LENGTH_DIGITS].copy_from_slice(digits.as_bytes());
            self.out.extend_from_slice(&request);
        }
        *self.requests() = Requests { sent, request };
    }

    /// Takes all whole answers; returns how many bytes they were.
    pub(super) fn responses(
        &mut self,
        bytes: &[u8],
        moment: Moment,
        options: &Options,
        stats: &mut Stats,
    ) -> Result<usize, End> {
        let mut used = 0;
        while let Some(answer) = read(&bytes[used..])? {
            used += answer.len;
            self.ends = false;
            match answer.status {
                429 | 500.. => {
                    stats.pushed_back += 1;
                    self.busy += 1;
                    return Err(End::Busy(answer.status));
                }
                _ => self.answered(&answer, moment, options, stats),
            }
            // What is too large is not read to its end, so nothing can follow it (RFC 9110, 15.5.14).
            if answer.closes || answer.status == 413 {
                return Err(End::Closing);
            }
        }
        Ok(used)
    }

    fn answered(&mut self, answer: &Answer<'_>, moment: Moment, options: &Options, stats: &mut Stats) {
        self.busy = 0;
        let sent = std::mem::take(&mut self.requests().sent);
        let good = (200..300).contains(&answer.status);
        let rejected = if good { rejected(answer.body) } else { HashSet::new() };
        for (index, one) in sent.iter().enumerate() {
            if good && !rejected.contains(&index) {
                self.kept(one, moment, options, stats);
                stats.answered(moment.phase, moment.now_ns.saturating_sub(one.intended_ns));
            } else {
                let code = if good { 422 } else { answer.status };
                self.refused(one, code, moment, options, stats);
            }
        }
        if !good && !matches!(answer.status, 413 | 422) {
            let words = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
            stats.last_trouble = Some(format!("the server answered {}: {words}", answer.status));
        }
    }
}

/// Appends the head of a request, zeros where the length of its body will stand; returns where the body begins.
fn head(out: &mut Vec<u8>, http: &Http) -> usize {
    out.extend_from_slice(b"POST /v1/telemetry HTTP/1.1\r\nHost: ");
    out.extend_from_slice(http.host.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: application/x-ndjson\r\n");
    if let Some(credentials) = &http.authorization {
        out.extend_from_slice(b"Authorization: ");
        out.extend_from_slice(credentials.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(&[b'0'; LENGTH_DIGITS]);
    out.extend_from_slice(b"\r\n\r\n");
    out.len()
}

/// The first answer, if it is whole.
fn read(bytes: &[u8]) -> Result<Option<Answer<'_>>, End> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) =
        response.parse(bytes).map_err(|_| End::NotHttp("its head cannot be read"))?
    else {
        return if bytes.len() > ANSWER_BYTES {
            Err(End::NotHttp("its head does not end"))
        } else {
            Ok(None)
        };
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let length: usize = match header("content-length") {
        Some(text) => text.parse().map_err(|_| End::NotHttp("its Content-Length is no number"))?,
        None => return Err(End::NotHttp("it has no Content-Length")),
    };
    if length > ANSWER_BYTES {
        return Err(End::NotHttp("it is larger than 1 MiB"));
    }
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    Ok(Some(Answer {
        status: response.code.unwrap_or(0),
        body,
        closes: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        len: head + length,
    }))
}

/// Which lines of a request were not taken.
fn rejected(body: &[u8]) -> HashSet<usize> {
    #[derive(serde::Deserialize)]
    struct Taken {
        #[serde(default)]
        rejected: Vec<Rejected>,
    }
    #[derive(serde::Deserialize)]
    struct Rejected {
        index: Option<usize>,
    }
    let taken: Taken = serde_json::from_slice(body).unwrap_or(Taken { rejected: Vec::new() });
    taken.rejected.into_iter().filter_map(|one| one.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\n{}rest";
        for len in 0..whole.len() - 4 {
            assert!(read(&whole[..len]).unwrap().is_none(), "{len}");
        }
        let answer = read(whole).unwrap().unwrap();
        assert_eq!((answer.status, answer.body, answer.closes), (200, &b"{}"[..], true));
        assert_eq!(answer.len, whole.len() - 4);
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for (bytes, words) in [
            (&b"SSH-2.0-x\r\n\r\n"[..], "head"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no number"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", "larger"),
        ] {
            let Err(End::NotHttp(why)) = read(bytes) else { panic!("{bytes:?} is taken") };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn rejections_name_lines() {
        let body = br#"{"accepted":3,"rejected":[{"index":1,"reason":"x"},{"index":4,"reason":"y"}]}"#;
        assert_eq!(rejected(body), HashSet::from([1, 4]));
    }
}
