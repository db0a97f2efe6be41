//! What DataFusion does not know of PostgreSQL's language, said in words that it knows.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, TableFactor, Value, Visit, Visitor,
    visit_expressions_mut, visit_relations_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::{catalog, nothing};

/// Pieces of the text that clients send, in the words of another. Compared by token.
const PIECES: [(&str, &str); 9] = [
    // Functions that types name stand in the catalog by their names, not by numbers.
    ("::regproc", ""),
    ("::pg_catalog.regproc", ""),
    ("proc.oid = typ.typreceive", "proc.proname = typ.typreceive"),
    ("elemproc.oid = elemtyp.typreceive", "elemproc.proname = elemtyp.typreceive"),
    // Grafana looks for the schemas on the path, row by row of an array's elements.
    (
        r#"SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(
            array_lower(string_to_array(current_setting('search_path'),','),1),
            array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
            string_to_array(current_setting('search_path'),',') s"#,
        "'public'",
    ),
    // The JDBC driver looks for types on the path, likewise.
    (
        "LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns join ( select s.r, (current_schemas(false))[s.r] as nspname from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) ) as r using ( nspname )) as sp",
        "LEFT JOIN (select ns.oid as nspoid, ns.nspname, 1 as r from pg_catalog.pg_namespace as ns where ns.nspname = 'public') as sp",
    ),
    // Options of tables, of which there are none: psql's \d+.
    ("c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x)", "c.reloptions"),
    // Regular expressions do not look ahead here.
    ("'^pg_(?!(catalog))'", "'^pg_([^c]|c[^a])'"),
    ("'^pg_(?!catalog)'", "'^pg_([^c]|c[^a])'"),
];

/// Without one of these words a text has none of the pieces.
const MARKS: [&str; 6] = ["regproc", "typreceive", "search_path", "current_schemas", "reloptions", "(?!"];

/// A text with its pieces replaced.
#[derive(Debug)]
pub(crate) struct Pieces(Vec<(Vec<Token>, &'static str)>);

impl Pieces {
    pub(crate) fn new() -> Self {
        Self(PIECES.iter().map(|(from, to)| (words(from), *to)).collect())
    }

    /// `None`: it holds none of them.
    pub(crate) fn replace(&self, text: &str) -> Option<String> {
        // Most texts are told by this alone.
        let lower = text.to_ascii_lowercase();
        if !MARKS.iter().any(|mark| lower.contains(mark)) {
            return None;
        }
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
        let tokens: Vec<TokenWithSpan> =
            tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        let mut places = Places::new(text);
        let (mut out, mut from, mut at) = (String::new(), 0, 0);
        while at < tokens.len() {
            let found = self.0.iter().find(|(piece, _)| {
                tokens.len() - at >= piece.len()
                    && piece.iter().zip(&tokens[at..]).all(|(piece, token)| same(piece, &token.token))
            });
            let Some((piece, to)) = found else {
                at += 1;
                continue;
            };
            let (first, last) = (&tokens[at], &tokens[at + piece.len() - 1]);
            out.push_str(&text[from..places.byte(first.span.start.line, first.span.start.column)]);
            out.push_str(to);
            from = places.byte(last.span.end.line, last.span.end.column);
            at += piece.len();
        }
        (from > 0).then(|| out + &text[from..])
    }
}

fn words(text: &str) -> Vec<Token> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap_or_default();
    tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect()
}

fn same(one: &Token, other: &Token) -> bool {
    match (one, other) {
        (Token::Word(one), Token::Word(other)) => one.value.eq_ignore_ascii_case(&other.value),
        _ => one == other,
    }
}

/// Where lines and columns, counted from 1 in letters, are in a text. Goes forward alone, so that a text is walked once.
struct Places<'a> {
    letters: std::iter::Peekable<std::str::CharIndices<'a>>,
    end: usize,
    line: u64,
    column: u64,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self { letters: text.char_indices().peekable(), end: text.len(), line: 1, column: 1 }
    }

    fn byte(&mut self, line: u64, column: u64) -> usize {
        while (self.line, self.column) < (line, column)
            && let Some((_, letter)) = self.letters.next()
        {
            (self.line, self.column) =
                if letter == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.letters.peek().map_or(self.end, |(at, _)| *at)
    }
}

/// A statement in the engine's words.
pub(crate) fn rewrite(statement: &mut ast::Statement) {
    let _ = visit_relations_mut(statement, |name| {
        relation(name);
        ControlFlow::<()>::Continue(())
    });
    let _ = visit_expressions_mut(statement, |expr| {
        expression(expr);
        ControlFlow::<()>::Continue(())
    });
}

/// Views of `information_schema` that the engine does not have, or not as PostgreSQL does, stand in `pg_catalog`.
fn relation(name: &mut ObjectName) {
    let parts: Vec<String> = name.0.iter().map(|part| part.to_string().to_lowercase()).collect();
    let [.., schema, table] = parts.as_slice() else { return };
    if schema == "information_schema" && catalog::is_own_view(table) {
        *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(table)]);
    }
}

fn expression(expr: &mut Expr) {
    let new = match expr {
        Expr::Function(function) => called(function),
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(Value::SingleQuotedString(letter)) = escape_char.as_ref().map(|given| &given.value)
                && letter.chars().count() == 1
                && letter != "\\"
            {
                **pattern = with_backslashes(pattern, letter);
                *escape_char = None;
            }
            None
        }
        Expr::Cast { expr: inner, data_type, .. } => cast(inner, data_type),
        Expr::Subquery(query) if nothing::comes_of(query) => Some(Expr::Value(Value::Null.into())),
        Expr::Subquery(query) => {
            single(query);
            None
        }
        _ => None,
    };
    if let Some(new) = new {
        *expr = new;
    }
}

