//! To mailboxes, through the mail server of the configuration.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{self};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::config::{SmtpConfig, SmtpSecurity};
use crate::outbox::{Delivery, Failure, Receipt};

/// Longest subject, characters: a line of a mailbox's list.
const SUBJECT_CHARS: usize = 200;

/// Sends e-mail.
pub(super) struct Mailer {
    /// `None`: no certificates, and the server wants TLS.
    transport: Result<AsyncSmtpTransport<Tokio1Executor>, String>,
    from: Option<Mailbox>,
    timeout: Duration,
}

impl Mailer {
    pub(super) fn new(config: &SmtpConfig) -> Self {
        Self {
            transport: transport(config).map_err(|error| error.to_string()),
            from: config.from.parse().ok(),
            timeout: Duration::from_secs(u64::from(config.timeout_s)),
        }
    }

    pub(super) async fn send(&self, to: &str, delivery: &Delivery) -> Result<Receipt, Failure> {
        let transport = self.transport.as_ref().map_err(Failure::lasting)?;
        let message = self.message(to, delivery).map_err(Failure::lasting)?;
        // A server that answers slowly enough would pass the limit of each command: this one is for all of them.
        let outcome = tokio::time::timeout(self.timeout, Box::pin(transport.send(message))).await;
        match outcome {
            Ok(Ok(response)) => {
                let words: Vec<&str> = response.message().collect();
                Ok(Receipt { said: format!("{} {}", response.code(), words.join(" ")) })
            }
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::passing(format!("not sent within {} s", self.timeout.as_secs()))),
        }
    }

    fn message(&self, to: &str, delivery: &Delivery) -> Result<Message, String> {
        let to = to.parse::<lettre::Address>().map_err(|error| format!("{to:?}: {error}"))?;
        let from = self.from.clone().ok_or("alert.smtp.from is no mailbox")?;
        let id = format!("<{}@{}>", delivery.key, from.email.domain());
        let subject = delivery.subject.as_deref().unwrap_or("Penstock");
        let subject: String =
            subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT_CHARS).collect();
        let created = Duration::from_millis(u64::try_from(delivery.created_at_ms).unwrap_or(0));
        let parts = MultiPart::alternative_plain_html(delivery.content.clone(), html(&delivery.content));
        let mut message = Message::builder()
            .from(from)
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(id))
            .date(created_at(created))
            .multipart(parts)
            .map_err(|error| error.to_string())?;
        // So that nobody's absence note answers (RFC 3834).
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }
}

fn transport(config: &SmtpConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, smtp::Error> {
    let (tls, port) = match config.security {
        SmtpSecurity::Starttls => (Tls::Required(TlsParameters::new(config.host.clone())?), 587),
        SmtpSecurity::Tls => (Tls::Wrapper(TlsParameters::new(config.host.clone())?), 465),
        SmtpSecurity::None => (Tls::None, 25),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port.unwrap_or(port))
        .tls(tls)
        .timeout(Some(Duration::from_secs(u64::from(config.timeout_s))));
    if let (Some(username), Some(password)) = (&config.username, &config.password) {
        builder = builder.credentials(Credentials::new(username.clone(), password.reveal().to_owned()));
    }
    Ok(builder.build())
}

/// What a server refuses for good (5xx) stays refused; all else may pass.
fn failure(error: &smtp::Error) -> Failure {
    let reason = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if error.is_permanent() { Failure::lasting(reason) } else { Failure::passing(reason) }
}

fn created_at(since: Duration) -> SystemTime {
    UNIX_EPOCH + since
}

/// The text as HTML: nothing in it is markup.
fn html(text: &str) -> String {
    let mut html =
        String::from("<!DOCTYPE html><html><body><p style=\"font-family:sans-serif;white-space:pre-wrap\">");
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html.push_str("</p></body></html>");
    html
}
