//! Bodies: read and decompressed within bounds, their bytes counted over all requests.

use std::io::Read;
use std::sync::Arc;

use axum::body::Body as Stream;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::failure::Failure;

/// Below this much output no ratio matters.
const RATIO_FREE_BYTES: usize = 1 << 20;
/// What telemetry shrinks to, about: a tenth.
const LIKELY_RATIO: usize = 10;
/// Output taken from the decompressor at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A share of [`Limits::in_flight_bytes`]; dropped, it is given back.
pub(super) struct Held {
    all: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

/// A body as sent.
pub(super) struct Body {
    bytes: Vec<u8>,
    coding: Coding,
    held: Held,
}

/// A body as meant.
pub(super) struct Decoded {
    bytes: Vec<u8>,
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

impl Held {
    pub(super) fn none(all: &Arc<Semaphore>) -> Self {
        Self { all: all.clone(), permit: None }
    }

    /// Holds exactly `bytes` from here on, or what it held before.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), Failure> {
        let before = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        match (bytes.checked_sub(before), &mut self.permit) {
            (Some(more), _) => self.grow(more),
            (None, Some(permit)) => {
                drop(permit.split(before - bytes));
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Takes `bytes` more, or none.
    fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let bytes = u32::try_from(bytes).map_err(|_| Failure::in_flight())?;
        let more = self.all.clone().try_acquire_many_owned(bytes).map_err(|_| Failure::in_flight())?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

impl Body {
    /// Reads a body. Sizes are checked, and counted against all requests, before memory is taken for them.
    pub(super) async fn read(
        headers: &HeaderMap,
        stream: Stream,
        all: &Arc<Semaphore>,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let coding = Coding::of(headers)?;
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if let Some(size) = announced.filter(|size| *size > limits.body_bytes) {
            return Err(too_large(&format!("the body has {size} bytes"), limits));
        }
        let read = Self::collect(stream, all, limits);
        match tokio::time::timeout(limits.body_deadline, read).await {
            Ok(read) => read.map(|(bytes, held)| Self { bytes, coding, held }),
            Err(_elapsed) => Err(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body was not complete after {} s", limits.body_deadline.as_secs()),
            )),
        }
    }

    async fn collect(
        stream: Stream,
        all: &Arc<Semaphore>,
        limits: &Limits,
    ) -> Result<(Vec<u8>, Held), Failure> {
        let mut held = Held::none(all);
        let mut bytes = Vec::new();
        let mut stream = stream.into_data_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| Failure::bad_request(format!("the body broke off: {e}")))?;
            if bytes.len() + chunk.len() > limits.body_bytes {
                return Err(too_large("the body is too large", limits));
            }
            held.grow(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, held))
    }

    /// As sent, bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// As meant, bytes, before anybody looked.
    pub(super) fn likely_bytes(&self) -> usize {
        match self.coding {
            Coding::Identity => self.bytes.len(),
            Coding::Gzip | Coding::Deflate => self.bytes.len().saturating_mul(LIKELY_RATIO),
        }
    }

    /// Undoes the content coding.
    pub(super) fn decompress(mut self, limits: &Limits) -> Result<Decoded, Failure> {
        let bytes = match self.coding {
            Coding::Identity => {
                if self.bytes.len() > limits.decoded_bytes {
                    return Err(decoded_too_large(limits));
                }
                self.bytes
            }
            Coding::Gzip => {
                let reader = flate2::read::MultiGzDecoder::new(&self.bytes[..]);
                inflate(reader, "gzip", self.bytes.len(), &mut self.held, limits)?
            }
            // RFC 9110 section 8.4.1.2: "deflate" is the zlib format.
            Coding::Deflate => {
                let reader = flate2::read::ZlibDecoder::new(&self.bytes[..]);
                inflate(reader, "deflate", self.bytes.len(), &mut self.held, limits)?
            }
        };
        self.held.set(bytes.len())?;
        Ok(Decoded { bytes, held: self.held })
    }
}

impl Decoded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Lets go of the bytes, not of their share: what was made of them takes it over.
    pub(super) fn into_held(self) -> Held {
        self.held
    }
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).into_iter();
        match (
            codings.next().map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase()),
            codings.next(),
        ) {
            (None, _) => Ok(Self::Identity),
            (Some(one), None) if one == "identity" || one.is_empty() => Ok(Self::Identity),
            (Some(one), None) if one == "gzip" || one == "x-gzip" => Ok(Self::Gzip),
            (Some(one), None) if one == "deflate" => Ok(Self::Deflate),
            (Some(other), _) => Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the Content-Encoding {other:?} is not taken: send gzip, deflate or none"),
            )),
        }
    }
}

fn inflate(
    mut reader: impl Read,
    name: &str,
    compressed_bytes: usize,
    held: &mut Held,
    limits: &Limits,
) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let most = compressed_bytes.saturating_mul(limits.decompression_ratio).max(RATIO_FREE_BYTES);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = match reader.read(&mut chunk) {
            Ok(0) => return Ok(out),
            Ok(n) => n,
            Err(error) => return Err(Failure::bad_request(format!("the body is not {name}: {error}"))),
        };
        if out.len() + n > limits.decoded_bytes {
            return Err(decoded_too_large(limits));
        }
        if out.len() + n > most {
            let detail = format!(
                "the body grows more than {} times by decompression: send it with less repetition",
                limits.decompression_ratio
            );
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
                .with("limit", "decompression_ratio")
                .with("limit_ratio", limits.decompression_ratio));
        }
        held.grow(n)?;
        out.extend_from_slice(&chunk[..n]);
    }
}

fn too_large(what: &str, limits: &Limits) -> Failure {
    Failure::too_large(what, limits.body_bytes, "body_bytes")
}

fn decoded_too_large(limits: &Limits) -> Failure {
    Failure::too_large("the body is too large after decompression", limits.decoded_bytes, "decoded_bytes")
}
