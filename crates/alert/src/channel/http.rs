//! Requests to strangers: the address is checked when it is known, and nothing the peer does costs more than a little.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::public::is_public;
use crate::outbox::{Failure, Receipt};

/// Most of an answer that is read, bytes. An endless answer is cut off here.
const ANSWER_BYTES: usize = 4096;
/// How long the rest of an answer is waited for, once its status is known: the status is what counts.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Most bytes that the headers of an answer may take.
const HEADER_BYTES: usize = 64 << 10;
/// Most of what a peer says that is shown, bytes.
const SHOWN_BYTES: usize = 200;
/// Most addresses of a name that are tried.
const ADDRESSES: usize = 4;

/// Sends requests. One connection for each: alerts are rare, and what is not kept open cannot go stale.
pub(super) struct Client {
    tls: TlsConnector,
    timeout: Duration,
}

/// A POST request.
pub(super) struct Post<'a> {
    pub(super) url: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// Whether an address that not everybody reaches may be asked.
    pub(super) allow_private: bool,
}

impl Client {
    pub(super) fn new(timeout: Duration) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(errors = ?found.errors, "no certificates of authorities were found: https fails");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), timeout }
    }

    /// Sends it and says what came back. Redirects are not followed.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn post(&self, post: Post<'_>) -> Result<Receipt, Failure> {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, Box::pin(self.exchange(post))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::passing(format!("no answer within {} s", timeout.as_secs()))),
        }
    }

    async fn exchange(&self, post: Post<'_>) -> Result<Receipt, Failure> {
        let url = Url::parse(post.url).map_err(|error| Failure::lasting(error.to_string()))?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Failure::lasting("the address has no host"));
        };
        let stream = connect(&host, port, post.allow_private).await?;
        let request = request(&url, post)?;
        if url.scheme() == "https" {
            let name = server_name(&host)?;
            let stream = self.tls.connect(name, stream).await;
            let stream = stream.map_err(|error| Failure::passing(format!("TLS failed: {error}")))?;
            converse(stream, request).await
        } else {
            converse(stream, request).await
        }
    }
}

/// To the first address of the host that may be asked and answers. The address that was checked is the one that is connected to,
/// whatever the name means a moment later.
async fn connect(host: &Host<&str>, port: u16, allow_private: bool) -> Result<TcpStream, Failure> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Ipv4(address) => vec![(*address, port).into()],
        Host::Ipv6(address) => vec![(*address, port).into()],
        Host::Domain(name) => tokio::net::lookup_host((*name, port))
            .await
            .map_err(|error| Failure::passing(format!("{name} has no address: {error}")))?
            .collect(),
    };
    let allowed = addresses.iter().filter(|address| allow_private || is_public(address.ip()));
    let mut failure = match addresses.first() {
        Some(address) => Failure::lasting(format!(
            "{} is a private address: it is asked only with allow_private = true in [alert.webhook]",
            address.ip()
        )),
        None => Failure::passing("the name has no address"),
    };
    for address in allowed.take(ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Failure::passing(format!("connecting to {address} failed: {error}")),
        }
    }
    Err(failure)
}

fn request(url: &Url, post: Post<'_>) -> Result<Request<Full<Bytes>>, Failure> {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::post(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("Penstock/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(post.body)))
        .map_err(|error| Failure::lasting(format!("the address cannot be asked: {error}")))?;
    request.headers_mut().extend(post.headers);
    Ok(request)
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, Failure> {
    match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned())
            .map_err(|error| Failure::lasting(format!("{name} is no name for TLS: {error}"))),
        Host::Ipv4(address) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(*address).into())),
    }
}

/// One request and one answer. The connection lives in this future: when it is dropped, all of it is gone.
async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Receipt, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| Failure::passing(format!("the peer broke off: {error}"));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        Ok(answer(response).await)
    };
    let (mut exchange, connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        outcome = &mut exchange => outcome?,
        // What was received before the end is still there to be read.
        _ = connection => exchange.await?,
    }
}

async fn answer(response: Response<Incoming>) -> Result<Receipt, Failure> {
    let (parts, mut body) = response.into_parts();
    let mut text = Vec::new();
    let read = async {
        while text.len() < ANSWER_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            text.extend(frame.data_ref().into_iter().flatten().take(ANSWER_BYTES));
        }
    };
    // Whether all of it arrived does not matter.
    let _ = tokio::time::timeout(ANSWER_WAIT, read).await;
    let said = format!("{} {}", parts.status.as_u16(), shown(&text));
    judge(parts.status, &parts.headers, said.trim_end().to_owned())
}

fn judge(status: StatusCode, headers: &HeaderMap, said: String) -> Result<Receipt, Failure> {
    if status.is_success() {
        return Ok(Receipt { said });
    }
    if status.is_redirection() {
        return Err(Failure::lasting(format!(
            "{said} (redirects are not followed: write where it leads to)"
        )));
    }
    if status == StatusCode::GONE {
        return Err(Failure::lasting(said));
    }
    // Others may be a receiver that is being put in place: a lost alert is worse than some requests.
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Failure { wait: seconds.map(Duration::from_secs), ..Failure::passing(said) })
}

/// The beginning of an answer, without what a terminal would obey.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
