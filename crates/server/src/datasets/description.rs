//! What is written down of a data set, beside its store: `datasets/NAME.toml` (docs/formats/dataset.md).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use stream::Stretch;

const VERSION: u32 = 1;

/// A data set: what was asked for, and how it stands. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Where in the log's time it was to begin; absent: with the first record there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<i64>,
    pub(super) started_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_at: Option<i64>,
    /// Records done when it ended.
    #[serde(default)]
    pub(super) done: u64,
    /// The configuration as it was given.
    pub(super) config: String,
    /// The records it is made of.
    pub(super) stretch: Stretch,
}

/// How a data set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Running,
    Done,
    Failed,
}

impl Description {
    /// Of a data set about to begin.
    pub(super) fn new(
        name: String,
        since: Option<i64>,
        started_at: i64,
        config: String,
        stretch: Stretch,
    ) -> Self {
        Self {
            version: VERSION,
            name,
            state: State::Running,
            reason: None,
            since,
            started_at,
            ended_at: None,
            done: 0,
            config,
            stretch,
        }
    }

    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let read: Self = toml::from_str(&text).map_err(io::Error::other)?;
        if read.version != VERSION {
            let told = format!("it has version {}, this build reads version {VERSION}", read.version);
            return Err(io::Error::other(told));
        }
        Ok(read)
    }

    /// Written beside and renamed: after a crash there is the old one or the new one.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(toml::to_string(self).map_err(io::Error::other)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = r#"version = 1
name = "ten-seconds"
state = "failed"
reason = "the disk is full"
since = 1700000000000000000
started_at = 1700000000000000001
ended_at = 1700000000000000002
done = 4
config = '''
windows = ["10s"]
'''

[stretch]
live = [[3, 9], [0, 0]]
backfill = [[0, 2], [0, 0]]
"#;

    #[test]
    fn a_description_is_read_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ten-seconds.toml");
        std::fs::write(&path, FIXTURE).unwrap();
        let read = Description::read(&path).unwrap();
        assert_eq!((read.state, read.done, read.stretch.records()), (State::Failed, 4, 8));
        assert_eq!(read.config, "windows = [\"10s\"]\n");
        read.write(&path).unwrap();
        assert_eq!(Description::read(&path).unwrap(), read);
        std::fs::write(&path, FIXTURE.replace("version = 1", "version = 2")).unwrap();
        assert!(Description::read(&path).unwrap_err().to_string().contains("version 2"));
    }
}
