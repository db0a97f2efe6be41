//! Why a rule does not compile.

use std::fmt;

use crate::DocumentError;

/// Why a rule does not compile, and where in which of its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong, and what to do.
    pub message: String,
    /// Which key of the document: `when`, `clear_when`, or another one, for which there is no place.
    pub key: &'static str,
    /// The line, from 1; 0 where there is no place.
    pub line: u64,
    /// The column, characters from 1; 0 where there is no place.
    pub column: u64,
    /// The line's text, to show the place in.
    pub text: String,
}

impl CompileError {
    /// About a key as a whole.
    pub(crate) fn about(key: &'static str, message: String) -> Self {
        Self { message, key, line: 0, column: 0, text: String::new() }
    }

    /// About what begins at a byte of a key's text.
    pub(crate) fn at(key: &'static str, text: &str, byte: usize, message: String) -> Self {
        let before = &text[..byte];
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let line = text[begin..].lines().next().unwrap_or_default().replace('\t', " ");
        let (lines, column) = (before.matches('\n').count(), text[begin..byte].chars().count());
        Self { message, key, line: lines as u64 + 1, column: column as u64 + 1, text: line }
    }
}

impl From<DocumentError> for CompileError {
    fn from(error: DocumentError) -> Self {
        Self::about(error.key, error.reason)
    }
}

/// The message, then the line of the text with a caret under the place.
impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{} {}", self.key, self.message);
        }
        let (line, column) = (self.line, self.column);
        writeln!(f, "{} at line {line}, column {column}: {}", self.key, self.message)?;
        writeln!(f, "  {}", self.text)?;
        write!(f, "  {}^", " ".repeat(usize::try_from(column.saturating_sub(1)).unwrap_or(0)))
    }
}

impl std::error::Error for CompileError {}
