//! To subscribers of the tenant's topics.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use record::TenantId;

use crate::outbox::{Delivery, Failure, Receipt};

/// How long a publish may take. The log is in this process or near it; when it cannot write, the outbox waits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes a message to whoever subscribed to its topic.
#[async_trait]
pub trait Publish: Send + Sync + 'static {
    /// Resolves when the message is durable.
    ///
    /// # Errors
    /// Why not, in words; it is tried again.
    async fn publish(&self, tenant: &TenantId, topic: &str, payload: Bytes) -> Result<(), String>;
}

pub(super) async fn publish(
    to: &dyn Publish,
    tenant: &TenantId,
    topic: &str,
    delivery: &Delivery,
) -> Result<Receipt, Failure> {
    let payload = Bytes::from(delivery.content.clone());
    match tokio::time::timeout(TIMEOUT, to.publish(tenant, topic, payload)).await {
        Ok(Ok(())) => Ok(Receipt { said: "published".into() }),
        Ok(Err(reason)) => Err(Failure::passing(reason)),
        Err(_) => Err(Failure::passing(format!("not durable within {} s", TIMEOUT.as_secs()))),
    }
}
