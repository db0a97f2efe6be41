//! The disk is lost: a store is made of what lies in the object store.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use object_store::ObjectStoreExt as _;
use penstock_series::parquet::store::Options;
use penstock_series::parquet::store::restore::{Progress, Restored, Restoring, folder, restore};
use penstock_series::{
    Audit, Error, Expiring, Old, Parquet, SeriesAudit, SeriesReader, SeriesRemove, SeriesScan,
};
use record::{DeviceId, TenantId, Timestamp};

use super::life::{add, count};
use super::{Place, copy_dir, late, move_all, on_runtime};
use crate::conformance::ALWAYS;
use crate::parquet::rows::told;
use crate::parquet::store::{DEVICES, World, scanned, simple, small, tenants, write_one};
use crate::stores::merge_all;

const MINUTES: i64 = 60_000;

impl Place {
    /// Where the disk is that took the place of the lost one.
    fn new_disk(&self) -> PathBuf {
        self.dir.path().join("new/series")
    }

    fn restore_with(&self, wanted: &Restoring) -> penstock_series::Result<Restored> {
        restore(&self.new_disk(), &self.cold(), self.options, wanted, &|_| {})
    }

    fn restore(&self) -> Restored {
        let restored = self.restore_with(&Restoring::default()).unwrap();
        assert!(restored.is_finished && restored.damaged.is_empty(), "{restored:?}");
        restored
    }

    fn delete(&self, key: &str) {
        on_runtime(async { self.inner.delete(&key.into()).await }).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let (runs, _) = self.objects();
        runs.into_iter().filter(|key| key.ends_with(".parquet")).collect()
    }
}

/// Everything that can be asked of the readings, their windows and the list of late ones.
fn all_of(store: &Parquet) -> Vec<String> {
    let mut all = Vec::new();
    for tenant in tenants() {
        let mut series = Vec::new();
        let mut visit = |device: &str, metric: &str| {
            series.push((device.to_owned(), metric.to_owned()));
            true
        };
        store.series(&tenant, &mut visit).unwrap();
        for (device, metric) in series {
            all.push(format!("{tenant} {device} {metric}"));
            let (device, metric) =
                (DeviceId::parse(&device).unwrap(), record::MetricName::parse(&metric).unwrap());
            let mut visit = |point: penstock_series::Point| {
                all.push(format!("{} {}", point.time.nanos(), told(point.value.as_ref())));
                true
            };
            store.points(&tenant, &device, &metric, ALWAYS, &mut visit).unwrap();
            all.extend(
                store.windows(&tenant, &device, &metric, ALWAYS).unwrap().iter().map(|of| format!("{of:?}")),
            );
        }
        for device in DEVICES {
            let latest = store.latest(&tenant, &DeviceId::parse(device).unwrap()).unwrap();
            all.extend(
                latest.iter().map(|of| format!("{} {:?} {}", of.metric, of.when, told(of.value.as_ref()))),
            );
        }
        all.extend(scanned(&store.snapshot(&tenant).unwrap()));
        all.extend(store.late(&tenant, 10_000).unwrap().iter().map(|late| format!("{late:?}")));
        all.extend(store.removals(&tenant, 100).unwrap().iter().map(|removal| format!("{removal:?}")));
        all.push(format!("{:?}", store.cardinality(&tenant).unwrap()));
    }
    all
}

/// What the ledger wants to be equal.
fn balances(audit: &Audit) {
    for tenant in &audit.tenants {
        let (account, removed) = (tenant.account, &tenant.removed);
        let there = |count: u64, removed: u64| (count + removed).cast_signed();
        assert_eq!(tenant.uneven_lines, 0, "{tenant:?}");
        assert_eq!(
            account.stored + account.late - account.corrected,
            there(tenant.points, removed.readings),
            "{tenant:?}"
        );
        assert_eq!(account.late, there(tenant.late, removed.late), "{tenant:?}");
        assert_eq!(account.corrected, there(tenant.superseded, removed.superseded), "{tenant:?}");
        assert_eq!(account.dead, there(tenant.dead_letters, removed.dead_letters), "{tenant:?}");
    }
}

