//! What columns there are: a metric's readings have one, what is derived of them (the results of a kind of window, the list of
//! late ones) some others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::late;
use super::windows::STATISTICS;
use crate::parquet::ColumnNo;
use crate::scan::Kinds;

/// Most columns of a table: a file's footer names each of them, and a reader of one looks at all of them.
pub(super) const TABLE_COLUMNS: u32 = 256;

/// A metric of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) no: ColumnNo,
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) table: u32,
    pub(super) group: u32,
    /// The kinds of value it has had.
    pub(super) kinds: Kinds,
}

/// What one kind of window has of a metric of a tenant, or the list of late readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Derived {
    /// Not a column's number: [`Derived::column`].
    no: u32,
    pub(super) tenant: String,
    /// The window as people write it (`1m`), or [`LATE`].
    pub(super) kind: Arc<str>,
    pub(super) metric: String,
    pub(super) table: u32,
    pub(super) group: u32,
}

/// The kind that is no window.
pub(super) const LATE: &str = "late";

/// Columns of what is derived are numbered from here.
const FIRST_DERIVED: u32 = 1 << 31;
/// So many numbers each kind has for a metric.
const NUMBERS: u32 = 16;

impl Derived {
    /// Its column for a [`super::windows::Statistic`] or a [`late::Part`].
    pub(super) fn column(&self, of: impl Into<u32>) -> ColumnNo {
        ColumnNo(FIRST_DERIVED + self.no * NUMBERS + of.into())
    }

    /// All its columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = ColumnNo> {
        (0..Holds::of_kind(&self.kind).width()).map(|of| self.column(of))
    }
}

/// Columns whose rows go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    table: u32,
    group: u32,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Readings,
    Windows,
    Late,
}

impl Holds {
    fn of_kind(kind: &str) -> Self {
        if kind == LATE { Self::Late } else { Self::Windows }
    }

    /// How many columns a metric has.
    const fn width(self) -> u32 {
        match self {
            Self::Readings => 1,
            Self::Windows => STATISTICS.len() as u32,
            Self::Late => late::PARTS.len() as u32,
        }
    }
}

/// A table: its tenant, what it holds, and how many columns it has.
#[derive(Clone, Debug)]
struct Table {
    tenant: String,
    holds: Holds,
    columns: u32,
}

/// All of them, in memory: their number is bounded by the tenants' budgets and does not grow with the fleet.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    by_name: HashMap<String, HashMap<String, ColumnNo>>,
    by_no: HashMap<ColumnNo, Arc<Metric>>,
    /// By tenant, table and group: what a device may have rows of.
    by_group: HashMap<String, BTreeMap<(u32, u32), Vec<ColumnNo>>>,
    derived: HashMap<String, HashMap<Arc<str>, Kind>>,
    derived_by_no: HashMap<u32, Arc<Derived>>,
    tables: Vec<Option<Table>>,
    groups: u32,
}

/// A kind of window of a tenant, or the list of late readings.
#[derive(Debug, Default)]
struct Kind {
    metrics: HashMap<String, Arc<Derived>>,
    /// Where those of metrics go whose readings come together: they have the same times. By the readings' group.
    places: HashMap<Option<u32>, Place>,
}

