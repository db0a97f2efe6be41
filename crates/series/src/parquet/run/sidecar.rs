//! What stands beside a run's Parquet file, so that a question about one device reads only that device's pages.
//!
//! ```text
//! "PSTKSIDE" · version u16 · zero u16 · body bytes u32 (once decompressed) · CRC32C u32 of what follows
//! zstd(body)
//! ```
//!
//! The body is a list of numbers (docs/formats/run.md has them one by one): the size of the Parquet file and the
//! checksum of its footer; the plan; per metric how many values and their sum, smallest and largest; per entity its
//! first row and times; per page its size and checksum.

use std::ops::Range;

use super::kind::{Kind, Number};
use super::plan::{Plan, Planned, Unit};
use super::schema::Spared;
use super::varint::{Bytes, put, put_signed, put_text};
use crate::parquet::{ColumnNo, Entity};

const MAGIC: &[u8; 8] = b"PSTKSIDE";
/// The version of run and sidecar, together. Every earlier one is read.
pub const VERSION: u16 = 2;
const HEAD_BYTES: usize = 20;
/// Most a body may take: some ten million entities. Checked before anything is reserved.
const BODY_BYTES: u32 = 512 << 20;

/// Figures of a metric's values in a file, exceptions left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// How many.
    pub count: u64,
    /// Their sum, as far as they are numbers (or booleans: how many are true). NaN and infinities left out.
    pub sum: f64,
    /// The smallest number; infinity without any.
    pub min: f64,
    /// The largest number; negative infinity without any.
    pub max: f64,
}

impl Default for Stats {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Stats {
    pub(super) fn add_ints(&mut self, values: impl Iterator<Item = i64>) {
        let (mut count, mut sum, mut min, mut max) = (0, 0_i128, i64::MAX, i64::MIN);
        for value in values {
            count += 1;
            sum += i128::from(value);
            min = min.min(value);
            max = max.max(value);
        }
        self.add(count, sum as f64, min as f64, max as f64);
    }

    pub(super) fn add_scaled(&mut self, values: &[i64], power: f64) {
        let (mut sum, mut min, mut max) = (0_i128, i64::MAX, i64::MIN);
        for &value in values {
            sum += i128::from(value);
            min = min.min(value);
            max = max.max(value);
        }
        self.add(values.len() as u64, sum as f64 / power, min as f64 / power, max as f64 / power);
    }

    pub(super) fn add_floats(&mut self, values: impl Iterator<Item = f64>) {
        let (mut count, mut sum, mut min, mut max) = (0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            count += 1;
            if value.is_finite() {
                sum += value;
                min = min.min(value);
                max = max.max(value);
            }
        }
        self.add(count, sum, min, max);
    }

    fn add(&mut self, count: u64, sum: f64, min: f64, max: f64) {
        if count > 0 {
            self.count += count;
            self.sum += sum;
            self.min = self.min.min(min);
            self.max = self.max.max(max);
        }
    }
}

/// An entity's rows in a file: those up to the next entity's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityRows {
    /// Whose.
    pub entity: Entity,
    /// Its first row.
    pub first_row: u64,
    /// Claimed time of its first row, nanoseconds.
    pub first: i64,
    /// Claimed time of its last row.
    pub last: i64,
    /// The smallest event time less claimed time, at most 0: so far before a claimed time an event may lie.
    pub earliest_shift: i64,
    /// The largest, at least 0.
    pub latest_shift: i64,
}

/// A part of the Parquet file that is read in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) checksum: u32,
}

/// Everything the sidecar holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The columns of the file.
    pub plan: Plan,
    /// How many rows.
    pub rows: u64,
    /// How many readings, exceptions included.
    pub readings: u64,
    /// How many of them stand in the exceptions.
    pub exceptions: u64,
    /// Figures of each of the plan's columns.
    pub stats: Vec<Stats>,
    /// Each entity's rows, by rising entity.
    pub entities: Vec<EntityRows>,
    pub(super) spared: Spared,
    pub(super) file_bytes: u64,
    pub(super) footer: Block,
    /// Pages (dictionaries too) by rising offset.
    pub(super) pages: Vec<Block>,
}

impl Sidecar {
    /// Where an entity's rows begin and end, and its times; `None` when it has none here.
    #[must_use]
    pub fn entity(&self, entity: Entity) -> Option<(Range<u64>, EntityRows)> {
        let at = self.entities.binary_search_by_key(&entity, |rows| rows.entity).ok()?;
        let found = self.entities[at];
        let end = self.entities.get(at + 1).map_or(self.rows, |next| next.first_row);
        Some((found.first_row..end, found))
    }

    /// The checksum of the file's footer, which tells files apart.
    pub(crate) fn checksum(&self) -> u32 {
        self.footer.checksum
    }

