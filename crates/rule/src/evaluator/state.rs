//! The state of an evaluator in bytes.
//!
//! Format (version 1, documented in `docs/formats/rules-state.md`; integers little-endian):
//!
//! ```text
//! 8 bytes  magic "PENSRULE"
//! u16      version = 1
//!          the state: postcard, see [`Saved`]
//! u32      CRC32C of all before it
//! ```

use std::sync::Arc;

use record::{DeviceId, Facts, TenantId};
use serde::{Deserialize, Serialize};

use super::device::{Active, Device, Held, Slot, Times};
use super::fill::Open;
use super::kept::{Keeping, Kept};
use super::score::Detectors;
use super::swap::{Numbers, Swap};
use super::{Evaluator, Output, Rules, Settings};
use crate::language::TrackKind;
use crate::limits::STATE_BYTES;
use crate::set::{Cohort, Cohorts, Tenant};
use crate::window::{Deviation, Panes, Values};
use crate::{RuleId, RuleSet};

const MAGIC: &[u8; 8] = b"PENSRULE";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8 + 2;
const SUM_BYTES: usize = 4;

/// Why a state cannot be gone on from. The caller starts with a new evaluator, from which windows and what is on its way are missing until
/// messages have filled them again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another version wrote it.
    #[error("the state of rules has version {found}, this build reads version {VERSION}: start without it")]
    Version {
        /// Its version.
        found: u16,
    },
    /// The bytes are not what was written.
    #[error("the state of rules is damaged ({reason}): start without it")]
    Damaged {
        /// What was found.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Saved {
    watermark: i64,
    now: i64,
    tenants: Vec<SavedTenant>,
    /// Facts of devices, each once: type, site, firmware, tags.
    facts: Vec<SavedFacts>,
    live: Vec<SavedDevice>,
    past: Vec<SavedDevice>,
}

type SavedFacts = (Option<Box<str>>, Option<Box<str>>, Option<Box<str>>, Vec<(Box<str>, Box<str>)>);

/// What the numbers in devices stand for.
#[derive(Serialize, Deserialize)]
struct SavedTenant {
    id: Box<str>,
    metrics: Vec<Box<str>>,
    tracks: Vec<(u32, TrackKind)>,
    rules: Vec<(RuleId, u32)>,
}

#[derive(Serialize, Deserialize)]
struct SavedDevice {
    tenant: u32,
    id: Box<str>,
    facts: Option<u32>,
    times: Times,
    /// Metric, value, when it was last heard.
    slots: Vec<(u32, Held, i64)>,
    kept: Vec<(u32, SavedKept)>,
    active: Vec<(u32, Active)>,
}

#[derive(Serialize, Deserialize)]
enum SavedKept {
    Panes(Panes),
    Values(Values),
    Deviation(Deviation),
    /// What the detector saved, if there is one, and the last score.
    Score(Option<Vec<u8>>, f64),
}

impl Evaluator {
    /// What it knows, in bytes, to go on from after a restart.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut facts = FactsSaved::default();
        let saved = Saved {
            watermark: self.watermark,
            now: self.now,
            tenants: self.tenants.iter().map(saved_tenant).collect(),
            live: self.live.places().map(|(_, device)| saved_device(device, &mut facts)).collect(),
            past: self.past.places().map(|(_, device)| saved_device(device, &mut facts)).collect(),
            facts: facts.saved,
        };
        let header: Vec<u8> = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        let mut bytes = postcard::to_extend(&saved, header).expect("writing to memory does not fail");
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Goes on from what [`Evaluator::encode`] gave. The rules may be others by now: then it is as if they were replaced.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not what this build writes.
    pub fn restore(
        set: Arc<RuleSet>,
        settings: Settings,
        bytes: &[u8],
        out: &mut Output,
    ) -> Result<Self, StateError> {
        let saved = read(bytes)?;
        let mut evaluator = Self::new(set, settings);
        (evaluator.watermark, evaluator.now) = (saved.watermark, saved.now);
        let facts: Vec<Facts> = saved.facts.into_iter().map(facts_of).collect();
        let mut swaps = Vec::new();
        for tenant in saved.tenants {
            swaps.push(evaluator.tenant_of(tenant)?);
        }
        for device in saved.live {
            evaluator.take_back(device, &facts, &swaps, false, out)?;
        }
        for device in saved.past {
            evaluator.take_back(device, &facts, &swaps, true, out)?;
        }
        for (place, swap) in swaps.iter().filter(|_| evaluator.settings.fills) {
            let Some(place) = place else { continue };
            evaluator.tenants[*place as usize].open.windows.extend(swap.outgrown());
        }
        let places: Vec<u32> = evaluator.live.places().map(|(place, _)| place).collect();
        places.into_iter().for_each(|place| evaluator.arm(place));
        Ok(evaluator)
    }

    /// A saved tenant, and how its numbers become those of now; no place where it has no rules any more.
    fn tenant_of(&mut self, saved: SavedTenant) -> Result<(Option<u32>, Swap), StateError> {
        let place = self.place(&saved.id);
        let id = TenantId::parse(&saved.id).map_err(|error| damaged(error.to_string()))?;
        let new = place.map_or_else(
            || Arc::new(Tenant::new(&id)),
            |place| Arc::clone(&self.tenants[place as usize].tenant),
        );
        let numbers = Numbers { metrics: saved.metrics, tracks: saved.tracks, rules: saved.rules };
        let swap = Swap::new(numbers, &new);
        if let Some(place) = place.filter(|_| self.settings.fills) {
            self.tenants[place as usize].open = swap.open(&Open::default());
        }
        Ok((place, swap))
    }

