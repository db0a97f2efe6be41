//! Data sets: history under another configuration, each in a store of its own (R5.8).
//!
//! ```text
//!   data_dir/datasets/NAME.toml    what was asked for, and how it stands; absent: there is no such data set
//!                     NAME.store/  its store (NAME.db, where stores are of kind "sqlite")
//!                     NAME.state/  the checkpoints of one that is running
//! ```
//!
//! One that is running when the node stops, however it stops, goes on with the next start.

mod description;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::{Dataset, DatasetError, DatasetState, Order};
use log::EmbeddedLog;
use query::Engine;
use record::Timestamp;
use series::Amounts;
use stream::{Ended, Gauge, Monitor, Settings, Stopper, Stretch};
use tokio::runtime::Handle;
use tokio::sync::watch;
use wire::template::Templates;

use crate::stores::{self, Kind, Share, Store};
use description::{Description, State};

/// Most data sets at a time: each is a store as large as the history in it.
const MOST: usize = 16;

/// What the open windows of a data set may take, bytes, whatever its configuration says: beyond it windows are
/// computed from stored readings, and come out the same. The live stream has memory of its own.
const WINDOW_BYTES: usize = 512 << 20;

/// How long a stopping node waits for a data set to finish the batch in hand.
const STOP: Duration = Duration::from_secs(10);
/// How long a data set that is removed waits for who still has its store open: as long as a statement may take. Mostly that is one step of
/// its upkeep, milliseconds.
const LETTING_GO: Duration = Duration::from_secs(30);
/// How often it looks whether they have gone.
const LOOKING_AGAIN: Duration = Duration::from_millis(20);

/// What data sets stand on.
pub(crate) struct Parts {
    pub(crate) directory: PathBuf,
    /// Of which kind their stores are.
    pub(crate) kind: Kind,
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) templates: Arc<Templates>,
    /// Answers SQL; here over each of them.
    pub(crate) engine: Engine,
    /// The stream that goes first.
    pub(crate) live: Monitor,
}

/// The data sets of a node.
#[derive(Clone)]
pub(crate) struct Datasets(Arc<Shared>);

struct Shared {
    parts: Parts,
    runtime: Handle,
    held: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    description: Description,
    /// Absent while it is made, and when it cannot be opened.
    store: Option<Arc<dyn Store>>,
    work: Option<Work>,
    is_leaving: bool,
}

/// One at work.
#[derive(Clone)]
struct Work {
    gauge: Gauge,
    stopper: Stopper,
    over: watch::Receiver<bool>,
}

impl Datasets {
    /// Opens what is there, and goes on with what was running. What cannot be used is shown as failed: it must not
    /// keep the node from starting.
    pub(crate) async fn open(parts: Parts) -> io::Result<Self> {
        let shared = Shared { parts, runtime: Handle::current(), held: Mutex::default() };
        let datasets = Self(Arc::new(shared));
        let reading = Arc::clone(&datasets.0);
        let job = tokio::task::spawn_blocking(move || reading.read_all());
        let unfinished = job.await.map_err(io::Error::other)??;
        for name in unfinished {
            let outcome = datasets.0.run(&name).await;
            if let Err(reason) = outcome {
                datasets.0.ended(&name, &Ended::Failed(reason), 0);
            }
        }
        Ok(datasets)
    }

    /// Stops what is running; it goes on with the next start.
    pub(crate) async fn shutdown(&self) {
        let works: Vec<Work> = self.0.held().values().filter_map(|entry| entry.work.clone()).collect();
        works.iter().for_each(|work| work.stopper.stop());
        for mut work in works {
            if tokio::time::timeout(STOP, work.over.wait_for(|over| *over)).await.is_err() {
                tracing::warn!(
                    "a data set did not stop in time; it goes on from its last commit with the next start"
                );
            }
        }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.held.lock().expect("nothing panics while it holds the data sets")
    }

    fn place(&self, name: &str, extension: &str) -> PathBuf {
        self.parts.directory.join(format!("{name}.{extension}"))
    }

