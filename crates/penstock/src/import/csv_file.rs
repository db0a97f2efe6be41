//! CSV (RFC 4180, and what programs make of it).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, bail};

use super::cell::{Cell, Row};
use super::source::{Position, identity_of};
use crate::WrongUse;

/// Read at a time, bytes.
const BUFFER_BYTES: usize = 256 << 10;
/// Read for one record at most, bytes: a thousand columns of the longest texts. Beyond it a quote was left open, and the record would be the
/// rest of the file.
const RECORD_BYTES: u64 = 64 << 20;
/// Delimiters that are looked for, in this order where a header has as many of each.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A file that does not give more for one record than there can be in one.
struct Bounded {
    file: File,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let words = format!("it is longer than {RECORD_BYTES} bytes: is a quote left open?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        let read = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

pub(super) struct CsvFile {
    reader: csv::Reader<Bounded>,
    header: Vec<String>,
    start: csv::Position,
    record: csv::ByteRecord,
    size: u64,
    identity: String,
}

impl CsvFile {
    pub(super) fn open(path: &Path, delimiter: Option<u8>) -> anyhow::Result<Self> {
        let cannot = || format!("{} cannot be read", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        let delimiter = match delimiter {
            Some(named) => named,
            None => told_from_header(&mut file).with_context(cannot)?,
        };
        let (size, identity) = (file.metadata()?.len(), identity_of(&file)?);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Bounded { file, left: RECORD_BYTES });
        let header = reader.byte_headers().with_context(cannot)?;
        let header: Result<Vec<_>, _> = header.iter().map(|name| String::from_utf8(name.to_vec())).collect();
        let header = header.map_err(|_| WrongUse("the header is not UTF-8".to_owned()))?;
        if header.is_empty() || header.iter().all(|name| name.trim().is_empty()) {
            bail!(WrongUse("the file has no header line".to_owned()));
        }
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        let start = reader.position().clone();
        Ok(Self { reader, header, start, record: csv::ByteRecord::new(), size, identity })
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        self.reader.get_mut().left = RECORD_BYTES;
        let line = self.reader.position().line();
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.with_context(|| format!("the record in line {line} cannot be read"))? {
            return Ok(None);
        }
        let number = self.record.position().map_or(0, csv::Position::line);
        let mut broken = None;
        if self.record.len() != self.header.len() {
            let lines = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() + 1;
            let over = match lines {
                1 => String::new(),
                lines => format!(", over {lines} lines: is a quote left open?"),
            };
            broken =
                Some(format!("{} fields, and the header has {}{over}", self.record.len(), self.header.len()));
        }
        let cells = self.record.iter().enumerate().map(|(at, field)| match std::str::from_utf8(field) {
            Ok("") => Cell::Nothing,
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => {
                broken.get_or_insert_with(|| format!("field {} is not UTF-8", at + 1));
                Cell::Unusable(String::from_utf8_lossy(field).into_owned())
            }
        });
        let cells = cells.collect();
        Ok(Some(Row { number, cells, broken }))
    }

    pub(super) fn position(&self) -> Position {
        let at = self.reader.position();
        Position::Text { byte: at.byte(), line: at.line(), record: at.record() }
    }

    pub(super) fn seek(&mut self, position: Position) -> anyhow::Result<()> {
        let Position::Text { byte, line, record } = position else { bail!("no position in CSV") };
        let mut at = csv::Position::new();
        at.set_byte(byte).set_line(line).set_record(record);
        self.reader.seek(at).context("the file cannot be read")
    }

    pub(super) fn rewind(&mut self) -> anyhow::Result<()> {
        self.reader.seek(self.start.clone()).context("the file cannot be read")
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn identity(&self) -> String {
        self.identity.clone()
    }
}

/// What the first line has most of, outside of quotes.
fn told_from_header(file: &mut File) -> std::io::Result<u8> {
    let mut line = Vec::new();
    BufReader::new((&mut *file).take(BUFFER_BYTES as u64)).read_until(b'\n', &mut line)?;
    file.rewind()?;
    let mut counts = [0; DELIMITERS.len()];
    let mut quoted = false;
    for byte in line {
        quoted ^= byte == b'"';
        if let Some(at) = DELIMITERS.iter().position(|delimiter| !quoted && *delimiter == byte) {
            counts[at] += 1;
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let at = counts.iter().position(|count| *count == most).unwrap_or_default();
    Ok(DELIMITERS[at])
}
