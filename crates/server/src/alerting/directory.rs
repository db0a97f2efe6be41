//! What alerting asks of rules and devices.

use std::sync::Arc;

use alert::{Directory, Rules, Terms};
use record::{DeviceId, Facts, TenantId};
use registry::Devices;
use rule::RuleId;

/// Rules and devices of the installation.
pub(crate) struct Known {
    pub(crate) rules: Arc<Rules>,
    pub(crate) devices: Arc<Devices>,
}

impl Directory for Known {
    fn terms(&self, tenant: &TenantId, rule: &RuleId, version: u32) -> Result<Option<Terms>, String> {
        self.rules.terms(tenant, rule, version).map_err(|error| error.to_string())
    }

    fn facts(&self, tenant: &TenantId, device: &DeviceId) -> Result<Facts, String> {
        match self.devices.known(tenant, device.as_str()) {
            Ok(known) => Ok(known.facts()),
            // It stays unreadable: people should hear of the device all the same.
            Err(error @ registry::Error::Row { .. }) => {
                tracing::error!(%error, "what is known of a device counts as nothing");
                Ok(Facts::default())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
