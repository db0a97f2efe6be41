//! How much memory the open windows may take.

/// A number of bytes and how many of them are in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    used: usize,
    /// How many of them are tables of pages, which are taken without asking.
    tables: usize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: 0, tables: 0, limit }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether `bytes` more would do.
    pub(super) fn has(&self, bytes: usize) -> bool {
        self.used + bytes <= self.limit
    }

    /// Takes bytes if there are as many.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let has = self.has(bytes);
        if has {
            self.used += bytes;
        }
        has
    }

    /// Takes bytes that are in use already.
    pub(super) fn count(&mut self, bytes: usize) {
        self.used += bytes;
    }

    /// Takes bytes for a table.
    pub(super) fn count_table(&mut self, bytes: usize) {
        self.count(bytes);
        self.tables += bytes;
    }

    pub(super) fn give_back_table(&mut self, bytes: usize) {
        self.give_back(bytes);
        self.tables = self.tables.checked_sub(bytes).expect("no more comes back than was taken");
    }

    /// Whether tables take more than half of what there is.
    pub(super) fn tables_weigh(&self) -> bool {
        self.tables > self.limit / 2
    }

    /// What is freed at once when there is too little, so that it is not looked for at every reading.
    pub(super) fn slack(&self) -> usize {
        (self.limit / 64).clamp(4 << 10, 1 << 20)
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        self.used = self.used.checked_sub(bytes).expect("no more comes back than was taken");
    }
}
