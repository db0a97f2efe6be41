//! What changes a tenant's state. Every change says which rows it writes.

use super::rows::{Settings, Written};
use super::state::{Entry, Placed, State};
use super::{Deletion, Registered};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Level, Mode, Schema, SchemaId, Selector, Subject};

/// The answer to a change, and the rows it writes; no rows: nothing changed.
type Changed<T> = Result<(T, Vec<Written>)>;

impl State {
    pub(super) fn register(&mut self, subject: &Subject, schema: Schema) -> Changed<Registered> {
        let (compiled, identity) = self.parse(&schema)?;
        let known = self.by_identity.get(&identity).copied();
        if let Some(id) = known
            && let Some((version, _)) = self.placed(subject, false).find(|(_, placed)| placed.id == id)
        {
            return Ok((Registered { id, version, is_new: false }, Vec::new()));
        }
        if self.effective_mode(subject) == Mode::ReadOnly {
            return Err(Error::ReadOnly(subject.to_string()));
        }
        let found = self.broken(subject, &compiled)?;
        if !found.is_empty() {
            return Err(Error::Incompatible { subject: subject.to_string(), found });
        }
        let mut written = Vec::new();
        let id = match known {
            Some(id) => id,
            None => {
                if self.schemas.len() >= limits::SCHEMAS_PER_TENANT {
                    let text = format!("more than {} schemas: delete some", limits::SCHEMAS_PER_TENANT);
                    return Err(Error::TooMuch(text));
                }
                let id = SchemaId(self.last_id + 1);
                written.push(Written::Schema(id, identity, schema.clone()));
                written.push(Written::LastId(id.0));
                self.put_schema(id, Entry::with(identity, schema, compiled));
                id
            }
        };
        // Numbers of deleted versions are not given again.
        let version = self.placed(subject, true).next_back().map_or(1, |(last, _)| last + 1);
        let placed = Placed { id, deleted: false };
        self.put_version(subject.as_str(), version, placed);
        written.push(Written::Version { subject: subject.to_string(), version, placed });
        Ok((Registered { id, version, is_new: true }, written))
    }

    pub(super) fn delete_subject(&mut self, subject: &Subject, how: Deletion) -> Changed<Vec<u32>> {
        let all: Vec<_> = self.placed(subject, true).collect();
        if all.is_empty() {
            return Err(Error::SubjectNotFound(subject.to_string()));
        }
        let there: Vec<_> = all.iter().filter(|(_, placed)| !placed.deleted).collect();
        match how {
            Deletion::Soft if there.is_empty() => Err(Error::SubjectSoftDeleted(subject.to_string())),
            Deletion::Permanent if !there.is_empty() => {
                Err(Error::SubjectNotSoftDeleted(subject.to_string()))
            }
            _ => {
                let those: Vec<_> =
                    all.iter().filter(|(_, placed)| how == Deletion::Permanent || !placed.deleted).collect();
                for (version, _) in &those {
                    self.unused(subject, *version)?;
                }
                let mut written = Vec::new();
                for (version, placed) in &those {
                    written.extend(self.delete(subject, *version, *placed, how));
                }
                if how == Deletion::Permanent {
                    let settings = self.settings.remove(&Some(subject.to_string()));
                    let gone = Written::Settings(Some(subject.to_string()), Settings::default());
                    written.extend(settings.map(|_| gone));
                }
                Ok((those.iter().map(|(version, _)| *version).collect(), written))
            }
        }
    }

    pub(super) fn delete_version(
        &mut self,
        subject: &Subject,
        which: Selector,
        how: Deletion,
    ) -> Changed<u32> {
        // `latest` is the newest that is there; a number may be that of one deleted softly.
        let deleted = which != Selector::Latest;
        let (version, placed) = self.select(subject, which, deleted)?;
        match how {
            Deletion::Soft if placed.deleted => Err(Error::VersionSoftDeleted(subject.to_string(), version)),
            Deletion::Permanent if !placed.deleted => {
                Err(Error::VersionNotSoftDeleted(subject.to_string(), version))
            }
            _ => {
                self.unused(subject, version)?;
                Ok((version, self.delete(subject, version, placed, how)))
            }
        }
    }

    fn unused(&self, subject: &Subject, version: u32) -> Result<()> {
        match self.users(subject.as_str(), version).is_empty() {
            true => Ok(()),
            false => Err(Error::Referenced(subject.to_string(), version)),
        }
    }

    fn delete(&mut self, subject: &Subject, version: u32, placed: Placed, how: Deletion) -> Vec<Written> {
        let subject = subject.to_string();
        if how == Deletion::Soft {
            let placed = Placed { deleted: true, ..placed };
            self.put_version(&subject, version, placed);
            return vec![Written::Version { subject, version, placed }];
        }
        if let Some(versions) = self.subjects.get_mut(&subject) {
            versions.remove(&version);
            if versions.is_empty() {
                self.subjects.remove(&subject);
            }
        }
        let mut written = vec![Written::NoVersion { subject, version }];
        if !self.subjects.values().any(|versions| versions.values().any(|other| other.id == placed.id))
            && let Some(entry) = self.schemas.remove(&placed.id)
        {
            self.by_identity.remove(&entry.identity);
            written.push(Written::NoSchema(placed.id));
        }
        written
    }

    pub(super) fn set_level(
        &mut self,
        subject: Option<&Subject>,
        level: Option<Level>,
    ) -> Changed<Option<Level>> {
        let before = self.level(subject);
        let settings = Settings { compatibility: level, ..self.settings_of(subject) };
        Ok((before, self.set(subject, settings)))
    }

    pub(super) fn set_mode(
        &mut self,
        subject: Option<&Subject>,
        mode: Option<Mode>,
    ) -> Changed<Option<Mode>> {
        let before = self.mode(subject);
        let settings = Settings { mode, ..self.settings_of(subject) };
        Ok((before, self.set(subject, settings)))
    }

    fn set(&mut self, subject: Option<&Subject>, settings: Settings) -> Vec<Written> {
        let subject = subject.map(Subject::to_string);
        self.put_settings(subject.clone(), settings);
        vec![Written::Settings(subject, settings)]
    }
}
