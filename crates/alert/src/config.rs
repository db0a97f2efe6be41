//! `[alert]` of the configuration, as written and as checked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Secret;
use crate::channel::signature::{Signer, SignerError};
use crate::template::{Template, TemplateError};

/// `[alert]` as written.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where people find the web interface; links in messages begin with it. Absent: messages have no links.
    pub base_url: Option<String>,
    /// For how long an alert stands for those of the same rule and device that follow, seconds of event time.
    pub suppress_s: u32,
    /// How long alerts of a batched rule are gathered into one message, seconds.
    pub group_s: u32,
    /// How long a digest gathers what was held back, seconds.
    pub digest_s: u32,
    /// Messages that a person gets in any hour, digests among them.
    pub messages_per_hour: u32,
    /// Messages about critical alerts beyond that.
    pub critical_per_hour: u32,
    /// How often a delivery is tried before it has failed.
    pub attempts: u32,
    /// For how long resolved alerts and what became of their messages are kept, days.
    pub keep_days: u32,
    /// What webhooks are signed with: `whsec_` and 24 to 64 random bytes in base64. Absent: they are not signed.
    pub signing_secret: Option<Secret>,
    /// How webhooks are sent.
    pub webhook: WebhookConfig,
    /// The mail server. Absent: e-mail fails.
    pub smtp: Option<SmtpConfig>,
    /// The gateway for text messages. Absent: text messages fail.
    pub sms: Option<SmsConfig>,
    /// What e-mails and text messages say.
    pub templates: Templates,
    /// Models that rules can name.
    pub models: ModelsConfig,
}

/// `[alert.models]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// The folder of ONNX files. Absent: rules know none. Read at the start.
    pub dir: Option<PathBuf>,
}

/// `[alert.webhook]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Whether private, loopback and link-local addresses may be asked. They are what attackers want to reach through us.
    pub allow_private: bool,
    /// How long one attempt may take, seconds.
    pub timeout_s: u32,
}

/// `[alert.smtp]`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// The server's name.
    pub host: String,
    /// Its port; absent: 587 with STARTTLS, 465 with TLS, 25 without.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is kept private.
    #[serde(default)]
    pub security: SmtpSecurity,
    /// Who we are to the server.
    #[serde(default)]
    pub username: Option<String>,
    /// And with which password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Whom messages are from, `Penstock <alerts@example.com>`.
    pub from: String,
    /// How long one attempt may take, seconds.
    #[serde(default = "smtp_timeout_s")]
    pub timeout_s: u32,
}

/// How the connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// By STARTTLS; a server without it gets nothing.
    #[default]
    Starttls,
    /// By TLS from the first byte.
    Tls,
    /// Not at all: for a server on the same machine.
    None,
}

/// `[alert.sms]`: any gateway that takes a request for a text message.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmsConfig {
    /// Where to.
    pub url: String,
    /// The body, with `{to}` and `{text}`; what they stand for is written as its kind wants.
    pub body: String,
    /// What kind of body.
    #[serde(default)]
    pub format: SmsFormat,
    /// Who we are to the gateway (HTTP basic authentication).
    #[serde(default)]
    pub username: Option<String>,
    /// And with which password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Headers that it wants beside.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

/// What kind of body a gateway for text messages takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsFormat {
    /// `application/x-www-form-urlencoded`, as Twilio's.
    #[default]
    Form,
    /// `application/json`.
    Json,
}

/// `[alert.templates]`: see [`crate::Template`] for what may stand in them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Templates {
    /// The subject of an e-mail.
    pub email_subject: String,
    /// Its text.
    pub email_text: String,
    /// A text message.
    pub sms_text: String,
}

/// `[alert]`, checked.
#[derive(Clone)]
pub struct Settings {
    pub(crate) base_url: Option<String>,
    pub(crate) suppress_ms: i64,
    pub(crate) group_ms: i64,
    pub(crate) digest_ms: i64,
    pub(crate) per_hour: usize,
    pub(crate) critical_per_hour: usize,
    pub(crate) attempts: u32,
    pub(crate) keep_ms: i64,
    pub(crate) signer: Option<Signer>,
    pub(crate) allow_private: bool,
    pub(crate) timeout: Duration,
    pub(crate) smtp: Option<SmtpConfig>,
    pub(crate) sms: Option<SmsConfig>,
    pub(crate) email_subject: Template,
    pub(crate) email_text: Template,
    pub(crate) sms_text: Template,
    /// Only a build that runs models has some.
    #[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "it is none then"))]
    pub(crate) models: Option<PathBuf>,
}

/// Why `[alert]` is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number.
    #[error("alert.{key}: {found} is not possible: write {wanted}")]
    Number {
        /// Which key.
        key: &'static str,
        /// What stands there.
        found: u32,
        /// What may.
        wanted: &'static str,
    },
    /// A text.
    #[error("alert.{key}: {reason}")]
    Text {
        /// Which key.
        key: &'static str,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// A template.
    #[error("alert.templates.{key}: {error}")]
    Template {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        error: TemplateError,
    },
    /// The secret for signatures.
    #[error("alert.signing_secret: {0}")]
    Secret(#[from] SignerError),
}

const fn smtp_timeout_s() -> u32 {
    30
}

impl fmt::Debug for Settings {
    /// Secrets are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: None,
            suppress_s: 300,
            group_s: 60,
            digest_s: 300,
            messages_per_hour: 30,
            critical_per_hour: 5,
            attempts: 10,
            keep_days: 400,
            signing_secret: None,
            webhook: WebhookConfig::default(),
            smtp: None,
            sms: None,
            templates: Templates::default(),
            models: ModelsConfig::default(),
        }
    }
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { allow_private: false, timeout_s: 10 }
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self {
            email_subject: "[{severity}] {rule}: {device}".into(),
            email_text: "{what}: {rule}\nSeverity: {severity}\nDevice: {device}\nAt: {at}\n\n{why}\n\n{link}"
                .into(),
            sms_text: "{what} {severity} {rule}: {device}. {why} {link}".into(),
        }
    }
}

