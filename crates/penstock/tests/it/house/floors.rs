//! A crate depends only on lower floors (ARCHITECTURE.md).

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::root;

/// From the ground up. A crate that is not here has no place in the house.
const FLOORS: [&[&str]; 8] = [
    &["record"],
    &["wire", "detect"],
    &["log", "series", "metadata"],
    &["registry", "schema", "rule"],
    &["stream", "alert", "rollout", "query"],
    &["gateway", "api", "pgwire"],
    &["server", "edge", "fleet", "device"],
    &["penstock", "rigs"],
];

fn floor(package: &str) -> Option<usize> {
    let name = package.strip_prefix("penstock-").unwrap_or(package);
    FLOORS.iter().position(|floor| floor.contains(&name))
}

#[test]
fn no_crate_depends_upward_or_sideways() {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeMap<&str, usize> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .map(|name| (name, floor(name).unwrap_or_else(|| panic!("{name} has no floor in this test"))))
        .collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let Some(&below) = names.get(on) else { continue };
            // A test may stand on its own crate with more features, and nothing else is different for it.
            let own_test = dependency["kind"] == "dev" && on == name;
            if below >= names[name] && !own_test {
                wrong.push(format!("{name} (floor {}) depends on {on} (floor {below})", names[name]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
