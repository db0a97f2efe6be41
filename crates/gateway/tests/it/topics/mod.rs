//! Subscriptions and retained messages against naive models.
mod retained;
mod subscriptions;

pub(crate) use subscriptions::fits;
