//! How the messages of a kind look: what can be written beforehand is.

use crate::device::Sample;
use crate::model::{self, Channel, Form, Kind};

/// Metrics of a device without a story that is not told how many.
const SIMPLE_METRICS: usize = 3;
/// Times before this, milliseconds since the epoch, are sent in seconds with decimals: a server that tells units by
/// magnitude would take such a number of milliseconds for one of seconds (docs/payloads.md).
const SURELY_MS: i64 = 100_000_000_000;

/// The metrics of a kind of device, and the text around their values.
#[derive(Debug)]
pub struct Shape {
    names: Vec<String>,
    channels: Vec<Channel>,
    /// `,"name":` and what else stands before each value.
    before: Vec<Box<[u8]>>,
    decimals: Vec<u32>,
    /// Ten to the decimals.
    scales: Vec<f64>,
    /// Slots that the kind's model fills; the rest are further metrics.
    story_slots: usize,
    /// What stands after the last value.
    end: &'static [u8],
    /// Bytes a message takes at most.
    size_bytes: usize,
}

impl Shape {
    /// For `metrics` metrics, or as many as the kind has.
    #[must_use]
    pub fn new(kind: Kind, metrics: Option<usize>) -> Self {
        let story = kind.channels();
        let count = metrics.unwrap_or(if story.is_empty() { SIMPLE_METRICS } else { story.len() });
        let mut shape = Self {
            names: Vec::new(),
            channels: Vec::new(),
            before: Vec::new(),
            decimals: Vec::new(),
            scales: Vec::new(),
            story_slots: story.iter().take(count).map(Channel::slots).sum(),
            end: b"}}",
            size_bytes: 0,
        };
        for index in 0..count {
            match story.get(index) {
                Some(channel) => shape.push(channel.name.to_owned(), *channel),
                None => {
                    let further = index - story.len();
                    let channel = model::further_channel(further);
                    shape.push(further_name(kind, further, &channel), channel);
                }
            }
        }
        shape.size_bytes = 400 + shape.before.iter().map(|text| text.len() + 22).sum::<usize>();
        shape
    }

    fn push(&mut self, name: String, channel: Channel) {
        let comma = if self.names.is_empty() { "" } else { "," };
        let mut text = format!("{comma}\"{name}\":");
        if self.channels.last().is_some_and(|last| last.form == Form::Location) {
            text.insert(0, '}');
        }
        if channel.form == Form::Location {
            text.push_str("{\"lat\":");
        }
        self.before.push(text.into_bytes().into());
        if channel.form == Form::Location {
            self.before.push(b",\"lng\":"[..].into());
        }
        for _ in 0..channel.slots() {
            self.decimals.push(channel.decimals);
            self.scales.push(10f64.powi(channel.decimals as i32));
        }
        self.end = if channel.form == Form::Location { b"}}}" } else { b"}}" };
        self.names.push(name);
        self.channels.push(channel);
    }

    /// The metrics' names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Their sensors.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    pub(crate) fn scales(&self) -> &[f64] {
        &self.scales
    }

    pub(crate) const fn story_slots(&self) -> usize {
        self.story_slots
    }

    /// Where the values of a metric begin in a sample.
    pub(crate) fn slot_of(&self, channel: usize) -> usize {
        self.channels[..channel].iter().map(Channel::slots).sum()
    }

    /// The numbers of a metric that the text of a message parses to: one, or latitude and longitude.
    #[must_use]
    pub fn values(&self, channel: usize, sample: &Sample) -> (f64, Option<f64>) {
        let slot = self.slot_of(channel);
        let value = |slot: usize| sample.scaled[slot] as f64 / self.scales[slot];
        (value(slot), (self.channels[channel].form == Form::Location).then(|| value(slot + 1)))
    }

    /// Appends a message: `{"ts":…,"metrics":{…}}`, with `"device_id":"…",` in front where a name is given. Returns
    /// where, counted from the beginning of the message, its metrics begin.
    pub fn write(&self, out: &mut Vec<u8>, device: Option<&str>, ts_ms: i64, sample: &Sample) -> usize {
        out.reserve(self.size_bytes);
        let begin = out.len();
        match device {
            Some(device) => {
                out.extend_from_slice(b"{\"device_id\":\"");
                out.extend_from_slice(device.as_bytes());
                out.extend_from_slice(b"\",\"ts\":");
            }
            None => out.extend_from_slice(b"{\"ts\":"),
        }
        if ts_ms < SURELY_MS {
            decimal(out, ts_ms, 3)
        } else {
            decimal(out, ts_ms, 0)
        }
        out.extend_from_slice(b",\"metrics\":{");
        let head = out.len() - begin;
        for ((before, scaled), decimals) in self.before.iter().zip(&sample.scaled).zip(&self.decimals) {
            out.extend_from_slice(before);
            decimal(out, *scaled, *decimals);
        }
        out.extend_from_slice(self.end);
        head
    }
}

fn further_name(kind: Kind, index: usize, channel: &Channel) -> String {
    let round = index / Kind::SIMPLE_CHANNELS;
    match kind {
        Kind::Simple if round == 0 => channel.name.to_owned(),
        Kind::Simple => format!("{}_{}", channel.name, round + 1),
        // Named after nothing, because a story may have a temperature already.
        _ => format!("aux_{}", index + 1),
    }
}

/// Appends `scaled / 10^decimals` as a decimal, two digits at a time.
fn decimal(out: &mut Vec<u8>, scaled: i64, decimals: u32) {
    /// Sign, point, and the 19 digits of the largest number, or 18 zeros before one digit.
    const MOST: usize = 24;
    let mut text = [0; MOST];
    let mut at = MOST;
    let mut rest = scaled.unsigned_abs();
    let mut left = decimals;
    while left > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        left -= 1;
        if left == 0 {
            at -= 1;
            text[at] = b'.';
        }
    }
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        text[at] = b'0' + rest as u8;
    }
    if scaled < 0 {
        at -= 1;
        text[at] = b'-';
    }
    out.extend_from_slice(&text[at..]);
}

/// 00 to 99.
static PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[n * 2] = b'0' + (n / 10) as u8;
        pairs[n * 2 + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_what_was_scaled() {
        for (scaled, decimals, expected) in [
            (0, 0, "0"),
            (7, 0, "7"),
            (-5, 1, "-0.5"),
            (5, 3, "0.005"),
            (1_234_567, 2, "12345.67"),
            (100, 0, "100"),
            (99, 0, "99"),
            (i64::MAX, 5, "92233720368547.75807"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            let mut out = Vec::new();
            decimal(&mut out, scaled, decimals);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn the_first_two_years_after_1970_are_sent_in_seconds() {
        let (shape, mut out) = (Shape::new(Kind::Simple, Some(1)), Vec::new());
        let head = shape.write(&mut out, Some("d1"), 12_345, &Sample { scaled: vec![215] });
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "{\"device_id\":\"d1\",\"ts\":12.345,\"metrics\":{\"temperature\":21.5}}");
        assert!(text[..head].ends_with("\"metrics\":{"));
    }
}
