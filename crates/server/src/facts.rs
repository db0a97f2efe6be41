//! The stream's view of the registry.

use std::sync::Arc;

use record::{Known, TenantId};
use registry::Devices;
use stream::{FactNews, Facts, FactsError};

/// What is known of devices, for the stream.
pub(crate) struct Registered(pub(crate) Arc<Devices>);

impl Facts for Registered {
    fn refresh(&self) -> Result<(), FactsError> {
        self.0.refresh().map_err(|error| told(&error))
    }

    fn known(&self, tenant: &TenantId, device: &str) -> Result<Arc<Known>, FactsError> {
        self.0.known(tenant, device).map_err(|error| told(&error))
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
        self.0.learn(&news).map_err(|error| told(&error))
    }
}

fn told(error: &registry::Error) -> FactsError {
    FactsError(error.to_string())
}
