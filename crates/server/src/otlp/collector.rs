//! The collector's end: a thread that posts, and a short queue before it.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use serde_json::Value;

/// Messages that wait: some minutes of a collector that does not answer. What finds no room is dropped, for it is of
/// now or of no use.
const WAITING: usize = 16;
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which of OTLP's services.
#[derive(Clone, Copy)]
pub(super) enum Service {
    Metrics,
    Traces,
}

#[derive(Clone)]
pub(super) struct Collector(SyncSender<(Service, Value)>);

impl Collector {
    /// The thread ends when the last clone is dropped and what waits is posted.
    pub(super) fn start(endpoint: String) -> Self {
        let (sender, queue) = sync_channel(WAITING);
        let work = move || {
            let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
            let mut failing = false;
            for (service, message) in queue {
                let outcome = post(&agent, &endpoint, service, &message);
                // Once, and once that it is over: a collector may be away for days.
                match (&outcome, failing) {
                    (Err(error), false) => {
                        tracing::warn!(endpoint, %error, "the OpenTelemetry collector takes nothing; figures and traces are dropped until it does");
                    }
                    (Ok(()), true) => {
                        tracing::info!(endpoint, "the OpenTelemetry collector takes figures and traces again")
                    }
                    _ => {}
                }
                failing = outcome.is_err();
            }
        };
        std::thread::Builder::new()
            .name("penstock-otlp".into())
            .spawn(work)
            .expect("a thread can be started when the server starts");
        Self(sender)
    }

    /// Hands a message over, or drops it where too many wait.
    pub(super) fn tell(&self, service: Service, message: Value) {
        match self.0.try_send((service, message)) {
            Ok(()) | Err(TrySendError::Full(_)) => {} // that it is full was said when posting failed
            Err(TrySendError::Disconnected(_)) => tracing::debug!("the thread that posts has ended"),
        }
    }
}

fn post(agent: &ureq::Agent, endpoint: &str, service: Service, message: &Value) -> Result<(), ureq::Error> {
    let path = match service {
        Service::Metrics => "/v1/metrics",
        Service::Traces => "/v1/traces",
    };
    agent.post(format!("{endpoint}{path}")).send_json(message).map(drop)
}
