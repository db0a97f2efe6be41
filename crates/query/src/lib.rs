//! Answers from the store: SQL and point queries.
