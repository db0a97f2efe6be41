//! Topic templates against the rule in plain words: level by level, who has this literal stays alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use record::{DeviceId, MetricName, TenantId};
use wire::template::Templates;

use crate::Target;
use crate::allocation::bounded;

/// See the module.
pub const TARGET: Target = Target { name: "template", run, seeds, mend: |_| {} };

/// An input is the topic and, a line each, the templates.
fn run(data: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(data) else { return 0 };
    let mut lines = text.split('\n');
    let topic = lines.next().unwrap_or_default();
    let texts: Vec<&str> = lines.collect();
    let compiled = bounded(16_384 + 512 * data.len(), || Templates::compile(&texts));
    let mut hasher = DefaultHasher::new();
    match compiled {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            std::mem::discriminant(&error).hash(&mut hasher);
        }
        Ok(templates) => {
            let found = bounded(0, || templates.matching(topic));
            assert_eq!(
                found.map(|found| found.template()),
                by_the_rule(&texts, topic),
                "{topic:?} in {texts:?}"
            );
            if let Some(found) = found {
                (found.device.is_some(), found.metric.is_some(), found.tenant.is_some(), found.lane())
                    .hash(&mut hasher);
                assert!(found.device.is_none_or(|id| DeviceId::check(id).is_ok()));
                assert!(found.metric.is_none_or(|name| MetricName::check(name).is_ok()));
                assert!(found.tenant.is_none_or(|id| TenantId::check(id).is_ok()));
                found.facts().count().hash(&mut hasher);
            }
            texts.len().min(4).hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn by_the_rule<'a>(texts: &[&'a str], topic: &str) -> Option<&'a str> {
    if topic.starts_with('$') {
        return None;
    }
    let is_placeholder = |level: &str| level.starts_with('{');
    let mut left: Vec<(&str, Vec<&str>)> =
        texts.iter().map(|text| (*text, text.split('/').collect())).collect();
    for (n, level) in topic.split('/').enumerate() {
        let literal = left.iter().any(|(_, levels)| levels.get(n) == Some(&level) && !is_placeholder(level));
        left.retain(|(_, levels)| {
            levels.get(n).is_some_and(|own| if literal { own == &level } else { is_placeholder(own) })
        });
    }
    let depth = topic.split('/').count();
    let (text, levels) = left.into_iter().find(|(_, levels)| levels.len() == depth)?;
    let valid = levels.iter().zip(topic.split('/')).all(|(own, level)| match *own {
        "{id}" | "{device}" | "{device_id}" => DeviceId::check(level).is_ok(),
        "{tenant}" => TenantId::check(level).is_ok(),
        own if is_placeholder(own) => MetricName::check(level).is_ok() && !level.contains(['+', '#']),
        _ => true,
    });
    valid.then_some(text)
}

fn seeds() -> Vec<Vec<u8>> {
    let shipped = Templates::SHIPPED.join("\n");
    [
        "devices/d1/telemetry",
        "fleet/f/speed",
        "sensors/t",
        "acme/site/pump/p7/vibration",
        "devices/x/a/b/c",
        "$SYS/x",
    ]
    .iter()
    .map(|topic| format!("{topic}\n{shipped}").into_bytes())
    .chain([
        b"a/b/c\na/{x}/c\na/b/{y}\n{tenant}/b/{class}\n{metric}".to_vec(),
        b"a\n{id}/{id}\n{x/+".to_vec(),
    ])
    .collect()
}
