//! The catalog: subjects and their versions, of every tenant.
//!
//! What is registered is in the metadata before the caller hears of it. One catalog per server: two processes that
//! register at once would give one id twice, so commands ask the server.

mod changes;
mod rows;
mod state;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use metadata::Metadata;
use parking_lot::Mutex;
use record::TenantId;

use crate::compiled::Compiled;
use crate::error::{Error, Incompatibility, Result};
use crate::model::{Level, Mode, Reference, Schema, SchemaId, Selector, Subject, Version};

pub(crate) use state::State;

/// Subjects and versions of all tenants. Calls that change something block for a disk access.
pub struct Catalog {
    metadata: Arc<dyn Metadata>,
    /// Held from the check of a change to its commit.
    changing: Mutex<()>,
    now: ArcSwap<Snapshot>,
}

/// All that is registered at one moment. It never changes; the catalog gets another.
pub(crate) struct Snapshot {
    /// Grows with every change since the process began.
    pub(crate) generation: u64,
    tenants: HashMap<TenantId, Arc<State>>,
}

impl Snapshot {
    /// A tenant's part; `None` when it has nothing.
    pub(crate) fn tenant(&self, tenant: &str) -> Option<&State> {
        self.tenants.get(tenant).map(Arc::as_ref)
    }
}

/// What a registration gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The schema's number.
    pub id: SchemaId,
    /// Its version under the subject.
    pub version: u32,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// How something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is listed no more and can still be read by its id.
    Soft,
    /// It is gone; it must have been deleted softly before.
    Permanent,
}

