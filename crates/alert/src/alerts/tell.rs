//! People hear of an alert, or a mute keeps it from them.

use std::sync::Arc;

use record::{Facts, TenantId, Timestamp};
use rule::Severity;

use super::Alerts;
use super::audience::Audience;
use crate::alert::{Alert, How, TOLD, Told, What};
use crate::core::inbox::{Circumstances, Moved, Notice};
use crate::core::quota::Limit;
use crate::id::delivery_key;
use crate::message::{Kind, LISTED, Message};
use crate::outbox::{Delivery, Outcome};
use crate::people::{Address, CheckedPerson, recipient};
use crate::rows::{Due, Work, put};
use crate::terms::{Class, Terms};
use crate::{Body, Result};

/// Which alert people hear of, and when.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) id: &'a str,
    /// What is known of its device.
    pub(super) facts: &'a Facts,
    pub(super) now_ms: i64,
}

/// The escalation list of rules that name none.
const DEFAULT_LIST: &str = "default";

impl Alerts {
    /// An alert stands: whoever wants to hears of it. Returns whether a mute keeps it from them.
    pub(super) fn stand(
        &self,
        work: &mut Work<'_>,
        of: Subject<'_>,
        alert: &mut Alert,
        terms: &Terms,
    ) -> Result<bool> {
        let Subject { tenant, id, facts, now_ms } = of;
        let audience = self.audience(tenant)?;
        let muting = audience.muting(&alert.rule_id, &alert.device_id, facts, now_ms);
        if let Some((mute, until_ms)) = muting {
            alert.muted_by = Some(mute.id.clone());
            alert.note(now_ms, What::Muted, None, Some(mute.document.reason.clone()));
            work.tally.muted += 1;
            self.gather_muted(work, of, &audience, (&mute.id, until_ms), (alert, terms))?;
            return Ok(true);
        }
        let gather_ms = (terms.class == Class::Batched).then_some(self.settings.group_ms);
        for (person, channels) in self.listeners(&audience, alert, terms, facts) {
            let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
            let notice = Notice { tenant: tenant.as_str(), id, alert, channels: &channels };
            let on = self.circumstances(work, &person, now_ms);
            let inbox = work.inboxes.get_or_new(work.metadata, tenant.as_str(), &person.id)?;
            let (how, message, now) = inbox.tell(on, notice, gather_ms);
            work.tally.held_back += u64::from(how == How::Digest);
            if alert.told.len() < TOLD {
                alert.told.push(Told { person: person.id.clone(), how, message });
            }
            now.into_iter().for_each(|message| self.send(work, tenant, &person, message));
        }
        work.tally.unheard += u64::from(alert.told.is_empty());
        self.escalate_later(work, of, &audience, terms);
        Ok(false)
    }

    /// Who hears of an alert, and by which of their channels: whoever wants to, and who its rule names.
    fn listeners(
        &self,
        audience: &Audience,
        alert: &Alert,
        terms: &Terms,
        facts: &Facts,
    ) -> Vec<(Arc<CheckedPerson>, Vec<String>)> {
        let owned = |channels: Vec<&str>| channels.into_iter().map(str::to_owned).collect();
        let wanting = audience.people().iter().filter_map(|person| {
            let channels = if terms.people.contains(&person.id) {
                person.all()
            } else {
                person.wants(&alert.rule_id, &alert.device_id, facts, alert.severity)?
            };
            Some((Arc::clone(person), owned(channels)))
        });
        let named = recipient::of_rule(&alert.rule_id, alert.rule_version, terms);
        let named = named.into_iter().map(|of| {
            let all = owned(of.all());
            (Arc::new(of), all)
        });
        wanting.chain(named).collect()
    }