    /// Claimed time of the earliest and the latest row; `None` without rows.
    #[must_use]
    pub fn claimed_range(&self) -> Option<(i64, i64)> {
        let first = self.entities.iter().map(|entity| entity.first).min()?;
        let last = self.entities.iter().map(|entity| entity.last).max()?;
        Some((first, last))
    }

    /// The memory it takes, bytes, nearly.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<EntityRows>() * self.entities.len()
            + size_of::<Block>() * self.pages.len()
            + 128 * self.plan.columns.len()
    }

    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let body = self.body();
        let compressed = zstd::bulk::compress(&body, 3)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + compressed.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&compressed).to_le_bytes());
        bytes.extend_from_slice(&compressed);
        Ok(bytes)
    }

    /// The words say where and why the bytes are no sidecar.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let (head, compressed) =
            bytes.split_at_checked(HEAD_BYTES).ok_or(Refusal::Damaged("it is cut off"))?;
        if &head[..8] != MAGIC {
            return Err(Refusal::Damaged("it does not begin like one"));
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version > VERSION {
            return Err(Refusal::Newer(version));
        }
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        if version == 0 || number(12) > BODY_BYTES || head[10..12] != [0, 0] {
            return Err(Refusal::Damaged("its head makes no sense"));
        }
        if crc32c::crc32c(compressed) != number(16) {
            return Err(Refusal::Damaged("its checksum is wrong"));
        }
        let body = zstd::bulk::decompress(compressed, number(12) as usize)
            .map_err(|_| Refusal::Damaged("its body cannot be decompressed"))?;
        let mut rest = Bytes(&body);
        let sidecar = Self::read(&mut rest).ok_or(Refusal::Damaged("its body makes no sense"))?;
        if rest.0.is_empty() { Ok(sidecar) } else { Err(Refusal::Damaged("there is more behind its end")) }
    }

    fn body(&self) -> Vec<u8> {
        let mut to = Vec::new();
        put(&mut to, self.file_bytes);
        put(&mut to, self.rows);
        put(&mut to, self.readings);
        put(&mut to, self.exceptions);
        put(&mut to, self.footer.offset);
        to.extend_from_slice(&self.footer.checksum.to_le_bytes());
        put_plan(&mut to, &self.plan, self.spared);
        for stats in &self.stats {
            put(&mut to, stats.count);
            for number in [stats.sum, stats.min, stats.max] {
                to.extend_from_slice(&number.to_le_bytes());
            }
        }
        put(&mut to, self.entities.len() as u64);
        let (mut entity, mut row, mut first) = (0, 0, 0);
        for rows in &self.entities {
            put(&mut to, rows.entity.0 - entity);
            put(&mut to, rows.first_row - row);
            put_signed(&mut to, rows.first.wrapping_sub(first));
            put(&mut to, rows.last.wrapping_sub(rows.first) as u64);
            if self.plan.shifts {
                put_signed(&mut to, rows.earliest_shift);
                put_signed(&mut to, rows.latest_shift);
            }
            (entity, row, first) = (rows.entity.0, rows.first_row, rows.first);
        }
        put(&mut to, self.pages.len() as u64);
        let mut end = 0;
        for page in &self.pages {
            put(&mut to, page.offset - end);
            put(&mut to, u64::from(page.length));
            to.extend_from_slice(&page.checksum.to_le_bytes());
            end = page.offset + u64::from(page.length);
        }
        to
    }

    fn read(from: &mut Bytes<'_>) -> Option<Self> {
        let [file_bytes, rows, readings, exceptions] = [from.get()?, from.get()?, from.get()?, from.get()?];
        let offset = from.get()?;
        let length = u32::try_from(file_bytes.checked_sub(offset)?).ok()?;
        let footer = Block { offset, length, checksum: u32::from_le_bytes(from.array()?) };
        let (plan, spared) = read_plan(from)?;
        let mut stats = Vec::with_capacity(plan.columns.len());
        for _ in &plan.columns {
            let count = from.get()?;
            let mut number = || from.array().map(f64::from_le_bytes);
            stats.push(Stats { count, sum: number()?, min: number()?, max: number()? });
        }
        let entities = read_entities(from, rows, plan.shifts)?;
        let pages = read_pages(from, footer.offset)?;
        Some(Self { plan, rows, readings, exceptions, stats, entities, spared, file_bytes, footer, pages })
    }
}

