//! Steps in the life of alerts go into the topic `iot-alerts` (R3.6), from where other readers follow them.

use std::sync::Arc;
use std::time::Duration;

use alert::{Alerts, Waiting};
use log::{Batch, EmbeddedLog, Lane, Log as _, PartitionId, Topic};
use record::partition_of;
use tokio::sync::watch;

/// How often it is looked for steps at least, and how long until what failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Publishes what waits, until it is told to stop; what waits then is published after the next start.
pub(crate) async fn publish(alerts: Arc<Alerts>, log: Arc<EmbeddedLog>, stopped: watch::Receiver<bool>) {
    let mut stopping = std::pin::pin!(super::until(stopped));
    loop {
        match some(&alerts, &log).await {
            // There may be more.
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::error!(error, "steps of alerts are not in their topic yet; trying again"),
        }
        tokio::select! {
            () = &mut stopping => return,
            () = alerts.stepped() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Publishes some steps, in one commit of the log. Whether there were any.
async fn some(alerts: &Arc<Alerts>, log: &EmbeddedLog) -> Result<bool, String> {
    let of = Arc::clone(alerts);
    let waiting = blocking(move || of.steps()).await?;
    if waiting.is_empty() {
        return Ok(false);
    }
    let batch = batch(&waiting, log.partitions(Topic::Alerts));
    if !batch.is_empty() {
        log.append(batch).await.map_err(|error| error.to_string())?;
    }
    let of = Arc::clone(alerts);
    blocking(move || of.published(waiting)).await?;
    Ok(true)
}

/// A device has its partition, so that its steps are in their order.
fn batch(waiting: &Waiting, partitions: u16) -> Batch {
    let mut batch = Batch::new();
    for step in &waiting.steps {
        let index = partition_of(&step.tenant, &step.device_id, partitions);
        let partition = PartitionId { topic: Topic::Alerts, lane: Lane::Live, index };
        batch.push_with(partition, |out| out.extend_from_slice(&step.encode()));
    }
    batch
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> alert::Result<T> + Send + 'static,
) -> Result<T, String> {
    let asked = tokio::task::spawn_blocking(ask).await.map_err(|died| died.to_string())?;
    asked.map_err(|error| error.to_string())
}
