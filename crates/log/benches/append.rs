//! Placeholder until the embedded backend stands.
fn main() {}