/// `ARRAY(SELECT …)`, and membership in an array that is written as text.
fn called(function: &mut Function) -> Option<Expr> {
    let name = function.name.0.last()?.to_string().to_lowercase();
    match (name.as_str(), &mut function.args) {
        ("user", FunctionArguments::None) => Some(call("session_user", Vec::new())),
        ("array", FunctionArguments::Subquery(query)) => {
            if nothing::comes_of(query) {
                return Some(Expr::Value(Value::Null.into()));
            }
            let SetExpr::Select(select) = &mut *query.body else { return None };
            let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
                select.projection.as_slice()
            else {
                return None;
            };
            select.projection = vec![SelectItem::UnnamedExpr(call("array_agg", vec![item.clone()]))];
            query.order_by = None;
            Some(Expr::Subquery(query.clone()))
        }
        ("array_to_string", _) => {
            function.name = ObjectName::from(vec![Ident::new("catalog_join")]);
            None
        }
        ("array_contains", FunctionArguments::List(list)) => {
            if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(array))) = list.args.first_mut()
                && let Some(read) = array_literal(array)
            {
                *array = read;
            }
            None
        }
        ("to_regclass", FunctionArguments::List(list)) => {
            let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(of))) = list.args.first() else {
                return None;
            };
            parsed(&class_of(of))
        }
        _ => None,
    }
}

/// `'{a,b}'`, in brackets or with its type named, as an array of texts.
fn array_literal(expr: &Expr) -> Option<Expr> {
    let text = match expr {
        Expr::Nested(inner) => return array_literal(inner),
        Expr::Cast { expr, data_type: ast::DataType::Array(_), .. } => return array_literal(expr),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim(),
            _ => return None,
        },
        _ => return None,
    };
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let (mut items, mut item, mut letters) = (Vec::new(), String::new(), inner.chars());
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            '{' | '}' if !quoted => return None,
            letter => item.push(letter),
        }
    }
    if !inner.is_empty() {
        items.push(item);
    }
    let elem = items.into_iter().map(|item| Expr::Value(Value::SingleQuotedString(item).into())).collect();
    Some(Expr::Array(ast::Array { elem, named: true }))
}

/// Names of types as numbers, and numbers of types as names.
fn cast(inner: &Expr, kind: &ast::DataType) -> Option<Expr> {
    match kind {
        ast::DataType::Regclass => match inner {
            Expr::Function(function) if last(&function.name) == "format" => parsed(&class_of(inner)),
            _ => None,
        },
        ast::DataType::Custom(name, _) if last(name) == "regtype" => {
            Some(call("regtype_oid", vec![inner.clone()]))
        }
        ast::DataType::Text => {
            let Expr::Function(function) = inner else { return None };
            (last(&function.name) == "regtype_oid").then(|| {
                let nothing = Expr::Value(Value::Null.into());
                call("format_type", vec![inner.clone(), nothing])
            })
        }
        _ => None,
    }
}

/// A pattern whose special letters stand behind another letter than the backslash, with backslashes: `LIKE … ESCAPE '/'`.
fn with_backslashes(pattern: &Expr, letter: &str) -> Expr {
    let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).into());
    let replace = |of: Expr, from: &str, to: &str| call("replace", vec![of, text(from), text(to)]);
    let kept = replace(pattern.clone(), "\\", "\\\\");
    // The letter itself, which stands there twice, is put aside.
    let aside = replace(kept, &letter.repeat(2), "\u{1}");
    replace(replace(aside, letter, "\\"), "\u{1}", letter)
}

/// The number of a table that a text names.
fn class_of(name: &Expr) -> String {
    format!("(SELECT max(oid) FROM pg_catalog.pg_class WHERE relname = bare_name({name}))")
}

/// A subquery over the catalog that stands for one value. PostgreSQL finds out that it has one row when it looks; the engine
/// wants to know before.
fn single(query: &mut Query) {
    let one = query.limit_clause.as_ref().is_none_or(|limit| limit.to_string().trim() == "LIMIT 1");
    if !one || query.fetch.is_some() {
        return;
    }
    let SetExpr::Select(select) = &mut *query.body else { return };
    let of_catalog = select.from.iter().all(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation)
            .chain(joined)
            .all(|table| matches!(table, TableFactor::Table { name, .. } if catalog::is_catalog(name)))
    });
    if !of_catalog || select.from.is_empty() || aggregates(&select.projection) {
        return;
    }
    if let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    {
        *item = call("first_value", vec![item.clone()]);
        query.order_by = None;
        query.limit_clause = None;
    }
}

/// Whether one row comes of no rows.
pub(crate) fn aggregates(columns: &[SelectItem]) -> bool {
    const AGGREGATES: [&str; 14] = [
        "count",
        "min",
        "max",
        "sum",
        "avg",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "every",
        "first_value",
        "last_value",
        "json_agg",
        "jsonb_agg",
    ];
    struct Looking {
        within: usize,
        found: bool,
    }
    impl Visitor for Looking {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.within += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.within -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr {
                // What a subquery counts is counted there.
                self.found |= self.within == 0 && AGGREGATES.contains(&last(&function.name).as_str());
            }
            ControlFlow::Continue(())
        }
    }
    let mut looking = Looking { within: 0, found: false };
    columns.iter().for_each(|column| {
        let _ = column.visit(&mut looking);
    });
    looking.found
}

pub(crate) fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(ObjectNamePart::as_ident);
    part.map(|name| name.value.to_lowercase()).unwrap_or_default()
}

fn parsed(sql: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).ok()?.parse_expr().ok()
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
