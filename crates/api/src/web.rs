//! The web interface: static files that are part of the binary. They hold no data, so they are served to anybody; the data
//! they show is asked of the routes beside them, with credentials ([decision](../../../docs/decisions/web-interface.md)).

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{Asker, Shared};

/// Name under `web/dist`, and what is in it.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// Nothing but what this server serves, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Smaller files are not worth packing: they fit into one packet as they are.
const PACKED_BYTES: usize = 1_000;

/// A file to be served.
struct File {
    bytes: &'static [u8],
    kind: &'static str,
    /// Whether its name changes with its content.
    named_by_content: bool,
    tag: String,
    packed: OnceLock<Option<Bytes>>,
}

/// `/`, and every other file by its name.
pub(crate) fn routes() -> Router<Shared> {
    let mut routes = Router::new();
    for &(name, bytes) in FILES {
        let file = Arc::new(File::new(name, bytes));
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let answer = move |headers: HeaderMap| {
            let file = Arc::clone(&file);
            async move { file.answer(&headers) }
        };
        routes = routes.route(&path, get(answer));
    }
    routes
}

/// What the API takes and answers, for programs.
pub(crate) async fn openapi(_asker: Asker) -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

impl File {
    fn new(name: &str, bytes: &'static [u8]) -> Self {
        let tag = format!("\"{:016x}\"", fnv1a(bytes));
        let named_by_content = name.starts_with("assets/");
        Self { bytes, kind: kind(name), named_by_content, tag, packed: OnceLock::new() }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        // What is named by its content never changes; the page that names it is asked for each time.
        let kept = if self.named_by_content { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_str(value).expect("these are plain ASCII");
            headers.insert(name, value);
        };
        set(CONTENT_TYPE, self.kind);
        set(CACHE_CONTROL, kept);
        set(ETAG, &self.tag);
        set(VARY, "accept-encoding");
        set(CONTENT_SECURITY_POLICY, POLICY);
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(REFERRER_POLICY, "no-referrer");
        if asked.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == self.tag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let body = match self.packed().filter(|_| takes_gzip(asked)) {
            Some(packed) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                Body::from(packed.clone())
            }
            None => Body::from(self.bytes),
        };
        (headers, body).into_response()
    }

    /// Packed when it is first asked for: a start need not wait for it.
    fn packed(&self) -> Option<&Bytes> {
        let pack = || {
            let mut packer = GzEncoder::new(Vec::new(), Compression::best());
            packer.write_all(self.bytes).ok()?;
            packer.finish().ok().map(Bytes::from)
        };
        let worth = self.bytes.len() >= PACKED_BYTES;
        worth.then(|| self.packed.get_or_init(pack).as_ref()).flatten()
    }
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get(ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.next() != Some("q=0")
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// FNV-1a: tells versions of a file apart, nothing more.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
