//! Kill -9, full disks and power cuts under the whole server; the generator with a known truth.

use crate::rig::{BROKEN, PASSED, expect, server};

fn on_server(verdict: i32, rig: &str, options: &[&str]) -> String {
    let binary = server();
    let mut all = vec!["--binary", binary.to_str().expect("paths here are UTF-8")];
    all.extend(options);
    expect(verdict, rig, &all)
}

#[test]
fn kill_9_loses_nothing_doubles_nothing_and_keeps_sessions() {
    // The limit of a second is for a release build; a debug build beside other tests is given more.
    on_server(
        PASSED,
        env!("CARGO_BIN_EXE_kill9"),
        &["--rounds", "10", "--rate", "300", "--ready-ms", "5000"],
    );
}

#[test]
fn a_server_that_lost_its_last_writes_is_caught() {
    let options = ["--rounds", "3", "--rate", "300", "--ready-ms", "5000", "--broken"];
    on_server(BROKEN, env!("CARGO_BIN_EXE_kill9"), &options);
}

#[test]
fn a_full_disk_stops_acknowledgements_and_nothing_else() {
    on_server(PASSED, env!("CARGO_BIN_EXE_diskfull"), &["--rounds", "1"]);
}

#[test]
fn losses_on_a_full_disk_are_caught() {
    on_server(BROKEN, env!("CARGO_BIN_EXE_diskfull"), &["--rounds", "1", "--broken"]);
}

#[test]
fn the_server_keeps_what_it_acknowledged_through_power_cuts() {
    on_server(PASSED, env!("CARGO_BIN_EXE_powercut"), &["--cuts", "0", "--server-cuts", "3"]);
}

#[test]
fn a_server_without_fsync_is_caught() {
    let options = ["--cuts", "0", "--server-cuts", "3", "--broken", "fsync"];
    on_server(BROKEN, env!("CARGO_BIN_EXE_powercut"), &options);
}

#[test]
fn twenty_seeds_come_out_as_they_must() {
    on_server(PASSED, env!("CARGO_BIN_EXE_truth"), &["--seeds", "1..20"]);
}

#[test]
fn a_truth_that_is_none_is_caught() {
    for fault in ["row", "value", "duplicate", "dead", "late", "window", "replaced"] {
        let said = on_server(BROKEN, env!("CARGO_BIN_EXE_truth"), &["--seeds", "1", "--broken", fault]);
        assert!(said.contains("--seeds 1"), "{fault}: it must say how to see it again: {said}");
    }
}

/// The benchmarks' checks; their figures mean nothing in a debug build beside other tests.
#[test]
fn a_small_blackout_loses_nothing_and_has_its_windows_right() {
    let options =
        ["--devices", "40", "--minutes", "10", "--live", "10", "--before-s", "1", "--factor", "1e9"];
    on_server(PASSED, env!("CARGO_BIN_EXE_blackout"), &options);
    on_server(
        PASSED,
        env!("CARGO_BIN_EXE_blackout"),
        &[&options[..], &["--backfill-after-s", "60"]].concat(),
    );
}

/// A second's fraction of the storm that is asked for, and no limit on how long anything takes.
const STORM: [&str; 10] =
    ["--devices", "200", "--seconds", "4", "--before-s", "2", "--felt-ms", "60000", "--behind-s", "120"];

#[test]
fn a_storm_of_alerts_is_told_within_limits_and_adds_up() {
    on_server(PASSED, env!("CARGO_BIN_EXE_storm"), &STORM);
    on_server(PASSED, env!("CARGO_BIN_EXE_storm"), &[&STORM[..], &["--suppress", "5m"]].concat());
}

#[test]
fn a_lost_digest_and_a_limit_that_is_not_kept_are_caught() {
    // By webhook and by e-mail.
    for (broken, caught) in [
        ("digest", ["ann was told of", "eve was told of"]),
        ("limit", ["ann has a limit of 30", "eve has a limit of 15"]),
    ] {
        let options = [&STORM[..], &["--broken", broken]].concat();
        let said = on_server(BROKEN, env!("CARGO_BIN_EXE_storm"), &options);
        assert!(caught.iter().all(|words| said.contains(words)), "{broken}: {said}");
    }
}

#[test]
fn devices_beyond_the_budget_are_dead_letters() {
    let options = ["--devices", "300", "--readings", "6000", "--metrics", "4", "--budget", "200"];
    on_server(PASSED, env!("CARGO_BIN_EXE_memory"), &options);
}

#[test]
fn statements_nobody_would_write_end_in_an_answer_or_an_error() {
    on_server(
        PASSED,
        env!("CARGO_BIN_EXE_sqlfuzz"),
        &["--cases", "150", "--seconds", "60", "--excessive", "0"],
    );
}

#[test]
fn a_tenant_that_sees_anothers_rows_is_caught() {
    let options = ["--cases", "300", "--seconds", "120", "--excessive", "0", "--broken"];
    on_server(BROKEN, env!("CARGO_BIN_EXE_sqlfuzz"), &options);
}

#[test]
fn a_fleet_finds_everything_that_was_acknowledged_after_kills() {
    let options = ["--devices", "50", "--rate", "200", "--kills", "4", "--every-s", "2"];
    on_server(PASSED, env!("CARGO_BIN_EXE_fleetkill"), &options);
}

#[test]
fn a_reading_that_another_changed_is_caught_by_the_fleet() {
    let options = ["--devices", "5", "--rate", "50", "--kills", "1", "--broken"];
    let said = on_server(BROKEN, env!("CARGO_BIN_EXE_fleetkill"), &options);
    assert!(said.contains("\"different\":1"), "{said}");
}

#[test]
fn a_start_is_measured_after_a_kill_and_after_a_stop_and_a_slow_one_is_caught() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("paths here are UTF-8");
    let quick = ["--folder", folder, "--rounds", "1", "--seconds", "1", "--rate", "10000"];
    on_server(PASSED, env!("CARGO_BIN_EXE_start"), &[&quick[..], &["--limit-ms", "60000"]].concat());
    let said = on_server(BROKEN, env!("CARGO_BIN_EXE_start"), &[&quick[..], &["--limit-ms", "1"]].concat());
    assert!(said.contains("at most 1 ms are promised"), "{said}");
}
