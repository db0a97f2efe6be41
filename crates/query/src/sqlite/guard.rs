//! What a statement may do.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::views::{FACTS, PUBLIC};

/// Lets a statement read the public tables and nothing else. `gate` begins the names of the views behind them;
/// `stored` are the store's own tables.
pub(super) fn authorize(gate: &str, stored: &[String], context: &AuthContext<'_>) -> Authorization {
    let within_gate = context.accessor.is_some_and(|view| view.starts_with(gate));
    // Its tables share names with ours: `devices` of the metadata is everybody's.
    let is_facts = context.database_name.is_some_and(|name| name.eq_ignore_ascii_case(FACTS));
    let allowed = match context.action {
        AuthAction::Read { .. } if is_facts => within_gate,
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, column_name } => {
            within_gate
                || PUBLIC.contains(&table_name)
                || table_name.starts_with(gate)
                // `count(*)` reads no column, and names a subquery by the name the statement gave it.
                || (column_name.is_empty() && !table_name.starts_with("sqlite_") && !is_one_of(stored, table_name))
        }
        AuthAction::Function { function_name } => {
            !["load_extension", "tenant"].contains(&function_name) || within_gate
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn is_one_of(tables: &[String], name: &str) -> bool {
    tables.iter().any(|table| table.eq_ignore_ascii_case(name))
}
