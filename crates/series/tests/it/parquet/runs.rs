//! What is written into a run comes out of it.

use std::sync::Arc;

use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{FileReader, SerializedFileReader};
use penstock_series::parquet::run::{Detail, Kind, Number, Plan, Run, Unit, Writer, sidecar_path};
use penstock_series::parquet::{ColumnNo, Entity, Rows};
use record::{Timestamp, Value, ValueRef, When};

use super::rows::{Random, Shape, Taste, name, read, readings, rows, same, write};

#[test]
fn rows_come_back_whatever_their_metrics_are_like() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..60 {
        let mut random = Random(seed);
        let shape = Shape::any(&mut random);
        let written = rows(&shape, &mut random);
        let path = dir.path().join(format!("{seed}.parquet"));
        let outcome = write(&path, &written);
        let run = Arc::new(Run::open(&path).unwrap());
        assert_eq!(run.sidecar(), &outcome.sidecar, "seed {seed}");
        let found = read(&run, 1 + random.below(5000) as usize);
        assert_eq!(found.len(), written.len(), "seed {seed}");
        same(&readings(&found), &readings(&written), &format!("seed {seed}"));
        assert_eq!(outcome.sidecar.readings, written.readings(), "seed {seed}");
        let files = [std::fs::metadata(&path).unwrap(), std::fs::metadata(sidecar_path(&path)).unwrap()];
        assert_eq!(outcome.size_bytes, files[0].len() + files[1].len());
    }
}

#[test]
fn one_device_is_read_by_claimed_time_and_metric() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 100..108 {
        let mut random = Random(seed);
        let written = rows(&Shape { rows: 9_000, ..Shape::any(&mut random) }, &mut random);
        let path = dir.path().join("run.parquet");
        write(&path, &written);
        let run = Arc::new(Run::open(&path).unwrap());
        let all = readings(&written);
        for _ in 0..6 {
            let some = written.key(random.below(written.len() as u64) as usize);
            let other = written.key(random.below(written.len() as u64) as usize);
            let columns = [written.columns()[0].no, ColumnNo(99)];
            let range = some.claimed.min(other.claimed)..=some.claimed.max(other.claimed);
            let found = run.entity(some.entity, &range, &columns, Detail::Whole).unwrap();
            let found = found.map(|found| readings(&found)).unwrap_or_default();
            let mut expected = all.clone();
            expected.retain(|(key, column), _| {
                key.entity == some.entity && range.contains(&key.claimed) && columns.contains(column)
            });
            same(&found, &expected, &format!("seed {seed}"));
        }
        assert!(run.entity(Entity::new(9, 9), &(i64::MIN..=i64::MAX), &[], Detail::Whole).unwrap().is_none());
    }
}

/// The kind that a column of these values gets.
fn kind(values: &[Value]) -> Kind {
    let mut rows = Rows::new([ColumnNo(0)]);
    for (at, value) in (0..).zip(values) {
        let at = Timestamp::from_nanos(at);
        rows.push(Entity::new(0, 0), When::by_device(at, at), [Some(value.as_ref())]);
    }
    Plan::of(&rows, name).columns[0].kind
}

#[test]
fn columns_are_as_narrow_as_their_values_allow() {
    let floats = |values: &[f64]| values.iter().map(|&value| Value::Float(value)).collect::<Vec<_>>();
    let of = |number| Kind::Number(number);
    assert_eq!(kind(&[Value::Int(7), Value::Int(-8)]), of(Number::Int32));
    assert_eq!(kind(&[Value::Int(7), Value::Int(1 << 40)]), of(Number::Int64));
    assert_eq!(kind(&floats(&[1.0, 20.5, -3.25, 0.1])), of(Number::Decimal32(2)));
    assert_eq!(kind(&floats(&[123_456_789.5, 20.5])), of(Number::Decimal64(1)));
    assert_eq!(kind(&[Value::Int(20), Value::Float(20.5)]), of(Number::Decimal32(1)));
    assert_eq!(kind(&floats(&[1.0 / 3.0, 2.0 / 7.0, 0.123_456_789_012_345_6])), of(Number::Float64));
    let narrow: Vec<f64> = (1..50).map(|n| f64::from(n as f32 / 7.0)).collect();
    assert_eq!(kind(&floats(&narrow)), of(Number::Float32));
    let computed: Vec<f64> = (1..50).map(|n| f64::from(n) * 0.1 + 0.2).collect();
    assert_eq!(kind(&floats(&computed)), of(Number::Nearly(1)));
    let parsed: Vec<f64> = (1..200).map(|n| f64::from(n * 7 + 20_001) / 10.0 / 100.0).collect();
    assert_eq!(kind(&floats(&parsed)), of(Number::Parsed(3)));
    // One bad value does not break the column.
    let mut values = floats(&vec![20.5; 100]);
    values.push(Value::Float(f64::NAN));
    values.push(Value::Text("fault".into()));
    assert_eq!(kind(&values), of(Number::Decimal32(1)));
    assert_eq!(kind(&[Value::Text("on".into()), Value::Text("off".into()), Value::Int(1)]), Kind::Text);
    assert_eq!(kind(&[Value::Bool(true)]), Kind::Bool);
    let place = Value::Location { lat: 52.5, lng: 13.404_954 };
    assert_eq!(kind(&[place]), Kind::Place(Number::Decimal32(1), Number::Decimal32(6)));
}

