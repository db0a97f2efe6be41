//! Facts of devices, over a file that other processes change too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata::{Metadata, Sqlite};
use penstock_registry::{Changes, Depth, DeviceEntry, Devices, Error, FactsDocument, News};
use record::{DeviceId, Said, TenantId, Timestamp};
use serde_json::json;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// As another process would open it.
    fn open(&self) -> Devices {
        let metadata: Arc<dyn Metadata> = Arc::new(Sqlite::open(&self.dir.path().join("m.db")).unwrap());
        Devices::new(metadata, Some(self.dir.path()))
    }
}

fn site(devices: &Devices, id: &str) -> Option<String> {
    devices.refresh().unwrap();
    let known = devices.known(&tenant(), id).unwrap();
    known.facts().site.map(String::from)
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn what_one_process_says_another_sees_within_a_second() {
    let place = Place::new();
    let (server, command) = (place.open(), place.open());
    assert_eq!(site(&server, "d1"), None);
    server.patch(&tenant(), &id("d1"), &json!({"site": "own"}), at(1)).unwrap();
    assert_eq!(site(&server, "d1").as_deref(), Some("own"), "its own changes at once");
    for n in 0..3 {
        let said = format!("site {n}");
        command.patch(&tenant(), &id("d1"), &json!({"site": said}), at(2)).unwrap();
        // Its own change must not hide the other's.
        if n == 1 {
            server.patch(&tenant(), &id("d2"), &json!({"site": "own"}), at(2)).unwrap();
        }
        let began = Instant::now();
        while site(&server, "d1").as_ref() != Some(&said) {
            assert!(began.elapsed() < Duration::from_secs(1), "{n}");
            std::thread::yield_now();
        }
        assert_eq!(site(&server, "d2").is_some(), n >= 1);
    }
}

#[test]
fn two_that_change_a_device_at_once_lose_nothing() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let devices = place.open();
            scope.spawn(move || {
                for n in 0..5 {
                    let tag = json!({"tags": {(format!("{writer}-{n}")): "x"}});
                    devices.patch(&tenant(), &id("d1"), &tag, at(n)).unwrap();
                }
            });
        }
    });
    let entry = place.open().find(&tenant(), &id("d1")).unwrap().unwrap();
    assert_eq!(entry.registered.tags.len(), 20);
}

#[test]
fn what_is_learned_is_kept_and_yields_to_what_is_registered() {
    let place = Place::new();
    let devices = place.open();
    let said = |device_type, firmware| Said::new(Some(device_type), None, firmware).to_learned();
    let news = |device, learned| News { tenant: tenant(), device: id(device), learned };
    devices.known(&tenant(), "d1").unwrap(); // in memory, when it is learned
    devices.learn(&[news("d1", said("pump", Some("1"))), news("d2", said("valve", None))]).unwrap();
    devices.put(&tenant(), &id("d1"), &FactsDocument::default(), at(1)).unwrap();
    devices.patch(&tenant(), &id("d1"), &json!({"type": "registered"}), at(2)).unwrap();
    for devices in [&devices, &place.open()] {
        let facts = devices.known(&tenant(), "d1").unwrap().facts();
        assert_eq!(
            (facts.device_type.as_deref(), facts.firmware.as_deref()),
            (Some("registered"), Some("1"))
        );
        assert_eq!(devices.known(&tenant(), "d2").unwrap().facts().device_type.as_deref(), Some("valve"));
    }
    let entry = devices.find(&tenant(), &id("d1")).unwrap().unwrap();
    assert_eq!((entry.registered_at, entry.changed_at), (Some(at(1)), Some(at(2))));
    assert_eq!(devices.find(&tenant(), &id("d2")).unwrap().unwrap().registered_at, None);
    assert_eq!(devices.find(&tenant(), &id("d3")).unwrap(), None);
    let registered = devices.registered(&tenant(), None, 9).unwrap();
    assert_eq!(registered.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["d1"]);
    assert!(devices.registered(&tenant(), Some("d1"), 9).unwrap().is_empty());
}

