//! The same over HTTP, against a peer that speaks S3.
