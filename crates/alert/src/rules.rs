//! The rules of all tenants: kept with their versions, and compiled.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use metadata::{Change, Metadata, Row, Table};
use parking_lot::{Mutex, RwLock};
use record::TenantId;
use rule::{CompileError, Document, Notify, Route, Rule, RuleId, RuleSet};
use tokio::sync::watch;

use crate::terms::{Class, Terms};
use crate::{Address, AddressError, Result};

/// Between a rule's id and the number of one of its versions, in [`Table::Rules`]. No id has it.
const VERSION: char = '/';
/// Digits of that number, so that versions sort.
const DIGITS: usize = 10;
/// What an id is made of a name at most, bytes: room is left for a number behind it.
const ID_FROM_NAME: usize = 48;

/// Why a rule was not kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuleError {
    /// It does not compile: the author can mend it.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Who it names cannot be told.
    #[error("notify: {0}")]
    Address(#[from] AddressError),
    /// There is no such rule.
    #[error("there is no rule {0:?}: list them to see which there are")]
    Unknown(String),
    /// It has another version than the author read.
    #[error("rule {id:?} has version {version} by now: read it again, and change that")]
    Changed {
        /// Which.
        id: String,
        /// Its version.
        version: u32,
    },
    /// There are as many as a tenant may have.
    #[error("the tenant has {0} rules, the most there may be: remove some")]
    TooMany(usize),
    /// The metadata cannot be read or written: try again.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
}

/// What may be asked of a change of a rule.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Another document: a version more.
    Document(Box<Document>),
    /// Whether it is evaluated.
    Enabled(bool),
}

/// The rules. One per installation: it alone changes their table. Methods block for disk accesses.
pub struct Rules {
    metadata: Arc<dyn Metadata>,
    /// Held from the reading of rows to their writing.
    changing: Mutex<()>,
    current: RwLock<Current>,
    /// How often they were changed.
    changed: watch::Sender<u64>,
}

/// What is in force.
#[derive(Default)]
struct Current {
    rules: BTreeMap<(TenantId, RuleId), Rule>,
    /// Tenants that have a rule that is evaluated.
    with_rules: HashSet<TenantId>,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

impl Rules {
    /// Reads what is kept. A row that is no rule is told and left out: it must not keep all others, and the readings, from being
    /// looked at.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn open(metadata: Arc<dyn Metadata>) -> Result<Self> {
        let mut current = Current::default();
        metadata.scan(Table::Rules, None, &mut |row| {
            if !row.id.contains(VERSION) {
                match crate::rows::read::<Rule>(Table::Rules, &row) {
                    Ok(rule) => current.put(rule),
                    Err(error) => tracing::error!(%error, "a rule cannot be read and is not evaluated"),
                }
            }
            true
        })?;
        let (changed, _) = watch::channel(0);
        Ok(Self { metadata, changing: Mutex::default(), current: RwLock::new(current), changed })
    }

    /// Whoever holds this sees when there are others.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The rules, compiled. It takes a tenth of a second for ten thousand, so it is done by who evaluates them, once for all changes
    /// there were meanwhile. One that no longer compiles is told and left out.
    #[must_use]
    pub fn compile(&self) -> Arc<RuleSet> {
        let rules: Vec<Rule> = self.current.read().rules.values().cloned().collect();
        let (set, refused) = RuleSet::compile(&rules);
        for (tenant, rule, error) in refused {
            tracing::error!(%tenant, rule = %rule.0, %error, "a rule no longer compiles and is not evaluated");
        }
        Arc::new(set)
    }

    /// Whether a tenant has a rule that is evaluated.
    #[must_use]
    pub fn has_any(&self, tenant: &TenantId) -> bool {
        self.current.read().with_rules.contains(tenant)
    }

    /// A tenant's rules, by id.
    #[must_use]
    pub fn list(&self, tenant: &TenantId) -> Vec<Rule> {
        let current = self.current.read();
        current.of(tenant).cloned().collect()
    }

