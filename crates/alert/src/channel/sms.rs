//! To phones, through a gateway that takes HTTP requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::Channels;
use super::http::Post;
use super::webhook::value;
use crate::config::{SmsConfig, SmsFormat};
use crate::outbox::{Delivery, Failure, Receipt};

/// Longest text message, characters: what ten parts hold. Each part costs.
const TEXT_CHARS: usize = 1530;
/// By which a gateway that knows the header sends a message once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl Channels {
    pub(super) async fn sms(&self, to: &str, delivery: &Delivery) -> Result<Receipt, Failure> {
        let Some(sms) = &self.settings.sms else {
            return Err(Failure::lasting("there is no gateway for text messages: write [alert.sms]"));
        };
        let text: String = delivery.content.chars().take(TEXT_CHARS).collect();
        let mut headers = HeaderMap::new();
        let kind = match sms.format {
            SmsFormat::Form => "application/x-www-form-urlencoded",
            SmsFormat::Json => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(IDEMPOTENCY_KEY, value(&delivery.key)?);
        if let (Some(username), Some(password)) = (&sms.username, &sms.password) {
            let both = STANDARD.encode(format!("{username}:{}", password.reveal()));
            headers.insert(AUTHORIZATION, value(&format!("Basic {both}"))?);
        }
        for (name, content) in &sms.headers {
            let name = HeaderName::try_from(name.as_str())
                .map_err(|_| Failure::lasting("a header's name cannot be sent"))?;
            headers.insert(name, value(content.reveal())?);
        }
        // The gateway's address is the operator's own: it may be in their network.
        let body = filled(sms, to, &text);
        self.client.post(Post { url: &sms.url, headers, body, allow_private: true }).await
    }
}

/// The body with number and text in their places. What is put in is not looked at for places.
fn filled(sms: &SmsConfig, to: &str, text: &str) -> String {
    let written = |plain: &str| match sms.format {
        SmsFormat::Form => url::form_urlencoded::byte_serialize(plain.as_bytes()).collect::<String>(),
        SmsFormat::Json => {
            let quoted = serde_json::to_string(plain).expect("a text can be written as JSON");
            quoted[1..quoted.len() - 1].to_owned()
        }
    };
    let (to, text) = (written(to), written(text));
    let parts = sms.body.split("{to}").map(|part| part.replace("{text}", &text));
    parts.collect::<Vec<_>>().join(&to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_ends_no_field_and_is_no_place() {
        let sms = |body: &str, format| SmsConfig {
            url: "https://sms.example.com".into(),
            body: body.into(),
            format,
            username: None,
            password: None,
            headers: [].into(),
        };
        let form = sms("To={to}&Body={text}", SmsFormat::Form);
        assert_eq!(filled(&form, "+49", "a&b={to} \"ü\""), "To=%2B49&Body=a%26b%3D%7Bto%7D+%22%C3%BC%22");
        let json = sms(r#"{"to":"{to}","text":"{text}"}"#, SmsFormat::Json);
        let body: serde_json::Value =
            serde_json::from_str(&filled(&json, "+49", "\",\"to\":\"+1\n{to}")).unwrap();
        assert_eq!(body, serde_json::json!({"to": "+49", "text": "\",\"to\":\"+1\n{to}"}));
    }
}