#[test]
fn figures_stand_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = Rows::new([ColumnNo(3), ColumnNo(4)]);
    for at in 0..10_000 {
        let time = Timestamp::from_millis(1_000_000 + at).unwrap();
        let value = (at % 9 != 0).then_some(ValueRef::Float(at as f64 / 10.0));
        rows.push(
            Entity::new(0, (at / 1000) as u32),
            When::by_device(time, time),
            [value, Some(ValueRef::Int(-at))],
        );
    }
    let path = dir.path().join("run.parquet");
    let mut writer = Writer::create(&path, Plan::of(&rows, name)).unwrap();
    writer.write(&rows, 0..4567).unwrap();
    writer.write(&rows, 4567..rows.len()).unwrap();
    let sidecar = writer.finish().unwrap().sidecar;
    assert_eq!((sidecar.rows, sidecar.entities.len()), (10_000, 10));
    assert_eq!(sidecar.plan.time_unit, Unit::Millis);
    let [float, int] = &sidecar.stats[..] else { panic!("two columns") };
    assert_eq!((float.count, float.min, float.max), (8888, 0.1, 999.8));
    assert!((float.sum - 4_443_555.6).abs() < 1.0, "{float:?}");
    assert_eq!((int.count, int.sum, int.min, int.max), (10_000, -49_995_000.0, -9999.0, 0.0));
    let (range, of) = sidecar.entity(Entity::new(0, 3)).unwrap();
    assert_eq!((range, of.first, of.last), (3000..4000, 1_003_000_000_000, 1_003_999_000_000));
    assert_eq!(sidecar.claimed_range(), Some((1_000_000_000_000, 1_009_999_000_000)));
}

/// Rows of one device that arrive some time after they happened.
fn regular(count: i64, delay_ms: i64, value: impl Fn(i64) -> Option<f64>) -> Rows {
    let mut rows = Rows::new([ColumnNo(3)]);
    for at in 0..count {
        let time = |ms| Timestamp::from_millis(1_000_000 + 1000 * at + ms).unwrap();
        let when = When::by_device(time(0), time(delay_ms));
        rows.push(Entity::new(0, 1), when, [value(at).map(ValueRef::Float)]);
    }
    rows
}

fn footer(path: &std::path::Path) -> ParquetMetaData {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.parse_and_finish(&file).unwrap()
}

/// A file of such rows: its columns, and whether it has an offset index. It is read back on the way.
fn columns(rows: &Rows) -> (Vec<String>, bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let written = write(&path, rows);
    let run = Arc::new(Run::open(&path).unwrap());
    assert_eq!(run.sidecar(), &written.sidecar);
    same(&readings(&read(&run, 1000)), &readings(rows), "read back");
    let footer = footer(&path);
    let names = footer.file_metadata().schema_descr().columns().iter().map(|column| column.name().to_owned());
    (names.collect(), footer.offset_index().is_some())
}

#[test]
fn a_file_is_spared_what_would_say_nothing() {
    let value = |at| Some(at as f64 / 10.0);
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(columns(&regular(500, 0, value)), (names(&["_device", "_time", "m3"]), false));
    assert_eq!(columns(&regular(500, 9, value)), (names(&["_device", "_time", "_delay", "m3"]), false));
    let one_strange = regular(500, 0, |at| if at == 77 { Some(f64::NAN) } else { value(at) });
    assert_eq!(columns(&one_strange), (names(&["_device", "_time", "_exceptions", "m3"]), false));
    // Several pages are told apart by an index.
    assert_eq!(columns(&regular(30_000, 0, value)), (names(&["_device", "_time", "m3"]), true));
    // Of several row groups it is not known beforehand.
    let all = names(&["_device", "_time", "_delay", "_exceptions", "m3"]);
    assert_eq!(columns(&regular(140_000, 0, value)), (all, true));
    assert_eq!(columns(&regular(0, 0, value)).0.len(), 4);
}

/// The library's own reader finds the values: packing in parts and levels as bits are as the format has them.
#[test]
fn the_parquet_library_reads_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut random = Random(17);
    // Noise in the low bytes, and now and then none.
    let noise: Vec<_> = (0..20_000).map(|_| (random.below(9) > 0, random.below(1 << 20))).collect();
    for scale in [1.0, 1000.0] {
        let value = |at: i64| {
            let (present, noise) = noise[at as usize];
            present.then_some(noise as f64 / scale)
        };
        write(&path, &regular(20_000, 0, value));
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        for (at, row) in (0..).zip(reader.get_row_iter(None).unwrap()) {
            let row = row.unwrap();
            let (_, field) = row.get_column_iter().nth(2).unwrap();
            let found = match field.to_string().as_str() {
                "null" => None,
                text => Some(text.parse::<f64>().unwrap()),
            };
            assert_eq!(found, value(at), "row {at}");
        }
    }
}

#[test]
fn decimals_that_were_read_in_steps_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut random = Random(18);
    let metrics = vec![(ColumnNo(3), Taste::Parsed, 1), (ColumnNo(4), Taste::Parsed, 4)];
    let shape = Shape { metrics, entities: 3, rows: 5000, unit: 1_000_000, strange_times: false };
    let written = rows(&shape, &mut random);
    let sidecar = write(&path, &written).sidecar;
    for column in &sidecar.plan.columns {
        assert_eq!(column.kind, Kind::Number(Number::Parsed(3)));
    }
    let run = Arc::new(Run::open(&path).unwrap());
    same(&readings(&read(&run, 777)), &readings(&written), "read in steps");
}