    /// A rule.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, id: &str) -> Option<Rule> {
        self.current.read().rules.get(&(tenant.clone(), RuleId(id.into()))).cloned()
    }

    /// A version of a rule that there is, or was.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`], [`crate::Error::Row`].
    pub fn version(&self, tenant: &TenantId, id: &RuleId, version: u32) -> Result<Option<Rule>> {
        let row = self.metadata.get(Table::Rules, tenant.as_str(), &version_id(id, version))?;
        row.map(|row| crate::rows::read(Table::Rules, &row)).transpose()
    }

    /// Keeps a new rule and has it evaluated. Its id is made of its name.
    ///
    /// # Errors
    /// [`RuleError`]; nothing is kept.
    pub fn add(&self, tenant: &TenantId, document: Document) -> std::result::Result<Rule, RuleError> {
        check(&document)?;
        let _changing = self.changing.lock();
        let id = {
            let current = self.current.read();
            let held = current.of(tenant).count();
            if held >= rule::limits::RULES_PER_TENANT {
                return Err(RuleError::TooMany(held));
            }
            let is_taken = |id: &str| current.rules.contains_key(&(tenant.clone(), RuleId(id.into())));
            RuleId(free_id(&document.name, is_taken).into())
        };
        let version = self.last_version(tenant, &id)? + 1;
        let rule = Rule { tenant: tenant.clone(), id, version, enabled: true, document };
        self.keep(rule)
    }

    /// Changes a rule.
    ///
    /// # Errors
    /// [`RuleError`]; it stays as it was.
    pub fn edit(&self, tenant: &TenantId, id: &str, edit: Edit) -> std::result::Result<Rule, RuleError> {
        self.edit_if(tenant, id, None, edit)
    }

    /// Changes a rule if it has one of the versions that are expected.
    ///
    /// # Errors
    /// [`RuleError`], [`RuleError::Changed`] among them; it stays as it was.
    pub fn edit_if(
        &self,
        tenant: &TenantId,
        id: &str,
        expected: Option<&[u32]>,
        edit: Edit,
    ) -> std::result::Result<Rule, RuleError> {
        let _changing = self.changing.lock();
        let mut rule = self.get(tenant, id).ok_or_else(|| RuleError::Unknown(id.to_owned()))?;
        if expected.is_some_and(|expected| !expected.contains(&rule.version)) {
            return Err(RuleError::Changed { id: id.to_owned(), version: rule.version });
        }
        match edit {
            Edit::Document(document) if rule.document == *document => return Ok(rule),
            Edit::Document(document) => {
                rule.document = *document;
                rule.version = self.last_version(tenant, &rule.id)?.max(rule.version) + 1;
            }
            Edit::Enabled(enabled) => rule.enabled = enabled,
        }
        check(&rule.document)?;
        self.keep(rule)
    }

    /// Removes a rule; what is raised by it ends. Its versions stay, because alerts name them.
    ///
    /// # Errors
    /// [`RuleError::Unknown`], [`RuleError::Metadata`].
    pub fn remove(&self, tenant: &TenantId, id: &str) -> std::result::Result<(), RuleError> {
        let _changing = self.changing.lock();
        let rule = self.get(tenant, id).ok_or_else(|| RuleError::Unknown(id.to_owned()))?;
        let (table, tenant, id) = (Table::Rules, tenant.as_str().to_owned(), id.to_owned());
        self.metadata.commit(&[Change::Delete { table, tenant, id }])?;
        self.current.write().remove(&rule);
        self.publish();
        Ok(())
    }

    fn keep(&self, rule: Rule) -> std::result::Result<Rule, RuleError> {
        let row = |id: String| {
            let body = serde_json::to_vec(&rule).expect("a rule has no part that JSON cannot hold");
            Change::Put(Table::Rules, Row { tenant: rule.tenant.as_str().to_owned(), id, body })
        };
        let changes = [row(rule.id.0.to_string()), row(version_id(&rule.id, rule.version))];
        self.metadata.commit(&changes)?;
        self.current.write().put(rule.clone());
        self.publish();
        Ok(rule)
    }

    /// The number of the newest version there was.
    fn last_version(&self, tenant: &TenantId, id: &RuleId) -> std::result::Result<u32, metadata::Error> {
        let (prefix, mut last) = (format!("{}{VERSION}", id.0), 0);
        self.metadata.scan_after(Table::Rules, tenant.as_str(), &prefix, &mut |row| {
            let version = row.id.strip_prefix(&prefix).and_then(|number| number.parse().ok());
            last = version.unwrap_or(last);
            version.is_some()
        })?;
        Ok(last)
    }

    fn publish(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// What a version of a rule wants of its alerts. One that cannot be read is told and counts as unknown: an alert under the rule's id is
    /// better than none.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn terms(&self, tenant: &TenantId, id: &RuleId, version: u32) -> Result<Option<Terms>> {
        let current = self.current.read().rules.get(&(tenant.clone(), id.clone())).cloned();
        let rule = match current {
            Some(rule) if rule.version == version => Some(rule),
            _ => match self.version(tenant, id, version) {
                Err(error @ crate::Error::Row { .. }) => {
                    tracing::error!(%error, "what a rule wants of its alerts is not known");
                    None
                }
                found => found?,
            },
        };
        Ok(rule.map(|rule| terms_of(&rule.document)))
    }
}

