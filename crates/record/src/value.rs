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

/// A value that borrows its text, as it stands in a payload or in a column of [`crate::Readings`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// A 64-bit float, bit for bit as sent.
    Float(f64),
    /// A 64-bit signed integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// Text.
    Text(&'a str),
    /// A place on Earth, degrees, WGS 84.
    Location {
        /// Latitude, -90 to 90.
        lat: f64,
        /// Longitude, -180 to 180.
        lng: f64,
    },
}

/// The type of a value, as a column keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ValueKind {
    /// [`Value::Float`].
    Float = 0,
    /// [`Value::Int`].
    Int = 1,
    /// [`Value::Bool`].
    Bool = 2,
    /// [`Value::Text`].
    Text = 3,
    /// [`Value::Location`].
    Location = 4,
}

impl ValueRef<'_> {
    /// The value's type.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Float(_) => ValueKind::Float,
            Self::Int(_) => ValueKind::Int,
            Self::Bool(_) => ValueKind::Bool,
            Self::Text(_) => ValueKind::Text,
            Self::Location { .. } => ValueKind::Location,
        }
    }

    /// The value with text of its own.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Float(x) => Value::Float(x),
            Self::Int(x) => Value::Int(x),
            Self::Bool(x) => Value::Bool(x),
            Self::Text(x) => Value::Text(x.to_owned()),
            Self::Location { lat, lng } => Value::Location { lat, lng },
        }
    }

    /// The value as a float: floats as they are, integers rounded to the nearest, booleans as 0 and 1;
    /// `None` for text and locations.
    #[inline]
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(x) => Some(x),
            Self::Int(x) => Some(x as f64),
            Self::Bool(x) => Some(f64::from(u8::from(x))),
            Self::Text(_) | Self::Location { .. } => None,
        }
    }
}

impl Value {
    /// The value, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Float(x) => ValueRef::Float(*x),
            Self::Int(x) => ValueRef::Int(*x),
            Self::Bool(x) => ValueRef::Bool(*x),
            Self::Text(x) => ValueRef::Text(x),
            Self::Location { lat, lng } => ValueRef::Location { lat: *lat, lng: *lng },
        }
    }
}
