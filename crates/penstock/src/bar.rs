//! Progress on stderr, where that is a terminal.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Rows,
    Bytes,
}

/// How far it is. Where stderr is no terminal nothing is drawn, and only what is said is seen.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// What was said last: the same is not said again.
    said: Mutex<String>,
}

impl Bar {
    /// How much there is is not known yet.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, said: Mutex::default() }
    }

    /// How much there will be.
    pub(crate) fn expect(&self, total: u64, unit: Unit) {
        let template = match unit {
            Unit::Rows => "{bar:20} {percent:>3} % {human_pos} of {human_len} rows, {eta} left",
            Unit::Bytes => "{bar:20} {percent:>3} % {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style);
        self.bar.set_length(total);
    }

    pub(crate) fn add(&self, count: u64) {
        self.bar.inc(count);
    }

    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Tells why it takes longer, once.
    pub(crate) fn say(&self, words: &str) {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *said != words {
            words.clone_into(&mut said);
            self.bar.suspend(|| eprintln!("penstock: {words}"));
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
