//! What a person hears now, together with others, or as a number: one inbox for each person.

use std::collections::{BTreeMap, BTreeSet};

use record::Timestamp;
use rule::Severity;
use serde::{Deserialize, Serialize};

use super::quota::{Limit, Quota};
use crate::alert::{Alert, How};
use crate::id::backwards;
use crate::message::{AlertBody, BODY_VERSION, Body, DigestBody, Kind, LISTED, Message, RuleBody};
use crate::people::CheckedPerson;

/// Most rules of which a person's alerts are gathered at once; those of others are counted at once.
const GROUPS: usize = 32;

/// What is gathered for a person, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Inbox {
    /// The number of the next group or digest.
    next: u64,
    quota: Quota,
    /// By rule.
    groups: BTreeMap<String, Group>,
    held: Option<Held>,
    /// The deadline that is written down for it.
    pub(crate) noted_due_ms: Option<i64>,
    pub(crate) sums: Sums,
}

/// How often a person was told, ever: `concerned` is the sum of the others and of what is gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Alerts that the person wants to hear of.
    pub concerned: u64,
    /// Told in a message of its own.
    pub single: u64,
    /// Told in groups.
    pub grouped: u64,
    /// Told in digests.
    pub digested: u64,
    /// Raised while muted, and gathered there.
    pub muted: u64,
    /// Of those, told in a digest after the mute's end.
    pub unmuted: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Group {
    message: String,
    due_ms: i64,
    count: u64,
    severity: Severity,
    rule_name: String,
    channels: BTreeSet<String>,
    devices: Vec<String>,
    alerts: Vec<String>,
    why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    message: String,
    due_ms: i64,
    severity: Severity,
    channels: BTreeSet<String>,
    counts: DigestBody,
}

/// What a person is to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) id: &'a str,
    pub(crate) alert: &'a Alert,
    /// By which of their channels.
    pub(crate) channels: &'a [&'a str],
}

/// Under which conditions.
#[derive(Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    pub(crate) person: &'a CheckedPerson,
    pub(crate) limit: Limit,
    pub(crate) now_ms: i64,
    /// Whether there is room for messages that wait for delivery.
    pub(crate) room: bool,
}

/// A group that came too late for a message of its own: its alerts are in a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) group: String,
    pub(crate) digest: String,
}

impl Inbox {
    /// Of an alert that was raised. `gather_ms`: it may wait so long for others of its rule.
    pub(crate) fn tell(
        &mut self,
        on: Circumstances<'_>,
        notice: Notice<'_>,
        gather_ms: Option<i64>,
    ) -> (How, String, Option<Message>) {
        self.sums.concerned += 1;
        if let Some(gather_ms) = gather_ms
            && self.may_gather(on, notice)
        {
            return (How::Group, self.gather(on, notice, gather_ms), None);
        }
        if gather_ms.is_none() && self.may_disturb(on, notice.alert.severity) {
            self.sums.single += 1;
            let message = single(on, Kind::Raised, "raised", notice, 1);
            return (How::Single, message.body.message.clone(), Some(message));
        }
        let held = self.hold(on, notice.alert.severity, notice.channels);
        count(&mut held.counts, &notice.alert.rule_name, 1);
        held.counts.held += 1;
        (How::Digest, held.message.clone(), None)
    }

    /// Of an alert that was told before: that it is over, or that nobody acknowledged it.
    pub(crate) fn tell_again(
        &mut self,
        on: Circumstances<'_>,
        kind: Kind,
        name: &str,
        notice: Notice<'_>,
    ) -> Option<Message> {
        if self.may_disturb(on, notice.alert.severity) {
            return Some(single(on, kind, name, notice, 0));
        }
        let held = self.hold(on, notice.alert.severity, notice.channels);
        match kind {
            Kind::Resolved => held.counts.resolved += 1,
            _ => held.counts.escalated += 1,
        }
        None
    }