/// Of these only what is no secret is shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("base_url", &self.base_url)
            .field("webhook", &self.webhook)
            .field("smtp", &self.smtp.as_ref().map(|smtp| &smtp.host))
            .field("sms", &self.sms.as_ref().map(|sms| &sms.url))
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Checks it. Touches neither disk nor network.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and what to write.
    pub fn validate(&self) -> Result<Settings, ConfigError> {
        self.check_numbers()?;
        let template =
            |key, text: &str| Template::parse(text).map_err(|error| ConfigError::Template { key, error });
        let days_ms = 86_400_000;
        Ok(Settings {
            base_url: self.base_url.as_deref().map(|url| base("base_url", url)).transpose()?,
            suppress_ms: i64::from(self.suppress_s) * 1000,
            group_ms: i64::from(self.group_s) * 1000,
            digest_ms: i64::from(self.digest_s) * 1000,
            per_hour: self.messages_per_hour as usize,
            critical_per_hour: self.critical_per_hour as usize,
            attempts: self.attempts,
            keep_ms: i64::from(self.keep_days) * days_ms,
            signer: self.signing_secret.as_ref().map(|secret| Signer::new(secret.reveal())).transpose()?,
            allow_private: self.webhook.allow_private,
            timeout: Duration::from_secs(u64::from(self.webhook.timeout_s)),
            smtp: self.smtp.clone().map(check_smtp).transpose()?,
            sms: self.sms.clone().map(check_sms).transpose()?,
            email_subject: template("email_subject", &self.templates.email_subject)?,
            email_text: template("email_text", &self.templates.email_text)?,
            sms_text: template("sms_text", &self.templates.sms_text)?,
            models: self.models.dir.clone().map(check_models).transpose()?,
        })
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let smtp_timeout_s = self.smtp.as_ref().map_or(30, |smtp| smtp.timeout_s);
        for (key, found, possible, wanted) in [
            ("suppress_s", self.suppress_s, 0..=86_400, "0 to 86400"),
            ("group_s", self.group_s, 1..=3600, "1 to 3600"),
            ("digest_s", self.digest_s, 60..=3600, "60 to 3600"),
            ("messages_per_hour", self.messages_per_hour, 2..=600, "2 to 600"),
            ("critical_per_hour", self.critical_per_hour, 0..=600, "0 to 600"),
            ("attempts", self.attempts, 1..=20, "1 to 20"),
            ("keep_days", self.keep_days, 1..=4000, "1 to 4000"),
            ("webhook.timeout_s", self.webhook.timeout_s, 1..=120, "1 to 120"),
            ("smtp.timeout_s", smtp_timeout_s, 1..=120, "1 to 120"),
        ] {
            if !possible.contains(&found) {
                return Err(ConfigError::Number { key, found, wanted });
            }
        }
        Ok(())
    }
}

fn base(key: &'static str, url: &str) -> Result<String, ConfigError> {
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err(ConfigError::Text { key, reason: format!("{url:?} is no address: write https://…") }),
    }
}

fn check_models(dir: PathBuf) -> Result<PathBuf, ConfigError> {
    if cfg!(feature = "onnx") {
        return Ok(dir);
    }
    let reason = "this build runs no models: make one with the feature onnx, or leave it out".into();
    Err(ConfigError::Text { key: "models.dir", reason })
}

fn check_smtp(smtp: SmtpConfig) -> Result<SmtpConfig, ConfigError> {
    if let Err(error) = smtp.from.parse::<lettre::message::Mailbox>() {
        let reason = format!("{:?}: {error}: write Name <name@host>", smtp.from);
        return Err(ConfigError::Text { key: "smtp.from", reason });
    }
    if smtp.username.is_some() != smtp.password.is_some() {
        let reason = "username and password go together: write both or neither".into();
        return Err(ConfigError::Text { key: "smtp.password", reason });
    }
    Ok(smtp)
}

fn check_sms(sms: SmsConfig) -> Result<SmsConfig, ConfigError> {
    base("sms.url", &sms.url)?;
    let wrong = |key, reason: &str| Err(ConfigError::Text { key, reason: reason.into() });
    if !(sms.body.contains("{to}") && sms.body.contains("{text}")) {
        return wrong("sms.body", "write {to} and {text} where the number and the text go");
    }
    // A quotation mark in a text must not end the JSON text it stands in: looked at with one.
    if sms.format == SmsFormat::Json
        && let Err(error) = serde_json::from_str::<serde_json::Value>(&sms.body)
    {
        return wrong("sms.body", &format!("is no JSON: {error}"));
    }
    let is_header = |name: &String, value: &Secret| {
        hyper::header::HeaderName::try_from(name.as_str()).is_ok()
            && hyper::header::HeaderValue::try_from(value.reveal()).is_ok()
    };
    if sms.headers.iter().all(|(name, value)| is_header(name, value)) {
        Ok(sms)
    } else {
        wrong("sms.headers", "a name or value cannot be sent: no control characters, no spaces in names")
    }
}
