//! Which of the store's tables stand behind the public ones, and how their rows are read.

use rusqlite::Row;

use super::super::read::{count, float, time, value, when};
use super::super::write::source_of;
use super::{Heard, Series};
use crate::Amounts;
use crate::scan::{
    Builder, Dead, Names, WindowCells, account_row, dead_row, device_row, reading_row, window_row,
};

/// A table of the store behind a public one.
pub(super) struct Source {
    pub(super) of: Of,
    /// The table that has a column `series`.
    pub(super) table: &'static str,
    pub(super) from: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The columns of an index, each row's different, by which it is read.
    pub(super) key: &'static [&'static str],
    pub(super) tenant: &'static str,
    pub(super) time: Option<&'static str>,
    pub(super) device: Option<&'static str>,
    pub(super) put: Put,
}

/// By what its rows are found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Series,
    Tenant,
}

type Put = fn(&Row<'_>, &mut Builder, &Beside<'_>) -> rusqlite::Result<()>;

/// What belongs to a row and does not stand in it.
pub(super) struct Beside<'a> {
    /// Its series, of a source that goes by series.
    pub(super) series: Option<&'a Series>,
    /// When devices were heard.
    pub(super) heard: &'a Heard,
}

/// What stands behind a public table.
pub(super) fn sources(table: &str) -> &'static [Source] {
    match table {
        "telemetry" => &[POINT, CORRECTED],
        "latest" => &[LATEST_POINT, LATEST_CORRECTED],
        "late" => &[LATE],
        "corrections" => &[SUPERSEDED],
        "aggregations" => &[WINDOW],
        "devices" => &[DEVICE],
        "dlq" => &[LETTER],
        "ledger" => &[ACCOUNT],
        _ => &[],
    }
}

const BY_SERIES: Source = Source {
    of: Of::Series,
    table: "",
    from: "",
    columns: &[],
    key: &[],
    tenant: "",
    time: Some("time"),
    device: None,
    put: |_, _, _| Ok(()),
};

const POINT: Source = Source {
    table: "point",
    from: "point",
    columns: &["time", "seq", "time", "clock", "arrived_at", "kind", "value", "lng"],
    key: &["time", "seq"],
    put: |row, builder, beside| {
        reading_row(builder, names(beside.series), &when(row)?, value(row, 5)?.as_ref(), 12);
        builder.end_row();
        Ok(())
    },
    ..BY_SERIES
};

const CORRECTED: Source = Source {
    table: "corrected_point",
    from: "corrected_point",
    columns: &["time", "seq", "claimed", "clock", "arrived_at", "kind", "value", "lng"],
    key: &["time", "seq", "claimed"],
    ..POINT
};

/// Of one series the last in one table, where none of the other comes behind it.
const LATEST_POINT: Source = Source {
    from:
        "(SELECT * FROM (SELECT * FROM point WHERE series = ?1 ORDER BY time DESC, seq DESC LIMIT 1) AS last
        WHERE NOT EXISTS (SELECT 1 FROM corrected_point AS other WHERE other.series = ?1
            AND (other.time, other.seq, other.claimed) > (last.time, last.seq, last.time)))",
    ..POINT
};

const LATEST_CORRECTED: Source = Source {
    from: "(SELECT * FROM (SELECT * FROM corrected_point WHERE series = ?1
            ORDER BY time DESC, seq DESC, claimed DESC LIMIT 1) AS last
        WHERE NOT EXISTS (SELECT 1 FROM point AS other WHERE other.series = ?1
            AND (other.time, other.seq, other.time) > (last.time, last.seq, last.claimed)))",
    ..CORRECTED
};

const LATE: Source = Source {
    table: "late_point",
    from: "late_point",
    columns: &["time", "seq", "claimed", "clock", "arrived_at", "kind", "value", "lng", "watermark", "times"],
    key: &["claimed", "seq"],
    put: |row, builder, beside| {
        reading_row(builder, names(beside.series), &when(row)?, value(row, 5)?.as_ref(), 14);
        builder.time(12, Some(time(row, 8)?));
        builder.int(13, Some(row.get(9)?));
        builder.end_row();
        Ok(())
    },
    ..BY_SERIES
};

const SUPERSEDED: Source = Source {
    table: "superseded",
    from: "superseded",
    columns: &["time", "seq", "claimed", "clock", "arrived_at", "kind", "value", "lng", "replaced_at"],
    key: &["claimed", "seq", "no"],
    put: |row, builder, beside| {
        reading_row(builder, names(beside.series), &when(row)?, value(row, 5)?.as_ref(), 13);
        builder.time(12, Some(time(row, 8)?));
        builder.end_row();
        Ok(())
    },
    ..BY_SERIES
};

