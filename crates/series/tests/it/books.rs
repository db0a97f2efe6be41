//! What a batch holds beside its readings, asked of every backend.

use std::collections::BTreeMap;

use penstock_series::{
    AccountEntry, AccountKey, Amounts, Audit, ClockRow, Completeness, Covered, DeadLetter, DeadMessage,
    LateReading, LateRow, Note, STAGES, SeriesAudit, SeriesWriter, Source, Span, TenantAudit, VoidWindows,
    WindowKey, WindowRow, WriteBatch,
};
use record::{DeviceId, Lane, MetricName, TenantId, Timestamp, Value};

use crate::conformance::{ALWAYS, LIVE, Store, batch, on_all, points, reading};

const BACKFILL: Source = Source { lane: Lane::Backfill, ..LIVE };

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn dead(offset: u64) -> DeadMessage {
    DeadMessage {
        source: LIVE,
        offset,
        tenant: "default".into(),
        device: "d".into(),
        topic: "devices/d/telemetry".into(),
        stage: "decode",
        arrived_at: at(5),
        attempts: 1,
        last_at: at(5),
        completeness: Completeness::Part,
        letters: vec![
            DeadLetter { index: Some(0), reason: "no value".into() },
            DeadLetter { index: None, reason: "cut".into() },
        ],
        record: vec![0, 255, 7],
    }
}

fn window(kind: &str, start: i64, count: u64) -> WindowRow {
    let (device, metric) = (DeviceId::parse("d").unwrap(), MetricName::parse("m").unwrap());
    WindowRow {
        key: WindowKey { tenant: tenant(), device, metric, window: kind.into(), start: at(start) },
        end: at(start + 60),
        count,
        sum: 0.1,
        min: -0.0,
        max: f64::INFINITY,
        stddev: 0.5,
        p95: 3.0,
        first: 1.0,
        last: 2.0,
        revised: false,
    }
}

fn windows(store: &dyn Store) -> Vec<WindowRow> {
    let row = window("", 0, 1);
    store.windows(&tenant(), &row.key.device, &row.key.metric, ALWAYS).unwrap()
}

fn line(topic: &str, minute: i64, amounts: Amounts) -> AccountEntry {
    AccountEntry {
        key: AccountKey { tenant: "default".into(), topic: topic.into(), minute: at(minute) },
        amounts,
    }
}

#[test]
fn dead_messages_keep_their_bytes_and_every_reason() {
    on_all(|store| {
        let messages: Vec<_> = STAGES
            .into_iter()
            .zip(0..)
            .map(|(stage, n)| DeadMessage { stage, arrived_at: at(100 - n), ..dead(n.cast_unsigned()) })
            .collect();
        let written = store.write(&WriteBatch { dead: messages.clone(), ..batch(0, 9, vec![]) }).unwrap();
        assert_eq!(written.dead_letters, 2 * STAGES.len() as u64);
        assert_eq!(store.dead_messages("default", 10).unwrap(), messages, "the latest first");
        assert_eq!(store.dead_messages("default", 1).unwrap(), messages[..1]);
        assert_eq!(store.dead_messages("other", 10).unwrap(), []);
        assert_eq!(store.dead_message(LIVE, 3).unwrap().as_ref(), Some(&messages[3]));
        assert_eq!(store.dead_message(BACKFILL, 3).unwrap(), None);
    });
}

#[test]
fn a_dead_message_is_replaced_when_it_fails_again_and_goes_when_it_is_resolved() {
    on_all(|store| {
        store.write(&WriteBatch { dead: vec![dead(4), dead(5)], ..batch(0, 6, vec![]) }).unwrap();
        let again = DeadMessage {
            stage: "schema",
            attempts: 2,
            last_at: at(900),
            completeness: Completeness::Whole,
            letters: vec![DeadLetter { index: Some(7), reason: "too hot".into() }],
            ..dead(4)
        };
        store.write(&WriteBatch { dead: vec![again.clone()], ..batch(6, 7, vec![]) }).unwrap();
        assert_eq!(store.dead_message(LIVE, 4).unwrap(), Some(again.clone()));
        let resolved = vec![(LIVE, 5), (LIVE, 99), (BACKFILL, 4)];
        store.write(&WriteBatch { resolved: resolved.clone(), ..batch(7, 8, vec![]) }).unwrap();
        assert_eq!(store.dead_messages("default", 10).unwrap(), [again]);
        store.write(&WriteBatch { resolved, ..batch(8, 9, vec![]) }).unwrap();
        let audit = store.audit().unwrap();
        assert_eq!(audit.tenants[0].dead_letters, 1, "letters of messages that are gone");
    });
}

