//! From text to the tree of the SQL parser, with places in the text for errors.

use sqlparser::ast::{Expr as Tree, Spanned as _};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::CompileError;
use crate::limits::{CONDITION_BYTES, DEPTH};

/// A condition that is SQL, whatever its names mean.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) key: &'static str,
    pub(crate) text: &'a str,
    pub(crate) tree: Tree,
}

/// Reads a condition that stands under this key of the document.
pub(crate) fn parse<'a>(key: &'static str, text: &'a str) -> Result<Parsed<'a>, CompileError> {
    if text.len() > CONDITION_BYTES {
        let message = format!("has {} bytes, at most {CONDITION_BYTES} are possible", text.len());
        return Err(CompileError::about(key, message));
    }
    if text.trim().is_empty() {
        return Err(CompileError::about(
            key,
            "is empty: write a condition such as temperature > 80".to_owned(),
        ));
    }
    let error = |error| of_parser(key, text, &error);
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH).try_with_sql(text);
    let mut parser = parser.map_err(error)?;
    let tree = parser.parse_expr().map_err(error)?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(Parsed { key, text, tree });
    }
    let message = format!("the condition should end here, {} follows", rest.token);
    Err(at(key, text, rest.span.start.line, rest.span.start.column, message))
}

impl Parsed<'_> {
    /// An error at the place of this part.
    pub(crate) fn error(&self, part: &Tree, message: impl Into<String>) -> CompileError {
        let start = part.span().start;
        at(self.key, self.text, start.line, start.column, message.into())
    }
}

fn at(key: &'static str, text: &str, line: u64, column: u64, message: String) -> CompileError {
    let (line, column) = (line.max(1), column.max(1));
    let shown = usize::try_from(line - 1).ok().and_then(|line| text.lines().nth(line)).unwrap_or_default();
    CompileError { message, key, line, column, text: shown.replace('\t', " ") }
}

/// The parser tells the place only within its words.
fn of_parser(key: &'static str, text: &str, error: &ParserError) -> CompileError {
    let words = match error {
        ParserError::TokenizerError(words) | ParserError::ParserError(words) => words.as_str(),
        ParserError::RecursionLimitExceeded => "the condition is nested too deeply: take it apart",
    };
    // For what is missing at the end the parser names no place: it is where the text ends.
    if let Some(before) = words.strip_suffix("found: EOF") {
        let (line, column) = end_of(text);
        return at(key, text, line, column, format!("{before}found: the end of the condition"));
    }
    let Some((message, place)) = words.rsplit_once(" at Line: ") else {
        return at(key, text, 1, 1, words.to_owned());
    };
    let (line, column) = place.split_once(", Column: ").unwrap_or((place, "1"));
    let number = |text: &str| text.trim().parse().unwrap_or(1);
    at(key, text, number(line), number(column), message.to_owned())
}

fn end_of(text: &str) -> (u64, u64) {
    let last = text.lines().last().unwrap_or_default();
    (text.lines().count().max(1) as u64, last.chars().count() as u64 + 1)
}
