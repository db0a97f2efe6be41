//! The time-series store: the seam, a memory and an embedded backend.
