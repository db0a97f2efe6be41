//! What kinds of value metrics have had, of a store that an older version wrote: it is seen in its files and blocks.

use std::collections::BTreeMap;

use record::ValueKind;

use super::Parquet;
use crate::Result;
use crate::parquet::ColumnNo;
use crate::parquet::run::{Kind, Number};
use crate::scan::Kinds;
use crate::sqlite::fault;

impl Parquet {
    /// Looks for what is not known. A single text among numbers is not seen, nor found by its kind; it is when the next one comes.
    pub(super) fn adopt_kinds(&self) -> Result<()> {
        let unknown = self.visible.read().metrics.of_unknown_kinds();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut found: BTreeMap<ColumnNo, Kinds> =
            unknown.iter().map(|of| (of.no, Kinds::default())).collect();
        let (runs, buffers) = {
            let visible = self.visible.read();
            (visible.runs.clone(), visible.buffers.clone())
        };
        for entry in runs.iter().filter(|run| unknown.iter().any(|of| of.table == run.facts.table)) {
            for column in &self.cache.open(entry)?.sidecar().plan.columns {
                if let Some(kinds) = found.get_mut(&column.no) {
                    *kinds = kinds.with(Kinds::of(kind(column.kind)));
                }
            }
        }
        for metric in &unknown {
            let Some(buffer) = buffers.get(&metric.table) else { continue };
            buffer.read().visit_kinds(metric.no, |kind| {
                let kinds = found.entry(metric.no).or_default();
                *kinds = kinds.with(Kinds::of(kind));
            });
        }
        let failed = |error| fault("looking for kinds of values", &self.manifest, error);
        let writer = self.writer.lock();
        let transaction = writer.connection.unchecked_transaction().map_err(failed)?;
        let metrics = &mut self.visible.write().metrics;
        for (no, kinds) in found {
            metrics.add_kinds(&transaction, no, kinds).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}

fn kind(kind: Kind) -> ValueKind {
    match kind {
        Kind::Number(Number::Int32 | Number::Int64) => ValueKind::Int,
        Kind::Number(_) => ValueKind::Float,
        Kind::Bool => ValueKind::Bool,
        Kind::Text => ValueKind::Text,
        Kind::Place(..) => ValueKind::Location,
    }
}