const WINDOW: Source = Source {
    table: "window_row",
    from: "window_row",
    columns: &[
        "\"window\"",
        "start",
        "\"end\"",
        "count",
        "sum",
        "min",
        "max",
        "stddev",
        "p95",
        "first",
        "last",
        "revised",
    ],
    key: &["\"window\"", "start"],
    time: Some("start"),
    put: |row, builder, beside| {
        let mut floats = [0.0; 7];
        for (column, cell) in (4..).zip(&mut floats) {
            *cell = float(row, column)?;
        }
        let cells = WindowCells {
            window: row.get_ref(0)?.as_str()?,
            start: time(row, 1)?,
            end: time(row, 2)?,
            count: count(row, 3)?,
            floats,
            revised: row.get(11)?,
        };
        window_row(builder, names(beside.series), &cells);
        Ok(())
    },
    ..BY_SERIES
};

/// Stands for [`super::super::naming::Naming::series_count`], at the place of the table's column.
pub(super) const SERIES_COUNT: &str = "series_count";

const DEVICE: Source = Source {
    of: Of::Tenant,
    from: "device LEFT JOIN clock ON clock.tenant = device.tenant AND clock.device = device.id",
    columns: &["id", "created_at", "last_seen", SERIES_COUNT, "skew_nanos", "suspect", "device.no"],
    key: &["id"],
    tenant: "device.tenant",
    time: None,
    device: Some("id"),
    put: |row, builder, beside| {
        let clock = row.get::<_, Option<i64>>(4)?.zip(row.get(5)?);
        let (known, since) = (time(row, 2)?, beside.heard.get(&row.get(6)?));
        let times = (time(row, 1)?, since.map_or(known, |&since| since.max(known)));
        device_row(builder, row.get_ref(0)?.as_str()?, times, count(row, 3)?, clock);
        Ok(())
    },
    ..BY_SERIES
};

const LETTER: Source = Source {
    of: Of::Tenant,
    from: "dead_message JOIN dead_letter ON message = dead_message.no",
    columns: &[
        "topic_no",
        "lane",
        "partition",
        "\"offset\"",
        "device",
        "topic",
        "stage",
        "reason",
        "reading",
        "partly_stored",
        "attempts",
        "arrived_at",
        "last_at",
        "record",
    ],
    key: &["arrived_at", "dead_message.no", "dead_letter.seq"],
    tenant: "tenant",
    time: Some("arrived_at"),
    device: Some("device"),
    put: |row, builder, _| {
        dead_row(
            builder,
            &Dead {
                source: source_of(row.get(0)?, row.get(1)?, row.get(2)?),
                offset: count(row, 3)?,
                device: row.get_ref(4)?.as_str()?,
                topic: row.get_ref(5)?.as_str()?,
                stage: row.get_ref(6)?.as_str()?,
                reason: row.get_ref(7)?.as_str()?,
                reading: row.get(8)?,
                partly_stored: row.get(9)?,
                attempts: row.get(10)?,
                arrived_at: time(row, 11)?,
                last_at: time(row, 12)?,
                record: row.get_ref(13)?.as_blob()?,
            },
        );
        Ok(())
    },
    ..BY_SERIES
};

const ACCOUNT: Source = Source {
    of: Of::Tenant,
    from: "account",
    columns: &[
        "topic",
        "minute",
        "records",
        "accepted",
        "stored",
        "duplicate",
        "corrected",
        "dead",
        "late",
        "shed",
    ],
    key: &["topic", "minute"],
    tenant: "tenant",
    time: Some("minute"),
    put: |row, builder, _| {
        let amounts = Amounts {
            records: row.get(2)?,
            accepted: row.get(3)?,
            stored: row.get(4)?,
            duplicate: row.get(5)?,
            corrected: row.get(6)?,
            dead: row.get(7)?,
            late: row.get(8)?,
            shed: row.get(9)?,
        };
        account_row(builder, row.get_ref(0)?.as_str()?, time(row, 1)?, &amounts);
        Ok(())
    },
    ..BY_SERIES
};

fn names(series: Option<&Series>) -> Names<'_> {
    let series = series.expect("a source that goes by series has one");
    Names { device: &series.device, metric: &series.metric }
}
