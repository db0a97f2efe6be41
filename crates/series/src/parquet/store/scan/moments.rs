//! Wide tables of any metrics, for who knows by something else than their names which belong together.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::filled;
use super::pieces::Pieces;
use super::wide::OfWide;
use crate::Result;
use crate::parquet::store::moment::Moment;
use crate::scan::{Batches, Builder, Moments, Scan, SeriesMark, Shape, Wide, lets};

/// Tables of any metrics have no name of their own.
const NAMELESS: &str = "";

impl Moments for Moment {
    fn shape(&self, metrics: &BTreeSet<String>) -> Result<Shape> {
        Ok(self.nameless(Some(metrics)).shape)
    }

    fn rows(self: Arc<Self>, mut scan: Scan) -> Result<Batches> {
        // Which metrics are members is settled here; a wide row is not of one of them.
        let wanted = scan.metrics.take();
        let wide = self.nameless(wanted.as_ref());
        let groups = self.groups.iter().map(|group| {
            let metrics = group.metrics.iter().filter(|metric| lets(wanted.as_ref(), &metric.name));
            (group.clone(), OfWide::members(&wide, metrics))
        });
        let table = |builder: &Builder| OfWide::new(wide.clone(), builder);
        Ok(filled(Pieces::new(Arc::clone(&self), scan, &wide.shape, groups, table)?))
    }

    fn series(&self, since: SeriesMark, visit: &mut dyn FnMut(&str, &str)) -> Result<()> {
        let (tenant, after) = (self.books.tenant(), since.series.cast_signed());
        self.books.ask("reading which series there are", |connection| {
            // In the order they came and not device by device: so those before the mark are not looked at.
            let mut statement = connection.prepare_cached(
                "SELECT device.id, metric.name FROM device_series CROSS JOIN device ON device.no = device_series.device
                 CROSS JOIN json_each(metrics) AS member CROSS JOIN metric ON metric.no = member.value
                 WHERE device_series.no > ?1 AND device.tenant = ?2 ORDER BY device_series.no",
            )?;
            let mut rows = statement.query((after, tenant))?;
            while let Some(row) = rows.next()? {
                visit(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            }
            Ok(())
        })
    }

    fn metrics_of(&self, device: &str) -> Result<Vec<String>> {
        self.books.ask("reading the metrics of a device", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT metric FROM device JOIN series ON series.device = device.no WHERE tenant = ?1 AND id = ?2",
            )?;
            statement.query_map((self.books.tenant(), device), |row| row.get(0))?.collect()
        })
    }

    fn mark(&self) -> Result<SeriesMark> {
        self.books.ask("looking for new series", |connection| {
            connection
                .prepare_cached(
                    "SELECT coalesce((SELECT no FROM removal WHERE device IS NOT NULL ORDER BY no DESC LIMIT 1), 0),
                            coalesce((SELECT max(no) FROM device_series), 0)",
                )?
                .query_row([], |row| {
                    let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
                    Ok(SeriesMark { erasure: number(0)?, series: number(1)? })
                })
        })
    }
}

impl Moment {
    /// The table of the metrics that are wanted, or of all; without any, one of no fields.
    fn nameless(&self, wanted: Option<&BTreeSet<String>>) -> Wide {
        let metrics = self.names().filter(|metric| lets(wanted, &metric.name));
        Wide::of(NAMELESS, metrics.map(|metric| (metric.name.as_str(), metric.kinds)))
            .unwrap_or_else(|| Wide::without_fields(NAMELESS))
    }
}