    fn take_back(
        &mut self,
        saved: SavedDevice,
        facts: &[Facts],
        swaps: &[(Option<u32>, Swap)],
        is_past: bool,
        out: &mut Output,
    ) -> Result<(), StateError> {
        let id = DeviceId::parse(&saved.id).map_err(|error| damaged(error.to_string()))?;
        let (place, swap) =
            swaps.get(saved.tenant as usize).ok_or_else(|| damaged("a tenant is missing".to_owned()))?;
        let detectors = &*self.settings.detectors;
        let mut device = Device::new(place.unwrap_or_default(), id);
        device.times = saved.times;
        device.slots =
            saved.slots.into_iter().map(|(metric, value, heard)| Slot::new(metric, value, heard)).collect();
        device.kept =
            saved.kept.into_iter().filter_map(|(track, kept)| swap.kept(track, kept, detectors)).collect();
        device.active = saved.active;
        let facts = saved
            .facts
            .map(|number| facts.get(number as usize).ok_or_else(|| damaged("facts are missing".to_owned())));
        let facts = facts.transpose()?;
        let mut none = Cohorts::new(is_past, 0);
        let cohorts = match place {
            Some(place) if is_past => &mut self.tenants[*place as usize].past,
            Some(place) => &mut self.tenants[*place as usize].live,
            None => &mut none,
        };
        swap.restored(&mut device, facts, cohorts, &self.set, is_past, out);
        let table = if is_past { &mut self.past } else { &mut self.live };
        if place.is_some() && !table.is_full() {
            let place = table.add(device);
            table.weigh(place);
        }
        Ok(())
    }
}

impl Swap {
    fn kept(&self, track: u32, saved: SavedKept, detectors: &dyn Detectors) -> Option<Kept> {
        let state = match saved {
            SavedKept::Panes(panes) => Keeping::Panes(panes),
            SavedKept::Values(values) => Keeping::Values(values),
            SavedKept::Deviation(deviation) => Keeping::Deviation(deviation),
            SavedKept::Score(saved, score) => {
                // Without one it begins anew with the next reading.
                let detector = Some(detectors.restore(self.detector(track)?, &saved?)?);
                Keeping::Score { detector, score }
            }
        };
        Some(Kept { track, state })
    }
}

fn read(bytes: &[u8]) -> Result<Saved, StateError> {
    if bytes.len() < HEADER_BYTES + SUM_BYTES || !bytes.starts_with(MAGIC) {
        return Err(damaged("it does not begin as one".to_owned()));
    }
    let found = u16::from_le_bytes([bytes[8], bytes[9]]);
    if found != VERSION {
        return Err(StateError::Version { found });
    }
    if bytes.len() > STATE_BYTES {
        return Err(damaged(format!("{} bytes, at most {STATE_BYTES} are read", bytes.len())));
    }
    let (body, sum) = bytes.split_at(bytes.len() - SUM_BYTES);
    if crc32c::crc32c(body).to_le_bytes() != sum {
        return Err(damaged("its checksum is another".to_owned()));
    }
    postcard::from_bytes(&body[HEADER_BYTES..]).map_err(|error| damaged(error.to_string()))
}

fn damaged(reason: String) -> StateError {
    StateError::Damaged { reason }
}

/// Windows that wait for what was stored still do after a restart: they are saved as those of no metric.
fn saved_tenant(of: &Rules) -> SavedTenant {
    let Numbers { metrics, mut tracks, rules } = Numbers::of(&of.tenant);
    of.open.windows.iter().for_each(|number| tracks[*number as usize].0 = u32::MAX);
    SavedTenant { id: of.tenant.id.as_str().into(), metrics, tracks, rules }
}

fn saved_device(device: &Device, facts: &mut FactsSaved) -> SavedDevice {
    let kept = |kept: &Kept| {
        let saved = match &kept.state {
            Keeping::Panes(panes) => SavedKept::Panes(panes.clone()),
            Keeping::Values(values) => SavedKept::Values(values.clone()),
            Keeping::Deviation(deviation) => SavedKept::Deviation(deviation.clone()),
            Keeping::Score { detector, score } => {
                SavedKept::Score(detector.as_ref().map(|detector| detector.save()), *score)
            }
        };
        (kept.track, saved)
    };
    SavedDevice {
        tenant: device.tenant,
        id: device.id.as_str().into(),
        facts: device.cohort.as_ref().map(|cohort| facts.number(cohort)),
        times: device.times,
        slots: device.slots.iter().map(|slot| (slot.metric, slot.value.clone(), slot.heard)).collect(),
        kept: device.kept.iter().map(kept).collect(),
        active: device.active.clone(),
    }
}

/// Facts of cohorts, each cohort once.
#[derive(Default)]
struct FactsSaved {
    numbers: hashbrown::HashMap<*const Cohort, u32>,
    saved: Vec<SavedFacts>,
}

impl FactsSaved {
    fn number(&mut self, cohort: &Arc<Cohort>) -> u32 {
        *self.numbers.entry(Arc::as_ptr(cohort)).or_insert_with(|| {
            let Facts { device_type, site, firmware, tags, .. } = cohort.facts.clone();
            self.saved.push((device_type, site, firmware, tags.into_iter().collect()));
            u32::try_from(self.saved.len() - 1).expect("there are fewer devices than 2^32")
        })
    }
}

fn facts_of((device_type, site, firmware, tags): SavedFacts) -> Facts {
    Facts { device_type, site, firmware, tags: tags.into_iter().collect(), ..Facts::default() }
}
