//! One tenant's schemas, subjects and settings. Pure: what a change writes is handed back to the caller.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::missing;
use super::rows::Settings;
use crate::compiled::{Compiled, Identity, Used};
use crate::error::{Error, Incompatibility, Result};
use crate::limits;
use crate::model::{Level, Mode, Reference, Schema, SchemaId, Selector, Subject, Version};

/// A tenant's schemas.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(super) schemas: BTreeMap<SchemaId, Arc<Entry>>,
    pub(super) by_identity: HashMap<Identity, SchemaId>,
    pub(super) subjects: BTreeMap<String, BTreeMap<u32, Placed>>,
    /// Of the subjects, and without a subject of the tenant.
    pub(super) settings: BTreeMap<Option<String>, Settings>,
    pub(super) last_id: u32,
}

/// A schema, compiled when it is first needed.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) identity: Identity,
    pub(super) schema: Schema,
    compiled: OnceLock<std::result::Result<Arc<Compiled>, String>>,
}

/// A version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) id: SchemaId,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
}

impl Entry {
    pub(super) fn new(identity: Identity, schema: Schema) -> Self {
        Self { identity, schema, compiled: OnceLock::new() }
    }

    pub(super) fn with(identity: Identity, schema: Schema, compiled: Compiled) -> Self {
        let entry = Self::new(identity, schema);
        let _ = entry.compiled.set(Ok(Arc::new(compiled))); // it is new, so it is empty
        entry
    }
}

impl State {
    pub(super) fn put_schema(&mut self, id: SchemaId, entry: Entry) {
        self.by_identity.insert(entry.identity, id);
        self.last_id = self.last_id.max(id.0);
        self.schemas.insert(id, Arc::new(entry));
    }

    pub(super) fn put_version(&mut self, subject: &str, version: u32, placed: Placed) {
        self.subjects.entry(subject.to_owned()).or_default().insert(version, placed);
    }

    pub(super) fn put_settings(&mut self, subject: Option<String>, settings: Settings) {
        match settings == Settings::default() {
            true => self.settings.remove(&subject),
            false => self.settings.insert(subject, settings),
        };
    }

    pub(super) fn put_last_id(&mut self, id: u32) {
        self.last_id = self.last_id.max(id);
    }

    pub(super) fn subjects(&self, deleted: bool) -> Vec<String> {
        let there =
            |versions: &BTreeMap<u32, Placed>| deleted || versions.values().any(|placed| !placed.deleted);
        self.subjects
            .iter()
            .filter(|(_, versions)| there(versions))
            .map(|(subject, _)| subject.clone())
            .collect()
    }

    pub(super) fn versions(&self, subject: &Subject, deleted: bool) -> Result<Vec<u32>> {
        let versions: Vec<_> = self.placed(subject, deleted).map(|(version, _)| version).collect();
        match versions.is_empty() {
            true => Err(Error::SubjectNotFound(subject.to_string())),
            false => Ok(versions),
        }
    }

    /// The versions of a subject, oldest first.
    pub(crate) fn placed(
        &self,
        subject: &Subject,
        deleted: bool,
    ) -> impl DoubleEndedIterator<Item = (u32, Placed)> {
        let versions = self.subjects.get(subject.as_str()).into_iter().flatten();
        versions
            .map(|(version, placed)| (*version, *placed))
            .filter(move |(_, placed)| deleted || !placed.deleted)
    }

    pub(super) fn version(&self, subject: &Subject, which: Selector, deleted: bool) -> Result<Version> {
        let (version, placed) = self.select(subject, which, deleted)?;
        let schema = self.schema(placed.id)?;
        Ok(Version { subject: subject.to_string(), version, id: placed.id, schema })
    }

    pub(crate) fn select(&self, subject: &Subject, which: Selector, deleted: bool) -> Result<(u32, Placed)> {
        let mut versions = self.placed(subject, deleted).peekable();
        if versions.peek().is_none() {
            return Err(Error::SubjectNotFound(subject.to_string()));
        }
        match which {
            Selector::Latest => Ok(versions.next_back().expect("there is one")),
            Selector::Number(number) => versions
                .find(|(version, _)| *version == number)
                .ok_or_else(|| Error::VersionNotFound(number.to_string())),
        }
    }

    pub(super) fn schema(&self, id: SchemaId) -> Result<Schema> {
        self.schemas.get(&id).map(|entry| entry.schema.clone()).ok_or(Error::SchemaNotFound)
    }

    pub(crate) fn entry(&self, id: SchemaId) -> Option<&Schema> {
        self.schemas.get(&id).map(|entry| &entry.schema)
    }

    pub(super) fn places(&self, id: SchemaId, deleted: bool) -> Result<Vec<(String, u32)>> {
        if !self.schemas.contains_key(&id) {
            return Err(Error::SchemaNotFound);
        }
        let mut places = Vec::new();
        for (subject, versions) in &self.subjects {
            let here = versions.iter().filter(|(_, placed)| placed.id == id && (deleted || !placed.deleted));
            places.extend(here.map(|(version, _)| (subject.clone(), *version)));
        }
        Ok(places)
    }

    pub(super) fn used_by(&self, subject: &Subject, which: Selector) -> Result<Vec<SchemaId>> {
        let (version, _) = self.select(subject, which, true)?;
        Ok(self.users(subject.as_str(), version))
    }

