//! The rules of one tenant.

use hashbrown::{HashMap, HashSet};
use record::TenantId;

use super::compiled::Compiled;
use crate::language::{Like, Names, TrackKind};
use crate::limits::ROUTES_PER_TENANT;
use crate::{CompileError, Rule, RuleId};

/// The rules of one tenant, numbered in the order of their ids.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) names: Names,
    pub(crate) rules: Vec<(RuleId, u32, Compiled)>,
    pub(crate) by_id: HashMap<RuleId, u32>,
    pub(crate) disabled: HashSet<RuleId>,
    /// Whether some rule waits for devices that are silent.
    pub(crate) any_silence: bool,
    /// Whether some rule judges the past.
    pub(crate) judges_past: bool,
    pub(crate) longest_ns: i64,
    /// Rules for devices of all ids.
    pub(super) for_all: Vec<u32>,
    /// Of these, those for devices of all facts,
    pub(super) for_everyone: Vec<u32>,
    /// those for devices of one type,
    pub(super) for_types: HashMap<Box<str>, Vec<u32>>,
    /// and those of which more must be asked.
    pub(super) for_some: Vec<u32>,
    /// Rules for devices of these ids.
    pub(super) for_ids: HashMap<Box<str>, Vec<u32>>,
    /// Rules for devices whose ids fit.
    pub(super) for_patterns: Vec<(Like, u32)>,
    routes: usize,
}

impl Tenant {
    pub(crate) fn new(id: &TenantId) -> Self {
        Self {
            id: id.clone(),
            names: Names::default(),
            rules: Vec::new(),
            by_id: HashMap::new(),
            disabled: HashSet::new(),
            any_silence: false,
            judges_past: false,
            longest_ns: 0,
            for_all: Vec::new(),
            for_everyone: Vec::new(),
            for_types: HashMap::new(),
            for_some: Vec::new(),
            for_ids: HashMap::new(),
            for_patterns: Vec::new(),
            routes: 0,
        }
    }

    /// Compiles a rule and adds it.
    pub(super) fn add(&mut self, rule: &Rule) -> Result<(), CompileError> {
        if !rule.enabled {
            self.disabled.insert(rule.id.clone());
            return Ok(());
        }
        super::check_count(self.rules.len())?;
        if self.by_id.contains_key(&rule.id) {
            return Err(CompileError::about(
                "id",
                "stands for two rules: each rule has one of its own".to_owned(),
            ));
        }
        if rule.document.route.is_some() && self.routes == ROUTES_PER_TENANT {
            let message = format!(
                "stands in more than {ROUTES_PER_TENANT} rules, the most of a tenant: put their conditions together"
            );
            return Err(CompileError::about("route", message));
        }
        // With names of its own first: what does not compile must not leave names behind, nor windows that nobody asks for.
        rule.check()?;
        let compiled = Compiled::new(&rule.document, &mut self.names)?;
        self.note(rule, &compiled);
        self.rules.push((rule.id.clone(), rule.version, compiled));
        Ok(())
    }

    fn note(&mut self, rule: &Rule, compiled: &Compiled) {
        let number = u32::try_from(self.rules.len()).expect("a tenant has at most 10 000 rules");
        self.by_id.insert(rule.id.clone(), number);
        self.routes += usize::from(compiled.route.is_some());
        self.any_silence |= compiled.silences.iter().any(|(metric, _)| metric.is_none());
        self.judges_past |= compiled.retrospective;
        let silences = compiled.silences.iter().map(|(_, nanos)| *nanos);
        let windows = compiled.tracks.iter().map(|track| match self.names.tracks()[*track as usize].kind {
            TrackKind::Window(nanos) | TrackKind::Values(nanos) => nanos,
            TrackKind::Deviation(_) | TrackKind::Score(_) => 0,
        });
        self.longest_ns = silences.chain(windows).fold(self.longest_ns, i64::max);
        let patterns = &rule.document.scope.devices;
        if patterns.is_empty() {
            self.for_all.push(number);
            match compiled.only_type(&self.names) {
                Some(device_type) => self.for_types.entry(device_type.into()).or_default().push(number),
                None if compiled.is_for_everyone() => self.for_everyone.push(number),
                None => self.for_some.push(number),
            }
        }
        for pattern in patterns {
            if pattern.contains('*') {
                self.for_patterns.push((Like::id(pattern), number));
            } else {
                self.for_ids.entry(pattern.as_str().into()).or_default().push(number);
            }
        }
    }

    pub(crate) fn rule(&self, number: u32) -> &Compiled {
        &self.rules[number as usize].2
    }
}
