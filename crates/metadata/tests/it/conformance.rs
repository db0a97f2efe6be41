//! One suite for all backends.

use penstock_metadata::{Change, Memory, Metadata, Row, Sqlite, Table};

#[test]
fn memory_keeps_the_promises() {
    check(Memory::new);
}

#[test]
fn sqlite_keeps_the_promises() {
    let directory = tempfile::tempdir().unwrap();
    let mut n = 0;
    check(|| {
        n += 1;
        Sqlite::open(&directory.path().join(format!("{n}/meta.db"))).unwrap()
    });
}

fn check<M: Metadata>(mut fresh: impl FnMut() -> M) {
    a_row_is_replaced_and_removed(&fresh());
    scans_are_ordered_bounded_and_stop(&fresh());
    a_scan_begins_behind_an_id(&fresh());
    bodies_come_back_byte_for_byte(&fresh());
    a_commit_applies_in_order(&fresh());
    a_scan_shows_one_state(&fresh());
    tables_and_tenants_do_not_mix(&fresh());
    many_threads_lose_nothing(&fresh());
}

pub(crate) fn put(table: Table, tenant: &str, id: &str, body: impl AsRef<[u8]>) -> Change {
    Change::Put(table, Row { tenant: tenant.into(), id: id.into(), body: body.as_ref().to_vec() })
}

fn delete(table: Table, tenant: &str, id: &str) -> Change {
    Change::Delete { table, tenant: tenant.into(), id: id.into() }
}

pub(crate) fn body(metadata: &dyn Metadata, table: Table, tenant: &str, id: &str) -> Option<Vec<u8>> {
    metadata.get(table, tenant, id).unwrap().map(|row| {
        assert_eq!((row.tenant.as_str(), row.id.as_str()), (tenant, id));
        row.body
    })
}

fn scan(metadata: &dyn Metadata, table: Table, tenant: Option<&str>, most: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut visit = |row: Row| {
        seen.push(format!("{}/{}", row.tenant, row.id));
        seen.len() < most
    };
    metadata.scan(table, tenant, &mut visit).unwrap();
    seen
}

fn a_row_is_replaced_and_removed(m: &dyn Metadata) {
    assert_eq!(body(m, Table::Devices, "t", "d"), None);
    m.commit(&[put(Table::Devices, "t", "d", "{\"v\":1}")]).unwrap();
    m.commit(&[put(Table::Devices, "t", "d", "{\"v\":2}")]).unwrap();
    assert_eq!(body(m, Table::Devices, "t", "d").unwrap(), b"{\"v\":2}");
    m.commit(&[delete(Table::Devices, "t", "d")]).unwrap();
    assert_eq!(body(m, Table::Devices, "t", "d"), None);
    m.commit(&[delete(Table::Devices, "t", "never there")]).unwrap();
    m.commit(&[]).unwrap();
}

fn scans_are_ordered_bounded_and_stop(m: &dyn Metadata) {
    let ids = [("b", "2"), ("a", "ä"), ("a", "z"), ("b", ""), ("a", "Z"), ("", "x")];
    m.commit(&ids.map(|(tenant, id)| put(Table::Credentials, tenant, id, "{}"))).unwrap();
    assert_eq!(scan(m, Table::Credentials, None, 99), ["/x", "a/Z", "a/z", "a/ä", "b/", "b/2"]);
    assert_eq!(scan(m, Table::Credentials, Some("a"), 99), ["a/Z", "a/z", "a/ä"]);
    assert_eq!(scan(m, Table::Credentials, Some(""), 99), ["/x"]);
    assert_eq!(scan(m, Table::Credentials, None, 2), ["/x", "a/Z"]);
    assert!(scan(m, Table::Credentials, Some("c"), 99).is_empty());
}