    /// Of alerts that were raised while a mute lasted, by rule, with the number of all others: in the next digest.
    pub(crate) fn tell_muted(
        &mut self,
        on: Circumstances<'_>,
        severity: Severity,
        by_rule: &BTreeMap<String, u64>,
        other_rules: u64,
    ) {
        let muted: u64 = by_rule.values().sum::<u64>() + other_rules;
        let held = self.hold(on, severity, &on.person.all());
        for (rule, number) in by_rule {
            count(&mut held.counts, rule, *number);
        }
        held.counts.other_rules += other_rules;
        held.counts.muted += muted;
        held.due_ms = on.now_ms;
    }

    /// When there is something to do, milliseconds since 1970.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        let groups = self.groups.values().map(|group| group.due_ms);
        groups.chain(self.held.as_ref().map(|held| held.due_ms)).min()
    }

    /// What is due goes out, or waits longer.
    pub(crate) fn tick(&mut self, on: Circumstances<'_>, tenant: &str) -> (Vec<Message>, Vec<Moved>) {
        let due: Vec<String> = self
            .groups
            .iter()
            .filter(|(_, group)| group.due_ms <= on.now_ms)
            .map(|(rule, _)| rule.clone())
            .collect();
        let (mut messages, mut moved) = (Vec::new(), Vec::new());
        for rule in due {
            let group = self.groups.remove(&rule).expect("it was just found there");
            if self.may_disturb(on, group.severity) {
                self.sums.grouped += group.count;
                messages.push(group.message(on, tenant, rule));
            } else {
                moved.push(self.hold_group(on, group));
            }
        }
        messages.extend(self.digest(on, tenant));
        (messages, moved)
    }

    /// How many alerts are gathered and not told yet.
    pub(crate) fn pending(&self) -> u64 {
        let groups: u64 = self.groups.values().map(|group| group.count).sum();
        groups + self.held.as_ref().map_or(0, |held| held.counts.held)
    }

    fn may_gather(&self, on: Circumstances<'_>, notice: Notice<'_>) -> bool {
        self.groups.contains_key(&*notice.alert.rule_id)
            || (self.held.is_none()
                && self.groups.len() < GROUPS
                && on.person.quiet_until(notice.alert.severity, on.now_ms).is_none())
    }

    /// Whether a message of its own may go out now; it counts as gone out then. While something is held only what is critical may:
    /// the rest would come before what was first.
    fn may_disturb(&mut self, on: Circumstances<'_>, severity: Severity) -> bool {
        on.room
            && (self.held.is_none() || severity == Severity::Critical)
            && on.person.quiet_until(severity, on.now_ms).is_none()
            && self.quota.take_single(on.limit, severity, on.now_ms)
    }

    /// Returns the message's id.
    fn gather(&mut self, on: Circumstances<'_>, notice: Notice<'_>, gather_ms: i64) -> String {
        let (next, alert) = (&mut self.next, notice.alert);
        let group = self.groups.entry(alert.rule_id.to_string()).or_insert_with(|| Group {
            message: numbered(next, "group", on),
            due_ms: on.now_ms.saturating_add(gather_ms),
            count: 0,
            severity: alert.severity,
            rule_name: alert.rule_name.clone(),
            channels: BTreeSet::new(),
            devices: Vec::new(),
            alerts: Vec::new(),
            why: alert.why.clone(),
        });
        group.count += 1;
        group.severity = group.severity.max(alert.severity);
        join(&mut group.channels, notice.channels);
        if group.alerts.len() < LISTED {
            group.devices.push(alert.device_id.to_string());
            group.alerts.push(notice.id.to_owned());
        }
        group.message.clone()
    }

    fn hold(&mut self, on: Circumstances<'_>, severity: Severity, channels: &[&str]) -> &mut Held {
        let next = &mut self.next;
        let held = self.held.get_or_insert_with(|| Held {
            message: numbered(next, "digest", on),
            due_ms: on.now_ms.saturating_add(on.limit.digest_ms),
            severity,
            channels: BTreeSet::new(),
            counts: DigestBody { since_ms: on.now_ms, ..DigestBody::default() },
        });
        held.severity = held.severity.max(severity);
        join(&mut held.channels, channels);
        held
    }

    fn hold_group(&mut self, on: Circumstances<'_>, group: Group) -> Moved {
        let channels: Vec<&str> = group.channels.iter().map(String::as_str).collect();
        let held = self.hold(on, group.severity, &channels);
        count(&mut held.counts, &group.rule_name, group.count);
        held.counts.held += group.count;
        Moved { group: group.message, digest: held.message.clone() }
    }

    fn digest(&mut self, on: Circumstances<'_>, tenant: &str) -> Option<Message> {
        let mut held = self.held.take_if(|held| held.due_ms <= on.now_ms)?;
        let wait = if !on.room {
            Err(on.now_ms + on.limit.digest_ms.max(1))
        } else if let Some(until) = on.person.quiet_until(held.severity, on.now_ms) {
            Err(until)
        } else {
            self.quota.take_digest(on.limit, on.now_ms)
        };
        if let Err(due_ms) = wait {
            held.due_ms = due_ms;
            self.held = Some(held);
            return None;
        }
        self.sums.digested += held.counts.held;
        self.sums.unmuted += held.counts.muted;
        Some(held.message(on, tenant))
    }
}

