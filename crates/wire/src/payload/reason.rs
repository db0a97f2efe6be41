//! Why a payload, or one reading of it, is refused.

use std::fmt;

use record::{IdError, TimeError, limits};

/// Why a payload, or one reading of it, is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What is wrong.
    pub problem: Problem,
    /// Where in the payload, in bytes from its beginning.
    pub at: usize,
    /// The line, counted from 1, in the formats that go by lines; else 0.
    pub line: u32,
}

impl Reason {
    /// A short fixed name of the kind of problem, for dead letters and statistics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "byte {}: {}", self.at, self.problem)
    }
}

impl std::error::Error for Reason {}

/// What is wrong with a payload or a reading. Texts quoted from the payload are cut to a few words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The encoding is [`record::Encoding::Opaque`].
    #[error("the payload's encoding is not known: nothing can be read from it")]
    Opaque,
    /// The encoding is one that only a schema explains, and none was applied.
    #[error(
        "the payload is binary and needs a schema to be read: name one for its topic, or put its id before it"
    )]
    NoSchema,
    /// No bytes, or only white space.
    #[error("the payload is empty")]
    Empty,
    /// Nothing in it was meant to be a reading.
    #[error("there is no reading in it")]
    NoReadings,
    /// Above [`limits::READINGS_PER_MESSAGE`].
    #[error("more than {} readings in one message: send several", limits::READINGS_PER_MESSAGE)]
    TooManyReadings,
    /// Above [`limits::REJECTED_PER_MESSAGE`].
    #[error(
        "more than {} bad readings in one message: it is refused as a whole",
        limits::REJECTED_PER_MESSAGE
    )]
    TooManyRejected,
    /// A byte order mark.
    #[error("the payload begins with a byte order mark: send plain UTF-8")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Not JSON (RFC 8259).
    #[error("not JSON: {0}")]
    Json(&'static str),
    /// Deeper than [`limits::JSON_DEPTH`].
    #[error("nested deeper than {} levels", limits::JSON_DEPTH)]
    TooDeep,
    /// Not line protocol.
    #[error("not line protocol: {0}")]
    Line(&'static str),
    /// JSON, but no shape of readings.
    #[error("{0}")]
    Shape(&'static str),
    /// A key, or an alias of it, stands twice in one object.
    #[error("{0:?} is given twice: which one counts is not defined")]
    Twice(String),
    /// Nobody names the device.
    #[error("no device: name it in the topic or as device_id")]
    NoDevice,
    /// Nobody names the metric.
    #[error("no metric: name it in the topic or as metric")]
    NoMetric,
    /// A line without a device.
    #[error("no device: give the line a tag device_id, device or host")]
    NoDeviceTag,
    /// Topic or credential name one device, the payload another.
    #[error("the payload names the device {found:?}, topic or credential name {expected:?}: they must agree")]
    OtherDevice {
        /// What the payload says.
        found: String,
        /// What topic or credential say.
        expected: String,
    },
    /// The topic names one metric, the payload another.
    #[error("the payload names the metric {found:?}, the topic names {expected:?}: they must agree")]
    OtherMetric {
        /// What the payload says.
        found: String,
        /// What the topic says.
        expected: String,
    },
    /// A name that is no id.
    #[error("{0}")]
    Id(#[from] IdError),
    /// A time that is none.
    #[error("the time {found:?} {error}")]
    Time {
        /// What stood there.
        found: String,
        /// What is wrong with it.
        error: TimeError,
    },
    /// A value that is none.
    #[error("{metric:?} {error}")]
    Value {
        /// The metric.
        metric: String,
        /// What is wrong with its value.
        error: ValueError,
    },
}

/// Why something is not a value of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `null`.
    #[error("is null: leave out what was not measured")]
    Null,
    /// An array.
    #[error("is an array: a value is a number, a text, a boolean or a location")]
    Array,
    /// An object that is no location.
    #[error("is an object: only a location, {{\"lat\": …, \"lng\": …}}, may be one")]
    Object,
    /// Latitude or longitude missing, no number, or not on Earth.
    #[error(
        "is no location: it has lat, a number from -90 to 90, lng, one from -180 to 180, and nothing else"
    )]
    Location,
    /// An integer beyond 64 bits.
    #[error(
        "is an integer beyond 64 signed bits: send it as text, or as a float if its last digits do not matter"
    )]
    IntegerRange,
    /// A float beyond 64 bits.
    #[error("is a number beyond the range of a 64-bit float")]
    FloatRange,
    /// A text above [`limits::TEXT_VALUE_BYTES`].
    #[error("is a text of more than {} bytes", limits::TEXT_VALUE_BYTES)]
    TextLength,
}

impl Problem {
    /// A short fixed name of the kind of problem, for dead letters and statistics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::NoSchema => "schema",
            Self::Empty | Self::NoReadings => "empty",
            Self::TooManyReadings | Self::TooManyRejected => "too_many",
            Self::ByteOrderMark | Self::Utf8 => "utf8",
            Self::Json(_) | Self::TooDeep => "json",
            Self::Line(_) => "line_protocol",
            Self::Shape(_) => "shape",
            Self::Twice(_) => "duplicate_key",
            Self::NoDevice | Self::NoDeviceTag => "no_device",
            Self::NoMetric => "no_metric",
            Self::OtherDevice { .. } => "device_mismatch",
            Self::OtherMetric { .. } => "metric_mismatch",
            Self::Id(_) => "id",
            Self::Time { .. } => "time",
            Self::Value { .. } => "value",
        }
    }

    pub(super) fn at(self, at: usize) -> Reason {
        Reason { problem: self, at, line: 0 }
    }
}

/// The first words of a text, for a message.
pub(super) fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 48;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