impl Current {
    fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &Rule> {
        let first = (tenant.clone(), RuleId("".into()));
        let tenant = tenant.clone();
        self.rules.range(first..).map(|(_, rule)| rule).take_while(move |rule| rule.tenant == tenant)
    }

    fn put(&mut self, rule: Rule) {
        let tenant = rule.tenant.clone();
        self.rules.insert((rule.tenant.clone(), rule.id.clone()), rule);
        self.count(tenant);
    }

    fn remove(&mut self, rule: &Rule) {
        self.rules.remove(&(rule.tenant.clone(), rule.id.clone()));
        self.count(rule.tenant.clone());
    }

    fn count(&mut self, tenant: TenantId) {
        if self.of(&tenant).any(|rule| rule.enabled) {
            self.with_rules.insert(tenant);
        } else {
            self.with_rules.remove(&tenant);
        }
    }
}

fn version_id(id: &RuleId, version: u32) -> String {
    format!("{}{VERSION}{version:0DIGITS$}", id.0)
}

/// An id for people: the name's letters and digits, in lower case, and a number if that is taken.
fn free_id(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut id = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => id.push(c),
            _ if id.ends_with('-') || id.is_empty() => {}
            _ => id.push('-'),
        }
    }
    id.truncate(ID_FROM_NAME);
    let id = id.trim_end_matches('-');
    let id = if id.is_empty() { "rule" } else { id };
    let numbered = (2..).map(|number| format!("{id}-{number}"));
    std::iter::once(id.to_owned())
        .chain(numbered)
        .find(|id| !is_taken(id))
        .expect("there are fewer rules than numbers")
}

/// Where a rule's own message goes; `Err`: to a person, by id.
fn address_of(notify: &Notify) -> std::result::Result<Address, &str> {
    Ok(match notify {
        Notify::Webhook(url) => Address::Webhook { url: url.clone() },
        Notify::Email(to) => Address::Email { to: to.clone() },
        Notify::Sms(to) => Address::Sms { to: to.clone() },
        Notify::Mqtt(topic) => Address::Mqtt { topic: topic.clone() },
        Notify::Person(id) => return Err(id),
    })
}

/// Whether it compiles, and whoever it names can be told.
fn check(document: &Document) -> std::result::Result<(), RuleError> {
    document.compile()?;
    for address in document.notify.iter().filter_map(|notify| address_of(notify).ok()) {
        address.check()?;
    }
    if let Some(Route::Webhook(url)) = &document.route {
        Address::Webhook { url: url.clone() }.check()?;
    }
    Ok(())
}

fn terms_of(document: &Document) -> Terms {
    let mut terms = Terms::of(&RuleId("".into()));
    terms.name.clone_from(&document.name);
    terms.severity = document.severity;
    terms.class = match document.class {
        rule::Class::Critical => Class::Critical,
        rule::Class::Batched => Class::Batched,
    };
    for notify in &document.notify {
        match address_of(notify) {
            Ok(address) => terms.notify.push(address),
            Err(person) => terms.people.push(person.to_owned()),
        }
    }
    terms.escalation.clone_from(&document.escalation);
    terms.tell_retrospective = document.retrospective;
    terms.suppress_ms = document.suppress.map(|duration| duration.nanos() / 1_000_000);
    terms
}
