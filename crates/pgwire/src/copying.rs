//! `COPY (SELECT …) TO STDOUT`: rows as lines of text, as CSV, or in PostgreSQL's binary form.

use bytes::Bytes;
use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Query, Statement,
};
use futures_util::stream;
use pgwire_protocol::api::portal::Format;
use pgwire_protocol::api::results::{CopyResponse, Response};
use pgwire_protocol::error::PgWireResult;
use pgwire_protocol::messages::copy::CopyData;
use pgwire_protocol::messages::data::DataRow;

use crate::parsing::refused;

/// The first bytes of the binary form: its name, no flags, nothing more of a head.
const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How the rows are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    form: Form,
    delimiter: char,
    null: String,
    header: bool,
    quote: char,
    escape: char,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Text,
    Csv,
    Binary,
}

/// What a statement copies out, if it is one that does.
pub(crate) fn out(statement: &Statement) -> Option<PgWireResult<(Box<Query>, Shape)>> {
    let Statement::Copy { source, to: true, target: CopyTarget::Stdout, options, legacy_options, .. } =
        statement
    else {
        return None;
    };
    let query = match source {
        CopySource::Query(query) => query.clone(),
        CopySource::Table { table_name, columns } => {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
            match crate::parsing::query(&format!("SELECT {columns} FROM {table_name}")) {
                Ok(query) => query,
                Err(error) => return Some(Err(error)),
            }
        }
    };
    Some(Shape::of(options, legacy_options).map(|shape| (query, shape)))
}

impl Shape {
    fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> PgWireResult<Self> {
        let (mut form, mut header) = (Form::Text, false);
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, '"', None);
        for option in options {
            match option {
                CopyOption::Format(name) => {
                    form = match name.value.to_lowercase().as_str() {
                        "text" => Form::Text,
                        "csv" => Form::Csv,
                        "binary" => Form::Binary,
                        other => {
                            return Err(refused("22023", format!("COPY format {other:?} not recognized")));
                        }
                    }
                }
                CopyOption::Delimiter(letter) => delimiter = Some(*letter),
                CopyOption::Null(text) => null = Some(text.clone()),
                CopyOption::Header(yes) => header = *yes,
                CopyOption::Quote(letter) => quote = *letter,
                CopyOption::Escape(letter) => escape = Some(*letter),
                CopyOption::Encoding(name) if name.replace('-', "").eq_ignore_ascii_case("utf8") => {}
                CopyOption::Freeze(false) => {}
                other => return Err(refused("0A000", format!("COPY … {other} is not answered"))),
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Binary => form = Form::Binary,
                CopyLegacyOption::Delimiter(letter) => delimiter = Some(*letter),
                CopyLegacyOption::Null(text) => null = Some(text.clone()),
                CopyLegacyOption::Header => header = true,
                CopyLegacyOption::Csv(options) => {
                    form = Form::Csv;
                    for option in options {
                        match option {
                            CopyLegacyCsvOption::Header => header = true,
                            CopyLegacyCsvOption::Quote(letter) => quote = *letter,
                            CopyLegacyCsvOption::Escape(letter) => escape = Some(*letter),
                            other => return Err(refused("0A000", format!("COPY … {other} is not answered"))),
                        }
                    }
                }
                other => return Err(refused("0A000", format!("COPY … {other} is not answered"))),
            }
        }
        let plain = if form == Form::Csv { (',', "") } else { ('\t', "\\N") };
        Ok(Self {
            form,
            delimiter: delimiter.unwrap_or(plain.0),
            null: null.unwrap_or_else(|| plain.1.to_owned()),
            header,
            quote,
            escape: escape.unwrap_or(quote),
        })
    }

    /// The form that rows are encoded in before they are copied.
    pub(crate) fn encoding(&self) -> Format {
        match self.form {
            Form::Binary => Format::UnifiedBinary,
            Form::Text | Form::Csv => Format::UnifiedText,
        }
    }

    /// The answer: what `rows` encode to, of columns of these names.
    pub(crate) fn respond(
        self,
        names: &[String],
        rows: impl Iterator<Item = PgWireResult<DataRow>> + Send + 'static,
    ) -> Response {
        let first = match self.form {
            Form::Binary => Some(BINARY_HEAD.to_vec()),
            Form::Text | Form::Csv if self.header => {
                Some(self.line(names.iter().map(|name| Some(name.as_bytes()))))
            }
            Form::Text | Form::Csv => None,
        };
        let code = i8::from(self.form == Form::Binary);
        let lines = rows.map(move |row| row.map(|row| self.row(&row)));
        // Pieces are counted as rows: the head goes with the first of them.
        let mut first = first.map(Ok);
        let mut lines = lines;
        let data = std::iter::from_fn(move || match (first.take(), lines.next()) {
            (Some(Ok(head)), Some(Ok(line))) => Some(Ok([head, line].concat())),
            (_, Some(line)) => Some(line),
            (head, None) => head,
        });
        let data = data.map(|line| line.map(|line| CopyData::new(Bytes::from(line))));
        Response::CopyOut(CopyResponse::new(code, names.len(), stream::iter(data)))
    }

    fn row(&self, row: &DataRow) -> Vec<u8> {
        if self.form == Form::Binary {
            return [&row.field_count.to_be_bytes(), &row.data[..]].concat();
        }
        let mut rest = &row.data[..];
        self.line((0..row.field_count).map(|_| {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                rest = behind; // −1: nothing
                return None;
            };
            let (field, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(field)
        }))
    }

    fn line<'a>(&self, fields: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<u8> {
        let mut line = Vec::new();
        for (n, field) in fields.enumerate() {
            if n > 0 {
                push(&mut line, self.delimiter);
            }
            match (field.map(String::from_utf8_lossy), self.form) {
                (None, _) => line.extend_from_slice(self.null.as_bytes()),
                (Some(field), Form::Csv) => self.quoted(&mut line, &field),
                (Some(field), _) => self.escaped(&mut line, &field),
            }
        }
        line.push(b'\n');
        line
    }

    fn quoted(&self, line: &mut Vec<u8>, field: &str) {
        let special = |letter| [self.delimiter, self.quote, '\r', '\n'].contains(&letter);
        // An empty text is not nothing, and a lone `\.` ends the data.
        if !field.contains(special) && field != self.null && field != "\\." {
            line.extend_from_slice(field.as_bytes());
            return;
        }
        push(line, self.quote);
        for letter in field.chars() {
            if letter == self.quote || letter == self.escape {
                push(line, self.escape);
            }
            push(line, letter);
        }
        push(line, self.quote);
    }

    fn escaped(&self, line: &mut Vec<u8>, field: &str) {
        for letter in field.chars() {
            let short = match letter {
                '\\' => Some('\\'),
                '\n' => Some('n'),
                '\r' => Some('r'),
                '\t' => Some('t'),
                '\u{8}' => Some('b'),
                '\u{b}' => Some('v'),
                '\u{c}' => Some('f'),
                letter if letter == self.delimiter => Some(letter),
                _ => None,
            };
            if short.is_some() {
                line.push(b'\\');
            }
            push(line, short.unwrap_or(letter));
        }
    }
}

fn push(line: &mut Vec<u8>, letter: char) {
    line.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}
