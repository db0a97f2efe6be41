//! The book against a model, crashes included.
mod crashes;
mod model;
mod world;
