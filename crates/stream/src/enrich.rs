//! The stage `enrich`: what was kept of a message, with the facts of its device (R4.6).
//!
//! It only adds to what a turn puts out. Nothing of it reaches a partition's state, so a replay of notes leaves it out, and
//! facts may change between a turn and its repetition.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use record::{CleanSource, DeviceId, DeviceNo, Known, Lane, Learned, Readings, Said, TenantId};

use crate::answers::Unanswered;
use crate::facts::{FactNews, Facts};

/// The wait before facts that could not be read are asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Enriches a turn.
pub(crate) struct Enricher {
    facts: Arc<dyn Facts>,
    stop: Arc<AtomicBool>,
    /// Whether clean records of all tenants are wanted.
    writes_all: bool,
    /// Of which tenants of the turn they are wanted. Of the others devices are only listened to.
    wanted: Vec<(TenantId, bool)>,
    pub(crate) clean: Vec<Clean>,
}

/// Rows of a turn that are to become a clean record.
#[derive(Debug)]
pub(crate) struct Clean {
    pub(crate) source: CleanSource,
    pub(crate) tenant: TenantId,
    pub(crate) rows: Range<usize>,
    /// As they stand in the record.
    pub(crate) facts: Arc<[u8]>,
}

/// What a message is to this stage.
pub(crate) struct Kept<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) lane: Lane,
    pub(crate) partition: u16,
    pub(crate) offset: u64,
    /// Whether it speaks of the past.
    pub(crate) is_history: bool,
    pub(crate) said: Said<'a>,
    /// Its rows among the kept ones.
    pub(crate) rows: Range<usize>,
}

/// What is known of a tenant's devices, by their numbers in the batch.
#[derive(Debug, Default)]
pub(crate) struct Acquainted(Vec<Option<Acquaintance>>);

#[derive(Debug)]
struct Acquaintance {
    known: Arc<Known>,
    is_news: bool,
}

impl Enricher {
    /// Takes in what has changed, for a turn that begins.
    pub(crate) fn new(facts: Arc<dyn Facts>, stop: Arc<AtomicBool>, writes_all: bool) -> Self {
        if let Err(error) = facts.refresh() {
            tracing::warn!(%error, "it is not known whether facts of devices changed; those from before count");
        }
        Self { facts, stop, writes_all, wanted: Vec::new(), clean: Vec::new() }
    }

    fn writes_clean(&mut self, tenant: &TenantId) -> bool {
        if self.writes_all {
            return true;
        }
        if let Some((_, wanted)) = self.wanted.iter().find(|(of, _)| of == tenant) {
            return *wanted;
        }
        let wanted = self.facts.is_clean_wanted(tenant);
        self.wanted.push((tenant.clone(), wanted));
        wanted
    }

    /// Takes a message whose readings have been kept, or some of them.
    pub(crate) fn message(
        &mut self,
        message: &Kept<'_>,
        readings: &Readings,
        devices: &mut Acquainted,
    ) -> Result<(), Unanswered> {
        let writes_clean = self.writes_clean(message.tenant);
        if !writes_clean && message.said.is_empty() {
            return Ok(());
        }
        let column = readings.device_column();
        let (mut from, mut part) = (message.rows.start, 0);
        while from < message.rows.end {
            let device = column[from];
            let to = (from..message.rows.end).find(|&row| column[row] != device);
            let to = to.unwrap_or(message.rows.end);
            let asked = (message.tenant, device, writes_clean);
            if let Some(of_device) = self.acquaintance(asked, readings, devices)? {
                of_device.listen(message);
                if writes_clean {
                    let facts = of_device.facts(&message.said);
                    self.put(message, from..to, &mut part, readings, &facts);
                }
            }
            from = to;
        }
        Ok(())
    }

    /// What is known of a device; `None` when that cannot be said and nobody needs it.
    fn acquaintance<'d>(
        &self,
        (tenant, device, is_needed): (&TenantId, DeviceNo, bool),
        readings: &Readings,
        devices: &'d mut Acquainted,
    ) -> Result<Option<&'d mut Acquaintance>, Unanswered> {
        let at = device.0 as usize;
        if devices.0.len() <= at {
            devices.0.resize_with(at + 1, || None);
        }
        if devices.0[at].is_none() {
            let Some(known) = self.ask(tenant, readings.device_name(device), is_needed)? else {
                return Ok(None);
            };
            devices.0[at] = Some(Acquaintance { known, is_news: false });
        }
        Ok(devices.0[at].as_mut())
    }

    /// A clean record without the facts of its device would be wrong for ever, so where one is to be written they are
    /// asked for until they come.
    fn ask(
        &self,
        tenant: &TenantId,
        device: &str,
        is_needed: bool,
    ) -> Result<Option<Arc<Known>>, Unanswered> {
        loop {
            match self.facts.known(tenant, device) {
                Ok(known) => return Ok(Some(known)),
                Err(error) if is_needed => {
                    tracing::error!(%error, "facts of a device cannot be read; trying again");
                }
                Err(error) => {
                    tracing::error!(%error, "facts of a device cannot be read; nothing is learned of it");
                    return Ok(None);
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Unanswered::Stopping);
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    /// Notes rows for a clean record, or several where they are many.
    fn put(
        &mut self,
        message: &Kept<'_>,
        rows: Range<usize>,
        part: &mut u32,
        readings: &Readings,
        facts: &Arc<[u8]>,
    ) {
        let mut from = rows.start;
        while from < rows.end {
            let to = crate::clean::end_of_part(readings, from..rows.end);
            let Kept { lane, partition, offset, .. } = *message;
            self.clean.push(Clean {
                source: CleanSource { lane, partition, offset, part: *part },
                tenant: message.tenant.clone(),
                rows: from..to,
                facts: Arc::clone(facts),
            });
            *part += 1;
            from = to;
        }
    }
}

impl Acquaintance {
    /// Learns from the message. History fills in what is not known, and takes the place of nothing.
    fn listen(&mut self, message: &Kept<'_>) {
        let learned = &self.known.learned;
        if message.said.is_in(learned) {
            return;
        }
        let said = message.said.to_learned();
        let now = if message.is_history { learned.over(&said) } else { said.over(learned) };
        if now != *learned {
            self.known = Arc::new(Known::new(self.known.registered.clone(), now));
            self.is_news = true;
        }
    }

    /// The facts that hold for the message: of what was learned, what it says itself.
    fn facts(&self, said: &Said<'_>) -> Arc<[u8]> {
        if said.is_in(&self.known.learned) {
            return Arc::clone(self.known.encoded());
        }
        let learned = said.to_learned().over(&self.known.learned);
        Arc::clone(Known::new(self.known.registered.clone(), learned).encoded())
    }
}

impl Acquainted {
    /// What was learned of the tenant's devices.
    pub(crate) fn news(&self, tenant: &TenantId, readings: &Readings) -> Vec<FactNews> {
        let learned = (0..).zip(&self.0).filter_map(|(no, of_device)| {
            let of_device = of_device.as_ref().filter(|of_device| of_device.is_news)?;
            let device = DeviceId::parse(readings.device_name(DeviceNo(no)))
                .expect("a device was checked when its record was read");
            Some(FactNews {
                tenant: tenant.clone(),
                device,
                learned: Learned::clone(&of_device.known.learned),
            })
        });
        learned.collect()
    }
}
