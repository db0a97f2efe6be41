//! Cursors of SQL: `DECLARE`, `FETCH`, `CLOSE`. An answer is computed whole when its cursor is declared, within the limits of any
//! answer, and handed out in pieces.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::{CloseCursor, FetchDirection, Query, Statement, Value, ValueWithSpan};
use parking_lot::Mutex;
use pgwire_protocol::error::PgWireResult;

use crate::parsing::refused;

/// What connections hold of answers, bytes: four of the largest size. A client may leave any number open.
const HELD_BYTES: usize = 256 << 20;

/// Most cursors of a connection.
const CURSORS: usize = 64;

/// A statement about a cursor.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Declare { name: String, hold: bool, query: Box<Query> },
    Fetch { name: String, most: usize },
    Close { name: Option<String> },
}

/// What a statement orders about cursors; `None`: nothing.
pub(crate) fn order(statement: &Statement) -> Option<PgWireResult<Order>> {
    Some(match statement {
        Statement::Declare { stmts } => {
            let [declared] = stmts.as_slice() else { return None };
            let (Some(query), [name]) = (&declared.for_query, declared.names.as_slice()) else { return None };
            if declared.binary == Some(true) {
                return Some(Err(refused(
                    "0A000",
                    "cursors are not BINARY here: ask for the format when binding".into(),
                )));
            }
            let hold = declared.hold == Some(true);
            Ok(Order::Declare { name: name.value.clone(), hold, query: query.clone() })
        }
        Statement::Fetch { name, direction, into: None, .. } => {
            rows(direction).map(|most| Order::Fetch { name: name.value.clone(), most })
        }
        Statement::Close { cursor } => Ok(Order::Close {
            name: match cursor {
                CloseCursor::All => None,
                CloseCursor::Specific { name } => Some(name.value.clone()),
            },
        }),
        _ => return None,
    })
}

fn rows(direction: &FetchDirection) -> PgWireResult<usize> {
    let number = |value: &ValueWithSpan| match &value.value {
        Value::Number(number, _) => number.parse().ok(),
        _ => None,
    };
    let most = match direction {
        FetchDirection::Next => Some(1),
        FetchDirection::All | FetchDirection::ForwardAll => Some(usize::MAX),
        FetchDirection::Count { limit } => number(limit),
        FetchDirection::Forward { limit } => limit.as_ref().map_or(Some(1), number),
        _ => None,
    };
    most.ok_or_else(|| {
        refused("55000", "a cursor only goes forward: FETCH n, FETCH NEXT or FETCH ALL".into())
    })
}

/// What the connections hold of answers that have not been sent yet.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicUsize);

/// A piece of it.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Arc<Held>,
    bytes: usize,
}

impl Held {
    /// Counts an answer for as long as it is held.
    pub(crate) fn take(self: &Arc<Self>, batches: &[RecordBatch]) -> PgWireResult<Holding> {
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let holding = Holding { held: Arc::clone(self), bytes };
        if self.0.fetch_add(bytes, Ordering::AcqRel) + bytes > HELD_BYTES {
            let words = format!(
                "answers that have not been fetched hold {HELD_BYTES} bytes: close cursors and portals, or ask again"
            );
            return Err(refused("53200", words));
        }
        Ok(holding)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Cursor {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Rows handed out already.
    next: usize,
    hold: bool,
    _holding: Holding,
}

/// A connection's cursors.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<HashMap<String, Cursor>>);

impl Cursors {
    pub(crate) fn declare(
        &self,
        (name, hold): (String, bool),
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        holding: Holding,
    ) -> PgWireResult<()> {
        let mut open = self.0.lock();
        if open.contains_key(&name) {
            return Err(refused("42P03", format!("cursor {name:?} already exists")));
        }
        if open.len() >= CURSORS {
            return Err(refused("53200", format!("more than {CURSORS} cursors are open: close some")));
        }
        open.insert(name, Cursor { schema, batches, next: 0, hold, _holding: holding });
        Ok(())
    }

    pub(crate) fn schema(&self, name: &str) -> PgWireResult<SchemaRef> {
        let open = self.0.lock();
        Ok(Arc::clone(&open.get(name).ok_or_else(|| unknown(name))?.schema))
    }

    /// The next rows, at most so many.
    pub(crate) fn fetch(&self, name: &str, most: usize) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        let mut open = self.0.lock();
        let cursor = open.get_mut(name).ok_or_else(|| unknown(name))?;
        let (mut skipped, mut wanted, mut found) = (cursor.next, most, Vec::new());
        for batch in &cursor.batches {
            let here = batch.num_rows().saturating_sub(skipped).min(wanted);
            if here > 0 {
                found.push(batch.slice(skipped, here));
            }
            skipped = skipped.saturating_sub(batch.num_rows());
            wanted -= here;
        }
        cursor.next += found.iter().map(RecordBatch::num_rows).sum::<usize>();
        Ok((Arc::clone(&cursor.schema), found))
    }

    /// `None`: all of them.
    pub(crate) fn close(&self, name: Option<&str>) -> PgWireResult<()> {
        let mut open = self.0.lock();
        match name {
            None => open.clear(),
            Some(name) => drop(open.remove(name).ok_or_else(|| unknown(name))?),
        }
        Ok(())
    }

    /// At the end of a transaction only those WITH HOLD stay.
    pub(crate) fn end_transaction(&self) {
        self.0.lock().retain(|_, cursor| cursor.hold);
    }
}

fn unknown(name: &str) -> pgwire_protocol::error::PgWireError {
    refused("34000", format!("cursor {name:?} does not exist"))
}