#[test]
fn a_restored_store_says_what_the_lost_one_said() {
    let mut readings = 0;
    for seed in 0..2 {
        let place = Place::new(small(), seed % 2 == 0);
        let store = place.open();
        let mut world = World::new(seed + 100);
        for step in 0..40 {
            penstock_series::SeriesWriter::write(&store, &world.batch(step)).unwrap();
            match world.random.below(6) {
                0 => store.roll().unwrap(),
                1 => drop(store.maintain(world.now_ms).unwrap()),
                2 => drop(move_all(&store, step as i64)),
                _ => {}
            }
            if step == 20 {
                let device = DeviceId::parse(DEVICES[seed as usize]).unwrap();
                store.erase(&tenants()[0], &device, "asked", late(0)).unwrap();
            }
        }
        store.roll().unwrap();
        merge_all(&store);
        move_all(&store, 100);
        assert_eq!(store.size_bytes(), 0, "seed {seed}: every run is cold");
        let expected = all_of(&store);
        let before = store.audit().unwrap();
        drop(store);
        let restored = place.restore();
        assert!(restored.runs > 0 && restored.unlisted.is_empty(), "seed {seed}: {restored:?}");
        let store = Parquet::open_with(&place.new_disk(), place.options, Some(place.cold())).unwrap();
        assert_eq!(all_of(&store), expected, "seed {seed}");
        let audit = store.audit().unwrap();
        balances(&audit);
        for (tenant, was) in audit.tenants.iter().zip(&before.tenants) {
            assert_eq!((tenant.points, tenant.late), (was.points, was.late), "seed {seed}");
            readings += tenant.points;
        }
        assert!(audit.partitions.is_empty(), "the log is gone: it begins at its beginning");
        assert!(store.is_restored().unwrap());
        assert!(!folder(&place.new_disk()).exists());
    }
    assert!(readings > 1000, "{readings}");
}

/// Two days of two devices, cold.
fn two_days(in_memory: bool) -> (Place, Parquet) {
    let place = Place::new(Options::default(), in_memory);
    let store = place.open();
    for day in 0..2 {
        let at = |n: i64| 1_700_006_400_000 + day * 1440 * MINUTES + n * 1000;
        let readings: Vec<_> =
            (0..10_000).map(|n| simple(&format!("d{}", n % 2), "m", at(n / 2), n * 7919 % 4001)).collect();
        add(&store, &readings);
    }
    move_all(&store, 0);
    assert_eq!(store.cold_count(), 2);
    (place, store)
}

fn opened(place: &Place) -> Parquet {
    Parquet::open_with(&place.new_disk(), place.options, Some(place.cold())).unwrap()
}

