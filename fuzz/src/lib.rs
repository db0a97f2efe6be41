//! What is fuzzed, and what must hold for every input. Two ways to run the same functions:
//!
//! - `cargo +nightly fuzz run mqtt_decode --features libfuzzer`: guided by coverage, for as long as one likes;
//! - `cargo run --release --manifest-path fuzz/Cargo.toml --bin drive -- mqtt 10000000`: seeded, on the stable
//!   toolchain, so many inputs for every target whose name begins with `mqtt`.
//!
//! A new target is a module here with a `TARGET`, its line in [`TARGETS`], three lines in `fuzz_targets/`, and its
//! `[[bin]]`.

pub mod allocation;
pub mod drive;
pub mod json;
pub mod line_protocol;
mod mqtt;
pub mod mqtt_decode;
pub mod mqtt_differential;
mod payload;
pub mod template;

/// Something to fuzz.
pub struct Target {
    /// As on the command line and in `fuzz_targets/`.
    pub name: &'static str,
    /// Runs one input and panics when something does not hold that must. Returns what the outcome was like, as a
    /// number: inputs with a new kind of outcome are worth mutating further.
    pub run: fn(&[u8]) -> u64,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mends what a mutation surely broke (lengths, checksums), so that it reaches deeper.
    pub mend: fn(&mut Vec<u8>),
}

/// All of them.
pub static TARGETS: &[Target] =
    &[mqtt_decode::TARGET, mqtt_differential::TARGET, json::TARGET, line_protocol::TARGET, template::TARGET];
