//! An answer in rows and columns.

use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

/// A value in a row, or for a `?` in a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float. JSON has no word for NaN and infinities: there they are `null`.
    Float(f64),
    /// Text, times included.
    Text(String),
}

/// An answer. As JSON: `{"columns":["a",…],"rows":[{"a":1,…},…]}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An answer of these rows, each as long as `columns`. A name that comes twice gets a number, so that the
    /// rows can be objects.
    #[must_use]
    pub fn new(names: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        let mut columns: Vec<String> = Vec::with_capacity(names.len());
        for &name in names {
            let numbered = (2..).map(|n| format!("{name}_{n}"));
            let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !columns.contains(name));
            columns.extend(free);
        }
        Self { columns, rows }
    }

    /// The columns' names, in order, each once.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// As CSV (RFC 4180) with a header line; nothing is an empty field.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        csv_line(&mut out, self.columns.iter().map(String::as_str));
        for row in &self.rows {
            let fields: Vec<String> = row.iter().map(Cell::to_string).collect();
            csv_line(&mut out, fields.iter().map(String::as_str));
        }
        out
    }
}

fn csv_line<'a>(out: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (n, field) in fields.enumerate() {
        if n > 0 {
            out.push(',');
        }
        if field.contains(['"', ',', '\r', '\n']) {
            out.push('"');
            out.push_str(&field.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(field);
        }
    }
    out.push_str("\r\n");
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"), // `2.0`, so that a float stays one
            Self::Text(value) => value.fmt(f),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_struct("Table", 2)?;
        table.serialize_field("columns", &self.columns)?;
        table.serialize_field("rows", &Rows(self))?;
        table.end()
    }
}

struct Rows<'a>(&'a Table);
struct Row<'a>(&'a [String], &'a [Cell]);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            rows.serialize_element(&Row(&self.0.columns, row))?;
        }
        rows.end()
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(self.1.len()))?;
        for (name, cell) in self.0.iter().zip(self.1) {
            row.serialize_entry(name, cell)?;
        }
        row.end()
    }
}
