//! What may be asked: one statement at a time that only reads.

use std::collections::HashSet;

use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement as Ast};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::tables;
use crate::{Error, Result};

/// Longest statement, bytes: far beyond what people and programs write, and soon parsed.
const STATEMENT_BYTES: usize = 1 << 20;

/// Deepest nesting of expressions and queries.
const DEPTH: usize = 60;

/// Most operators and keywords. `1 + 1 + 1 …` nests as deep as it is long, and what walks over a statement once it is read
/// does so by recursion.
const LINKS: usize = 1_000;

/// Most columns of an answer, as PostgreSQL has it.
const COLUMNS: usize = 1_664;

/// Most tables that a statement names, each common table expression counted as often as it is named: planning takes more
/// than twice as long for twice as many, and does not look at the clock.
const TABLES: usize = 128;

const REFUSED: &str =
    "only SELECT, EXPLAIN, SHOW and DESCRIBE are answered: the tables are written by devices alone";

/// A statement that only reads.
#[derive(Clone, Debug)]
pub struct Statement(pub(super) Parsed);

impl Statement {
    /// Reads a text that holds one statement. `?` is the next parameter, as is `$1`, `$2`, …; one text has one kind.
    ///
    /// # Errors
    /// [`Error::Statement`] when it holds none or several, or one that does more than read.
    pub fn one(sql: &str) -> Result<Self> {
        let dialect = PostgreSqlDialect {};
        let tokens = bounded(sql)?;
        let mut parser = DFParserBuilder::new(numbered(tokens)?)
            .with_dialect(&dialect)
            .with_recursion_limit(DEPTH)
            .build()
            .map_err(|error| super::explain::plain(&error))?;
        let mut statements = parser.parse_statements().map_err(|error| super::explain::plain(&error))?;
        match (statements.pop_front(), statements.is_empty()) {
            (Some(statement), true) => Self::checked(statement, Expr::to_string),
            (None, _) => Err(Error::Statement("the statement asks for nothing: write a SELECT".into())),
            (Some(_), false) => Err(Error::Statement("one statement at a time is answered".into())),
        }
    }

    /// Whether a text is short and flat enough to be read.
    ///
    /// # Errors
    /// [`Error::Statement`] says what there is too much of.
    pub fn check_text(sql: &str) -> Result<()> {
        bounded(sql).map(|_| ())
    }

    /// Takes a statement that somebody else has parsed, from a text that [`Statement::check_text`] has let through.
    ///
    /// # Errors
    /// [`Error::Statement`] when it does more than read.
    pub fn parsed(ast: Ast) -> Result<Self> {
        Self::checked(Parsed::Statement(Box::new(ast)), short)
    }

    fn checked(mut statement: Parsed, name: fn(&Expr) -> String) -> Result<Self> {
        if !reads(&statement) {
            return Err(Error::Statement(REFUSED.into()));
        }
        if let Some(ast) = written(&statement)
            && tables::named(ast, TABLES) > TABLES
        {
            let words = format!(
                "the statement names more than {TABLES} tables, WITH … counted each time it is named"
            );
            return Err(Error::Statement(words));
        }
        if let Parsed::Statement(ast) = &mut statement
            && let Ast::Query(query) = &mut **ast
            && let SetExpr::Select(select) = &mut *query.body
        {
            if select.projection.len() > COLUMNS {
                return Err(Error::Statement(format!("an answer has at most {COLUMNS} columns")));
            }
            name_columns(&mut select.projection, name);
        }
        Ok(Self(statement))
    }
}

/// The words of a text, if it is not too long to be looked at.
fn bounded(sql: &str) -> Result<Vec<TokenWithSpan>> {
    if sql.len() > STATEMENT_BYTES {
        return Err(Error::Statement(format!("the statement is longer than {STATEMENT_BYTES} bytes")));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| Error::Statement(error.to_string()))?;
    let links = tokens.iter().filter(|token| match &token.token {
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) => false,
        Token::LParen | Token::RParen | Token::Period | Token::SemiColon => false,
        // The arms of a CASE stand side by side.
        Token::Word(word) => ![Keyword::NoKeyword, Keyword::WHEN, Keyword::THEN].contains(&word.keyword),
        _ => true,
    });
    if links.count() > LINKS {
        let words = format!(
            "the statement has more than {LINKS} operators and keywords: ask with less, or with IN (…)"
        );
        return Err(Error::Statement(words));
    }
    Ok(tokens)
}

/// What is asked, also where it is to be explained.
fn written(statement: &Parsed) -> Option<&Ast> {
    match statement {
        Parsed::Statement(ast) => Some(&**ast),
        Parsed::Explain(explain) => written(&explain.statement),
        _ => None,
    }
}

/// Whether a statement is of a kind that reads. What hides within one is found once it is planned.
fn reads(statement: &Parsed) -> bool {
    match statement {
        Parsed::Statement(ast) => ast_reads(ast),
        Parsed::Explain(explain) => reads(&explain.statement),
        Parsed::CreateExternalTable(_) | Parsed::CopyTo(_) | Parsed::Reset(_) => false,
    }
}

fn ast_reads(ast: &Ast) -> bool {
    match ast {
        Ast::Query(_)
        | Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowFunctions { .. } => true,
        Ast::Explain { statement, .. } => ast_reads(statement),
        _ => false,
    }
}

/// The name PostgreSQL gives a column that the statement gives none.
fn short(expr: &Expr) -> String {
    match expr {
        Expr::Function(call) => {
            call.name.0.last().map(ToString::to_string).unwrap_or_default().to_lowercase()
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) => match &**expr {
            Expr::Identifier(name) => name.value.clone(),
            other => short(other),
        },
        Expr::Case { .. } => "case".into(),
        _ => "?column?".into(),
    }
}

/// Columns that have no name get one, and those of one name a number behind it: DataFusion takes each name once.
fn name_columns(columns: &mut [SelectItem], name_of: fn(&Expr) -> String) {
    let mut names: HashSet<String> = HashSet::new();
    for column in columns {
        let (name, quote) = match &*column {
            SelectItem::ExprWithAlias { alias, .. } => (alias.value.clone(), alias.quote_style),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => (name.value.clone(), name.quote_style),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(_)) => continue,
            SelectItem::UnnamedExpr(expr) => (name_of(expr), Some('"')),
            _ => continue,
        };
        let name = if quote.is_some() { name } else { name.to_lowercase() };
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let Some(free) = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name))
        else {
            continue;
        };
        let has_it = matches!(
            &*column,
            SelectItem::ExprWithAlias { .. } | SelectItem::UnnamedExpr(Expr::Identifier(_))
        );
        if free == name && has_it {
            names.insert(name);
            continue;
        }
        let alias = Ident::with_quote('"', free.replace('"', "'"));
        names.insert(free);
        let (SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)) = &*column else {
            continue;
        };
        *column = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// `?` becomes `$1`, `$2`, … in their order.
fn numbered(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let named = tokens.iter().any(|token| matches!(&token.token, Token::Placeholder(name) if name != "?"));
    let mut count = 0;
    for token in &mut tokens {
        let asks = matches!(&token.token, Token::Question)
            || matches!(&token.token, Token::Placeholder(name) if name == "?");
        if asks {
            if named {
                return Err(Error::Statement("? and $1 do not go together in one statement".into()));
            }
            count += 1;
            token.token = Token::Placeholder(format!("${count}"));
        }
    }
    Ok(tokens)
}
