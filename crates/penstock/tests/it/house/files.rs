//! What must not be in the files.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::root;

/// Beyond this a file has a name missing (style: look at 300, stop here). Tests may be long tables.
const LINES: usize = 1000;
const TEST_LINES: usize = 1200;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["util", "utils", "common", "helpers", "misc"];

/// Left-overs, and places of one machine. Spelled in two parts, so that this file is not a find.
const WORDS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/home", "/user"),
];

/// Every text file that is, or is about to be, under version control.
fn files() -> Vec<(PathBuf, String)> {
    let git = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(git.stdout).unwrap();
    let read = |name: &str| Some((PathBuf::from(name), std::fs::read_to_string(root().join(name)).ok()?));
    let files: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect();
    assert!(files.len() > 100, "git lists only {} files", files.len());
    files
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = files()
        .into_iter()
        .filter(|(path, _)| is_rust(path))
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, path)| *lines > if is_test(path) { TEST_LINES } else { LINES })
        .collect();
    assert!(long.is_empty(), "too long; which name is missing? {long:?}");
}

#[test]
fn no_name_is_empty_of_meaning() {
    let empty: Vec<_> = files()
        .into_iter()
        .filter(|(path, _)| is_rust(path))
        .filter(|(path, _)| {
            let mut parts = path.iter().filter_map(|part| Path::new(part).file_stem()?.to_str());
            parts.any(|part| EMPTY_NAMES.contains(&part) || part.ends_with("manager"))
        })
        .map(|(path, _)| path)
        .collect();
    assert!(empty.is_empty(), "{empty:?}");
}

#[test]
fn nothing_is_left_over() {
    let mut found = Vec::new();
    for (path, text) in files() {
        // The lock file and Cargo's own configuration are not prose of ours.
        if path.ends_with("Cargo.lock") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = WORDS.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
