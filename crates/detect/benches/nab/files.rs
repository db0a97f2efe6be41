//! The labelled series of the benchmark, read where they are; they are no part of the project.

use std::path::{Path, PathBuf};

use record::Timestamp;

/// A series of the benchmark.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) rows: Vec<(Timestamp, f64)>,
    /// The first and last row of each window within which something is wrong.
    pub(crate) windows: Vec<(usize, usize)>,
}

/// All files with labels, or where they were looked for.
pub(crate) fn read() -> Result<Vec<File>, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nab");
    let Ok(labels) = std::fs::read_to_string(folder.join("windows.json")) else {
        return Err(folder);
    };
    let labels: std::collections::BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&labels).expect("labels are pairs of times by file");
    Ok(labels.into_iter().map(|(name, windows)| file(&folder, name, &windows)).collect())
}

fn file(folder: &Path, name: String, windows: &[(String, String)]) -> File {
    let text = std::fs::read_to_string(folder.join(&name)).expect("a file that has labels is there");
    let rows: Vec<(Timestamp, f64)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (time, value) = line.split_once(',').expect("time and value");
            (timestamp(time), value.trim().parse().expect("a number"))
        })
        .collect();
    let row = |time: &String| {
        let time = timestamp(time);
        rows.iter().position(|(at, _)| *at >= time).expect("a window ends within its file")
    };
    let windows = windows.iter().map(|(first, last)| (row(first), row(last))).collect();
    File { name, rows, windows }
}

fn timestamp(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(&format!("{}Z", text.replace(' ', "T"))).expect("a date and a time")
}
