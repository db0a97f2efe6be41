//! What is known of devices: the seam to the registry.

use std::sync::Arc;

use record::{DeviceId, Known, Learned, TenantId};

/// Facts of devices. What it says goes into what the stream puts out and never into a partition's state, so it is not noted
/// and a replay may hear something else (`docs/decisions/enrichment.md`). Calls block.
pub trait Facts: Send + Sync + 'static {
    /// A turn begins: what has changed since the last one is to be seen now, or a second later.
    ///
    /// # Errors
    /// Why it is not known whether something changed.
    fn refresh(&self) -> Result<(), FactsError>;

    /// What is known of a device now. Asked once per device and turn.
    ///
    /// # Errors
    /// Why it cannot be said.
    fn known(&self, tenant: &TenantId, device: &str) -> Result<Arc<Known>, FactsError>;

    /// Whether a reader of its own wants the clean readings of a tenant, such as one that evaluates rules.
    /// [`crate::Settings::clean`] wants those of all. Asked once per tenant and turn.
    fn is_clean_wanted(&self, _tenant: &TenantId) -> bool {
        false
    }

    /// Keeps what messages said of their devices.
    ///
    /// # Errors
    /// Why it could not be kept. It will be said again with the device's next message.
    fn learn(&self, news: &[FactNews]) -> Result<(), FactsError>;
}

/// Why facts cannot be read or kept; in the registry's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FactsError(pub String);

/// What is learned of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactNews {
    /// Whose.
    pub tenant: TenantId,
    /// Of which device.
    pub device: DeviceId,
    /// Everything that is learned of it now.
    pub learned: Learned,
}
