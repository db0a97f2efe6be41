//! Composition by role: configuration, start, readiness, drain.
