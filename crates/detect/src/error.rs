//! Why a detector refuses.

/// The result of what may be refused.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a configuration or a state is refused. Messages name what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A setting is outside its range.
    #[error("{setting} is {found}: give {wanted}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What was given.
        found: f64,
        /// What is right, in words.
        wanted: &'static str,
    },
    /// A user's model is refused, or failed.
    #[error("model cannot be used: {0}")]
    Model(String),
    /// Bytes of a state that no version of this crate wrote, or that are damaged.
    #[error("state of a detector cannot be read: {0}; begin with a fresh one")]
    State(&'static str),
}