/// Why bytes are no sidecar.
#[derive(Debug)]
pub(super) enum Refusal {
    Newer(u16),
    Damaged(&'static str),
}

fn put_plan(to: &mut Vec<u8>, plan: &Plan, spared: Spared) {
    let flags = [plan.groups, plan.seqs, plan.shifts, plan.origins, spared.delay, spared.exceptions];
    to.push(flags.iter().enumerate().map(|(bit, &set)| u8::from(set) << bit).sum());
    to.extend_from_slice(&[plan.time_unit.number(), plan.delay_unit.number()]);
    put(to, plan.columns.len() as u64);
    let mut no = 0;
    for column in &plan.columns {
        put(to, u64::from(column.no.0 - no));
        no = column.no.0;
        put_text(to, &column.name);
        match column.kind {
            Kind::Number(number) => put_number(to, number),
            Kind::Bool => to.extend_from_slice(&[16, 0]),
            Kind::Text => to.extend_from_slice(&[17, 0]),
            Kind::Place(lat, lng) => {
                to.extend_from_slice(&[18, 0]);
                put_number(to, lat);
                put_number(to, lng);
            }
        }
    }
}

fn put_number(to: &mut Vec<u8>, number: Number) {
    to.extend_from_slice(&match number {
        Number::Int32 => [0, 0],
        Number::Int64 => [1, 0],
        Number::Decimal32(decimals) => [2, decimals],
        Number::Decimal64(decimals) => [3, decimals],
        Number::Float32 => [4, 0],
        Number::Float64 => [5, 0],
        Number::Nearly(decimals) => [6, decimals],
        Number::Parsed(decimals) => [7, decimals],
    });
}

fn read_plan(from: &mut Bytes<'_>) -> Option<(Plan, Spared)> {
    let flags = from.byte()?;
    if flags > 0b11_1111 {
        return None;
    }
    let (time_unit, delay_unit) = (Unit::from_number(from.byte()?)?, Unit::from_number(from.byte()?)?);
    let count = from.count()?;
    let mut columns: Vec<Planned> = Vec::with_capacity(count);
    let mut no = 0_u32;
    for _ in 0..count {
        let step = u32::try_from(from.get()?).ok()?;
        if step == 0 && !columns.is_empty() {
            return None;
        }
        no = no.checked_add(step)?;
        let name = from.text()?.to_owned();
        let kind = match from.array()? {
            [16, 0] => Kind::Bool,
            [17, 0] => Kind::Text,
            [18, 0] => Kind::Place(read_number(from.array()?)?, read_number(from.array()?)?),
            number => Kind::Number(read_number(number)?),
        };
        columns.push(Planned { no: ColumnNo(no), name, kind });
    }
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let (groups, seqs, shifts, origins) = (flag(0), flag(1), flag(2), flag(3));
    let spared = Spared { delay: flag(4), exceptions: flag(5) };
    Some((Plan { columns, time_unit, delay_unit, groups, seqs, shifts, origins }, spared))
}

fn read_number(bytes: [u8; 2]) -> Option<Number> {
    Some(match bytes {
        [0, 0] => Number::Int32,
        [1, 0] => Number::Int64,
        [2, decimals @ 0..=15] => Number::Decimal32(decimals),
        [3, decimals @ 0..=15] => Number::Decimal64(decimals),
        [4, 0] => Number::Float32,
        [5, 0] => Number::Float64,
        [6, decimals @ 0..=15] => Number::Nearly(decimals),
        [7, decimals @ 0..=15] => Number::Parsed(decimals),
        _ => return None,
    })
}

fn read_entities(from: &mut Bytes<'_>, rows: u64, shifts: bool) -> Option<Vec<EntityRows>> {
    let count = from.count()?;
    let mut entities: Vec<EntityRows> = Vec::with_capacity(count);
    let (mut entity, mut first_row, mut first) = (0_u64, 0_u64, 0_i64);
    for n in 0..count {
        let (next, row) = (entity.checked_add(from.get()?)?, first_row.checked_add(from.get()?)?);
        let in_order = if n == 0 { row == 0 } else { next > entity && row > first_row };
        if !in_order || row >= rows {
            return None;
        }
        (entity, first_row) = (next, row);
        first = first.wrapping_add(from.signed()?);
        let last = first.wrapping_add(from.get()? as i64);
        let mut shift = || if shifts { from.signed() } else { Some(0) };
        let (earliest_shift, latest_shift) = (shift()?, shift()?);
        if last < first || earliest_shift > 0 || latest_shift < 0 {
            return None;
        }
        entities.push(EntityRows {
            entity: Entity(entity),
            first_row,
            first,
            last,
            earliest_shift,
            latest_shift,
        });
    }
    (count > 0 || rows == 0).then_some(entities)
}

fn read_pages(from: &mut Bytes<'_>, limit: u64) -> Option<Vec<Block>> {
    let count = from.count()?;
    let mut pages = Vec::with_capacity(count);
    let mut end = 0_u64;
    for _ in 0..count {
        let offset = end.checked_add(from.get()?)?;
        let length = u32::try_from(from.get()?).ok()?;
        end = offset.checked_add(u64::from(length))?;
        if end > limit {
            return None;
        }
        pages.push(Block { offset, length, checksum: u32::from_le_bytes(from.array()?) });
    }
    Some(pages)
}
