//! Simulated devices and load over real protocols.
