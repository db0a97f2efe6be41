//! What the README tells people to type, exists.

use super::root;
use crate::served::penstock;

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut in_code = false;
    let (mut targets, mut commands) = (0, 0);
    for line in readme.lines() {
        if line.starts_with("```") {
            in_code = line == "```sh";
            continue;
        }
        if !in_code {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["make", target, ..] => {
                assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has no {target}");
                targets += 1;
            }
            ["penstock", command, ..] => {
                let help = penstock(&[command, "--help"]);
                assert!(help.status.success(), "penstock {command} --help fails");
                commands += 1;
            }
            _ => {}
        }
    }
    assert!(targets >= 2 && commands >= 2, "the README shows {targets} targets and {commands} commands");
}
