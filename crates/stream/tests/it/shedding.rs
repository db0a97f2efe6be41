//! What is left out while the store does not keep up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use log::Lane;
use penstock_stream::{Parts, config::Config, start};
use record::Timestamp;
use series::{Amounts, Memory, SeriesAudit};

use crate::{append, memory_log, message, parts};

const ALWAYS: std::ops::Range<Timestamp> = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);

/// Whether what waited is left out is found again after a restart: what was shed is stored when it comes once more, and what
/// was stored is a duplicate.
#[tokio::test]
async fn what_has_waited_too_long_is_shed_by_policy_and_counted() {
    let text = "[[sample]]\nmetric = 'debug'\nkeep_one_in = 0\nwhen_behind_s = 60";
    let settings = Arc::new(toml::from_str::<Config>(text).unwrap().validate().unwrap());
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let behind_s = Arc::new(AtomicI64::new(0));
    let parts = || {
        let behind_s = Arc::clone(&behind_s);
        let clock = Arc::new(move || {
            let later = behind_s.load(Ordering::Relaxed) * 1_000_000_000;
            Timestamp::from_nanos(Timestamp::now().nanos() + later)
        });
        Parts { settings: Arc::clone(&settings), clock, ..parts(&log, &store) }
    };
    let payload = |second: i64| {
        format!(r#"{{"ts":{},"metrics":{{"debug":1,"temperature":20}}}}"#, 1_700_000_000 + second)
    };
    // How far the stream is behind, which moment comes; then stored, shed and duplicates in all.
    let steps = [
        (0, 1, (2, 0, 0)),
        (120, 2, (3, 1, 0)),
        (59, 3, (5, 1, 0)),
        (120, 4, (6, 2, 0)),
        (0, 4, (7, 2, 1)),
        (120, 4, (7, 3, 2)),
    ];
    for (behind, second, expected) in steps {
        behind_s.store(behind, Ordering::Relaxed);
        append(&*log, Lane::Live, &message("d1", "devices/d1/telemetry", &payload(second))).await;
        // Each time a stream that goes by the notes of those before it.
        let stream = start(parts()).await.unwrap();
        assert!(stream.caught_up().await);
        let counts = stream.monitor().counts();
        assert_eq!((counts.cold_starts, counts.disagreements, counts.shed), (0, 0, 0));
        stream.shutdown().await;
        let mut amounts = Amounts::default();
        store.account(None, ALWAYS).unwrap().iter().for_each(|line| amounts += line.amounts);
        let found = (amounts.stored, amounts.shed, amounts.duplicate);
        assert_eq!((found, amounts.residue()), (expected, 0), "behind by {behind} s, second {second}");
    }
}
