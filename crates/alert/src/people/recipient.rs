//! Who a rule itself names: addresses that belong to nobody.

use std::collections::BTreeMap;

use rule::{RuleId, Severity};

use super::person::CheckedPerson;
use super::{Address, Person, Want};
use crate::terms::Terms;

/// What their ids begin with. No person's does.
const PREFIX: char = '_';

/// Two for each version of a rule: people have a limit, machines have none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    People,
    Machines,
}

const KINDS: [(Kind, &str); 2] = [(Kind::People, "people"), (Kind::Machines, "machines")];

/// Whether an id is that of a person, and not of who a rule names.
pub(crate) fn is_person(id: &str) -> bool {
    !id.starts_with(PREFIX)
}

/// Those that a version of a rule names: `_<rule>_<version>_people` and `_<rule>_<version>_machines`.
pub(crate) fn of_rule(rule: &str, version: u32, terms: &Terms) -> Vec<CheckedPerson> {
    KINDS.iter().filter_map(|(kind, name)| recipient(rule, version, (*kind, name), terms)).collect()
}

/// Which rule and version the id of a recipient is of.
pub(crate) fn rule_of(id: &str) -> Option<(RuleId, u32)> {
    let (rule, rest) = id.strip_prefix(PREFIX)?.split_once('_')?;
    let (version, _) = rest.split_once('_')?;
    Some((RuleId(rule.into()), version.parse().ok()?))
}

fn recipient(rule: &str, version: u32, (kind, name): (Kind, &str), terms: &Terms) -> Option<CheckedPerson> {
    let of_kind = |address: &&Address| {
        let is_machine = matches!(address, Address::Webhook { .. } | Address::Mqtt { .. });
        is_machine == (kind == Kind::Machines)
    };
    let channels: BTreeMap<String, Address> = terms
        .notify
        .iter()
        .filter(of_kind)
        .enumerate()
        .map(|(number, address)| (format!("{number}-{}", address.kind()), address.clone()))
        .collect();
    if channels.is_empty() {
        return None;
    }
    let document = Person {
        name: terms.name.clone(),
        channels,
        wants: vec![Want { from: Severity::Info, ..Want::default() }],
        quiet: None,
        per_hour: (kind == Kind::Machines).then_some(0),
        resolved: true,
    };
    Some(CheckedPerson::undisturbed(format!("{PREFIX}{rule}_{version}_{name}"), document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_machines_that_a_rule_names_are_told_apart() {
        let mut terms = Terms::of(&RuleId("too-hot".into()));
        assert!(of_rule("too-hot", 3, &terms).is_empty());
        terms.notify = vec![
            Address::Webhook { url: "https://example.com".into() },
            Address::Email { to: "ann@example.com".into() },
            Address::Mqtt { topic: "alerts".into() },
        ];
        let told: Vec<_> = of_rule("too-hot", 3, &terms)
            .into_iter()
            .map(|of| (of.id.clone(), of.document.channels.len(), of.document.per_hour))
            .collect();
        let expected =
            [("_too-hot_3_people".into(), 1, None), ("_too-hot_3_machines".to_owned(), 2, Some(0))];
        assert_eq!(told, expected);
        assert_eq!(rule_of("_too-hot_3_people"), Some((RuleId("too-hot".into()), 3)));
        assert!(rule_of("ann").is_none() && is_person("ann") && !is_person("_too-hot_3_people"));
    }
}
