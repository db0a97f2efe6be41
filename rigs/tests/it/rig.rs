//! Running a rig and reading its verdict.

use std::process::Command;

/// Exit codes of a rig (see the crate).
pub(crate) const PASSED: i32 = 0;
pub(crate) const BROKEN: i32 = 1;
const CANNOT_RUN: i32 = 77;

/// Runs a rig and expects a verdict. A machine that cannot run it says so loudly and proves nothing: that is a
/// failure unless `PENSTOCK_RIGS=optional` is set.
pub(crate) fn expect(verdict: i32, rig: &str, options: &[&str]) -> String {
    let done = Command::new(rig).args(options).output().expect("the rig starts");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let code = done.status.code();
    if code == Some(CANNOT_RUN) && std::env::var("PENSTOCK_RIGS").as_deref() == Ok("optional") {
        eprintln!("{said}");
        return said;
    }
    assert_eq!(code, Some(verdict), "{rig} {options:?}: {said}");
    said
}
