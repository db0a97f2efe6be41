//! The values of one metric, a cell for each row.

use record::{ValueKind, ValueRef};

/// A column of cells in memory: each is empty or holds a value of any kind.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// 0: empty, else the [`ValueKind`] and one.
    kinds: Vec<u8>,
    /// The bits of a number, 0 or 1, else where a text or a place stands.
    words: Vec<u64>,
    text: String,
    /// Start and end of each text.
    texts: Vec<(u32, u32)>,
    places: Vec<(f64, f64)>,
}

pub(crate) const EMPTY: u8 = 0;
pub(crate) const FLOAT: u8 = 1 + ValueKind::Float as u8;
pub(crate) const INT: u8 = 1 + ValueKind::Int as u8;
pub(crate) const BOOL: u8 = 1 + ValueKind::Bool as u8;
pub(crate) const TEXT: u8 = 1 + ValueKind::Text as u8;
pub(crate) const PLACE: u8 = 1 + ValueKind::Location as u8;

impl Cells {
    /// How many cells, empty ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether it has no cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The value in a row; `None` where the cell is empty or past the end.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<ValueRef<'_>> {
        let word = *self.words.get(row)?;
        Some(match self.kinds[row] {
            FLOAT => ValueRef::Float(f64::from_bits(word)),
            INT => ValueRef::Int(word as i64),
            BOOL => ValueRef::Bool(word != 0),
            TEXT => {
                let (from, to) = self.texts[word as usize];
                ValueRef::Text(&self.text[from as usize..to as usize])
            }
            PLACE => {
                let (lat, lng) = self.places[word as usize];
                ValueRef::Location { lat, lng }
            }
            _ => return None,
        })
    }

    /// Adds a cell.
    #[inline]
    pub fn push(&mut self, value: Option<ValueRef<'_>>) {
        let (kind, word) = self.encode(value);
        self.kinds.push(kind);
        self.words.push(word);
    }

    /// Puts a value in the place of another; the text of the old one stays behind.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn set(&mut self, row: usize, value: Option<ValueRef<'_>>) {
        let (kind, word) = self.encode(value);
        self.kinds[row] = kind;
        self.words[row] = word;
    }

    /// Adds empty cells, or cuts cells off.
    pub fn resize(&mut self, rows: usize) {
        self.kinds.resize(rows, EMPTY);
        self.words.resize(rows, 0);
    }

    /// Adds the cells `rows` of another column.
    pub(crate) fn extend_from(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        if other.texts.is_empty() && other.places.is_empty() {
            self.kinds.extend_from_slice(&other.kinds[rows.clone()]);
            self.words.extend_from_slice(&other.words[rows]);
        } else {
            rows.for_each(|row| self.push(other.get(row)));
        }
    }

    /// Adds the cells of another column in this order.
    pub(crate) fn extend_gathered(&mut self, other: &Self, rows: &[u32]) {
        if other.texts.is_empty() && other.places.is_empty() {
            let has = other.len();
            self.kinds.extend(
                rows.iter().map(|&row| if (row as usize) < has { other.kinds[row as usize] } else { EMPTY }),
            );
            self.words.extend(
                rows.iter().map(|&row| if (row as usize) < has { other.words[row as usize] } else { 0 }),
            );
        } else {
            rows.iter().for_each(|&row| self.push(other.get(row as usize)));
        }
    }

    /// Empties it and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.kinds.clear();
        self.words.clear();
        self.text.clear();
        self.texts.clear();
        self.places.clear();
    }

    /// Kind of each cell: [`EMPTY`], [`FLOAT`], ….
    pub(crate) fn kinds(&self) -> &[u8] {
        &self.kinds
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn push_raw(&mut self, kind: u8, word: u64) {
        debug_assert!(kind < TEXT, "texts and places stand elsewhere");
        self.kinds.push(kind);
        self.words.push(word);
    }

    /// The memory it takes, bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        9 * self.kinds.len() + self.text.len() + 8 * self.texts.len() + 16 * self.places.len()
    }

    #[inline]
    fn encode(&mut self, value: Option<ValueRef<'_>>) -> (u8, u64) {
        match value {
            None => (EMPTY, 0),
            Some(ValueRef::Float(x)) => (FLOAT, x.to_bits()),
            Some(ValueRef::Int(x)) => (INT, x as u64),
            Some(ValueRef::Bool(x)) => (BOOL, u64::from(x)),
            Some(ValueRef::Text(x)) => {
                let from = self.text.len();
                self.text.push_str(x);
                let end = u32::try_from(self.text.len()).expect("a column holds less than 4 GiB of text");
                self.texts.push((from as u32, end));
                (TEXT, self.texts.len() as u64 - 1)
            }
            Some(ValueRef::Location { lat, lng }) => {
                self.places.push((lat, lng));
                (PLACE, self.places.len() as u64 - 1)
            }
        }
    }
}
