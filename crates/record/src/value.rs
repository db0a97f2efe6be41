//! The value of a reading.

/// What was measured. Numbers keep the type they came with: 2^53+1 sent as an integer stays one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A 64-bit float, bit for bit as sent.
    Float(f64),
    /// A 64-bit signed integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// Text, at most [`crate::limits::TEXT_VALUE_BYTES`].
    Text(String),
    /// A place on Earth, degrees, WGS 84.
    Location {
        /// Latitude, -90 to 90.
        lat: f64,
        /// Longitude, -180 to 180.
        lng: f64,
    },
}