    /// The schemas that refer to a version and still stand somewhere.
    pub(super) fn users(&self, subject: &str, version: u32) -> Vec<SchemaId> {
        let refers = |entry: &Entry| {
            entry.schema.references.iter().any(|r| r.subject == subject && r.version == version)
        };
        let stands = |id: SchemaId| {
            let mut all = self.subjects.values().flat_map(BTreeMap::values);
            all.any(|placed| placed.id == id && !placed.deleted)
        };
        self.schemas.iter().filter(|(id, entry)| refers(entry) && stands(**id)).map(|(id, _)| *id).collect()
    }

    pub(super) fn find(&self, subject: &Subject, schema: &Schema, deleted: bool) -> Result<Version> {
        if !self.subjects.contains_key(subject.as_str()) {
            return Err(Error::SubjectNotFound(subject.to_string()));
        }
        let (compiled, identity) = self.parse(schema)?;
        drop(compiled);
        let id = self.by_identity.get(&identity).copied().ok_or(Error::SchemaNotFound)?;
        let found = self.placed(subject, deleted).rfind(|(_, placed)| placed.id == id);
        let (version, _) = found.ok_or(Error::SchemaNotFound)?;
        Ok(Version { subject: subject.to_string(), version, id, schema: self.schema(id)? })
    }

    pub(crate) fn compiled(&self, id: SchemaId) -> Result<Arc<Compiled>> {
        self.ready(id).cloned()
    }

    /// As [`State::compiled`], without taking part in its ownership.
    pub(crate) fn ready(&self, id: SchemaId) -> Result<&Arc<Compiled>> {
        let entry = self.schemas.get(&id).ok_or(Error::SchemaNotFound)?;
        let compile = || match self.parse(&entry.schema) {
            Ok((compiled, _)) => Ok(Arc::new(compiled)),
            Err(error) => Err(error.to_string()),
        };
        entry.compiled.get_or_init(compile).as_ref().map_err(|error| Error::InvalidSchema(error.clone()))
    }

    /// Reads a schema with all that it refers to.
    pub(super) fn parse(&self, schema: &Schema) -> Result<(Compiled, Identity)> {
        let mut used = Vec::new();
        self.collect(&schema.references, &mut HashSet::new(), &mut used, 0)?;
        let compiled = Compiled::parse(schema, &used)?;
        let identity = compiled.identity(schema);
        Ok((compiled, identity))
    }

    /// What is referred to, each once, those first that others use. A schema can only refer to older ones, so there
    /// is no circle.
    fn collect<'s>(
        &'s self,
        references: &'s [Reference],
        seen: &mut HashSet<(&'s str, u32)>,
        used: &mut Vec<Used<'s>>,
        depth: usize,
    ) -> Result<()> {
        for reference in references {
            if !seen.insert((&reference.subject, reference.version)) {
                continue;
            }
            if seen.len() > limits::REFERENCES || depth > limits::REFERENCES {
                return Err(Error::TooMuch(format!("more than {} references", limits::REFERENCES)));
            }
            let versions = self.subjects.get(&reference.subject).ok_or_else(|| missing(reference))?;
            let placed = versions.get(&reference.version).ok_or_else(|| missing(reference))?;
            let entry = self.schemas.get(&placed.id).ok_or_else(|| missing(reference))?;
            self.collect(&entry.schema.references, seen, used, depth + 1)?;
            used.push(Used { name: &reference.name, schema: &entry.schema });
        }
        Ok(())
    }

    pub(super) fn level(&self, subject: Option<&Subject>) -> Option<Level> {
        self.settings_of(subject).compatibility
    }

    pub(super) fn mode(&self, subject: Option<&Subject>) -> Option<Mode> {
        self.settings_of(subject).mode
    }

    pub(super) fn settings_of(&self, subject: Option<&Subject>) -> Settings {
        self.settings.get(&subject.map(Subject::to_string)).copied().unwrap_or_default()
    }

    pub(super) fn incompatibilities(
        &self,
        subject: &Subject,
        against: Option<Selector>,
        schema: &Schema,
    ) -> Result<Vec<(u32, Incompatibility)>> {
        let (compiled, _) = self.parse(schema)?;
        match against {
            None => self.broken(subject, &compiled),
            Some(which) => {
                let (version, placed) = self.select(subject, which, false)?;
                self.broken_with(self.effective_level(subject), version, placed, &compiled)
            }
        }
    }

    /// What the subject's level forbids about a new version.
    pub(super) fn broken(&self, subject: &Subject, new: &Compiled) -> Result<Vec<(u32, Incompatibility)>> {
        let level = self.effective_level(subject);
        let mut found = Vec::new();
        for (version, placed) in self.placed(subject, false).rev() {
            found.extend(self.broken_with(level, version, placed, new)?);
            if !level.transitive() {
                break;
            }
        }
        found.truncate(limits::DIFFERENCES);
        Ok(found)
    }

    fn broken_with(
        &self,
        level: Level,
        version: u32,
        placed: Placed,
        new: &Compiled,
    ) -> Result<Vec<(u32, Incompatibility)>> {
        let old = self.compiled(placed.id)?;
        let mut found = Vec::new();
        if level.backward() {
            found.extend(new.cannot_read(&old));
        }
        if level.forward() {
            found.extend(old.cannot_read(new));
        }
        Ok(found.into_iter().map(|broken| (version, broken)).collect())
    }

    fn effective_level(&self, subject: &Subject) -> Level {
        self.level(Some(subject)).or_else(|| self.level(None)).unwrap_or_default()
    }

    pub(super) fn effective_mode(&self, subject: &Subject) -> Mode {
        self.mode(Some(subject)).or_else(|| self.mode(None)).unwrap_or_default()
    }
}
