//! From sorted rows to a file and its sidecar.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::EnabledStatistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::chunk::{self, Chunk, How, Settings};
use super::exceptions;
use super::fault::{io_fault, parquet_fault};
use super::leaf::{self, Leaf, Values};
use super::plan::Plan;
use super::schema::{self, Hidden};
use super::sidecar::{Block, EntityRows, Sidecar, Stats, VERSION};
use super::sidecar_path;
use crate::Result;
use crate::parquet::{Entity, Rows};

/// Most rows in a row group.
pub const GROUP_ROWS: usize = 128 << 10;

/// Memory for the rows of a row group, bytes, cells alone.
const GROUP_BYTES: usize = 48 << 20;

/// Rows in a row group of a file with these columns: [`GROUP_ROWS`], fewer when it has very many.
#[must_use]
pub fn group_rows(plan: &Plan) -> usize {
    (GROUP_BYTES / (9 * plan.columns.len() + 41)).clamp(8 << 10, GROUP_ROWS)
}

/// About what a row takes in a file, bytes, before anything is known of its values.
pub(crate) fn row_bytes(plan: &Plan) -> u64 {
    plan.columns.len() as u64 + 8
}

/// What a file became.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its sidecar.
    pub sidecar: Sidecar,
    /// Its size and its sidecar's, bytes.
    pub size_bytes: u64,
}

/// Writes one run. Takes rows in rising order of their keys.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: SerializedFileWriter<BufWriter<File>>,
    schema: SchemaDescriptor,
    settings: Settings,
    /// Rows of a row group that is not full yet.
    pending: Rows,
    sidecar: Sidecar,
}

