//! The book against a model, crashes included.
mod codec;
mod crashes;
mod damage;
mod kinds;
mod model;
mod shares;
mod world;
