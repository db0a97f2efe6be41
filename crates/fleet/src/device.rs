//! A simulated device: the physics of its kind, the sensors that read it, what is wrong with it, and its messages.
//!
//! Every value depends on (seed, device, time) and the schedule of the run alone, so a reading can be computed
//! again when the server is asked for it, without keeping what was sent.

use std::sync::Arc;

use crate::anomaly::{Anomaly, Fault, Illness, Patient};
use crate::model::{self, Channel, Kind, Model, SLOTS};
use crate::random::mix;
use crate::schedule::Schedule;
use crate::shape::Shape;

/// What a drifting sensor is off by in the end, as a share of its range.
const DRIFT: f64 = 0.3;

/// Which devices a fleet has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    /// What they are.
    pub kind: Kind,
    /// Metrics in each message; what the kind has when left out (`Simple`: three).
    pub metrics: Option<usize>,
    /// Which fleet: the same seed gives the same devices.
    pub seed: u64,
    /// The share of devices that have a fault in an episode.
    pub anomalies: f64,
}

impl Spec {
    /// `metrics` metrics without a story, for load.
    #[must_use]
    pub const fn simple(metrics: usize, seed: u64) -> Self {
        Self { kind: Kind::Simple, metrics: Some(metrics), seed, anomalies: 0.0 }
    }
}

/// Makes the devices of a fleet.
#[derive(Debug, Clone)]
pub struct Maker {
    spec: Spec,
    /// One for each kind that there is.
    shapes: Vec<(Kind, Arc<Shape>)>,
}

impl Maker {
    /// For the devices of `spec`.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        let kinds = if spec.kind == Kind::Mixed { Kind::STORIES.to_vec() } else { vec![spec.kind] };
        let shapes = kinds.into_iter().map(|kind| (kind, Arc::new(Shape::new(kind, spec.metrics)))).collect();
        Self { spec, shapes }
    }

    /// Device number `number`.
    #[must_use]
    pub fn device(&self, number: u32) -> Device {
        let kind = self.spec.kind.of(number);
        let own = mix(self.spec.seed ^ mix(u64::from(number)));
        let shape = self.shapes.iter().find(|(of, _)| *of == kind).expect("every kind was given a shape");
        Device {
            kind,
            own,
            anomalies: self.spec.anomalies,
            model: Model::new(kind, own),
            shape: shape.1.clone(),
        }
    }
}

/// A device.
#[derive(Debug)]
pub struct Device {
    kind: Kind,
    own: u64,
    anomalies: f64,
    model: Option<Model>,
    shape: Arc<Shape>,
}

/// What a device measured at a moment, as its sensors gave it: integers, to be divided by the tens of their decimals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub(crate) scaled: Vec<i64>,
}

impl Device {
    /// What it is; never `Mixed`.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How its messages look.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its fault in an episode.
    #[must_use]
    pub fn anomaly(&self, schedule: &Schedule, episode: i64) -> Option<Anomaly> {
        let patient = Patient { kind: self.kind, own: self.own, sent: self.shape.channels() };
        Anomaly::of(patient, self.anomalies, schedule, episode)
    }

    /// Measures at `at_ms`, milliseconds since the epoch by a clock that is right.
    pub fn measure(&self, at_ms: i64, schedule: &Schedule, sample: &mut Sample) {
        let anomaly = self.anomaly_at(at_ms, schedule);
        let own_fault = anomaly.filter(|(anomaly, _)| anomaly.channel.is_none());
        let illness = own_fault.map(|(anomaly, progress)| Illness { from_ms: anomaly.from_ms, progress });
        self.read(at_ms, illness.as_ref(), &mut sample.scaled);
        if let Some((anomaly, progress)) = anomaly
            && let Some(channel) = anomaly.channel
        {
            let slot = self.shape.slot_of(channel);
            sample.scaled[slot] = match anomaly.fault {
                Fault::StuckSensor => self.value_at(anomaly.from_ms, slot),
                _ => drifted(sample.scaled[slot], &self.shape.channels()[channel], progress),
            };
        }
    }

    fn anomaly_at(&self, at_ms: i64, schedule: &Schedule) -> Option<(Anomaly, f64)> {
        if self.anomalies <= 0.0 {
            return None;
        }
        let anomaly = self.anomaly(schedule, schedule.episode_at(at_ms))?;
        Some((anomaly, anomaly.progress(at_ms)?))
    }

    /// What the sensors say.
    fn read(&self, at_ms: i64, illness: Option<&Illness>, scaled: &mut Vec<i64>) {
        scaled.clear();
        let scales = self.shape.scales();
        let told = self.shape.story_slots();
        if let Some(model) = &self.model {
            let mut values = [0.0; SLOTS];
            model.sample(at_ms, illness, &mut values);
            scaled.extend(values[..told].iter().zip(scales).map(|(value, scale)| round(value * scale)));
        }
        for (index, scale) in scales[told..].iter().enumerate() {
            scaled.push(round(model::further(self.own, index, at_ms) * scale));
        }
    }

    fn value_at(&self, at_ms: i64, slot: usize) -> i64 {
        let mut scaled = Vec::new();
        self.read(at_ms, None, &mut scaled);
        scaled[slot]
    }
}

fn drifted(scaled: i64, channel: &Channel, progress: f64) -> i64 {
    let scale = 10f64.powi(channel.decimals as i32);
    let off = DRIFT * (channel.high - channel.low) * progress;
    round(scaled as f64 + off * scale).min(round(channel.high * scale))
}

/// To the nearest integer, halves away from 0. A fifth of what `f64::round` takes without SSE 4.1.
fn round(value: f64) -> i64 {
    (value + 0.5f64.copysign(value)) as i64
}
