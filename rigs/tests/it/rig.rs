//! Running a rig and reading its verdict.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

/// The server's binary: `PENSTOCK_BIN`, or as the sources are now. Tests of the whole workspace have built it already, as those of
/// its own package need it; to build it alone would be with other features of the SQL engine, and take ten minutes.
pub(crate) fn server() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(given) = std::env::var_os("PENSTOCK_BIN") {
                return given.into();
            }
            let beside = Path::new(env!("CARGO_BIN_EXE_kill9")).with_file_name("penstock");
            if is_newer(&beside, &["crates", "web/dist"]) {
                return beside;
            }
            let mut build = Command::new(env!("CARGO"));
            // With the features that the workspace's tests have.
            build.args(["build", "--quiet", "--workspace", "--bin", "penstock", "--test", "it"]);
            forget_this_package(&mut build);
            if beside.parent().is_some_and(|folder| folder.ends_with("release")) {
                build.arg("--release");
            }
            assert!(build.status().expect("cargo starts").success(), "the server does not build");
            beside
        })
        .clone()
}

/// What cargo tells a test about its package. ring's build script asks for the same names: handed on, they would be news to
/// it, and all that stands on ring would be built again, the SQL engine, too; and then by the next cargo once more.
fn forget_this_package(build: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
            build.env_remove(name);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace").to_owned()
}

/// Whether a file is there and was written after everything that it is made of in these folders of the workspace.
fn is_newer(file: &Path, folders: &[&str]) -> bool {
    let written = |path: &Path| path.metadata().and_then(|of| of.modified()).ok();
    let Some(made) = written(file) else { return false };
    let mut newest = written(&root().join("Cargo.lock"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("the sources can be read").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if path.ends_with("tests") || path.ends_with("benches") => {}
                true => folders.push(path),
                false => newest = newest.max(written(&path)),
            }
        }
    }
    newest.is_some_and(|newest| newest < made)
}