impl Group {
    fn message(self, on: Circumstances<'_>, tenant: &str, rule: String) -> Message {
        let rule = RuleBody { id: rule, name: self.rule_name };
        let mut body = body(on, Kind::Group, self.message, tenant, self.severity, self.why);
        body.count = self.count;
        body.rule = Some(rule);
        body.devices = self.devices;
        body.alerts = self.alerts;
        Message { person: on.person.id.clone(), channels: self.channels, body }
    }
}

impl Held {
    fn message(self, on: Circumstances<'_>, tenant: &str) -> Message {
        let why = self.counts.in_words();
        let mut body = body(on, Kind::Digest, self.message, tenant, self.severity, why);
        body.count = self.counts.held + self.counts.muted;
        body.digest = Some(self.counts);
        Message { person: on.person.id.clone(), channels: self.channels, body }
    }
}

fn single(on: Circumstances<'_>, kind: Kind, name: &str, notice: Notice<'_>, count: u64) -> Message {
    let alert = notice.alert;
    let id = format!("{}.{name}.{}", notice.id, on.person.id);
    let mut body = body(on, kind, id, notice.tenant, alert.severity, alert.why.clone());
    body.count = count;
    body.rule = Some(RuleBody { id: alert.rule_id.to_string(), name: alert.rule_name.clone() });
    body.alert = Some(AlertBody::of(notice.id, alert));
    let mut channels = BTreeSet::new();
    join(&mut channels, notice.channels);
    Message { person: on.person.id.clone(), channels, body }
}

/// Nothing is copied that is there already.
fn join(all: &mut BTreeSet<String>, more: &[&str]) {
    for name in more {
        if !all.contains(*name) {
            all.insert((*name).to_owned());
        }
    }
}

fn body(
    on: Circumstances<'_>,
    kind: Kind,
    message: String,
    tenant: &str,
    severity: Severity,
    why: String,
) -> Body {
    Body {
        version: BODY_VERSION,
        kind,
        message,
        tenant: tenant.to_owned(),
        severity,
        at_ms: on.now_ms,
        count: 0,
        rule: None,
        alert: None,
        devices: Vec::new(),
        alerts: Vec::new(),
        digest: None,
        why,
        link: None,
    }
}

/// The id of a group or digest that begins now.
fn numbered(next: &mut u64, what: &str, on: Circumstances<'_>) -> String {
    let number = *next;
    *next += 1;
    let now = Timestamp::from_millis(on.now_ms).unwrap_or_default();
    format!("{}-{what}.{}.{number}", backwards(now), on.person.id)
}

fn count(counts: &mut DigestBody, rule: &str, number: u64) {
    if let Some(known) = counts.by_rule.get_mut(rule) {
        *known += number;
    } else if counts.by_rule.len() < LISTED {
        counts.by_rule.insert(rule.to_owned(), number);
    } else {
        counts.other_rules += number;
    }
}