    /// Who was told, by id; `None`: removed meanwhile.
    pub(super) fn listener(
        &self,
        audience: &Audience,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<Arc<CheckedPerson>>> {
        let Some((rule, version)) = recipient::rule_of(id) else {
            return Ok(audience.person(id).cloned());
        };
        let terms = self.terms(tenant, &rule, version)?;
        let named = recipient::of_rule(&rule.0, version, &terms);
        Ok(named.into_iter().find(|of| of.id == id).map(Arc::new))
    }

    fn escalate_later(&self, work: &mut Work<'_>, of: Subject<'_>, audience: &Audience, terms: &Terms) {
        let name = terms.escalation.as_deref().unwrap_or(DEFAULT_LIST);
        let Some(first) = audience.escalation(name).and_then(|list| list.steps.first()) else { return };
        let due = Due::Escalate {
            tenant: of.tenant.to_string(),
            alert: of.id.to_owned(),
            list: name.to_owned(),
            step: 0,
        };
        work.later(of.now_ms + i64::from(first.after_s) * 1000, &due);
    }

    fn gather_muted(
        &self,
        work: &mut Work<'_>,
        of: Subject<'_>,
        audience: &Audience,
        (mute, until_ms): (&str, i64),
        (alert, terms): (&Alert, &Terms),
    ) -> Result<()> {
        let name = of.tenant.as_str();
        let muted = work.muted.get_or_new(work.metadata, name, mute)?;
        if muted.until_ms != until_ms {
            muted.until_ms = until_ms;
            work.later(until_ms, &Due::Mute { tenant: name.to_owned(), mute: mute.to_owned() });
        }
        for (person, _) in self.listeners(audience, alert, terms, of.facts) {
            let muted = work.muted.get_or_new(work.metadata, name, mute)?;
            let gathered = muted.people.entry(person.id.clone()).or_default();
            gathered.severity = gathered.severity.max(alert.severity);
            if gathered.by_rule.len() < LISTED || gathered.by_rule.contains_key(&alert.rule_name) {
                *gathered.by_rule.entry(alert.rule_name.clone()).or_default() += 1;
            } else {
                gathered.others += 1;
            }
            let sums = &mut work.inboxes.get_or_new(work.metadata, name, &person.id)?.sums;
            sums.concerned += 1;
            sums.muted += 1;
        }
        Ok(())
    }

    /// What a mute kept from people goes into their next digest, which is due now.
    pub(super) fn tell_muted(
        &self,
        work: &mut Work<'_>,
        tenant: &TenantId,
        mute: &str,
        now_ms: i64,
    ) -> Result<()> {
        let name = tenant.as_str();
        let Some(muted) = work.muted.get(work.metadata, name, mute)?.cloned() else { return Ok(()) };
        work.muted.remove(name, mute);
        let audience = self.audience(tenant)?;
        for (id, gathered) in &muted.people {
            let Some(person) = self.listener(&audience, tenant, id)? else { continue };
            let on = self.circumstances(work, &person, now_ms);
            let inbox = work.inboxes.get_or_new(work.metadata, name, id)?;
            inbox.tell_muted(on, gathered.severity, &gathered.by_rule, gathered.others);
        }
        Ok(())
    }

    /// Tells a person again of an alert that they know: that it is over, or that nobody acknowledged it.
    pub(super) fn tell_again(
        &self,
        work: &mut Work<'_>,
        of: Subject<'_>,
        person: &CheckedPerson,
        alert: &Alert,
        (kind, name): (Kind, &str),
    ) -> Result<()> {
        let Subject { tenant, id, facts, now_ms } = of;
        let wants = person.wants(&alert.rule_id, &alert.device_id, facts, alert.severity);
        let channels = wants.unwrap_or_else(|| person.all());
        let notice = Notice { tenant: tenant.as_str(), id, alert, channels: &channels };
        let on = self.circumstances(work, person, now_ms);
        let inbox = work.inboxes.get_or_new(work.metadata, tenant.as_str(), &person.id)?;
        let message = inbox.tell_again(on, kind, name, notice);
        message.into_iter().for_each(|message| self.send(work, tenant, person, message));
        Ok(())
    }

    pub(super) fn circumstances<'a>(
        &self,
        work: &Work<'_>,
        person: &'a CheckedPerson,
        now_ms: i64,
    ) -> Circumstances<'a> {
        let per_hour = person.document.per_hour.map_or(self.settings.per_hour, |own| own as usize);
        let limit =
            Limit { per_hour, critical: self.settings.critical_per_hour, digest_ms: self.settings.digest_ms };
        Circumstances { person, limit, now_ms, room: self.has_room(work) }
    }

    /// A message becomes a delivery for each channel, in the channel's form.
    pub(super) fn send(
        &self,
        work: &mut Work<'_>,
        tenant: &TenantId,
        person: &CheckedPerson,
        mut message: Message,
    ) {
        message.body.link = self.link(&message.body);
        work.tally.messages += 1;
        let channels = &person.document.channels;
        // Channels may have been renamed since the message began to gather: rather too many than none.
        let is_known = message.channels.iter().any(|name| channels.contains_key(name));
        for (name, address) in channels {
            if !is_known || message.channels.contains(name) {
                let delivery = self.delivery(tenant, &message, name, address);
                work.outgoing.push((tenant.to_string(), delivery));
            }
        }
    }

    pub(super) fn delivery(
        &self,
        tenant: &TenantId,
        message: &Message,
        channel: &str,
        address: &Address,
    ) -> Delivery {
        let body = &message.body;
        let settings = &self.settings;
        let (subject, content) = match address {
            Address::Email { .. } => {
                (Some(settings.email_subject.render(body)), settings.email_text.render(body))
            }
            Address::Sms { .. } => (None, settings.sms_text.render(body)),
            Address::Webhook { .. } | Address::Mqtt { .. } => (None, json(body)),
        };
        let id = format!("{}.{channel}", body.message);
        Delivery {
            key: delivery_key(tenant.as_str(), &id),
            id,
            message: body.message.clone(),
            kind: body.kind,
            severity: body.severity,
            person: message.person.clone(),
            channel: channel.to_owned(),
            address: address.clone(),
            subject,
            content,
            created_at_ms: body.at_ms,
            attempts: 0,
            next_attempt_ms: body.at_ms,
            outcome: Outcome::Pending,
            finished_at_ms: None,
            said: None,
        }
    }

    /// A group that goes into a digest leaves a note, so that who asks for its deliveries finds them.
    pub(super) fn moved(
        &self,
        work: &mut Work<'_>,
        tenant: &TenantId,
        person: &CheckedPerson,
        moved: Moved,
        now_ms: i64,
    ) {
        let Some((channel, address)) = person.document.channels.iter().next() else { return };
        let id = format!("{}.moved", moved.group);
        let note = Delivery {
            key: delivery_key(tenant.as_str(), &id),
            id,
            message: moved.group,
            kind: Kind::Group,
            severity: Severity::default(),
            person: person.id.clone(),
            channel: channel.clone(),
            address: address.clone(),
            subject: None,
            content: String::new(),
            created_at_ms: now_ms,
            attempts: 0,
            next_attempt_ms: now_ms,
            outcome: Outcome::Moved,
            finished_at_ms: Some(now_ms),
            said: Some(moved.digest),
        };
        work.changes.push(put(metadata::Table::Deliveries, tenant.as_str(), &note.id, &note));
    }

    fn link(&self, body: &Body) -> Option<String> {
        let base = self.settings.base_url.as_deref()?;
        Some(match &body.alert {
            Some(alert) => format!("{base}/#/alerts/{}", alert.id),
            None => format!("{base}/#/alerts"),
        })
    }
}

fn json(body: &Body) -> String {
    serde_json::to_string(body).expect("a body has text keys and finite numbers")
}

/// A message that only shows whether it arrives.
pub(super) fn test_body(tenant: &TenantId, message: String, now: Timestamp) -> Body {
    Body {
        version: crate::message::BODY_VERSION,
        kind: Kind::Test,
        message,
        tenant: tenant.to_string(),
        severity: Severity::Info,
        at_ms: now.millis(),
        count: 0,
        rule: None,
        alert: None,
        devices: Vec::new(),
        alerts: Vec::new(),
        digest: None,
        why: "This is a test: alerts for you arrive here.".into(),
        link: None,
    }
}
