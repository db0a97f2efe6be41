//! Talking to a server over HTTP.

use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::Value;
use ureq::typestate::WithoutBody;

/// Longer than the longest answer of a server takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// `--server` and `--token`, for every command that asks a server.
#[derive(clap::Args)]
pub(crate) struct Server {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "PENSTOCK_SERVER")]
    server: String,
    /// A token, where the server requires credentials
    #[arg(long, value_name = "TOKEN", env = "PENSTOCK_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// What a server said.
pub(crate) enum Said {
    /// 2xx, the body.
    Fine(String),
    /// Anything else: what it said was wrong.
    Refused { status: u16, detail: String },
}

impl Server {
    /// Asks for `accept` with a JSON body.
    pub(crate) fn post(&self, path: &str, accept: &str, body: &Value) -> anyhow::Result<Said> {
        let url = self.url(path);
        let mut request = agent().post(&url).header("accept", accept).content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        read(request.send(body.to_string()), &url)
    }

    /// Asks.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.call(agent().get(&url), &url)
    }

    /// Deletes.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Said> {
        let url = self.url(path);
        self.call(agent().delete(&url), &url)
    }

    fn call(&self, mut request: ureq::RequestBuilder<WithoutBody>, url: &str) -> anyhow::Result<Said> {
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        read(request.call(), url)
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
    ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into()
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>, url: &str) -> anyhow::Result<Said> {
    let mut response = response.map_err(|error| anyhow!("{url} does not answer: {error}"))?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_string();
    let body = body.with_context(|| format!("the answer of {url} cannot be read"))?;
    if status.is_success() {
        return Ok(Said::Fine(body));
    }
    let problem: Option<Value> = serde_json::from_str(&body).ok();
    let detail = problem
        .and_then(|problem| problem["detail"].as_str().or(problem["message"].as_str()).map(str::to_owned));
    Ok(Said::Refused { status: status.as_u16(), detail: detail.unwrap_or_else(|| body.trim().to_owned()) })
}