fn a_scan_begins_behind_an_id(m: &dyn Metadata) {
    let ids = [("a", "1"), ("a", "2"), ("a", "2/x"), ("a", "ä"), ("b", "1"), ("b", "3"), ("", "9")];
    m.commit(&ids.map(|(tenant, id)| put(Table::Alerts, tenant, id, "{}"))).unwrap();
    m.commit(&[put(Table::Outbox, "a", "7", "{}")]).unwrap();
    let after = |tenant: &str, after: &str, most: usize| {
        let mut seen = Vec::new();
        let mut visit = |row: Row| {
            assert_eq!((row.tenant.as_str(), row.body.as_slice()), (tenant, &b"{}"[..]));
            seen.push(row.id);
            seen.len() < most
        };
        m.scan_after(Table::Alerts, tenant, after, &mut visit).unwrap();
        seen
    };
    for (tenant, behind, expect) in [
        ("a", "", &["1", "2", "2/x", "ä"][..]),
        ("a", "1", &["2", "2/x", "ä"]),
        ("a", "15", &["2", "2/x", "ä"]),
        ("a", "2", &["2/x", "ä"]),
        ("a", "ä", &[]),
        ("b", "1", &["3"]),
        ("", "", &["9"]),
        ("c", "", &[]),
    ] {
        assert_eq!(after(tenant, behind, 99), expect, "{tenant} behind {behind:?}");
    }
    assert_eq!(after("a", "1", 2), ["2", "2/x"]);
    // What is committed meanwhile is not seen.
    let mut seen = 0;
    m.scan_after(Table::Alerts, "a", "1", &mut |row| {
        seen += 1;
        m.commit(&[put(Table::Alerts, "a", &format!("z{}", row.id), "{}")]).unwrap();
        true
    })
    .unwrap();
    assert_eq!(seen, 3);
}

fn bodies_come_back_byte_for_byte(m: &dyn Metadata) {
    let all: Vec<u8> = (0..=255).collect();
    let bodies: [&[u8]; 6] = [b"", b"{\"a\": \"\xc3\xa4\"}", b"\xff\xfe", b"a\0b", b"12", &all];
    for table in Table::ALL {
        for (n, expect) in bodies.iter().enumerate() {
            let id = format!("id {n}");
            m.commit(&[put(table, "t", &id, expect)]).unwrap();
            assert_eq!(&body(m, table, "t", &id).unwrap(), expect, "{table:?}");
        }
    }
    let odd = "a\0b'\";DROP TABLE devices;--";
    m.commit(&[put(Table::Devices, odd, odd, "x")]).unwrap();
    assert_eq!(body(m, Table::Devices, odd, odd).unwrap(), b"x");
    assert_eq!(body(m, Table::Devices, "a", odd), None);
}

fn a_commit_applies_in_order(m: &dyn Metadata) {
    m.commit(&[
        put(Table::Offsets, "t", "o", "1"),
        delete(Table::Offsets, "t", "o"),
        put(Table::Offsets, "t", "o", "2"),
        put(Table::Sessions, "t", "s", "x"),
        delete(Table::Sessions, "t", "s"),
    ])
    .unwrap();
    assert_eq!(body(m, Table::Offsets, "t", "o").unwrap(), b"2");
    assert_eq!(body(m, Table::Sessions, "t", "s"), None);
}

fn a_scan_shows_one_state(m: &dyn Metadata) {
    let rows: Vec<Change> = (0..100).map(|n| put(Table::Retained, "t", &format!("{n:03}"), "x")).collect();
    m.commit(&rows).unwrap();
    let mut seen = 0;
    m.scan(Table::Retained, Some("t"), &mut |row| {
        seen += 1;
        m.commit(&[put(Table::Retained, "t", &format!("z{}", row.id), "y")]).unwrap();
        assert!(m.get(Table::Retained, "t", &format!("z{}", row.id)).unwrap().is_some());
        true
    })
    .unwrap();
    assert_eq!(seen, 100);
    assert_eq!(scan(m, Table::Retained, Some("t"), 999).len(), 200);
}

fn tables_and_tenants_do_not_mix(m: &dyn Metadata) {
    for table in Table::ALL {
        m.commit(&[put(table, "t1", "same", table.name()), put(table, "t2", "same", "other")]).unwrap();
    }
    for table in Table::ALL {
        assert_eq!(body(m, table, "t1", "same").unwrap(), table.name().as_bytes());
        assert_eq!(body(m, table, "t2", "same").unwrap(), b"other");
        assert_eq!(scan(m, table, None, 99), ["t1/same", "t2/same"]);
    }
}

fn many_threads_lose_nothing(m: &dyn Metadata) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for n in 0..20 {
                    let id = format!("{thread}-{n}");
                    m.commit(&[put(Table::Sessions, "t", &id, &id)]).unwrap();
                    assert_eq!(body(m, Table::Sessions, "t", &id).unwrap(), id.as_bytes());
                }
            });
        }
    });
    assert_eq!(scan(m, Table::Sessions, Some("t"), 999).len(), 160);
}
