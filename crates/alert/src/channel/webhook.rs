//! To programs: docs/alerts.md says what they get.

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use record::Timestamp;

use super::Channels;
use super::http::Post;
use crate::outbox::{Delivery, Failure, Receipt};

/// By which a receiver knows a delivery again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The same, by Standard Webhooks.
const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When this attempt was made, seconds since 1970.
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The signature of the three: id, time, body.
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Channels {
    pub(super) async fn webhook(
        &self,
        url: &str,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Receipt, Failure> {
        let at_s = now.millis().div_euclid(1000);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, value(&delivery.key)?);
        headers.insert(ID, value(&delivery.key)?);
        headers.insert(TIMESTAMP, HeaderValue::from(at_s));
        if let Some(signer) = &self.settings.signer {
            let signature = signer.sign(&delivery.key, at_s, delivery.content.as_bytes());
            headers.insert(SIGNATURE, value(&signature)?);
        }
        let body = delivery.content.clone();
        let allow_private = self.settings.allow_private;
        self.client.post(Post { url, headers, body, allow_private }).await
    }
}

/// Keys and signatures are hexadecimal and base64; a row that somebody changed may hold anything.
pub(super) fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text)
        .map_err(|_| Failure::lasting("a header cannot be sent: it has control characters"))
}
