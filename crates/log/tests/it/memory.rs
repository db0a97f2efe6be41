//! The memory backend.

use std::sync::Arc;

use log::conformance::{self, Subject};
use log::{BoxFuture, Log, MemoryLog, PartitionId, Partitions};

/// Keeps the concrete log beside what it hands out, so that it can expire records.
#[derive(Default)]
struct Memory(parking_lot::Mutex<Vec<Arc<MemoryLog>>>);

impl Subject for Memory {
    fn fresh(&self) -> Arc<dyn Log> {
        let log = Arc::new(MemoryLog::new(Partitions::default()));
        self.0.lock().push(Arc::clone(&log));
        log
    }

    fn again(&self, _: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        Box::pin(std::future::ready(None))
    }

    fn expire(&self, _: &Arc<dyn Log>, partition: PartitionId) {
        self.0.lock().last().unwrap().expire(partition, 100).unwrap();
    }
}

#[tokio::test]
async fn conforms() {
    conformance::run(&Memory::default()).await;
}
