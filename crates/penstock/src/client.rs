//! Talking to a server over HTTP.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use ureq::typestate::{WithBody, WithoutBody};

/// Longer than the longest answer of a server takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server that does not answer is waited for, once it has answered.
const GONE_PATIENCE: Duration = Duration::from_secs(60);
/// How long one that says "later" is: a full disk takes a person.
const BUSY_PATIENCE: Duration = Duration::from_secs(600);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Connections kept open: as many as requests are ever in flight.
const IDLE_CONNECTIONS: usize = 64;

/// `--server` and `--token`, for every command that asks a server.
#[derive(clap::Args)]
pub(crate) struct Server {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "PENSTOCK_SERVER", value_parser = with_scheme)]
    server: String,
    /// A token, where the server requires credentials
    #[arg(long, value_name = "TOKEN", env = "PENSTOCK_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[arg(skip)]
    agent: OnceLock<ureq::Agent>,
}

/// A request that may be made again: nothing comes of it twice.
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) body: &'a [u8],
}

/// An answer as it came.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    retry_after: Option<Duration>,
}

/// What a server said.
pub(crate) enum Said {
    /// 2xx, the body.
    Fine(String),
    /// Anything else: what it said was wrong.
    Refused { status: u16, detail: String },
}

impl Reply {
    /// What the server said was wrong.
    pub(crate) fn detail(&self) -> String {
        detail(&String::from_utf8_lossy(&self.body))
    }

    fn says_later(&self) -> bool {
        matches!(self.status, 429 | 502 | 503 | 504)
    }
}

impl Server {
    /// Another server, asked with the token for this one.
    pub(crate) fn at(address: &str, like: &Self) -> Self {
        Self { server: address.to_owned(), token: like.token.clone(), agent: OnceLock::new() }
    }

    /// The server's address.
    pub(crate) fn address(&self) -> &str {
        self.server.trim_end_matches('/')
    }

    /// Whether a server is there, so that a wrong address is told at once.
    pub(crate) fn reach(&self) -> anyhow::Result<()> {
        self.get("/health/live").map(|_| ())
    }

    /// Asks until there is an answer other than "later". `told` hears why it takes longer.
    pub(crate) fn ask_patiently(&self, request: &Request<'_>, told: &dyn Fn(&str)) -> anyhow::Result<Reply> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(250);
        loop {
            let (reason, patience, wait) = match self.ask(request) {
                Ok(reply) if reply.says_later() => {
                    if started.elapsed() > BUSY_PATIENCE {
                        return Ok(reply);
                    }
                    let wait = reply.retry_after.map_or(pause, |told| told.max(Duration::from_millis(50)));
                    (reply.detail(), BUSY_PATIENCE, wait)
                }
                Ok(reply) => return Ok(reply),
                Err(error) if started.elapsed() > GONE_PATIENCE => return Err(error),
                Err(error) => (format!("{error:#}"), GONE_PATIENCE, pause),
            };
            told(&format!("{reason} (trying again for {} s at most)", patience.as_secs()));
            std::thread::sleep(wait.min(BUSY_PATIENCE));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks once.
    fn ask(&self, request: &Request<'_>) -> anyhow::Result<Reply> {
        let url = self.url(request.path);
        let mut post = self.agent().post(&url).header("accept", request.accept);
        post = post.content_type(request.content_type);
        if let Some(token) = &self.token {
            post = post.header("authorization", format!("Bearer {token}"));
        }
        let mut response = post.send(request.body).map_err(|error| no_answer(&url, &error))?;
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec();
        let body = body.with_context(|| format!("the answer of {url} cannot be read"))?;
        Ok(Reply { status, body, retry_after })
    }

    fn agent(&self) -> &ureq::Agent {
        self.agent.get_or_init(agent)
    }

    /// Asks for `accept` with a JSON body.
    pub(crate) fn post(&self, path: &str, accept: &str, body: &Value) -> anyhow::Result<Said> {
        let url = self.url(path);
        let mut request = self.agent().post(&url).header("accept", accept).content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.send(body.to_string()), &url)
    }

    /// Puts a JSON body in the place of what is there.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.send(self.agent().put(&url), body, &url)
    }

    /// As [`Self::put`], if what is there has the version that is expected.
    pub(crate) fn put_if(&self, path: &str, version: u32, body: &Value) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.send(self.agent().put(&url).header("if-match", format!("\"{version}\"")), body, &url)
    }

    /// Changes what a JSON body names.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.send(self.agent().patch(&url), body, &url)
    }

    fn send(&self, request: ureq::RequestBuilder<WithBody>, body: &Value, url: &str) -> anyhow::Result<Said> {
        let mut request = request.content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.send(body.to_string()), url)
    }

    /// Asks.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.call(self.agent().get(&url), &url)
    }

    /// Deletes.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.call(self.agent().delete(&url), &url)
    }

    fn call(&self, mut request: ureq::RequestBuilder<WithoutBody>, url: &str) -> anyhow::Result<Said> {
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.call(), url)
    }

    fn read(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        url: &str,
    ) -> anyhow::Result<Said> {
        let mut response = response.map_err(|error| no_answer(url, &error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_string();
        let body = body.with_context(|| format!("the answer of {url} cannot be read"))?;
        if status.is_success() {
            return Ok(Said::Fine(body));
        }
        // The server speaks to programs; who types a command gives a token otherwise.
        let detail = match (status.as_u16(), &self.token) {
            (401, None) => {
                format!("{url} wants credentials: give a token with --token or PENSTOCK_TOKEN ({MAKES_KEYS})")
            }
            (401, Some(_)) => {
                format!("{url} does not know this token, or it has ended or was revoked ({MAKES_KEYS})")
            }
            (403, _) => format!("{} ({MAKES_KEYS})", detail(&body)),
            _ => detail(&body),
        };
        Ok(Said::Refused { status: status.as_u16(), detail })
    }

    /// Asks, with parameters; those that are `None` are left out.
    pub(crate) fn get_with(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> anyhow::Result<Said> {
        let given =
            parameters.iter().filter_map(|&(name, value)| Some(format!("{name}={}", encoded(value?))));
        let given = given.collect::<Vec<_>>().join("&");
        self.get(&if given.is_empty() { path.to_owned() } else { format!("{path}?{given}") })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.trim_end_matches('/'))
    }
}

/// A text as part of a URL (RFC 3986, section 2.3 says what may stay as it is).
pub(crate) fn encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    encoded.collect()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .build()
        .into()
}

/// What to do without a token that may ask.
const MAKES_KEYS: &str =
    "`penstock key add NAME --subscribe '#'` on the server's machine makes one that may ask everything";

/// An address as people write it: without a scheme it is of HTTP.
#[allow(clippy::unnecessary_wraps)] // a parser of clap's
fn with_scheme(address: &str) -> Result<String, std::convert::Infallible> {
    Ok(if address.contains("://") { address.to_owned() } else { format!("http://{address}") })
}

fn no_answer(url: &str, error: &ureq::Error) -> anyhow::Error {
    anyhow!(
        "{url} does not answer: {error}: is a server running there? --server or PENSTOCK_SERVER names another"
    )
}

fn detail(body: &str) -> String {
    let problem: Option<Value> = serde_json::from_str(body).ok();
    let detail = problem
        .and_then(|problem| problem["detail"].as_str().or(problem["message"].as_str()).map(str::to_owned));
    detail.unwrap_or_else(|| body.trim().to_owned())
}