#[test]
fn a_restored_store_goes_on_as_any_other() {
    let (place, store) = two_days(false);
    drop(store);
    let before = place.objects().1;
    place.restore();
    let store = opened(&place);
    // What was there already is a duplicate, what is new is stored, what is changed is a correction.
    let known = simple("d0", "m", 1_700_006_400_000, 0);
    let batch = |reading: &record::Reading, from| {
        let mut batch = penstock_series::WriteBatch::default();
        batch.readings.insert(TenantId::default_tenant(), [reading].into_iter().collect());
        let source = crate::parquet::store::SOURCE;
        batch.spans.push(penstock_series::Span { source, from, to: from + 1 });
        batch
    };
    let written = penstock_series::SeriesWriter::write(&store, &batch(&known, 0)).unwrap();
    assert_eq!((written.stored, written.duplicates), (0, 1), "{written:?}");
    write_one(
        &store,
        1,
        &[simple("d0", "m", 1_800_000_000_000, 3), simple("new", "other", 1_800_000_000_000, 3)],
    );
    store.roll().unwrap();
    assert_eq!(count(&store, "d0").unwrap(), 10_001);
    // Moves, and the next catalogue.
    assert_eq!(move_all(&store, 1), 1);
    let after = place.objects().1;
    assert!(after.iter().max() > before.iter().max() && after.len() > before.len(), "{before:?} {after:?}");
    // A device that is to be forgotten, and what is old.
    let tenant = TenantId::default_tenant();
    let erased = store.erase(&tenant, &DeviceId::parse("d1").unwrap(), "asked", late(0)).unwrap();
    assert_eq!(erased.removed.readings, 10_000);
    let day_2 = Timestamp::from_millis(1_700_006_400_000 + 1440 * MINUTES).unwrap();
    let expired = store.expire(&tenant, &Old::all(Expiring::Readings, day_2), late(0)).unwrap().unwrap();
    assert_eq!(expired.removed.readings, 5000);
    move_all(&store, 3);
    assert_eq!(place.files().len(), store.cold_count());
    // And its disk may be lost in turn.
    let expected = count(&store, "d0").unwrap();
    drop(store);
    std::fs::remove_dir_all(place.new_disk()).unwrap();
    let restored = place.restore();
    assert_eq!(restored.readings, [("default".to_owned(), 5002)]);
    let store = opened(&place);
    assert_eq!((count(&store, "d0").unwrap(), count(&store, "d1").unwrap()), (expected, 0));
    balances(&store.audit().unwrap());
    assert_eq!(store.removals(&tenant, 9).unwrap().len(), 2, "what was removed on purpose is still known");
}

#[test]
fn a_server_that_lives_after_all_removes_and_moves_nothing_that_is_anothers_now() {
    let (place, old) = two_days(true);
    place.restore();
    let new = opened(&place);
    add(&old, &[simple("d0", "m", 1_700_000_000_000, 1), simple("d0", "m", 1_700_000_001_000, 1)]);
    let objects = place.objects();
    let refused = old.tier(late(1), &super::at_once());
    assert!(
        matches!(&refused, Err(Error::Database { place, reason, .. })
            if place.contains("/owner/000001") && reason.contains("penstock cold restore")),
        "{refused:?}"
    );
    let tenant = TenantId::default_tenant();
    old.erase(&tenant, &DeviceId::parse("d1").unwrap(), "asked", late(0)).unwrap();
    assert!(old.tier(late(2), &super::at_once()).is_err());
    assert_eq!(place.objects(), objects);
    assert_eq!(count(&new, "d1").unwrap(), 10_000);
    assert_eq!(move_all(&new, 3), 0);
    // Once more: then the second is the old one.
    drop(new);
    std::fs::rename(place.new_disk(), place.dir.path().join("second")).unwrap();
    place.restore();
    let second = place.open_at(&place.dir.path().join("second"));
    assert!(second.erase(&tenant, &DeviceId::parse("d1").unwrap(), "asked", late(0)).is_ok());
    assert!(second.tier(late(4), &super::at_once()).is_err());
    assert_eq!(count(&opened(&place), "d1").unwrap(), 10_000);
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_restored_when_that_is_wanted() {
    for (what, harm) in [
        ("missing", 0),
        ("cut off", 1),
        ("a bit", 2),
        ("no sidecar", 3),
        ("another's sidecar", 4),
        ("a bit of the sidecar", 5),
    ] {
        let (place, store) = two_days(harm % 2 == 0);
        drop(store);
        let [bad, other] = &place.files()[..] else { panic!("two runs") };
        let side = |key: &str| key.replace(".parquet", ".side");
        let (good, good_side) = (place.get(bad), place.get(&side(bad)));
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
            bytes
        };
        match harm {
            0 => place.delete(bad),
            1 => place.put(bad, &good[..good.len() / 2]),
            2 => place.put(bad, &flipped(&good)),
            3 => place.delete(&side(bad)),
            4 => place.put(&side(bad), &place.get(&side(other))),
            _ => place.put(&side(bad), &flipped(&good_side)),
        }
        let told = RefCell::new(Vec::new());
        let note = |progress: Progress<'_>| {
            if let Progress::Damaged(error) = progress {
                told.borrow_mut().push(error.to_string());
            }
        };
        let wanted = Restoring::default();
        let restored = restore(&place.new_disk(), &place.cold(), place.options, &wanted, &note).unwrap();
        assert!(!restored.is_finished && !place.new_disk().exists(), "{what}: {restored:?}");
        assert_eq!((restored.runs, restored.damaged.len()), (1, 1), "{what}: {restored:?}");
        let name = bad.trim_end_matches(".parquet");
        assert!(told.borrow()[0].contains(name), "{what}: {told:?}");
        // What is whole is not fetched again.
        let gets = place.gets();
        let left = place.restore_with(&Restoring { without_damaged: true, ..wanted.clone() }).unwrap();
        assert!(left.is_finished && left.runs == 1 && left.damaged.len() == 1, "{what}: {left:?}");
        assert!(place.gets() - gets < 6, "{what}: {} requests", place.gets() - gets);
        assert_eq!(left.readings, [("default".to_owned(), 10_000)], "{what}");
        let store = opened(&place);
        assert_eq!(count(&store, "d0").unwrap(), 5000, "{what}");
        balances(&store.audit().unwrap());
        drop(store);
        // And when it is brought back, all of it is there.
        std::fs::remove_dir_all(place.new_disk()).unwrap();
        place.put(bad, &good);
        place.put(&side(bad), &good_side);
        place.restore();
        assert_eq!(count(&opened(&place), "d0").unwrap(), 10_000, "{what}");
    }
}

