//! Detectors of anomalies: what is unusual in a series of values, said while it comes in.
