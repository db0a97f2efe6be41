#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

use super::*;

fn filled(file: &Path, limit_bytes: u64, messages: u64) -> Buffer {
    let mut buffer = Buffer::open(file, limit_bytes).unwrap();
    for _ in 0..messages {
        buffer.append("t", 0, 0, |_| vec![b'x'; 100]).unwrap();
    }
    buffer
}

fn numbers(buffer: &mut Buffer) -> Vec<i64> {
    buffer.oldest(1000).unwrap().iter().map(|waiting| waiting.seq).collect()
}

#[test]
fn what_is_not_acknowledged_is_there_after_a_restart_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.db");
    let mut buffer = filled(&file, 1 << 20, 5);
    buffer.settle(&[1, 2], &[3]).unwrap();
    drop(buffer);
    let mut again = Buffer::open(&file, 1 << 20).unwrap();
    assert_eq!(numbers(&mut again), [4, 5]);
    let mut seen = Books::default();
    again
        .append("t", 0, 7, |books| {
            seen = books.clone();
            vec![]
        })
        .unwrap();
    let expected = Books { made: 6, dropped: 0, refused: 1, missed: 7, waiting: 3, waiting_bytes: 200 };
    assert_eq!(seen, expected, "numbers go on where they were");
}

#[test]
fn a_full_buffer_drops_the_oldest_and_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut buffer = filled(&dir.path().join("b.db"), 1000, 25);
    assert_eq!(numbers(&mut buffer), (16..=25).collect::<Vec<_>>());
    let books = &buffer.books;
    assert_eq!((books.made, books.dropped, books.waiting, books.waiting_bytes), (25, 15, 10, 1000));
}

#[test]
fn what_is_on_its_way_is_not_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut buffer = filled(&dir.path().join("b.db"), 300, 3);
    assert_eq!(buffer.oldest(2).unwrap().len(), 2);
    buffer.append("t", 0, 0, |_| vec![b'x'; 100]).unwrap();
    buffer.append("t", 0, 0, |_| vec![b'x'; 300]).unwrap();
    assert_eq!(buffer.books.dropped, 3, "3 and 4 made no room for 5");
    assert_eq!(numbers(&mut buffer), [1, 2]);
    buffer.settle(&[1, 2], &[]).unwrap();
    assert_eq!((buffer.waiting(), buffer.books.waiting_bytes), (0, 0));
}

#[test]
fn measurements_that_could_not_be_written_are_counted_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut buffer = filled(&dir.path().join("b.db"), 1000, 1);
    buffer.append("t", 2, 0, |books| books.made.to_string().into_bytes()).unwrap();
    assert_eq!(buffer.oldest(9).unwrap()[1].payload, b"4", "2 and 3 are lost");
    assert_eq!(buffer.books.dropped, 2);
}

#[test]
fn a_second_probe_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.db");
    let _first = filled(&file, 1000, 1);
    let refused = Buffer::open(&file, 1000).err().unwrap().to_string();
    assert!(refused.contains("locked") && refused.contains("b.db"), "{refused}");
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("other.db", "CREATE TABLE t (x)"),
        ("later.db", "PRAGMA application_id=1347637314; PRAGMA user_version=2; CREATE TABLE t (x)"),
    ] {
        let file = dir.path().join(name);
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let refused = Buffer::open(&file, 1000).err().unwrap().to_string();
        assert!(refused.contains("no buffer of this version"), "{refused}");
    }
}

#[test]
fn a_file_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v1.db");
    let fixture = include_str!("fixtures/v1.sql");
    Connection::open(&file).unwrap().execute_batch(fixture).unwrap();
    let mut buffer = Buffer::open(&file, 1 << 20).unwrap();
    let oldest = buffer.oldest(9).unwrap();
    assert_eq!(
        oldest.iter().map(|w| (w.seq, &*w.topic)).collect::<Vec<_>>(),
        [(41, "devices/d1/telemetry"), (42, "devices/d1/telemetry")]
    );
    assert_eq!(oldest[1].payload, br#"{"ts":1767225601000,"seq":42,"metrics":{"m":2}}"#);
    assert_eq!((buffer.books.made, buffer.books.dropped), (42, 3));
}