impl Metrics {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut metrics = Self::default();
        let mut statement =
            connection.prepare("SELECT no, tenant, name, tbl, grp, kinds FROM metric ORDER BY no")?;
        let rows = statement.query_map([], |row| {
            let no = ColumnNo(row.get(0)?);
            Ok(Metric {
                no,
                tenant: row.get(1)?,
                name: row.get(2)?,
                table: row.get(3)?,
                group: row.get(4)?,
                kinds: Kinds(row.get(5)?),
            })
        })?;
        for metric in rows {
            metrics.keep(metric?);
        }
        let mut statement = connection
            .prepare("SELECT no, tenant, kind, metric, tbl, grp FROM derived_metric ORDER BY no")?;
        let rows = statement.query_map([], |row| {
            let kind: String = row.get(2)?;
            Ok(Derived {
                no: row.get(0)?,
                tenant: row.get(1)?,
                kind: kind.into(),
                metric: row.get(3)?,
                table: row.get(4)?,
                group: row.get(5)?,
            })
        })?;
        for derived in rows {
            metrics.keep_derived(derived?);
        }
        Ok(metrics)
    }

    fn keep(&mut self, metric: Metric) {
        self.grow(&metric.tenant, Holds::Readings, Place { table: metric.table, group: metric.group });
        self.by_name.entry(metric.tenant.clone()).or_default().insert(metric.name.clone(), metric.no);
        let groups = self.by_group.entry(metric.tenant.clone()).or_default();
        groups.entry((metric.table, metric.group)).or_default().push(metric.no);
        self.by_no.insert(metric.no, Arc::new(metric));
    }

    fn keep_derived(&mut self, derived: Derived) -> Arc<Derived> {
        let place = Place { table: derived.table, group: derived.group };
        self.grow(&derived.tenant, Holds::of_kind(&derived.kind), place);
        let readings = self.find(&derived.tenant, &derived.metric).map(|readings| readings.group);
        let derived = Arc::new(derived);
        let kinds = self.derived.entry(derived.tenant.clone()).or_default();
        let kind = kinds.entry(Arc::clone(&derived.kind)).or_default();
        kind.places.insert(readings, place);
        kind.metrics.insert(derived.metric.clone(), Arc::clone(&derived));
        self.derived_by_no.insert(derived.no, Arc::clone(&derived));
        derived
    }

    /// A table has more columns.
    fn grow(&mut self, tenant: &str, holds: Holds, place: Place) {
        let at = place.table as usize;
        if self.tables.len() <= at {
            self.tables.resize(at + 1, None);
        }
        let table = self.tables[at].get_or_insert(Table { tenant: tenant.to_owned(), holds, columns: 0 });
        table.columns += holds.width();
        self.groups = self.groups.max(place.group + 1);
    }

    pub(super) fn find(&self, tenant: &str, name: &str) -> Option<&Arc<Metric>> {
        self.by_no.get(self.by_name.get(tenant)?.get(name)?)
    }

    pub(super) fn get(&self, no: ColumnNo) -> Option<&Arc<Metric>> {
        self.by_no.get(&no)
    }

    pub(super) fn find_derived(&self, tenant: &str, kind: &str, metric: &str) -> Option<&Arc<Derived>> {
        self.derived.get(tenant)?.get(kind)?.metrics.get(metric)
    }

    /// The table that a column belongs to.
    pub(super) fn table(&self, no: ColumnNo) -> Option<u32> {
        match self.derived_of(no) {
            Some((derived, _)) => Some(derived.table),
            None => self.get(no).map(|metric| metric.table),
        }
    }

    /// Whose rows a table has.
    pub(super) fn tenant_of(&self, table: u32) -> Option<&str> {
        self.tables.get(table as usize)?.as_ref().map(|table| table.tenant.as_str())
    }

    /// What a column is called in a file: `temperature`, `temperature.1m.max`, `temperature.late.watermark`.
    pub(super) fn column_name(&self, no: ColumnNo) -> String {
        match self.derived_of(no) {
            Some((Derived { metric, kind, .. }, of)) => match Holds::of_kind(kind) {
                Holds::Late => format!("{metric}.{kind}.{}", late::PARTS[of].name()),
                _ => format!("{metric}.{kind}.{}", STATISTICS[of].name()),
            },
            None => self.get(no).map_or_else(String::new, |metric| metric.name.clone()),
        }
    }

    /// What is derived, and which of its columns.
    fn derived_of(&self, no: ColumnNo) -> Option<(&Derived, usize)> {
        let no = no.0.checked_sub(FIRST_DERIVED)?;
        let derived = self.derived_by_no.get(&(no / NUMBERS))?;
        let of = no % NUMBERS;
        (of < Holds::of_kind(&derived.kind).width()).then_some((derived, of as usize))
    }

    /// Table, group and metrics of each group of a tenant.
    pub(super) fn groups(&self, tenant: &str) -> impl Iterator<Item = ((u32, u32), &[ColumnNo])> {
        let groups = self.by_group.get(tenant).into_iter().flatten();
        groups.map(|(&place, columns)| (place, columns.as_slice()))
    }

    /// Table and group of the windows of a tenant or of its late readings, with what stands there by number.
    pub(super) fn derived_groups(
        &self,
        tenant: &str,
        holds: Holds,
    ) -> BTreeMap<(u32, u32), Vec<Arc<Derived>>> {
        let kinds = self.derived.get(tenant).into_iter().flatten();
        let kinds = kinds.filter(|(kind, _)| Holds::of_kind(kind) == holds).map(|(_, kind)| kind);
        let mut groups: BTreeMap<(u32, u32), Vec<Arc<Derived>>> = BTreeMap::new();
        for derived in kinds.flat_map(|kind| kind.metrics.values()) {
            groups.entry((derived.table, derived.group)).or_default().push(Arc::clone(derived));
        }
        groups.values_mut().for_each(|derived| derived.sort_unstable_by_key(|derived| derived.no));
        groups
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = &str> {
        self.by_group.keys().map(String::as_str)
    }

    /// Adds the metrics of a message that are new. They join the group of a metric that came with them, if one is known;
    /// else they are a new one.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        tenant: &str,
        together: &[&str],
    ) -> rusqlite::Result<()> {
        let company = together.iter().find_map(|name| self.find(tenant, name));
        let mut place = company.map(|metric| Place { table: metric.table, group: metric.group });
        for name in together {
            if self.find(tenant, name).is_some() {
                continue;
            }
            let Place { table, group } = self.with_room(place, tenant, Holds::Readings);
            place = Some(Place { table, group });
            let no = connection
                .prepare_cached("INSERT INTO metric (tenant, name, tbl, grp) VALUES (?, ?, ?, ?)")?
                .insert(params![tenant, name, table, group])?;
            let no = number(no).filter(|&no| no < FIRST_DERIVED);
            let no = ColumnNo(no.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?);
            let (tenant, name, kinds) = (tenant.to_owned(), (*name).to_owned(), Kinds::default());
            self.keep(Metric { no, tenant, name, table, group, kinds });
        }
        Ok(())
    }

    /// A metric has a value of a kind that it never had.
    pub(super) fn add_kinds(
        &mut self,
        connection: &Connection,
        no: ColumnNo,
        kinds: Kinds,
    ) -> rusqlite::Result<()> {
        let Some(metric) = self.by_no.get_mut(&no) else { return Ok(()) };
        let metric = Arc::make_mut(metric);
        metric.kinds = metric.kinds.with(kinds);
        connection
            .prepare_cached("UPDATE metric SET kinds = ?2 WHERE no = ?1")?
            .execute(params![no.0, metric.kinds.0])
            .map(|_| ())
    }

    /// Those of which it is not known what kinds of value they have had.
    pub(super) fn of_unknown_kinds(&self) -> Vec<Arc<Metric>> {
        self.by_no.values().filter(|metric| metric.kinds == Kinds::default()).cloned().collect()
    }

    /// The columns of a kind for a metric, which are made if there are none.
    pub(super) fn add_derived(
        &mut self,
        connection: &Connection,
        tenant: &str,
        kind: &Arc<str>,
        metric: &str,
    ) -> rusqlite::Result<Arc<Derived>> {
        if let Some(known) = self.find_derived(tenant, kind, metric) {
            return Ok(Arc::clone(known));
        }
        let readings = self.find(tenant, metric).map(|readings| readings.group);
        let of_kind = self.derived.get(tenant).and_then(|kinds| kinds.get(kind));
        let place = of_kind.and_then(|kind| kind.places.get(&readings).copied());
        let Place { table, group } = self.with_room(place, tenant, Holds::of_kind(kind));
        let no = connection
            .prepare_cached(
                "INSERT INTO derived_metric (tenant, kind, metric, tbl, grp) VALUES (?, ?, ?, ?, ?)",
            )?
            .insert(params![tenant, kind, metric, table, group])?;
        let no = number(no).filter(|no| no + 1 < FIRST_DERIVED / NUMBERS);
        Ok(self.keep_derived(Derived {
            no: no.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?,
            tenant: tenant.to_owned(),
            kind: Arc::clone(kind),
            metric: metric.to_owned(),
            table,
            group,
        }))
    }

    /// A place with room for more columns: this one, or a new group of a table that has room.
    fn with_room(&self, place: Option<Place>, tenant: &str, holds: Holds) -> Place {
        let columns = holds.width();
        let has_room = |table: &Option<Table>| match table {
            Some(table) => {
                table.tenant == tenant && table.holds == holds && table.columns + columns <= TABLE_COLUMNS
            }
            None => false,
        };
        let room_at = |place: &Place| self.tables.get(place.table as usize).is_some_and(has_room);
        place.filter(room_at).unwrap_or_else(|| {
            // A full table: the rest of the message goes to another, as a group of its own there.
            let table = self.tables.iter().position(has_room).unwrap_or(self.tables.len());
            Place { table: table as u32, group: self.groups }
        })
    }
}