impl Writer {
    /// Creates the file. One that was there is written over: nobody knew it, or its name would not be used again.
    ///
    /// # Errors
    /// [`crate::Error::Full`] and [`crate::Error::Database`] when the disk refuses.
    pub fn create(path: &Path, plan: Plan) -> Result<Self> {
        let failed = |error| parquet_fault("creating", path, error);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| io_fault("creating", path, &error))?;
        let root = schema::of(&plan).map_err(failed)?;
        let about = vec![
            KeyValue::new("penstock.run".to_owned(), VERSION.to_string()),
            KeyValue::new("penstock.delay_nanos".to_owned(), plan.delay_unit.nanos().to_string()),
        ];
        let properties = chunk::properties(How::Plain, EnabledStatistics::None).map_err(failed)?;
        let properties = Arc::new(properties.set_key_value_metadata(Some(about)).build());
        let schema = SchemaDescriptor::new(Arc::clone(&root));
        let file = SerializedFileWriter::new(BufWriter::with_capacity(1 << 18, file), root, properties);
        let pending = Rows::new(plan.columns.iter().map(|column| column.no));
        let stats = vec![Stats::default(); plan.columns.len()];
        let nothing = Block { offset: 0, length: 0, checksum: 0 };
        let sidecar = Sidecar {
            plan,
            rows: 0,
            readings: 0,
            exceptions: 0,
            stats,
            entities: Vec::new(),
            file_bytes: 0,
            footer: nothing,
            pages: Vec::new(),
        };
        let settings = Settings::new().map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: file.map_err(failed)?, schema, settings, pending, sidecar })
    }

    /// Adds rows. They have the plan's metrics, or more, whose values are then not written.
    ///
    /// # Errors
    /// As [`Writer::create`]. The file is then good for nothing.
    pub fn write(&mut self, rows: &Rows, range: Range<usize>) -> Result<()> {
        let mut range = range;
        let group_rows = group_rows(&self.sidecar.plan);
        while !range.is_empty() {
            if self.pending.is_empty() && range.len() >= group_rows {
                self.write_group(rows, range.start..range.start + group_rows)?;
                range.start += group_rows;
                continue;
            }
            let some = range.len().min(group_rows - self.pending.len());
            self.keep(rows, range.start..range.start + some);
            range.start += some;
            if self.pending.len() == group_rows {
                self.write_pending()?;
            }
        }
        Ok(())
    }

    /// About the size of what was written so far: a row group that is not full yet is estimated.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.file.bytes_written() as u64 + self.pending.len() as u64 * row_bytes(&self.sidecar.plan)
    }

    fn keep(&mut self, rows: &Rows, range: Range<usize>) {
        self.pending.extend_keys(rows, range.clone());
        let kept = self.pending.len();
        for column in &mut self.pending.columns {
            match rows.cells(column.no) {
                Some(cells) => column.cells.extend_from(cells, range.clone()),
                None => column.cells.resize(kept),
            }
        }
    }

    fn write_pending(&mut self) -> Result<()> {
        let mut rows = std::mem::take(&mut self.pending);
        let outcome = self.write_group(&rows, 0..rows.len());
        rows.clear();
        self.pending = rows;
        outcome
    }

    fn write_group(&mut self, rows: &Rows, range: Range<usize>) -> Result<()> {
        let mut strange = exceptions::Collector::new(range.len());
        let mut metrics = Vec::new();
        for (column, stats) in self.sidecar.plan.columns.iter().zip(&mut self.sidecar.stats) {
            let Some(cells) = rows.cells(column.no) else {
                metrics.push(leaf::leaves(
                    &empty(range.len()),
                    0..range.len(),
                    column.kind,
                    stats,
                    &mut |_| {},
                ));
                continue;
            };
            let mut exception = |row: usize| strange.add(row, column.no, cells.get(range.start + row));
            metrics.push(leaf::leaves(cells, range.clone(), column.kind, stats, &mut exception));
            let present = cells.kinds()[range.clone()].iter().filter(|&&kind| kind != 0);
            self.sidecar.readings += present.count() as u64;
        }
        self.note_entities(rows, range.clone());
        let failed = |error| parquet_fault("writing", &self.path, error);
        let mut offset = self.file.bytes_written() as u64;
        let mut group = self.file.next_row_group().map_err(failed)?;
        let mut columns = self.schema.columns().iter();
        let mut append = |leaf: &Leaf, key: bool| {
            let column = columns.next().expect("the schema has a column for each leaf");
            let encode = if key { chunk::encode_key } else { chunk::encode };
            let chunk = encode(leaf, column, &self.settings)?;
            note_pages(&mut self.sidecar.pages, &chunk, offset);
            offset += chunk.bytes.len() as u64;
            group.append_column(&chunk.bytes, chunk.close)
        };
        self.sidecar.exceptions += strange.len() as u64;
        let mut strange = Some(strange);
        for column in schema::hidden(&self.sidecar.plan) {
            let leaf = match column {
                Hidden::Exceptions => strange.take().expect("there is one such column").into_leaf(),
                other => key_leaf(other, rows, range.clone(), &self.sidecar.plan),
            };
            append(&leaf, true).map_err(failed)?;
        }
        for leaf in metrics.iter().flatten() {
            append(leaf, false).map_err(failed)?;
        }
        group.close().map(|_| ()).map_err(failed)
    }

    /// Takes down where entities begin and end.
    fn note_entities(&mut self, rows: &Rows, range: Range<usize>) {
        for row in range {
            let (claimed, shift) = (rows.claimed[row], rows.time[row].saturating_sub(rows.claimed[row]));
            match self.sidecar.entities.last_mut() {
                Some(last) if last.entity.0 == rows.entity[row] => {
                    debug_assert!(last.last <= claimed, "rows come sorted");
                    last.last = claimed;
                    last.earliest_shift = last.earliest_shift.min(shift);
                    last.latest_shift = last.latest_shift.max(shift);
                }
                _ => self.sidecar.entities.push(EntityRows {
                    entity: Entity(rows.entity[row]),
                    first_row: self.sidecar.rows,
                    first: claimed,
                    last: claimed,
                    earliest_shift: shift.min(0),
                    latest_shift: shift.max(0),
                }),
            }
            self.sidecar.rows += 1;
        }
    }

    /// Ends the file, writes the sidecar and makes both durable. The directory's entry is still to be.
    ///
    /// # Errors
    /// As [`Writer::create`]. What is there of the files is then good for nothing.
    pub fn finish(mut self) -> Result<Written> {
        if !self.pending.is_empty() {
            self.write_pending()?;
        }
        let pages_end = self.sidecar.pages.last().map_or(4, |page| page.offset + u64::from(page.length));
        let failed = |error| parquet_fault("ending", &self.path, error);
        let broken = |error: std::io::Error| io_fault("ending", &self.path, &error);
        let file = self.file.into_inner().map_err(failed)?;
        let file = file.into_inner().map_err(|error| broken(error.into_error()))?;
        let file_bytes = file.metadata().map_err(broken)?.len();
        let mut footer = vec![0; (file_bytes - pages_end) as usize];
        file.read_exact_at(&mut footer, pages_end).map_err(broken)?;
        file.sync_all().map_err(broken)?;
        self.sidecar.file_bytes = file_bytes;
        self.sidecar.footer =
            Block { offset: pages_end, length: footer.len() as u32, checksum: crc32c::crc32c(&footer) };
        let sidecar_bytes = write_sidecar(&sidecar_path(&self.path), &self.sidecar)?;
        Ok(Written { sidecar: self.sidecar, size_bytes: file_bytes + sidecar_bytes })
    }
}

