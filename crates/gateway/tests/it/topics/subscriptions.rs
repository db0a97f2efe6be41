use std::collections::{BTreeMap, BTreeSet};

use penstock_gateway::topics::{Audience, Full, Matches, Standing, SubscriptionLimits, Subscriptions};
use proptest::prelude::*;
use record::Qos;
use wire::mqtt::{RetainHandling, SubscribeOptions};

/// The reference: levels one by one, as 4.7 says.
pub(crate) fn fits(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", _)), _) => true,
            (None, None) => true,
            (Some((want, filter)), Some((have, topic))) => {
                (*want == "+" || want == have) && levels(filter, topic)
            }
            _ => false,
        }
    }
    let wild_first = filter.starts_with(['+', '#']);
    !(topic.starts_with('$') && wild_first)
        && levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

struct Fleet {
    away: BTreeSet<u64>,
    publisher: Option<u64>,
}

impl Audience<u64> for Fleet {
    fn standing(&self, subscriber: u64) -> Standing {
        if self.away.contains(&subscriber) { Standing::Away } else { Standing::Connected }
    }
    fn is_publisher(&self, subscriber: u64) -> bool {
        self.publisher == Some(subscriber)
    }
}

const EVERYONE: Fleet = Fleet { away: BTreeSet::new(), publisher: None };

fn options(qos: Qos) -> SubscribeOptions {
    SubscribeOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)]
}

pub(super) fn topic() -> impl Strategy<Value = String> {
    let level = prop_oneof![4 => "[abc]", 1 => Just(String::new()), 1 => Just("$x".to_owned())];
    prop::collection::vec(level, 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |t| !t.is_empty())
}

pub(super) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![
        4 => "[abc]".prop_map(|l| l),
        3 => Just("+".to_owned()),
        1 => Just(String::new()),
        1 => Just("$x".to_owned())
    ];
    (prop::collection::vec(level, 0..5), any::<bool>())
        .prop_map(|(mut levels, hash)| {
            if hash || levels.is_empty() {
                levels.push("#".into());
            }
            levels.join("/")
        })
        .prop_filter("empty", |f| !f.is_empty())
}

