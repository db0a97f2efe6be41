//! What devices have in common: learned from those that are known, for those that are new.

use std::sync::Arc;

use super::Evaluator;
use super::kept::Keeping;
use super::score::Series;
use crate::detectors::Priors;
use crate::language::TrackKind;

impl Evaluator {
    /// Lets series that begin from now on begin with what is known of others. It is no part of the state: who goes on from a state gives the
    /// same again, from the same place in the log on.
    pub fn set_priors(&mut self, priors: Arc<Priors>) {
        self.priors = priors;
    }

    /// Adds what the devices of this partition know. Looks at each of them.
    pub fn teach(&self, priors: &mut Priors) {
        let nothing = Priors::default();
        for (_, device) in self.live.places() {
            let tenant = &self.tenants[device.tenant as usize].tenant;
            let device_type = device.cohort.as_ref().and_then(|cohort| cohort.facts.device_type.as_deref());
            for kept in &device.kept {
                let track = &tenant.names.tracks()[kept.track as usize];
                if let (Keeping::Score { detector: Some(detector), .. }, TrackKind::Score(asked)) =
                    (&kept.state, &track.kind)
                {
                    let metric = tenant.names.metric_of(track);
                    let tenant = tenant.id.as_str();
                    detector.teach(priors, &Series { asked, tenant, metric, device_type, priors: &nothing });
                }
            }
        }
    }
}