/// Of some devices people said something, of some data did, of some both: each is told once, whatever the size of a page.
#[test]
fn pages_of_what_is_known_are_what_is_known_of_each() {
    let place = Place::new();
    let devices = place.open();
    let name = |n: i64| format!("d{n:02}");
    let told = Said::new(Some("pump"), None, None).to_learned();
    for n in 0..40 {
        if n % 3 == 0 || n > 30 {
            devices.patch(&tenant(), &id(&name(n)), &json!({"site": name(n)}), at(n)).unwrap();
        }
        if n % 2 == 0 && n < 35 {
            let news = News { tenant: tenant(), device: id(&name(n)), learned: told.clone() };
            devices.learn(&[news]).unwrap();
        }
    }
    let each: Vec<_> = (0..40).filter_map(|n| devices.find(&tenant(), &id(&name(n))).unwrap()).collect();
    let registered: Vec<_> = each.iter().filter(|entry| entry.registered_at.is_some()).collect();
    for limit in [1, 2, 3, 7, 20, 100] {
        let pages = |page: &dyn Fn(Option<&str>) -> Vec<DeviceEntry>| {
            let mut all: Vec<DeviceEntry> = Vec::new();
            loop {
                let after = all.last().map(|last| last.id.as_str().to_owned());
                let page = page(after.as_deref());
                assert!(page.len() <= 2 * limit);
                if page.is_empty() {
                    return all;
                }
                all.extend(page);
            }
        };
        let whole = pages(&|after| devices.list(&tenant(), after, limit, Depth::Whole).unwrap());
        assert_eq!(whole, each, "{limit}");
        let listed = pages(&|after| devices.registered(&tenant(), after, limit).unwrap());
        assert!(listed.iter().eq(registered.iter().copied()), "{limit}");
        let known = pages(&|after| devices.list(&tenant(), after, limit, Depth::Registered).unwrap());
        let facts = |entry: &DeviceEntry| (entry.id.clone(), entry.registered.clone(), entry.registered_at);
        assert!(known.iter().map(facts).eq(registered.iter().map(|entry| facts(entry))), "{limit}");
        assert!(known.iter().all(|entry| entry.learned.is_empty()));
        let ids = devices.registered_ids(&tenant(), Some("d03"), limit).unwrap();
        assert!(ids.len() <= limit && ids.first().map(String::as_str) == Some("d06"), "{ids:?}");
    }
    assert!(devices.list(&TenantId::parse("other").unwrap(), None, 9, Depth::Whole).unwrap().is_empty());
}

#[test]
fn who_follows_changes_is_told_of_them() {
    let place = Place::new();
    let (devices, others) = (place.open(), place.open());
    let Changes { mark, devices: all } = devices.changes(&tenant(), None).unwrap();
    assert_eq!(all, None);
    devices.patch(&tenant(), &id("d1"), &json!({"site": "a"}), at(1)).unwrap();
    let Changes { mark, devices: changed } = devices.changes(&tenant(), Some(mark)).unwrap();
    assert_eq!(changed, Some(vec!["d1".into()]));
    others.patch(&tenant(), &id("d2"), &json!({"site": "b"}), at(1)).unwrap();
    let began = Instant::now();
    // What is not said cannot be told; that something was, is, within the time of a look.
    while devices.changes(&tenant(), Some(mark)).unwrap().devices.is_some() {
        assert!(began.elapsed() < Duration::from_secs(10), "another process's change never shows");
        std::thread::yield_now();
    }
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let place = Place::new();
    let devices = place.open();
    devices.patch(&tenant(), &id("d1"), &json!({"site": "a", "tags": {"x": "y"}}), at(1)).unwrap();
    for patch in [json!({"site": 7}), json!({"location": {"lat": 1}}), json!({"none": 1}), json!("x")] {
        let refused = devices.patch(&tenant(), &id("d1"), &patch, at(2));
        assert!(matches!(refused, Err(Error::Refused(_))), "{patch}: {refused:?}");
    }
    let entry = place.open().find(&tenant(), &id("d1")).unwrap().unwrap();
    assert_eq!((entry.registered.site.as_deref(), entry.changed_at), (Some("a"), Some(at(1))));
    assert_eq!(devices.find(&TenantId::parse("other").unwrap(), &id("d1")).unwrap(), None);
}
