//! `make test`, with stand-ins for what it calls.

use std::process::Command;

use super::root;
use crate::served::text;

/// Made by the shell, which is one thread: a file that another thread's child still has open cannot be run.
const WITH_STAND_INS: &str = r#"
mkdir scripts sim bin
printf '#!/bin/sh\n%s\n' "$INSTALL" >scripts/install-test-deps.sh
printf '#!/bin/sh\necho "cargo $* with $PENSTOCK_TEST_DEPS"\n' >bin/cargo
chmod +x scripts/install-test-deps.sh bin/cargo
PATH="$PWD/bin:$PATH" exec make --silent --file "$MAKEFILE" test
"#;

#[test]
fn tests_run_only_with_what_they_need() {
    for (install, succeeds, runs) in
        [("echo /deps", true, "cargo test --workspace with /deps\ncargo test with \n"), ("exit 1", false, "")]
    {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("bash")
            .args(["-c", WITH_STAND_INS])
            .current_dir(dir.path())
            .env("INSTALL", install)
            .env("MAKEFILE", root().join("Makefile"))
            .env_remove("PENSTOCK_TEST_DEPS")
            .env_remove("MAKEFLAGS") // of the `make test` that runs this
            .output()
            .unwrap();
        assert_eq!((done.status.success(), text(&done.stdout).as_str()), (succeeds, runs), "{install}");
    }
}
