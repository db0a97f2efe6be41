//! Broken controls: a truth with one fault, which a comparison with a right server must find.

use super::dice::Dice;
use super::found::{Found, Letter, WindowFound};
use super::model::{Key, TenantTruth, Truth};
use record::Value;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// A stored reading that should not be there.
    Row,
    /// A reading stored with another value.
    Value,
    /// A duplicate counted as stored.
    Duplicate,
    /// A dead letter lost.
    Dead,
    /// A late reading not listed.
    Late,
    /// A window with a reading too many.
    Window,
    /// A replaced value lost.
    Replaced,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Row, Self::Value, Self::Duplicate, Self::Dead, Self::Late, Self::Window, Self::Replaced];

    /// Puts the fault into the truth of some tenant; `false` when none has what it takes.
    pub fn apply(self, truth: &mut Truth, dice: &mut Dice) -> bool {
        let start = dice.below(truth.tenants.len());
        let count = truth.tenants.len();
        (0..count).any(|n| self.apply_to(&mut truth.tenants[(start + n) % count], dice))
    }

    fn apply_to(self, truth: &mut TenantTruth, dice: &mut Dice) -> bool {
        match self {
            Self::Row => any_key(truth, dice).and_then(|key| truth.rows.remove(&key)).is_some(),
            Self::Value => any_key(truth, dice)
                .map(|key| truth.rows.insert(key, Value::Text("another value".into())))
                .is_some(),
            Self::Duplicate => {
                let has_any = truth.account.duplicate > 0;
                truth.account.duplicate -= 1;
                truth.account.stored += 1;
                has_any
            }
            Self::Dead => truth.dead.pop_first().is_some(),
            Self::Late => truth.late.pop().is_some(),
            Self::Window => {
                let mut published =
                    truth.windows.values_mut().filter(|window| window.published == Some(true));
                published.next().map(|window| window.values.push(window.last)).is_some()
            }
            Self::Replaced => truth.replaced.pop().is_some(),
        }
    }
}

fn any_key(truth: &TenantTruth, dice: &mut Dice) -> Option<Key> {
    let keys: Vec<&Key> = truth.rows.keys().collect();
    (!keys.is_empty()).then(|| (*dice.pick(&keys)).clone())
}

/// What a right server would show of this truth.
#[must_use]
pub fn right_server(truth: &TenantTruth) -> Found {
    let expand = |((device, metric, text), count): (&(String, String, String), &u64)| {
        let key = Key { device: device.clone(), metric: metric.clone(), time: 0, seq: None };
        let value = match text.split_once(' ') {
            Some(("integer", number)) => Value::Int(number.parse().unwrap_or_default()),
            Some(("float", number)) => Value::Float(number.parse().unwrap_or_default()),
            _ => Value::Text(text.trim_start_matches("text ").to_owned()),
        };
        std::iter::repeat_n((key, value), *count as usize)
    };
    let published = truth.windows.iter().filter(|(_, window)| window.published == Some(true));
    let letter = |dead: &super::scenario::Dead| Letter {
        payload: dead.payload.clone(),
        index: dead.index,
        reason: format!("byte 1: {}", dead.says),
    };
    let mut late: Vec<Key> = truth.late.iter().map(|(key, _)| key.clone()).collect();
    late.sort();
    late.dedup();
    Found {
        rows: truth.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        clockless: truth.clockless.iter().flat_map(expand).collect(),
        late,
        dead: truth
            .dead
            .iter()
            .flat_map(|(dead, &count)| std::iter::repeat_n(letter(dead), count as usize))
            .collect(),
        windows: published
            .map(|(key, window)| {
                let revised = window.revised.unwrap_or_default();
                (key.clone(), WindowFound { numbers: window.numbers(), revised })
            })
            .collect(),
        replaced: truth.replaced.clone(),
        account: truth.account,
        shed: 0,
    }
}