impl Catalog {
    /// Reads what the metadata holds.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn open(metadata: Arc<dyn Metadata>) -> Result<Self> {
        let tenants = rows::load(&*metadata)?.into_iter().map(|(tenant, state)| (tenant, Arc::new(state)));
        let now = Snapshot { generation: 1, tenants: tenants.collect() };
        Ok(Self { metadata, changing: Mutex::new(()), now: ArcSwap::from_pointee(now) })
    }

    /// What is registered now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.now.load_full()
    }

    /// Adds a version. The same schema is the same version, and nothing happens.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Incompatible`], [`Error::ReadOnly`], [`Error::TooMuch`], and what the
    /// references and the metadata say.
    pub fn register(&self, tenant: &TenantId, subject: &Subject, schema: Schema) -> Result<Registered> {
        self.change(tenant, |state| state.register(subject, schema))
    }

    /// The version of a subject that a schema has.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::SchemaNotFound`], [`Error::InvalidSchema`].
    pub fn find(
        &self,
        tenant: &TenantId,
        subject: &Subject,
        schema: &Schema,
        deleted: bool,
    ) -> Result<Version> {
        self.read(tenant, |state| state.find(subject, schema, deleted))
    }

    /// Why `schema` must not become the next version, judged against one version of the subject, or, without one,
    /// against those its level names; empty when it may.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::SubjectNotFound`], [`Error::VersionNotFound`].
    pub fn incompatibilities(
        &self,
        tenant: &TenantId,
        subject: &Subject,
        against: Option<Selector>,
        schema: &Schema,
    ) -> Result<Vec<(u32, Incompatibility)>> {
        self.read(tenant, |state| state.incompatibilities(subject, against, schema))
    }

    /// The subjects, in order; those whose every version is deleted only with `deleted`.
    #[must_use]
    pub fn subjects(&self, tenant: &TenantId, deleted: bool) -> Vec<String> {
        self.read(tenant, |state| state.subjects(deleted))
    }

    /// The versions of a subject, in order.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`].
    pub fn versions(&self, tenant: &TenantId, subject: &Subject, deleted: bool) -> Result<Vec<u32>> {
        self.read(tenant, |state| state.versions(subject, deleted))
    }

    /// One version.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::VersionNotFound`].
    pub fn version(
        &self,
        tenant: &TenantId,
        subject: &Subject,
        which: Selector,
        deleted: bool,
    ) -> Result<Version> {
        self.read(tenant, |state| state.version(subject, which, deleted))
    }

    /// The schemas that use a version of a subject.
    ///
    /// # Errors
    /// As [`Catalog::version`].
    pub fn used_by(&self, tenant: &TenantId, subject: &Subject, which: Selector) -> Result<Vec<SchemaId>> {
        self.read(tenant, |state| state.used_by(subject, which))
    }

    /// A schema by its number, deleted or not.
    ///
    /// # Errors
    /// [`Error::SchemaNotFound`].
    pub fn schema(&self, tenant: &TenantId, id: SchemaId) -> Result<Schema> {
        self.read(tenant, |state| state.schema(id))
    }

    /// A schema by its number, ready for use.
    ///
    /// # Errors
    /// [`Error::SchemaNotFound`], [`Error::InvalidSchema`] when a later build no longer takes it.
    pub fn compiled(&self, tenant: &TenantId, id: SchemaId) -> Result<Arc<Compiled>> {
        self.read(tenant, |state| state.compiled(id))
    }

    /// Where a schema stands: subjects and versions.
    ///
    /// # Errors
    /// [`Error::SchemaNotFound`].
    pub fn places(&self, tenant: &TenantId, id: SchemaId, deleted: bool) -> Result<Vec<(String, u32)>> {
        self.read(tenant, |state| state.places(id, deleted))
    }

    /// Deletes a subject; returns its versions.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::SubjectSoftDeleted`], [`Error::SubjectNotSoftDeleted`],
    /// [`Error::Referenced`].
    pub fn delete_subject(&self, tenant: &TenantId, subject: &Subject, how: Deletion) -> Result<Vec<u32>> {
        self.change(tenant, |state| state.delete_subject(subject, how))
    }

    /// Deletes a version; returns its number.
    ///
    /// # Errors
    /// As [`Catalog::delete_subject`], for versions.
    pub fn delete_version(
        &self,
        tenant: &TenantId,
        subject: &Subject,
        which: Selector,
        how: Deletion,
    ) -> Result<u32> {
        self.change(tenant, |state| state.delete_version(subject, which, how))
    }

    /// The level of a subject of its own; of the tenant where no subject is named.
    #[must_use]
    pub fn level(&self, tenant: &TenantId, subject: Option<&Subject>) -> Option<Level> {
        self.read(tenant, |state| state.level(subject))
    }

    /// Sets a level, or with `None` takes it away again; returns the one before.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn set_level(
        &self,
        tenant: &TenantId,
        subject: Option<&Subject>,
        level: Option<Level>,
    ) -> Result<Option<Level>> {
        self.change(tenant, |state| state.set_level(subject, level))
    }

    /// The mode of a subject of its own; of the tenant where no subject is named.
    #[must_use]
    pub fn mode(&self, tenant: &TenantId, subject: Option<&Subject>) -> Option<Mode> {
        self.read(tenant, |state| state.mode(subject))
    }

    /// Sets a mode, or with `None` takes it away again; returns the one before.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn set_mode(
        &self,
        tenant: &TenantId,
        subject: Option<&Subject>,
        mode: Option<Mode>,
    ) -> Result<Option<Mode>> {
        self.change(tenant, |state| state.set_mode(subject, mode))
    }

    fn read<T>(&self, tenant: &TenantId, read: impl FnOnce(&State) -> T) -> T {
        match self.now.load().tenant(tenant.as_str()) {
            Some(state) => read(state),
            None => read(&State::default()),
        }
    }

    /// Applies a change to a copy, commits it, and only then shows it.
    fn change<T>(
        &self,
        tenant: &TenantId,
        change: impl FnOnce(&mut State) -> Result<(T, Vec<rows::Written>)>,
    ) -> Result<T> {
        let _changing = self.changing.lock();
        let now = self.now.load_full();
        let mut state = now.tenant(tenant.as_str()).cloned().unwrap_or_default();
        let (answer, written) = change(&mut state)?;
        if !written.is_empty() {
            let changes: Vec<_> = written.iter().map(|written| rows::change(tenant, written)).collect();
            self.metadata.commit(&changes)?;
            let mut tenants = now.tenants.clone();
            tenants.insert(tenant.clone(), Arc::new(state));
            self.now.store(Arc::new(Snapshot { generation: now.generation + 1, tenants }));
        }
        Ok(answer)
    }
}

/// A reference names what is there.
fn missing(reference: &Reference) -> Error {
    Error::InvalidSchema(format!(
        "it refers to version {} of subject {:?}, which is not there",
        reference.version, reference.subject
    ))
}