#[test]
fn a_restore_that_ended_in_the_middle_goes_on() {
    let (place, store) = two_days(false);
    drop(store);
    // After the first run the object store is away.
    let taken = RefCell::new(0);
    let wanted = Restoring::default();
    let cut = restore(&place.new_disk(), &place.cold(), place.options, &wanted, &|progress| {
        if let Progress::Took(_) = progress {
            *taken.borrow_mut() += 1;
            place.faults.no_get.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(cut, Err(Error::Database { .. })), "{cut:?}");
    assert_eq!(*taken.borrow(), 1);
    assert!(!place.new_disk().exists());
    // A crash may leave a file that was being fetched, and no lock.
    let work = folder(&place.new_disk());
    std::fs::write(work.join("runs/000000000001.parquet"), b"half of it").unwrap();
    std::fs::write(work.join("runs/000000000009.side"), b"of nobody").unwrap();
    let image = place.dir.path().join("image.restoring");
    copy_dir(&work, &image);
    place.faults.mend();
    assert_eq!(place.restore().runs, 2);
    assert_eq!(count(&opened(&place), "d0").unwrap(), 10_000);
    // As a crash would have left it, gone on with.
    let restored =
        restore(&image.with_extension(""), &place.cold(), place.options, &wanted, &|_| {}).unwrap();
    assert_eq!((restored.runs, restored.is_finished), (2, true));
    // What is there is not written over.
    let refused = place.restore_with(&wanted);
    assert!(
        matches!(&refused, Err(Error::Database { reason, .. }) if reason.contains("not written over")),
        "{refused:?}"
    );
}

#[test]
fn which_store_is_asked_where_several_lie_and_none_is_said_to_be_none() {
    let (place, store) = two_days(true);
    let (runs, catalogues) = place.objects();
    drop(store);
    let refused = |wanted: Restoring| match place.restore_with(&wanted) {
        Err(Error::Database { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    // Another store under the same address.
    let other = place.dir.path().join("other");
    drop(place.open_at(&other));
    let second = place.open_at(&other);
    add(&second, &[simple("x", "m", 1, 1)]);
    move_all(&second, 0);
    drop(second);
    let id = |key: &str| key.split('/').next().unwrap().trim_start_matches("store=").to_owned();
    let (first, second) =
        (id(&runs[0]), id(place.objects().0.iter().find(|key| !runs.contains(key)).unwrap()));
    let several = refused(Restoring::default());
    assert!(
        several.contains("--store") && several.contains(&first) && several.contains(&second),
        "{several}"
    );
    let none = refused(Restoring { store: Some("0123456789abcdef".to_owned()), ..Restoring::default() });
    assert!(none.contains("0123456789abcdef") && none.contains(&first), "{none}");
    let restored =
        place.restore_with(&Restoring { store: Some(first.clone()), ..Restoring::default() }).unwrap();
    assert_eq!((restored.store, restored.runs), (format!("store={first}"), 2));
    std::fs::remove_dir_all(place.new_disk()).unwrap();
    // The newest catalogue is damaged: there may be one before it. Here is none.
    let good = place.get(&catalogues[0]);
    place.put(&catalogues[0], &good[..1000]);
    let wanted = Restoring { store: Some(first), ..Restoring::default() };
    assert!(
        matches!(place.restore_with(&wanted), Err(Error::Damaged { place, .. }) if place.ends_with(".db"))
    );
    let newer = format!("{}/000000009999.db", catalogues[0].rsplit_once('/').unwrap().0);
    place.put(&catalogues[0], &good);
    place.put(&newer, &good[..good.len() / 2]);
    let restored = place.restore_with(&wanted).unwrap();
    assert!(restored.catalogue.ends_with(&catalogues[0]), "{restored:?}");
    std::fs::remove_dir_all(place.new_disk()).unwrap();
    // One of a later version is not passed over: it knows what the others do not.
    let path = place.dir.path().join("newer.db");
    std::fs::write(&path, &good).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    place.put(&newer, &std::fs::read(&path).unwrap());
    assert!(matches!(place.restore_with(&wanted), Err(Error::Newer { found: 999, .. })));
    for key in catalogues.iter().chain([&newer]) {
        place.delete(key);
    }
    let none = refused(wanted);
    assert!(none.contains("has no catalogue") && none.contains("4 objects"), "{none}");
}

#[test]
fn no_row_of_a_device_is_shown_to_another_tenant_whatever_the_catalogue_says() {
    let (place, store) = two_days(true);
    drop(store);
    let key = place.objects().1.remove(0);
    let path = place.dir.path().join("changed.db");
    for change in [
        "UPDATE device SET tenant = 'other' WHERE id = 'd1'",
        "DELETE FROM device WHERE id = 'd0'",
        "UPDATE metric SET tbl = tbl + 1",
        "UPDATE run SET readings = readings + 1",
        "UPDATE run SET last_entity = last_entity + 1",
        "UPDATE run SET size_bytes = size_bytes + 1",
    ] {
        std::fs::write(&path, place.get(&key)).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        assert!(connection.execute(change, []).unwrap() > 0);
        drop(connection);
        let good = place.get(&key);
        place.put(&key, &std::fs::read(&path).unwrap());
        let restored = place.restore_with(&Restoring::default()).unwrap();
        assert_eq!((restored.damaged.len(), restored.is_finished), (2, false), "{change}: {restored:?}");
        std::fs::remove_dir_all(folder(&place.new_disk())).unwrap();
        place.put(&key, &good);
    }
    // An object of another store is none of this one's to look after.
    std::fs::write(&path, place.get(&key)).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE run SET object = 'store=0000000000000000' || substr(object, 23)", []).unwrap();
    drop(connection);
    place.put(&key, &std::fs::read(&path).unwrap());
    assert!(matches!(place.restore_with(&Restoring::default()), Err(Error::Damaged { .. })));
}

#[test]
fn objects_that_the_catalogue_does_not_name_are_told() {
    let (place, store) = two_days(true);
    let stray =
        place.files()[0].replace("000000000001-", "000000000077-").replace("000000000002-", "000000000077-");
    place.put(&stray, b"moved after the catalogue was written");
    drop(store);
    assert_eq!(place.restore().unlisted, [stray]);
}
