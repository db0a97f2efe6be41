//! What rules cost a reading.

fn main() {}
