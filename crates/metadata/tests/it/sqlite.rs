//! What the file promises: it survives a reopen, people can read it, a later build's is refused.

use penstock_metadata::{Error, Metadata, Sqlite, Table};
use rusqlite::Connection;

use crate::conformance::{body, put};

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    Sqlite::open(&path).unwrap().commit(&[put(Table::Retained, "t", "a/b", [0, 159])]).unwrap();
    assert_eq!(body(&Sqlite::open(&path).unwrap(), Table::Retained, "t", "a/b").unwrap(), [0, 159]);
}

#[test]
fn what_was_committed_is_in_the_file_when_the_process_never_closes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    let open = Sqlite::open(&path).unwrap();
    open.commit(&[put(Table::Sessions, "t", "c", "x")]).unwrap();
    // What a killed process leaves behind: the files as they are, nothing checkpointed.
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(directory.path().join("meta.db-wal"), directory.path().join("copy.db-wal")).unwrap();
    assert_eq!(body(&Sqlite::open(&copy).unwrap(), Table::Sessions, "t", "c").unwrap(), b"x");
}

#[test]
fn people_can_read_json_bodies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    let open = Sqlite::open(&path).unwrap();
    open.commit(&[
        put(Table::Devices, "t", "d1", "{\"type\":\"pump\"}"),
        put(Table::Devices, "t", "d2", [0xff]),
        put(Table::Sessions, "t", "c1", "text all the same"),
    ])
    .unwrap();
    let sql = Connection::open(&path).unwrap();
    let kind = |query: &str| sql.query_row(query, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(kind("SELECT body ->> 'type' FROM devices WHERE id = 'd1'"), "pump");
    assert_eq!(kind("SELECT typeof(body) FROM devices WHERE id = 'd2'"), "blob");
    assert_eq!(kind("SELECT typeof(body) FROM sessions"), "blob");
    assert_eq!(kind("PRAGMA journal_mode"), "wal");
}

#[test]
fn a_later_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 7, known: 4, .. }), "{error}");
    assert!(error.to_string().contains("meta.db has schema version 7"), "{error}");
    let version: u32 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 7);
}

#[test]
fn what_is_no_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "shopping list: a rather long text, longer than a header").unwrap();
    let error = Sqlite::open(&path).unwrap_err().to_string();
    assert!(error.contains("notes.txt") && error.contains("not a database"), "{error}");
}

#[test]
fn a_failed_commit_leaves_nothing_and_the_next_one_works() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    let open = Sqlite::open(&path).unwrap();
    open.commit(&[put(Table::Devices, "t", "old", "1")]).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON retained WHEN NEW.id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'injected'); END",
        )
        .unwrap();
    let half = [put(Table::Devices, "t", "old", "2"), put(Table::Retained, "t", "bad", "x")];
    let error = open.commit(&half).unwrap_err().to_string();
    assert!(error.contains("committing failed on") && error.contains("injected"), "{error}");
    assert_eq!(body(&open, Table::Devices, "t", "old").unwrap(), b"1");
    open.commit(&[put(Table::Devices, "t", "old", "3")]).unwrap();
    assert_eq!(body(&open, Table::Devices, "t", "old").unwrap(), b"3");
}

/// A file as the first version of the schema left it. The fixture is never edited.
#[test]
fn a_file_of_version_1_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    let open = Sqlite::open(&path).unwrap();
    assert_eq!(body(&open, Table::Devices, "acme", "d1").unwrap(), b"{\"type\":\"pump\"}");
    assert_eq!(body(&open, Table::Retained, "acme", "site/status").unwrap(), [1, 255, 0]);
    open.commit(&[put(Table::Devices, "acme", "d2", "{}")]).unwrap();
    open.commit(&[put(Table::Schemas, "acme", "last-id", "{\"id\":1}")]).unwrap();
    assert_eq!(body(&open, Table::Schemas, "acme", "last-id").unwrap(), b"{\"id\":1}");
}

/// As the second version left it, with a registered schema. The fixture is never edited.
#[test]
fn a_file_of_version_2_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/v2.sql")).unwrap();
    let open = Sqlite::open(&path).unwrap();
    assert_eq!(body(&open, Table::Devices, "acme", "d1").unwrap(), b"{\"type\":\"pump\"}");
    let version = body(&open, Table::Schemas, "acme", "version/0000000001/pumps-value").unwrap();
    assert_eq!(version, b"{\"id\":1}");
}

/// As the third version left it, with facts of devices. The fixture is never edited.
#[test]
fn a_file_of_version_3_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/v3.sql")).unwrap();
    let open = Sqlite::open(&path).unwrap();
    let registered = String::from_utf8(body(&open, Table::Devices, "acme", "d1").unwrap()).unwrap();
    assert!(registered.starts_with("{\"type\":\"pump\",\"location\":{\"lat\":53.5"), "{registered}");
    assert_eq!(body(&open, Table::Learned, "acme", "d1").unwrap(), b"{\"firmware\":\"2.1.0\"}");
    assert_eq!(body(&open, Table::Changes, "", "devices").unwrap(), b"{\"mark\":\"0f3c5ba1d2e49876\"}");
}

/// As the fourth version left it, with alerts. The fixture is never edited.
#[test]
fn a_file_of_version_4_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/v4.sql")).unwrap();
    let open = Sqlite::open(&path).unwrap();
    let mut newest = None;
    let mut visit = |row: penstock_metadata::Row| {
        newest = Some(row);
        false
    };
    open.scan_after(Table::Alerts, "acme", "", &mut visit).unwrap();
    let newest = newest.unwrap();
    assert_eq!(newest.id, "67798d9dc5b2c3ff-ebd32ba5d58efc030f9c05b9");
    assert!(newest.body.starts_with(b"{\"device_id\":\"fan-1\""), "{newest:?}");
    assert_eq!(body(&open, Table::AlertState, "", "position/live/0").unwrap(), b"{\"offset\":7}");
    for table in
        [Table::Rules, Table::AlertPairs, Table::Outbox, Table::Deliveries, Table::People, Table::Mutes]
    {
        let mut rows = 0;
        let count = &mut |_| {
            rows += 1;
            true
        };
        open.scan(table, Some("acme"), count).unwrap();
        assert!(rows > 0, "{table:?}");
    }
}
