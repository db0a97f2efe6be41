//! What a client may leave on its connection: statements it has prepared, portals it has bound. Each costs memory until it is closed.

use std::collections::HashMap;

use parking_lot::Mutex;
use pgwire_protocol::error::PgWireResult;

use crate::parsing::refused;

/// Most of each kind. Drivers keep some hundred.
const NUMBER: usize = 1024;

/// Most bytes of text and parameters of each kind: sixteen statements of the greatest length.
const BYTES: usize = 16 << 20;

/// A connection's statements or portals, with their bytes.
#[derive(Debug)]
pub(crate) struct Kept {
    kind: &'static str,
    of: Mutex<HashMap<String, usize>>,
}

impl Kept {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, of: Mutex::default() }
    }

    /// Counts one more, in the place of the one of that name.
    pub(crate) fn add(&self, name: &str, bytes: usize) -> PgWireResult<()> {
        let mut of = self.of.lock();
        let before = of.remove(name).unwrap_or(0);
        if of.len() >= NUMBER || of.values().sum::<usize>() + bytes > BYTES {
            if before > 0 {
                of.insert(name.to_owned(), before);
            }
            let kind = self.kind;
            return Err(refused(
                "53400",
                format!("more than {NUMBER} {kind}, or {BYTES} bytes of them: close some"),
            ));
        }
        of.insert(name.to_owned(), bytes.max(1));
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) {
        self.of.lock().remove(name);
    }

    /// Their names; from now on there are none.
    pub(crate) fn drain(&self) -> Vec<String> {
        self.of.lock().drain().map(|(name, _)| name).collect()
    }
}
