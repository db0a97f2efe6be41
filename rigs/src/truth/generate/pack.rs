//! Samples into messages, as the device's protocol has it.

use record::{Lane, Value};

use super::super::device::{Character, Device};
use super::super::dice::Dice;
use super::super::render::{Naming, Sample, Spelling, element, json_value, line, precision_of};
use super::super::scenario::{Answer, Message, Reading, Speaks, Way, Who};

/// The samples as one message, on a hub's topics (which name the metric) as one for each metric.
pub(super) fn pack(
    device: &Device,
    tenants: &[String],
    samples: &[Sample],
    lane: Option<Lane>,
    dice: &mut Dice,
) -> Vec<Message> {
    if samples.is_empty() {
        return Vec::new();
    }
    vec![match (device.character, device.speaks) {
        (Character::Liner, _) => lines(device, samples, lane, dice),
        (_, Speaks::Http) => post(device, samples, lane, dice),
        (Character::Hub, _) => of_several(device, samples, dice),
        _ => publish(device, &tenants[device.tenant], samples, dice),
    }]
}

fn taken(way: Way, payload: String, lane: Option<Lane>, units: Vec<Vec<Reading>>) -> Message {
    Message { way, payload: payload.into_bytes(), lane, units, dead: Vec::new(), answer: Answer::Taken }
}

fn qos(dice: &mut Dice) -> u8 {
    dice.weighted(&[(1, 3), (2, 2)])
}

fn publish(device: &Device, tenant: &str, samples: &[Sample], dice: &mut Dice) -> Message {
    let units = vec![samples.iter().flat_map(Sample::readings).collect()];
    let name = &device.members[0];
    let (topic, naming) = match samples {
        [Sample { values, time, seq: None, .. }] if values.len() == 1 && dice.chance(0.5) => {
            let metric = &values[0].0;
            let topic = match dice.chance(0.5) {
                true => format!("fleet/{name}/{metric}"),
                false => format!("{tenant}/north/pump/{name}/{metric}"),
            };
            if time.is_none() && !matches!(values[0].1, Value::Text(_)) {
                // A value and nothing else.
                let way = Way::Publish { topic, qos: qos(dice) };
                return taken(way, json_value(&values[0].1), None, units);
            }
            (topic, Naming { device: dice.chance(0.3), metric: false })
        }
        _ => {
            let root = *dice.pick(&["devices", "assets"]);
            // Flat objects are for where the topic names the device; they name it there too, if they like.
            (format!("{root}/{name}/telemetry"), Naming { device: dice.chance(0.3), metric: true })
        }
    };
    let payload = document(samples, naming, dice);
    taken(Way::Publish { topic, qos: qos(dice) }, payload, None, units)
}

/// Readings of several devices in one publish; the topic names their metric.
fn of_several(device: &Device, samples: &[Sample], dice: &mut Dice) -> Message {
    let topic = format!("sensors/{}", device.metrics[0]);
    let units = vec![samples.iter().flat_map(Sample::readings).collect()];
    let payload = document(samples, Naming { device: true, metric: false }, dice);
    taken(Way::Publish { topic, qos: qos(dice) }, payload, None, units)
}

fn post(device: &Device, samples: &[Sample], lane: Option<Lane>, dice: &mut Dice) -> Message {
    let device_named = device.who == Who::Service || dice.chance(0.5);
    let naming = Naming { device: device_named, metric: true };
    let lined = samples.len() > 1 && dice.chance(0.4);
    let (payload, content_type) = match lined {
        true => (objects(samples, naming, dice).join("\n"), "application/x-ndjson"),
        false => (document(samples, naming, dice), "application/json"),
    };
    let units = samples.iter().map(|sample| sample.readings().collect()).collect();
    let target = format!("/v1/telemetry{}", if lane.is_some() { "?lane=backfill" } else { "" });
    taken(Way::Post { target, content_type }, payload, lane, units)
}

fn lines(device: &Device, samples: &[Sample], lane: Option<Lane>, dice: &mut Dice) -> Message {
    let times: Vec<_> = samples.iter().filter_map(|sample| sample.time).collect();
    let (precision, unit) = precision_of(&times);
    // Where the credential names the device, a host is a tag like any other.
    let tags: &[&str] =
        if device.who == Who::Service { &["device_id", "device", "host"] } else { &["device_id", "device"] };
    let tag = *dice.pick(tags);
    let text: Vec<String> = samples.iter().map(|sample| line(sample, tag, Some(unit))).collect();
    let asked = if lane.is_some() { "&lane=backfill" } else { "" };
    let target = match dice.chance(0.5) {
        true => format!("/write?db=fleet&precision={precision}{asked}"),
        false => format!("/api/v2/write?bucket=fleet&precision={precision}{asked}"),
    };
    let units = samples.iter().map(|sample| sample.readings().collect()).collect();
    let payload = text.join("\n") + if dice.chance(0.5) { "\n" } else { "" };
    taken(Way::Post { target, content_type: "text/plain" }, payload, lane, units)
}

fn document(samples: &[Sample], naming: Naming, dice: &mut Dice) -> String {
    let objects = objects(samples, naming, dice);
    match &objects[..] {
        [one] if dice.chance(0.8) => one.clone(),
        _ => format!("[{}]", objects.join(",")),
    }
}

fn objects(samples: &[Sample], naming: Naming, dice: &mut Dice) -> Vec<String> {
    samples.iter().map(|sample| element(sample, naming, *dice.pick(&Spelling::ALL), dice)).collect()
}