#[test]
fn window_results_replace_one_another_and_void_ones_go_first() {
    on_all(|store| {
        let readings = vec![reading("d", "m", 1, Value::Int(1))];
        let first = vec![window("1m", 0, 1), window("1m", 60, 2), window("10m/1m", 0, 3)];
        store.write(&WriteBatch { windows: first.clone(), ..batch(0, 1, readings) }).unwrap();
        assert_eq!(windows(store), [first[2].clone(), first[0].clone(), first[1].clone()]);
        assert_eq!(format!("{:?}", windows(store)[0].min), "-0.0");
        let grown = WindowRow { count: 9, end: at(99), ..window("1m", 0, 2) };
        let revised = WindowRow { revised: true, ..grown.clone() };
        let void = |name, from, to| VoidWindows { key: window(name, from, 0).key, until: at(to) };
        let next = WriteBatch {
            void_windows: vec![void("1m", 0, 61), void("none", 0, 9)],
            windows: vec![grown, first[2].clone()],
            ..batch(1, 2, vec![])
        };
        store.write(&next).unwrap();
        assert_eq!(
            windows(store),
            [first[2].clone(), revised.clone()],
            "the same result again is no revision"
        );
        let other = WindowRow { count: 4, ..first[2].clone() };
        store.write(&WriteBatch { windows: vec![other.clone()], ..batch(2, 3, vec![]) }).unwrap();
        let other = WindowRow { revised: true, ..other };
        assert_eq!(windows(store), [other.clone(), revised.clone()]);
        store.write(&WriteBatch { windows: vec![other.clone()], ..batch(3, 4, vec![]) }).unwrap();
        assert_eq!(windows(store)[0], other);
        let (device, metric) = (&revised.key.device, &revised.key.metric);
        assert_eq!(store.windows(&tenant(), device, metric, at(-9)..at(1)).unwrap(), windows(store));
        assert_eq!(store.windows(&tenant(), device, metric, at(1)..at(61)).unwrap(), []);
        let other = TenantId::parse("other").unwrap();
        assert_eq!(store.windows(&other, device, metric, ALWAYS).unwrap(), []);
    });
}

#[test]
fn results_are_void_together_where_spans_overlap() {
    on_all(|store| {
        let readings = vec![reading("d", "m", 1, Value::Int(1))];
        store.write(&WriteBatch { windows: vec![window("1m", 60, 2)], ..batch(0, 1, readings) }).unwrap();
        let void = |from, to| VoidWindows { key: window("1m", from, 0).key, until: at(to) };
        let next = WriteBatch {
            void_windows: vec![void(0, 61), void(60, 90)],
            windows: vec![window("1m", 60, 3)],
            ..batch(1, 2, vec![])
        };
        store.write(&next).unwrap();
        let revised = WindowRow { revised: true, ..window("1m", 60, 3) };
        assert_eq!(windows(store), [revised], "it takes the place of another, whichever span that was in");
    });
}

#[test]
fn a_result_that_only_revises_another_is_put_in_where_there_is_one() {
    on_all(|store| {
        let readings = vec![reading("d", "m", 1, Value::Int(1))];
        let first = vec![window("1m", 0, 20), window("1m", 60, 20), window("1m", 120, 20)];
        store.write(&WriteBatch { windows: first.clone(), ..batch(0, 1, readings) }).unwrap();
        let few = |start| window("1m", start, 19);
        let next = WriteBatch {
            void_windows: vec![VoidWindows { key: window("1m", 60, 0).key, until: at(61) }],
            windows: vec![window("1m", 180, 21)],
            revised_windows: vec![few(0), few(60), few(240), window("5m", 0, 19)],
            ..batch(1, 2, vec![])
        };
        store.write(&next).unwrap();
        let revised = WindowRow { revised: true, ..few(0) };
        let there = [revised, first[2].clone(), window("1m", 180, 21)];
        assert_eq!(windows(store), there, "neither what was never there nor what became void");
        store.write(&WriteBatch { spans: vec![], ..next }).unwrap();
        assert_eq!(windows(store), there, "the same again changes nothing");
    });
}

