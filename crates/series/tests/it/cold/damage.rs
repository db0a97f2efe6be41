//! Objects that are not what was put there: an error that names object and byte, and never a wrong value, or another tenant's.

use penstock_series::{Error, Parquet, SeriesReader, SeriesWriter, WriteBatch};
use record::{DeviceId, MetricName, Reading, TenantId};

use super::{Place, move_all};
use crate::conformance::ALWAYS;
use crate::parquet::rows::{Random, told};
use crate::parquet::store::{SOURCE, simple};
use penstock_series::parquet::cold::Limits;
use penstock_series::parquet::store::Options;

/// Two tenants with a run each, in the cold tier.
fn place() -> (Place, [Vec<String>; 2]) {
    let mut place = Place::new(Options::default(), true);
    place.limits = Limits { cache_bytes: 0, ..place.limits };
    let store = place.open();
    let mut batch = WriteBatch::default();
    for (tenant, factor) in [("one", 7), ("two", 13)] {
        let readings: Vec<Reading> =
            (0..6000).map(|n| simple(&format!("d{}", n / 2000), "m", n * 1000, n * factor % 997)).collect();
        batch.readings.insert(TenantId::parse(tenant).unwrap(), readings.iter().collect());
    }
    batch.spans.push(penstock_series::Span { source: SOURCE, from: 0, to: 1 });
    store.write(&batch).unwrap();
    store.roll().unwrap();
    assert_eq!(move_all(&store, 0), 2);
    let expected = ["one", "two"].map(|tenant| all(&store, tenant).unwrap());
    (place, expected)
}

fn all(store: &Parquet, tenant: &str) -> penstock_series::Result<Vec<String>> {
    let mut found = Vec::new();
    for device in ["d0", "d1", "d2"] {
        let (device, metric) = (DeviceId::parse(device).unwrap(), MetricName::parse("m").unwrap());
        store.points(&TenantId::parse(tenant).unwrap(), &device, &metric, ALWAYS, &mut |point| {
            found.push(format!("{} {}", point.time.nanos(), told(point.value.as_ref())));
            true
        })?;
    }
    Ok(found)
}

/// That what a tenant's object became is refused, or nobody needs what changed of it.
fn check(place: &Place, tenant: &str, expected: &[String], what: &str) -> bool {
    match all(&place.open(), tenant) {
        Ok(found) => {
            assert_eq!(found, expected, "{what}");
            false
        }
        Err(Error::Damaged { place, at, reason }) => {
            assert!(
                place.starts_with("memory:///bucket/store=")
                    && place.contains(&format!("tenant={tenant}/kind=readings/period=1970-01-01/"))
                    && (at.starts_with("byte ") || at == "the object itself")
                    && !reason.is_empty(),
                "{what}: {place} {at} {reason}"
            );
            true
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn no_changed_byte_of_an_object_goes_unnoticed() {
    let (place, [expected, _]) = place();
    let (runs, _) = place.objects();
    let key = runs.iter().find(|key| key.contains("tenant=one") && key.ends_with(".parquet")).unwrap();
    let good = place.get(key);
    let mut random = Random(8);
    let mut refused = 0;
    for n in 0..120 {
        let at = random.below(good.len() as u64) as usize;
        let mut bad = good.clone();
        match n % 4 {
            0 => bad[at] ^= 1 << random.below(8),
            1 => bad[at..].iter_mut().take(16).for_each(|byte| *byte = !*byte),
            2 => bad.truncate(at),
            _ => bad.splice(at..at, [0; 3]).for_each(drop),
        }
        place.put(key, &bad);
        refused += usize::from(check(&place, "one", &expected, &format!("change {n} at {at}")));
    }
    // The rest is in the footer, which is kept here, and nobody reads there.
    assert!(refused > 50, "{refused} of 120");
    place.put(key, &good);
    assert!(!check(&place, "one", &expected, "as it was"));
}

#[test]
fn another_tenants_object_in_its_place_shows_nothing() {
    let (place, [one, two]) = place();
    let (runs, _) = place.objects();
    let of = |tenant: &str| {
        runs.iter()
            .find(|key| key.contains(&format!("tenant={tenant}")) && key.ends_with(".parquet"))
            .unwrap()
    };
    let others = place.get(of("two"));
    place.put(of("one"), &others);
    assert!(check(&place, "one", &one, "the object of another"));
    assert!(!check(&place, "two", &two, "the other itself"));
    place.put(of("two"), b"");
    assert!(check(&place, "two", &two, "an empty object"));
    super::on_runtime(async {
        use object_store::ObjectStoreExt as _;
        place.inner.delete(&of("two").as_str().into()).await.unwrap();
    });
    assert!(check(&place, "two", &two, "no object"));
}

/// CRC32C's polynomial, as bits in the order they are looked at: a pattern that no such checksum notices.
const UNNOTICED: u64 = (0x82f6_3b78 << 1) | 1;

#[test]
fn bytes_whose_checksum_was_made_to_be_right_are_noticed() {
    let (place, [expected, _]) = place();
    let (runs, _) = place.objects();
    let key = runs.iter().find(|key| key.contains("tenant=one") && key.ends_with(".parquet")).unwrap();
    let good = place.get(key);
    let mut refused = 0;
    for n in 0..40 {
        let at = 4 + n * (good.len() - 16) / 40;
        let mut bad = good.clone();
        bad[at..at + 5].iter_mut().zip(UNNOTICED.to_le_bytes()).for_each(|(byte, flip)| *byte ^= flip);
        assert_eq!(crc32c::crc32c(&bad), crc32c::crc32c(&good));
        place.put(key, &bad);
        refused += usize::from(check(&place, "one", &expected, &format!("forged at {at}")));
    }
    assert!(refused > 15, "{refused} of 40");
}

#[test]
fn a_damaged_local_file_is_not_moved() {
    let place = Place::new(Options::default(), true);
    let store = place.open();
    crate::parquet::store::write_one(&store, 0, &[simple("d0", "m", 1, 1), simple("d0", "m", 2, 2)]);
    store.roll().unwrap();
    let path = place.data().join("runs/000000000001.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = store.tier(super::late(0), &super::at_once());
    assert!(
        matches!(&refused, Err(Error::Damaged { place, .. }) if place.ends_with("000000000001.parquet")),
        "{refused:?}"
    );
    assert_eq!((store.cold_count(), place.objects().0.len()), (0, 0));
}