    /// Takes up the descriptions; returns the names of those that were running.
    fn read_all(&self) -> io::Result<Vec<String>> {
        std::fs::create_dir_all(&self.parts.directory)?;
        let mut unfinished = Vec::new();
        for file in std::fs::read_dir(&self.parts.directory)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let description = match Description::read(&path) {
                Ok(description) => description,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a data set cannot be read; it is left as it is");
                    continue;
                }
            };
            let name = description.name.clone();
            let mut entry = Entry { description, store: None, work: None, is_leaving: false };
            if entry.description.state == State::Running {
                unfinished.push(name.clone());
            } else {
                entry.store = self.open_store(&name).inspect_err(|error| tracing::error!(name, error)).ok();
            }
            self.held().insert(name, entry);
        }
        Ok(unfinished)
    }

    fn open_store(&self, name: &str) -> Result<Arc<dyn Store>, String> {
        let place = self.place(name, "store");
        stores::open(self.parts.kind, &place, Share::Part).map_err(|error| error.to_string())
    }

    /// Sets a data set to work that is among those held.
    async fn run(self: &Arc<Self>, name: &str) -> Result<(), String> {
        let (config, stretch) = match self.held().get(name) {
            Some(entry) => (entry.description.config.clone(), entry.description.stretch.clone()),
            None => return Err("it was removed".to_owned()),
        };
        let settings = settings(&config)?;
        let (opening, called) = (Arc::clone(self), name.to_owned());
        let store = tokio::task::spawn_blocking(move || opening.open_store(&called)).await;
        let store = store.map_err(|error| error.to_string())??;
        let parts = stream::Parts {
            log: self.parts.log.clone(),
            store: store.clone(),
            reader: store.clone(),
            templates: Arc::clone(&self.parts.templates),
            settings: Arc::new(settings),
            facts: None,
            checkpoints: Some(self.place(name, "state")),
            clock: Arc::new(Timestamp::now),
        };
        let running = stream::reprocess(parts, stretch, Some(self.parts.live.clone())).await;
        let running = running.map_err(|error| error.to_string())?;
        let (over, watched) = watch::channel(false);
        let gauge = running.gauge();
        if let Some(entry) = self.held().get_mut(name) {
            entry.store = Some(store);
            entry.work = Some(Work { gauge: gauge.clone(), stopper: running.stopper(), over: watched });
        }
        let (shared, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            let ended = running.ended().await;
            let done = gauge.progress().done;
            // A short write; and it must not be given up when the node stops.
            tokio::task::spawn_blocking(move || shared.ended(&name, &ended, done)).await.ok();
            over.send_replace(true);
        });
        Ok(())
    }

    /// Writes down how one ended. One that was stopped stays as it is, to go on.
    fn ended(&self, name: &str, ended: &Ended, done: u64) {
        let mut held = self.held();
        let Some(entry) = held.get_mut(name) else { return };
        entry.work = None;
        let description = &mut entry.description;
        (description.state, description.reason) = match ended {
            Ended::Stopped => return,
            Ended::Complete => (State::Done, None),
            Ended::Failed(reason) => {
                tracing::error!(name, reason, "a data set failed");
                (State::Failed, Some(reason.clone()))
            }
        };
        (description.ended_at, description.done) = (Some(Timestamp::now().nanos()), done);
        if let Err(error) = description.write(&self.place(name, "toml")) {
            tracing::error!(name, %error, "how a data set ended cannot be written down; with the next start it goes on");
            return;
        }
        drop(held);
        self.delete(&[self.place(name, "state")], name).ok();
    }

    /// Deletes files and folders; what is not there is no error.
    fn delete(&self, places: &[PathBuf], name: &str) -> Result<(), DatasetError> {
        for place in places {
            let gone =
                if place.is_dir() { std::fs::remove_dir_all(place) } else { std::fs::remove_file(place) };
            match gone {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(name, place = %place.display(), %error, "a file of a data set cannot be deleted");
                    let told = format!("the files of the data set {name:?} cannot be deleted: try again");
                    return Err(DatasetError::Failed(told));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All files of a data set; first the one without which it is none.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        ["toml", "new", "store", "db", "db-wal", "db-shm", "state"]
            .map(|extension| self.place(name, extension))
            .into()
    }

    /// Takes the name, if it is free and there is room.
    fn reserve(&self, description: &Description) -> Result<(), DatasetError> {
        let mut held = self.held();
        let name = &description.name;
        if held.contains_key(name) {
            let told = format!("there is a data set {name:?}: remove it first, or choose another name");
            return Err(DatasetError::Conflict(told));
        }
        if let Some(other) = held.values().find(|entry| entry.description.state == State::Running) {
            let other = &other.description.name;
            let told = format!("{other:?} is running, and one runs at a time: wait for it, or remove it");
            return Err(DatasetError::Conflict(told));
        }
        if held.len() >= MOST {
            return Err(DatasetError::Conflict(format!("there are {MOST} data sets, the most: remove one")));
        }
        let description = description.clone();
        held.insert(name.clone(), Entry { description, store: None, work: None, is_leaving: false });
        Ok(())
    }

    async fn begin(self: &Arc<Self>, order: Order) -> Result<(), DatasetError> {
        let Order { name, since, config } = order;
        settings(&config).map_err(DatasetError::Refused)?;
        let failed = |error: String| {
            tracing::error!(name, error, "a data set cannot begin");
            DatasetError::Failed(format!("the data set {name:?} cannot begin now: the server's log says why"))
        };
        let stretch =
            Stretch::of(&*self.parts.log, since).await.map_err(|error| failed(error.to_string()))?;
        let began = Timestamp::now().nanos();
        let description = Description::new(name.clone(), since.map(Timestamp::nanos), began, config, stretch);
        self.reserve(&description)?;
        // What a removal left half done.
        let begun = match self.delete(&self.files(&name), &name) {
            Ok(()) => description.write(&self.place(&name, "toml")).map_err(|error| error.to_string()),
            Err(_) => Err("files of an earlier one are in the way".to_owned()),
        };
        let begun = match begun {
            Ok(()) => self.run(&name).await,
            refused => refused,
        };
        if let Err(error) = begun {
            self.delete(&self.files(&name), &name).ok();
            self.held().remove(&name);
            return Err(failed(error));
        }
        Ok(())
    }

    fn show(&self, name: &str) -> Option<Dataset> {
        let (description, store, work) = {
            let held = self.held();
            let entry = held.get(name)?;
            (entry.description.clone(), entry.store.clone(), entry.work.clone())
        };
        let state = match (description.state, &store) {
            (State::Running, _) => DatasetState::Running,
            (State::Done, Some(_)) => DatasetState::Done,
            (State::Done, None) => DatasetState::Failed("its store cannot be opened".to_owned()),
            (State::Failed, _) => DatasetState::Failed(description.reason.unwrap_or_default()),
        };
        let always = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);
        let mut amounts = Amounts::default();
        match store.map(|store| store.account(None, always)) {
            Some(Ok(lines)) => lines.iter().for_each(|line| amounts += line.amounts),
            Some(Err(error)) => tracing::warn!(name, %error, "the account of a data set cannot be read"),
            None => {}
        }
        Some(Dataset {
            name: description.name,
            state,
            since: description.since.map(Timestamp::from_nanos),
            started_at: Timestamp::from_nanos(description.started_at),
            ended_at: description.ended_at.map(Timestamp::from_nanos),
            done: work.map_or(description.done, |work| work.gauge.progress().done),
            total: description.stretch.records(),
            amounts,
        })
    }
}

