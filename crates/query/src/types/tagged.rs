//! The tags of devices beside what they sent.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, StringBuilder};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use record::{Facts, TenantId};
use registry::Devices;
use series::scan::Batches;
use series::{Error, Result};

use crate::facts::fault as registry_fault;

/// Rows of a wide table with the columns of tags among theirs.
pub(super) struct Tagged {
    pub(super) rows: Batches,
    pub(super) devices: Arc<Devices>,
    pub(super) tenant: TenantId,
    /// Where the rows have their device.
    pub(super) device: usize,
    pub(super) shown: Vec<Column>,
    pub(super) schema: SchemaRef,
}

/// A column that is asked for.
pub(super) enum Column {
    /// One of the rows'.
    Stored(usize),
    /// The tag of this key.
    Tag(String),
}

impl Iterator for Tagged {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        Some(batch.and_then(|batch| self.tagged(&batch)))
    }
}

impl Tagged {
    fn tagged(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let facts = self.facts(batch)?;
        let columns = self.shown.iter().map(|column| match column {
            Column::Stored(at) => Arc::clone(batch.column(*at)),
            Column::Tag(key) => tag(key, &facts),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        RecordBatch::try_new_with_options(schema, columns.collect(), &options).map_err(|error| fault(&error))
    }

    /// The facts of each device, and of how many rows they are: the rows of one follow one another.
    fn facts(&self, batch: &RecordBatch) -> Result<Vec<(Facts, usize)>> {
        let names: Vec<&str> = batch.column(self.device).as_string::<i32>().iter().flatten().collect();
        let of_one = names.chunk_by(|a, b| a == b).map(|rows| {
            let known = self.devices.known(&self.tenant, rows[0]).map_err(|error| registry_fault(&error))?;
            Ok((known.facts(), rows.len()))
        });
        of_one.collect()
    }
}

fn tag(key: &str, facts: &[(Facts, usize)]) -> ArrayRef {
    let mut column = StringBuilder::new();
    for (facts, rows) in facts {
        let text = facts.tags.get(key).map(|text| &**text);
        (0..*rows).for_each(|_| column.append_option(text));
    }
    Arc::new(column.finish())
}

pub(super) fn fault(error: &ArrowError) -> Error {
    let (operation, place, reason) = ("joining devices and tags", "devices".into(), error.to_string());
    Error::Database { operation, place, reason }
}