fn number(no: i64) -> Option<u32> {
    u32::try_from(no).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::store::manifest;
    use crate::parquet::store::windows::Statistic;

    #[test]
    fn windows_stand_by_kind_where_their_readings_come_together_and_never_among_readings() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, _) = manifest::open(dir.path()).unwrap();
        let mut metrics = Metrics::default();
        metrics.add(&connection, "a", &["x", "y"]).unwrap();
        metrics.add(&connection, "a", &["z"]).unwrap();
        metrics.add(&connection, "b", &["x"]).unwrap();
        let mut add = |tenant: &str, window: &str, metric: &str| {
            metrics.add_derived(&connection, tenant, &window.into(), metric).unwrap()
        };
        let (x, y, z) = (add("a", "1m", "x"), add("a", "1m", "y"), add("a", "1m", "z"));
        let (longer, other) = (add("a", "5m", "x"), add("b", "1m", "x"));
        assert_eq!((x.table, x.group), (y.table, y.group));
        let places = [&x, &z, &longer, &other].map(|of| (of.table, of.group));
        assert_eq!(places.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{places:?}");
        assert_ne!(x.table, other.table);
        assert!(places.iter().all(|(table, _)| metrics.find("a", "x").unwrap().table != *table));
        assert_eq!(metrics.column_name(y.column(Statistic::P95)), "y.1m.p95");
        assert_eq!(metrics.table(longer.column(Statistic::Revised)), Some(longer.table));
        let again = Metrics::load(&connection).unwrap();
        assert_eq!(again.derived_groups("a", Holds::Windows), metrics.derived_groups("a", Holds::Windows));
        assert_eq!(again.find_derived("a", "1m", "y"), Some(&y));
        // 28 metrics of 9 columns fill a table.
        let names: Vec<String> = (0..40).map(|no| format!("m{no}")).collect();
        let together: Vec<&str> = names.iter().map(String::as_str).collect();
        metrics.add(&connection, "c", &together).unwrap();
        for name in &names {
            metrics.add_derived(&connection, "c", &"1m".into(), name).unwrap();
        }
        let sizes: Vec<usize> = metrics.derived_groups("c", Holds::Windows).values().map(Vec::len).collect();
        assert_eq!(sizes, [28, 12]);
    }
}
