//! How many tables a statement comes to, once what it names by WITH stands in the place of its names: each may name the one before
//! it twice.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Statement, Visit, Visitor, visit_relations};

/// The number of tables; beyond `most` it is not counted on.
pub(super) fn named(statement: &Statement, most: usize) -> usize {
    let mut expressions = Expressions::default();
    let _ = statement.visit(&mut expressions);
    let Expressions(expressions) = expressions;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    // An expression may name any of them. With each round one more of a chain is right.
    for _ in 0..=expressions.len() {
        let mut changed = false;
        for (name, tables) in &expressions {
            // Where two have one name, the larger counts.
            let count = tables.iter().map(|table| of(table, name, &counts)).fold(0, usize::saturating_add);
            let known = counts.entry(name).or_insert(0);
            changed |= count > *known;
            *known = count.max(*known);
            if *known > most {
                return *known;
            }
        }
        if !changed {
            break;
        }
    }
    relations(statement).iter().map(|table| of(table, "", &counts)).fold(0, usize::saturating_add)
}

/// A recursive expression names itself; that is one table.
fn of(table: &str, within: &str, counts: &HashMap<&str, usize>) -> usize {
    if table == within { 1 } else { counts.get(table).map_or(1, |count| (*count).max(1)) }
}

fn relations(of: &impl Visit) -> Vec<String> {
    let mut names = Vec::new();
    let _ = visit_relations(of, |name: &ObjectName| {
        names.push(name.to_string().to_lowercase());
        ControlFlow::<()>::Continue(())
    });
    names
}

/// Each common table expression, and the tables in it.
#[derive(Default)]
struct Expressions(Vec<(String, Vec<String>)>);

impl Visitor for Expressions {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for expression in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = expression.alias.name.to_string().to_lowercase();
            self.0.push((name, relations(&*expression.query)));
        }
        ControlFlow::Continue(())
    }
}
