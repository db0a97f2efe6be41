//! The stream's view of the registry.

use std::sync::Arc;

use alert::Rules;
use record::{Known, TenantId};
use registry::Devices;
use stream::{FactNews, Facts, FactsError};

/// What is known of devices, for the stream.
pub(crate) struct Registered {
    pub(crate) devices: Arc<Devices>,
    /// Where there are some, they want to see readings.
    pub(crate) rules: Arc<Rules>,
}

impl Facts for Registered {
    fn refresh(&self) -> Result<(), FactsError> {
        self.devices.refresh().map_err(|error| told(&error))
    }

    fn known(&self, tenant: &TenantId, device: &str) -> Result<Arc<Known>, FactsError> {
        self.devices.known(tenant, device).map_err(|error| told(&error))
    }

    fn is_clean_wanted(&self, tenant: &TenantId) -> bool {
        self.rules.has_any(tenant)
    }

    fn learn(&self, news: &[FactNews]) -> Result<(), FactsError> {
        let news: Vec<_> = news
            .iter()
            .map(|FactNews { tenant, device, learned }| registry::News {
                tenant: tenant.clone(),
                device: device.clone(),
                learned: learned.clone(),
            })
            .collect();
        self.devices.learn(&news).map_err(|error| told(&error))
    }
}

fn told(error: &registry::Error) -> FactsError {
    FactsError(error.to_string())
}