#[test]
fn late_readings_are_stored_and_listed() {
    on_all(|store| {
        let readings = vec![reading("d", "m", 1, Value::Int(1)), reading("d", "m", 2, Value::Int(2))];
        let late =
            |row, watermark| BTreeMap::from([(tenant(), vec![LateRow { row, watermark: at(watermark) }])]);
        store.write(&WriteBatch { late: late(1, 50), ..batch(0, 1, readings.clone()) }).unwrap();
        let listed = LateReading { reading: readings[1].clone(), watermark: at(50), times: 1 };
        assert_eq!(store.late(&tenant(), 10).unwrap(), std::slice::from_ref(&listed));
        assert_eq!(points(store, "d", "m", ALWAYS).len(), 2);
        // A correction in time leaves the list alone: it says what came late.
        store.write(&batch(1, 2, vec![reading("d", "m", 2, Value::Int(3))])).unwrap();
        assert_eq!(store.late(&tenant(), 10).unwrap(), [listed]);
        // A late correction takes the entry's place.
        let correction = reading("d", "m", 2, Value::Int(4));
        store.write(&WriteBatch { late: late(0, 70), ..batch(2, 3, vec![correction.clone()]) }).unwrap();
        let listed = LateReading { reading: correction, watermark: at(70), times: 2 };
        assert_eq!(store.late(&tenant(), 10).unwrap(), [listed]);
        assert_eq!(store.late(&tenant(), 0).unwrap(), []);
        assert_eq!(store.late(&TenantId::parse("other").unwrap(), 10).unwrap(), []);
    });
}

#[test]
fn account_entries_add_up() {
    on_all(|store| {
        let came =
            Amounts { records: 2, accepted: 5, stored: 3, dead: 2, corrected: 1, ..Amounts::default() };
        let entries = vec![line("t", 60, came), line("t", 0, came), line("t", 60, came), line("s", 60, came)];
        store.write(&WriteBatch { account: entries, ..batch(0, 1, vec![]) }).unwrap();
        let moved = Amounts { dead: -2, stored: 1, duplicate: 1, ..Amounts::default() };
        store.write(&WriteBatch { account: vec![line("t", 60, moved)], ..batch(1, 2, vec![]) }).unwrap();
        let mut sum = came;
        sum += came;
        sum += moved;
        let expected = [line("s", 60, came), line("t", 0, came), line("t", 60, sum)];
        assert_eq!(store.account(None, ALWAYS).unwrap(), expected);
        assert_eq!(store.account(Some("default"), at(0)..at(60)).unwrap(), expected[1..2]);
        assert_eq!(store.account(Some("other"), ALWAYS).unwrap(), []);
        assert_eq!((sum.dead, sum.residue()), (2, 0));
    });
}

#[test]
fn an_audit_counts_everything_that_has_to_agree() {
    on_all(|store| {
        let readings = vec![
            reading("d", "m", 1, Value::Int(1)),
            reading("d", "m", 1, Value::Int(2)),
            reading("d", "m", 2, Value::Int(2)),
        ];
        let amounts = Amounts {
            records: 3,
            accepted: 5,
            stored: 2,
            late: 1,
            dead: 2,
            corrected: 1,
            ..Amounts::default()
        };
        let mut first = WriteBatch {
            late: [(tenant(), vec![LateRow { row: 2, watermark: at(9) }])].into(),
            dead: vec![dead(2)],
            account: vec![line("t", 0, amounts), line("u", 0, Amounts { accepted: 1, ..Amounts::default() })],
            ..batch(3, 7, readings)
        };
        first.spans.push(Span { source: BACKFILL, from: 0, to: 1 });
        store.write(&first).unwrap();
        store.write(&batch(7, 8, vec![])).unwrap();
        let audit = store.audit().unwrap();
        let account = Amounts { accepted: 6, ..amounts };
        let expected = TenantAudit {
            tenant: "default".into(),
            account,
            uneven_lines: 1,
            points: 2,
            late: 1,
            superseded: 1,
            dead_letters: 2,
            removed: penstock_series::Counts::default(),
        };
        assert_eq!(audit.tenants, [expected]);
        let covered = |source, first, next| Covered { source, first, next };
        assert_eq!(audit.partitions, [covered(LIVE, 3, 8), covered(BACKFILL, 0, 1)]);
        let figures = store.figures().unwrap();
        assert_eq!(figures.partitions, audit.partitions);
        assert_eq!((figures.uneven_lines, figures.residue, figures.dead_messages), (1, 1, 1));
    });
}

#[test]
fn clocks_are_replaced() {
    on_all(|store| {
        let clock = |device: &str, skew_nanos, suspect| ClockRow {
            tenant: tenant(),
            device: DeviceId::parse(device).unwrap(),
            skew_nanos,
            suspect,
        };
        let clocks = vec![clock("b", 5, false), clock("a", i64::MIN, true)];
        store.write(&WriteBatch { clocks, ..batch(0, 1, vec![]) }).unwrap();
        store.write(&WriteBatch { clocks: vec![clock("b", -7, true)], ..batch(1, 2, vec![]) }).unwrap();
        assert_eq!(store.clocks(&tenant()).unwrap(), [clock("a", i64::MIN, true), clock("b", -7, true)]);
        assert_eq!(store.clocks(&TenantId::parse("other").unwrap()).unwrap(), []);
        assert!(store.devices(&tenant(), None, 10).unwrap().is_empty(), "a clock is no reading");
    });
}

