//! The ways to people: what is in the outbox goes out.

mod email;
mod http;
mod mqtt;
mod public;
pub(crate) mod signature;
mod sms;
mod webhook;

pub use mqtt::Publish;
pub use signature::{Signer, SignerError};

use std::sync::Arc;

use record::{TenantId, Timestamp};

use crate::config::Settings;
use crate::outbox::{Delivery, Failure, Receipt};
use crate::people::Address;
use email::Mailer;
use http::Client;

/// All ways to people. One per process.
pub struct Channels {
    client: Client,
    settings: Settings,
    mailer: Option<Mailer>,
    publish: Option<Arc<dyn Publish>>,
}

impl Channels {
    /// With what the settings say, and a way to the tenant's MQTT topics if there is one. Reads the system's certificates.
    #[must_use]
    pub fn new(settings: &Settings, publish: Option<Arc<dyn Publish>>) -> Self {
        Self {
            client: Client::new(settings.timeout),
            mailer: settings.smtp.as_ref().map(Mailer::new),
            settings: settings.clone(),
            publish,
        }
    }

    /// One attempt. Takes at most as long as the settings allow its channel, whatever the receiver does.
    ///
    /// # Errors
    /// [`Failure`] says why, and whether another attempt may help.
    pub async fn deliver(
        &self,
        tenant: &TenantId,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Receipt, Failure> {
        match &delivery.address {
            Address::Webhook { url } => self.webhook(url, delivery, now).await,
            Address::Sms { to } => self.sms(to, delivery).await,
            Address::Email { to } => match &self.mailer {
                Some(mailer) => mailer.send(to, delivery).await,
                None => Err(Failure::lasting("there is no mail server: write [alert.smtp]")),
            },
            Address::Mqtt { topic } => match &self.publish {
                Some(publish) => mqtt::publish(&**publish, tenant, topic, delivery).await,
                None => Err(Failure::lasting("this node publishes nothing over MQTT")),
            },
        }
    }
}