#[derive(Clone, Debug)]
enum Step {
    Insert { tenant: u8, filter: String, group: Option<u8>, who: u64, options: SubscribeOptions, id: u32 },
    Remove { nth: usize },
    Match { tenant: u8, topic: String, publisher: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let insert =
        (0..2_u8, filter(), prop::option::weighted(0.2, 0..2_u8), 0..40_u64, qos(), any::<bool>(), 0..4_u32)
            .prop_map(|(tenant, filter, group, who, qos, no_local, id)| Step::Insert {
                tenant,
                filter,
                group,
                who,
                options: SubscribeOptions {
                    no_local: no_local && group.is_none(),
                    retain_as_published: id == 3,
                    ..options(qos)
                },
                id,
            });
    let matching = (0..2_u8, topic(), 0..40_u64).prop_map(|(tenant, topic, publisher)| Step::Match {
        tenant,
        topic,
        publisher,
    });
    prop_oneof![4 => insert, 1 => any::<prop::sample::Index>().prop_map(|i| Step::Remove { nth: i.index(1000) }), 3 => matching]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn matching_is_what_a_naive_matcher_finds(steps in prop::collection::vec(step(), 1..200)) {
        let real = Subscriptions::new(SubscriptionLimits::default());
        let mut model: BTreeMap<(u8, String, u64), (SubscribeOptions, u32)> = BTreeMap::new();
        let mut out = Matches::new();
        for step in steps {
            match step {
                Step::Insert { tenant, filter, group, who, options, id } => {
                    let whole = group.map_or(filter.clone(), |g| format!("$share/g{g}/{filter}"));
                    let new = real.insert(&tenant.to_string(), &whole, who, &options, id).unwrap();
                    prop_assert_eq!(new, model.insert((tenant, whole, who), (options, id)).is_none());
                }
                Step::Remove { nth } => {
                    if let Some(key) = model.keys().nth(nth % model.len().max(1)).cloned() {
                        model.remove(&key);
                        prop_assert!(real.remove(&key.0.to_string(), &key.1, key.2));
                        prop_assert!(!real.remove(&key.0.to_string(), &key.1, key.2));
                    }
                }
                Step::Match { tenant, topic, publisher } => {
                    let fleet = Fleet { publisher: Some(publisher), away: BTreeSet::new() };
                    real.matching(&tenant.to_string(), &topic, Qos::ExactlyOnce, &fleet, &mut out);
                    check(&model, tenant, &topic, publisher, &out)?;
                }
            }
            prop_assert_eq!(real.len(), model.len());
        }
    }
}

/// Ordinary subscribers exactly; of each share group exactly one member, merged with what it subscribed itself.
fn check(
    model: &BTreeMap<(u8, String, u64), (SubscribeOptions, u32)>,
    tenant: u8,
    topic: &str,
    publisher: u64,
    out: &Matches<u64>,
) -> Result<(), TestCaseError> {
    let mut ordinary: BTreeMap<u64, (Qos, bool, BTreeSet<u32>)> = BTreeMap::new();
    let mut groups: BTreeMap<(String, String), BTreeMap<u64, u32>> = BTreeMap::new();
    for ((t, whole, who), (options, id)) in model {
        let (group, filter) = match whole.strip_prefix("$share/") {
            Some(rest) => rest.split_once('/').map(|(g, f)| (Some(g), f)).unwrap(),
            None => (None, whole.as_str()),
        };
        if *t != tenant || !fits(filter, topic) {
            continue;
        }
        match group {
            Some(group) => {
                groups.entry((group.to_owned(), filter.to_owned())).or_default().insert(*who, *id);
            }
            None if options.no_local && *who == publisher => {}
            None => {
                let entry = ordinary.entry(*who).or_insert((Qos::AtMostOnce, false, BTreeSet::new()));
                entry.0 = entry.0.max(options.qos);
                entry.1 |= options.retain_as_published;
                entry.2.extend(Some(*id).filter(|id| *id != 0));
            }
        }
    }
    let found: BTreeMap<u64, _> = out.as_slice().iter().map(|m| (m.subscriber, m)).collect();
    prop_assert_eq!(found.len(), out.as_slice().len(), "each subscriber once");
    for (who, (qos, retain, ids)) in &ordinary {
        let m = found.get(who).ok_or_else(|| TestCaseError::fail(format!("{who} is missing")))?;
        prop_assert!(m.qos >= *qos && (m.retain_as_published || !retain) && m.group.is_none());
        prop_assert!(ids.iter().all(|id| m.ids.contains(id)));
        if groups.is_empty() {
            prop_assert_eq!((m.qos, m.retain_as_published), (*qos, *retain));
            prop_assert_eq!(m.ids.to_vec(), ids.iter().copied().collect::<Vec<_>>());
        }
    }
    for members in groups.values() {
        prop_assert!(found.keys().any(|who| members.contains_key(who)));
    }
    let only_shared = found.keys().filter(|who| !ordinary.contains_key(who)).count();
    prop_assert!(only_shared <= groups.len());
    prop_assert!(
        found.keys().all(|w| ordinary.contains_key(w) || groups.values().any(|g| g.contains_key(w)))
    );
    Ok(())
}

#[test]
fn a_share_group_takes_turns_among_the_connected() {
    let real = Subscriptions::new(SubscriptionLimits::default());
    for who in 0..3_u64 {
        real.insert("t", "$share/g/a/+", who, &options(Qos::AtLeastOnce), 0).unwrap();
    }
    let mut out = Matches::new();
    let mut take = |qos, fleet: &Fleet| {
        real.matching("t", "a/b", qos, fleet, &mut out);
        out.as_slice().iter().map(|m| m.subscriber).collect::<Vec<_>>()
    };
    let turns: Vec<_> = (0..6).flat_map(|_| take(Qos::AtLeastOnce, &EVERYONE)).collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    let one_away = Fleet { away: [1].into(), publisher: None };
    let turns: Vec<_> = (0..4).flat_map(|_| take(Qos::AtLeastOnce, &one_away)).collect();
    assert_eq!(turns, [0, 2, 0, 2]);
    let all_away = Fleet { away: [0, 1, 2].into(), publisher: None };
    let turns: Vec<_> = (0..3).flat_map(|_| take(Qos::AtLeastOnce, &all_away)).collect();
    assert_eq!(turns, [0, 1, 2], "sessions that are away keep it");
    assert_eq!(take(Qos::AtMostOnce, &all_away), [] as [u64; 0], "nobody keeps QoS 0");
}

#[test]
fn limits_refuse_and_change_nothing() {
    let real = Subscriptions::new(SubscriptionLimits { per_tenant: 2, shapes_per_tenant: 1 });
    real.insert("t", "a", 1_u64, &options(Qos::AtMostOnce), 0).unwrap();
    assert_eq!(real.insert("t", "+", 1, &options(Qos::AtMostOnce), 0), Err(Full::Shapes(1)));
    real.insert("t", "b", 1, &options(Qos::AtMostOnce), 0).unwrap();
    assert_eq!(real.insert("t", "c", 1, &options(Qos::AtMostOnce), 0), Err(Full::Subscriptions(2)));
    assert_eq!(real.insert("t", "b", 1, &options(Qos::ExactlyOnce), 0), Ok(false), "replacing needs no room");
    assert_eq!(
        real.insert("u", "c", 1, &options(Qos::AtMostOnce), 0),
        Ok(true),
        "another tenant has its own"
    );
    assert!(real.remove("t", "a", 1) && !real.has_none("t") && real.has_none("v"));
}
