//! Budgets hold, and say what blew them.

use std::sync::Arc;
use std::thread;

use record::TenantId;

use super::{Budget, BudgetConfig, Cardinality, Counted};

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn config(text: &str) -> Result<BudgetConfig, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

#[test]
fn a_budget_admits_what_it_has_room_for_and_says_what_spent_it() {
    let budget = Budget::new(config("max_devices = 1000\n[tenants.vip]\nmax_devices = 0").unwrap());
    let acme = tenant("acme");
    assert!(!budget.knows(&acme));
    budget.set(&acme, Cardinality { devices: 100, series: 5 });
    assert!(budget.knows(&acme));
    let admitted = (0..5000).filter(|n| budget.admit(&acme, Counted::Device, &format!("user-{n}")));
    assert_eq!(admitted.count(), 900);
    assert_eq!(
        budget.spent(&acme, Counted::Device).to_string(),
        "the budget of tenant acme is spent: it has 1000 devices of 1000; 100 % of its newest device ids look like \
         \"user-#\"; stop what makes them, or raise max_devices"
    );
    assert!(budget.admit(&acme, Counted::Series, "t"), "series have a budget of their own");
    assert!((0..5000).all(|n| budget.admit(&tenant("vip"), Counted::Device, &n.to_string())), "0: no limit");
    assert_eq!(
        budget.used()[0],
        (acme, Cardinality { devices: 1000, series: 6 }, Cardinality { devices: 4100, series: 0 })
    );
}

#[test]
fn it_holds_for_all_partitions_together() {
    let budget = Arc::new(Budget::new(config("max_series = 1000").unwrap()));
    let partition = |p: usize| {
        let budget = Arc::clone(&budget);
        thread::spawn(move || {
            let name = |n: usize| format!("m{p}.{n}");
            (0..1000).filter(|&n| budget.admit(&tenant("t"), Counted::Series, &name(n))).count()
        })
    };
    let partitions: Vec<_> = (0..4).map(partition).collect();
    let admitted: usize = partitions.into_iter().map(|partition| partition.join().unwrap()).sum();
    assert_eq!(admitted, 1000);
}

#[test]
fn ids_that_have_nothing_in_common_explain_nothing() {
    let budget = Budget::new(config("max_devices = 10").unwrap());
    for n in 0..1352_u32 {
        let letter = |n: u32| char::from(b'g' + (n % 19) as u8);
        let id: String = [letter(n), letter(n / 19), letter(n / 361)].iter().collect();
        budget.admit(&tenant("t"), Counted::Device, &id);
    }
    assert_eq!(budget.spent(&tenant("t"), Counted::Device).pattern, None);
    // The newest explain, whatever came before.
    for n in 0..4096 {
        budget.admit(&tenant("t"), Counted::Device, &format!("pod-{n}"));
    }
    let (pattern, percent) = budget.spent(&tenant("t"), Counted::Device).pattern.unwrap();
    assert!(pattern == "pod-#" && percent > 60, "{pattern} {percent}");
}

#[test]
fn the_configuration_is_checked() {
    assert_eq!(config(""), Ok(BudgetConfig::default()));
    assert!(config("max_device = 1").unwrap_err().starts_with("unknown field `max_device`"));
    assert!(
        config("[tenants.'a/b']\nmax_devices = 1")
            .unwrap_err()
            .contains("the tenant id holds the character '/'")
    );
    let limits =
        Budget::new(config("max_series = 7\n[tenants.t]\nmax_devices = 3").unwrap()).limits(&tenant("t"));
    assert_eq!((limits.devices, limits.series, limits.series_per_device), (3, 7, 10_000));
    assert_eq!(limits.device_spent("d1", 9_999), None);
    assert_eq!(
        limits.device_spent("d1", 10_000).unwrap(),
        "device d1 has 10000 series of 10000: does it make up metric names? stop it, or raise max_series_per_device"
    );
    assert_eq!(super::Limits { series_per_device: 0, ..limits }.device_spent("d1", 10_000), None);
}
