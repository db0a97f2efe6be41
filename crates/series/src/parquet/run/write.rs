//! From sorted rows to a file and its sidecar.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::EnabledStatistics;
use parquet::file::writer::SerializedFileWriter;

use super::chunk::{self, Chunk, Encoder, How};
use super::exceptions;
use super::fault::{io_fault, parquet_fault};
use super::leaf::{self, Leaf, Values};
use super::plan::Plan;
use super::schema::{self, Hidden, Spared};
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
    /// The file until its columns are known, and then what writes it.
    empty: Option<File>,
    file: Option<SerializedFileWriter<BufWriter<File>>>,
    encoder: Option<Encoder>,
    /// Fewest rows in a page.
    page_rows: usize,
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
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| io_fault("creating", path, &error))?;
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
            spared: Spared::default(),
            file_bytes: 0,
            footer: nothing,
            pages: Vec::new(),
        };
        let (path, page_rows) = (path.to_owned(), chunk::PAGE_ROWS);
        Ok(Self { path, empty: Some(file), file: None, encoder: None, page_rows, pending, sidecar })
    }

    /// With small pages, for a file that is looked into again and again for a few rows until it is merged: less is unpacked
    /// for them, and the file is some percent larger.
    #[must_use]
    pub fn with_small_pages(self) -> Self {
        Self { page_rows: chunk::SMALL_PAGE_ROWS, ..self }
    }

    /// Begins the file, unless it is begun.
    fn begin(&mut self, spared: Spared) -> Result<()> {
        let Some(file) = self.empty.take() else { return Ok(()) };
        self.sidecar.spared = spared;
        let begun = begin(file, &self.sidecar.plan, spared);
        self.file = Some(begun.map_err(|error| parquet_fault("creating", &self.path, error))?);
        Ok(())
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
                self.write_group(rows, range.start..range.start + group_rows, false)?;
                range.start += group_rows;
                continue;
            }
            let some = range.len().min(group_rows - self.pending.len());
            self.keep(rows, range.start..range.start + some);
            range.start += some;
            if self.pending.len() == group_rows {
                self.write_pending(false)?;
            }
        }
        Ok(())
    }

    /// About the size of what was written so far: a row group that is not full yet is estimated.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.bytes_written() as u64)
            + self.pending.len() as u64 * row_bytes(&self.sidecar.plan)
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

    fn write_pending(&mut self, last: bool) -> Result<()> {
        let mut rows = std::mem::take(&mut self.pending);
        let outcome = self.write_group(&rows, 0..rows.len(), last);
        rows.clear();
        self.pending = rows;
        outcome
    }

    fn write_group(&mut self, rows: &Rows, range: Range<usize>, last: bool) -> Result<()> {
        let (metrics, strange) = self.leaves(rows, range.clone());
        let only = last && self.empty.is_some();
        let mut times = rows.time[range.clone()].iter().zip(&rows.arrived_at[range.clone()]);
        let delay = only && times.all(|(time, arrived)| time == arrived);
        self.begin(Spared { delay, exceptions: only && strange.len() == 0 })?;
        self.note_entities(rows, range.clone());
        self.sidecar.exceptions += strange.len() as u64;
        let mut strange = Some(strange);
        let mut leaves = Vec::new();
        for column in schema::hidden(&self.sidecar.plan, self.sidecar.spared) {
            leaves.push(match column {
                Hidden::Exceptions => strange.take().expect("there is one such column").into_leaf(),
                other => key_leaf(other, rows, range.clone(), &self.sidecar.plan),
            });
        }
        let keys = leaves.len();
        leaves.extend(metrics.into_iter().flatten());
        self.write_leaves(&leaves, keys, range.len(), only)
            .map_err(|error| parquet_fault("writing", &self.path, error))
    }

    /// The metrics' columns, and what does not fit into them.
    fn leaves(&mut self, rows: &Rows, range: Range<usize>) -> (Vec<Vec<Leaf>>, exceptions::Collector) {
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
        (metrics, strange)
    }

    /// Writes a row group: first so many columns of keys.
    fn write_leaves(
        &mut self,
        leaves: &[Leaf],
        keys: usize,
        rows: usize,
        only: bool,
    ) -> parquet::errors::Result<()> {
        let file = self.file.as_mut().ok_or_else(|| ParquetError::General("it was not begun".to_owned()))?;
        let encoder = match &mut self.encoder {
            Some(encoder) if encoder.is_for(rows, leaves.len() - keys) => encoder,
            other => other.insert(Encoder::new(rows, leaves.len() - keys, self.page_rows)?),
        };
        let columns = file.schema_descr().columns().to_vec();
        let encoded = leaves.iter().zip(&columns).enumerate().map(|(at, (leaf, column))| {
            if at < keys { encoder.encode_key(leaf, column) } else { encoder.encode(leaf, column) }
        });
        let mut chunks = encoded.collect::<parquet::errors::Result<Vec<_>>>()?;
        let mut offset = file.bytes_written() as u64;
        for chunk in &chunks {
            note_pages(&mut self.sidecar.pages, chunk, offset);
            offset += chunk.bytes.len() as u64;
        }
        // Indexes of one page each would say what the footer says.
        if only && chunks.iter().all(Chunk::is_one_page) {
            chunks.iter_mut().for_each(Chunk::without_index);
        }
        let mut group = file.next_row_group()?;
        for chunk in chunks {
            group.append_column(&chunk.bytes, chunk.close)?;
        }
        group.close().map(|_| ())
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
            self.write_pending(true)?;
        }
        self.begin(Spared::default())?;
        let pages_end = self.sidecar.pages.last().map_or(4, |page| page.offset + u64::from(page.length));
        let failed = |error| parquet_fault("ending", &self.path, error);
        let broken = |error: std::io::Error| io_fault("ending", &self.path, &error);
        let file = self.file.ok_or_else(|| failed(ParquetError::General("it was not begun".to_owned())))?;
        let file = file.into_inner().map_err(failed)?;
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

fn begin(
    file: File,
    plan: &Plan,
    spared: Spared,
) -> parquet::errors::Result<SerializedFileWriter<BufWriter<File>>> {
    let mut about = vec![KeyValue::new("penstock.run".to_owned(), VERSION.to_string())];
    if !spared.delay {
        let nanos = plan.delay_unit.nanos().to_string();
        about.push(KeyValue::new("penstock.delay_nanos".to_owned(), nanos));
    }
    let properties = chunk::properties(How::Plain, EnabledStatistics::None, chunk::PAGE_ROWS);
    let properties = Arc::new(properties.set_key_value_metadata(Some(about)).build());
    SerializedFileWriter::new(BufWriter::with_capacity(1 << 18, file), schema::of(plan, spared)?, properties)
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
