//! From the log to the store: decode, validate, write.
