//! The HTTP API of people and services.