impl api::Datasets for Datasets {
    fn start(&self, order: Order) -> Result<Dataset, DatasetError> {
        let name = order.name.clone();
        self.0.runtime.block_on(self.0.begin(order))?;
        self.0.show(&name).ok_or(DatasetError::Missing)
    }

    fn list(&self) -> Vec<Dataset> {
        let names: Vec<String> = self.0.held().keys().cloned().collect();
        names.iter().filter_map(|name| self.0.show(name)).collect()
    }

    fn remove(&self, name: &str) -> Result<(), DatasetError> {
        let (work, store) = {
            let mut held = self.0.held();
            let entry = held.get_mut(name).ok_or(DatasetError::Missing)?;
            if entry.description.state == State::Running && entry.work.is_none() {
                return Err(DatasetError::Conflict(format!(
                    "the data set {name:?} is just beginning: try again"
                )));
            }
            if std::mem::replace(&mut entry.is_leaving, true) {
                return Err(DatasetError::Conflict(format!("the data set {name:?} is being removed")));
            }
            (entry.work.clone(), entry.store.take().map(|store| Arc::downgrade(&store)))
        };
        if let Some(mut work) = work {
            work.stopper.stop();
            // An error means that its end was noted before anybody looked.
            self.0.runtime.block_on(work.over.wait_for(|over| *over)).ok();
        }
        // Who looks after it, or reads it, is in the middle of something: files are not taken away under their hands.
        let began = std::time::Instant::now();
        while store.as_ref().is_some_and(|store| store.strong_count() > 0) && began.elapsed() < LETTING_GO {
            std::thread::sleep(LOOKING_AGAIN);
        }
        let deleted = self.0.delete(&self.0.files(name), name);
        let mut held = self.0.held();
        match &deleted {
            Ok(()) => {
                held.remove(name);
            }
            Err(_) => {
                held.values_mut().filter(|e| e.description.name == name).for_each(|e| e.is_leaving = false)
            }
        }
        deleted
    }

    fn sql(&self, name: &str) -> Option<Arc<dyn query::Sql>> {
        let held = self.0.held();
        let store = held.get(name).filter(|entry| !entry.is_leaving)?.store.clone()?;
        Some(Arc::new(self.0.parts.engine.over(store)))
    }
}

/// What a configuration says of the stream: the keys of `[stream]`, or a text that has `[stream]`, such as a whole
/// configuration file, of which nothing else counts.
fn settings(text: &str) -> Result<Settings, String> {
    let mut table: toml::Table =
        toml::from_str(text).map_err(|error| format!("the configuration is refused:\n{error}"))?;
    let keys = table.remove("stream").unwrap_or(toml::Value::Table(table));
    let config: stream::config::Config =
        keys.try_into().map_err(|error| format!("the configuration is refused: stream: {error}"))?;
    let mut settings = config.validate().map_err(|error| error.to_string())?;
    settings.window_bytes = settings.window_bytes.min(WINDOW_BYTES);
    Ok(settings)
}
