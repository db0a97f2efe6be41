//! Power cuts under the log.

use crate::rig::{BROKEN, PASSED, expect};

const RIG: &str = env!("CARGO_BIN_EXE_powercut");

#[test]
fn nothing_acknowledged_is_missing_after_a_power_cut() {
    expect(PASSED, RIG, &["--cuts", "100"]);
}

#[test]
fn a_log_without_fsync_is_caught() {
    expect(BROKEN, RIG, &["--cuts", "10", "--broken", "fsync"]);
}