fn write_sidecar(path: &Path, sidecar: &Sidecar) -> Result<u64> {
    let broken = |error: std::io::Error| io_fault("writing", path, &error);
    let bytes = sidecar.encode().map_err(broken)?;
    let mut file = File::create(path).map_err(broken)?;
    file.write_all(&bytes).map_err(broken)?;
    file.sync_all().map_err(broken)?;
    Ok(bytes.len() as u64)
}

fn empty(rows: usize) -> crate::parquet::Cells {
    let mut cells = crate::parquet::Cells::default();
    cells.resize(rows);
    cells
}

/// Takes down a chunk's pages, which go to `offset` in the file.
fn note_pages(pages: &mut Vec<Block>, chunk: &Chunk, offset: u64) {
    let index =
        chunk.close.offset_index.as_ref().expect("an offset index is written unless it is turned off");
    let mut start = 0;
    let mut note = |length: usize| {
        let bytes = &chunk.bytes[start..start + length];
        let (offset, checksum) = (offset + start as u64, crc32c::crc32c(bytes));
        pages.push(Block { offset, length: length as u32, checksum });
        start += length;
    };
    // A dictionary stands before the first page.
    match index.page_locations.first() {
        Some(first) if first.offset > 0 => note(first.offset as usize),
        _ => {}
    }
    for page in &index.page_locations {
        note(page.compressed_page_size as usize);
    }
}

fn key_leaf(column: Hidden, rows: &Rows, range: Range<usize>, plan: &Plan) -> Leaf {
    let unit = plan.time_unit.nanos();
    let values = match column {
        Hidden::Group => {
            Values::Int32(rows.entity[range].iter().map(|&entity| (entity >> 32) as i32).collect())
        }
        Hidden::Device => Values::Int32(rows.entity[range].iter().map(|&entity| entity as i32).collect()),
        Hidden::Time => Values::Int64(rows.time[range].iter().map(|&time| time / unit).collect()),
        Hidden::Shift => return shift_leaf(rows, range, unit),
        Hidden::Seq => Values::Int64(rows.seq[range].iter().map(|&seq| seq.cast_signed()).collect()),
        Hidden::Delay => {
            let unit = plan.delay_unit.nanos();
            let times = rows.arrived_at[range.clone()].iter().zip(&rows.time[range]);
            Values::Int64(times.map(|(at, &time)| at.wrapping_sub(time) / unit).collect())
        }
        Hidden::Origin => Values::Int32(rows.origin[range].iter().map(|&origin| i32::from(origin)).collect()),
        Hidden::Exceptions => Values::Bytes(Vec::<ByteArray>::new()),
    };
    Leaf { levels: Vec::new(), values }
}

/// Claimed time less event time, where they differ.
fn shift_leaf(rows: &Rows, range: Range<usize>, unit: i64) -> Leaf {
    let times = rows.claimed[range.clone()].iter().zip(&rows.time[range]);
    let shifts = times.map(|(claimed, &time)| claimed.wrapping_sub(time));
    let levels = shifts.clone().map(|shift| i16::from(shift != 0)).collect();
    let values = shifts.filter(|&shift| shift != 0).map(|shift| shift / unit).collect();
    Leaf { levels, values: Values::Int64(values) }
}