#[test]
fn notes_are_kept_until_they_are_forgotten() {
    on_all(|store| {
        let note =
            |partition, number| Note { partition, number, bytes: vec![partition as u8, number as u8, 0] };
        let all = [note(0, 1), note(0, 2), note(1, 7)];
        for (n, note) in (0..).zip(&all) {
            store.write(&WriteBatch { notes: vec![note.clone()], ..batch(n, n + 1, vec![]) }).unwrap();
        }
        assert_eq!(store.notes().unwrap(), all);
        let next =
            WriteBatch { notes: vec![note(0, 3)], forget: vec![(0, 2), (5, 9)], ..batch(3, 4, vec![]) };
        store.write(&next).unwrap();
        assert_eq!(store.notes().unwrap(), [note(0, 2), note(0, 3), note(1, 7)]);
    });
}

#[test]
fn a_refused_batch_leaves_nothing_in_the_books() {
    on_all(|store| {
        store.write(&WriteBatch { dead: vec![dead(1)], ..batch(0, 2, vec![]) }).unwrap();
        store
            .write(&WriteBatch {
                windows: vec![window("1m", 60, 1)],
                ..batch(2, 3, vec![reading("d", "m", 1, Value::Int(1))])
            })
            .unwrap();
        let before = (store.audit().unwrap(), windows(store));
        let refused = WriteBatch {
            late: [(tenant(), vec![LateRow { row: 0, watermark: at(9) }])].into(),
            windows: vec![window("1m", 0, 1)],
            void_windows: vec![VoidWindows { key: window("1m", 60, 1).key, until: at(61) }],
            dead: vec![dead(3)],
            resolved: vec![(LIVE, 1)],
            account: vec![line("t", 0, Amounts { accepted: 1, stored: 1, ..Amounts::default() })],
            clocks: vec![ClockRow {
                tenant: tenant(),
                device: DeviceId::parse("d").unwrap(),
                skew_nanos: 1,
                suspect: false,
            }],
            notes: vec![Note { partition: 3, number: 1, bytes: vec![1] }],
            ..batch(0, 3, vec![reading("d", "m", 1, Value::Int(2))])
        };
        assert!(store.write(&refused).is_err());
        assert_eq!((store.audit().unwrap(), windows(store)), before);
        assert_eq!(store.clocks(&tenant()).unwrap(), []);
        assert_eq!(store.notes().unwrap(), []);
        assert_eq!(store.late(&tenant(), 9).unwrap(), []);
        // The same batch where the store stands: now all of it is there.
        let mut taken = refused;
        taken.spans[0] = Span { source: LIVE, from: 3, to: 4 };
        store.write(&taken).unwrap();
        assert_eq!(store.dead_message(LIVE, 1).unwrap(), None);
        assert_eq!(store.dead_messages("default", 9).unwrap(), [dead(3)]);
        assert_eq!(windows(store), [window("1m", 0, 1)]);
        assert_eq!((store.notes().unwrap().len(), store.clocks(&tenant()).unwrap().len()), (1, 1));
        assert_eq!(
            (store.late(&tenant(), 9).unwrap().len(), store.account(None, ALWAYS).unwrap().len()),
            (1, 1)
        );
    });
}

#[test]
fn a_failed_write_of_the_durable_store_leaves_nothing_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = penstock_series::Sqlite::open(&dir.path().join("series.db")).unwrap();
    let note = Note { partition: 0, number: 1, bytes: vec![] };
    let other = Note { bytes: vec![1], ..note.clone() };
    // Two notes under one number: the last statement but one fails.
    let broken = WriteBatch {
        dead: vec![dead(0)],
        notes: vec![note.clone(), note, other],
        ..batch(0, 1, vec![reading("d", "m", 1, Value::Int(1))])
    };
    assert!(store.write(&broken).is_err());
    assert!(points(&store, "d", "m", ALWAYS).is_empty());
    assert_eq!(store.audit().unwrap(), Audit::default());
    // Numbers of names that were rolled back are not used.
    store
        .write(&batch(0, 1, vec![reading("e", "m", 1, Value::Int(1)), reading("d", "m", 1, Value::Int(2))]))
        .unwrap();
    assert_eq!(points(&store, "d", "m", ALWAYS)[0].value, Value::Int(2));
}
