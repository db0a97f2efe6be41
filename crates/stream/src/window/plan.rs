//! Which windows there are: the configuration's texts, parsed.

use std::fmt;

use record::MetricPattern;
use serde::{Deserialize, Serialize};

/// The most windows a plan may have: each costs memory per series.
pub const MAX_WINDOWS: usize = 32;

/// The most parts a sliding window may be cut into (its size by what divides size and slide): each part is kept
/// until the last window over it has closed. Enough for a day that slides by the minute.
pub const MAX_PARTS: i64 = 1440;

/// Behind a window: from how many readings on its results are kept.
const AT_LEAST: &str = " at least ";

const SECOND: i64 = 1_000_000_000;

/// Units of a duration, largest first, so that [`Span`] writes `1h` and not `60m`.
const UNITS: [(&str, i64); 4] =
    [("d", 86_400 * SECOND), ("h", 3600 * SECOND), ("m", 60 * SECOND), ("s", SECOND)];

/// The windows that readings are summed up over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    windows: Vec<Window>,
}

/// One kind of window, the metrics it is for, and from how many readings on its results are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    kind: WindowKind,
    /// Patterns of metric names; none: every metric.
    metrics: Vec<String>,
    /// A result of fewer readings is not kept: it would take more room than they do.
    least: u32,
}

/// The form of a window. All durations in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowKind {
    /// `size` long, one every `slide`; tumbling when both are equal. Starts are multiples of `slide` since the
    /// epoch (UTC).
    Grid {
        /// From start to end.
        size: i64,
        /// From one start to the next; at most `size`.
        slide: i64,
    },
    /// As long as the readings of a series follow each other by less than `gap`; ends `gap` after the last one.
    Session {
        /// The silence that ends it.
        gap: i64,
    },
}

/// Why a window's text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not a duration.
    #[error(
        "window {window:?}: {text:?} is not a duration; write a whole number above zero and s, m, h or d, such as 30s"
    )]
    Duration {
        /// The window's text.
        window: String,
        /// The part that is wrong.
        text: String,
    },
    /// No number of readings from which on a window is kept.
    #[error(
        "window {window:?}: {text:?} is not a number of readings; write one above zero, such as 1m at least 20"
    )]
    Least {
        /// The window's text.
        window: String,
        /// The part that is wrong.
        text: String,
    },
    /// A slide that is not shorter than the window.
    #[error(
        "window {window:?}: the slide must be shorter than the size; for windows that follow each other write the size alone"
    )]
    Slide {
        /// The window's text.
        window: String,
    },
    /// A slide that cuts the window into too many parts.
    #[error(
        "window {window:?}: size and slide cut it into {parts} parts, more than {MAX_PARTS}; choose a longer slide"
    )]
    Parts {
        /// The window's text.
        window: String,
        /// How many.
        parts: i64,
    },
    /// A pattern of metric names that matches nothing.
    #[error("window {window:?}: an empty metric pattern matches nothing; write * for every metric")]
    Pattern {
        /// The window's text.
        window: String,
    },
    /// The same window twice.
    #[error("window {window:?} stands twice: put its metric patterns together")]
    Twice {
        /// The window, as it is named.
        window: String,
    },
    /// Too many windows.
    #[error("{count} windows, at most {MAX_WINDOWS} are possible")]
    Many {
        /// How many.
        count: usize,
    },
}

impl Plan {
    /// Windows as configured: each a text and the patterns of metric names it is limited to (`*` stands for any
    /// characters; no pattern: every metric). A text is a size (`1m`), size and slide (`10m/1m`), or `session`
    /// and a gap (`session 30s`); behind it `at least` and how many readings a result is kept from (`1m at least 20`).
    ///
    /// # Errors
    /// [`PlanError`], which names the window.
    pub fn parse<'a, P: AsRef<str>, M: AsRef<[P]>>(
        windows: impl IntoIterator<Item = (&'a str, M)>,
    ) -> Result<Self, PlanError> {
        let mut plan = Self { windows: Vec::new() };
        for (text, metrics) in windows {
            let window = Window::parse(text, metrics.as_ref())?;
            if plan.windows.iter().any(|other| other.kind == window.kind) {
                return Err(PlanError::Twice { window: window.name() });
            }
            plan.windows.push(window);
        }
        match plan.windows.len() {
            count if count > MAX_WINDOWS => Err(PlanError::Many { count }),
            _ => Ok(plan),
        }
    }

    /// The windows, in the order of the configuration.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The longest size or gap, ns.
    pub(super) fn longest(&self) -> i64 {
        let length = |window: &Window| match window.kind {
            WindowKind::Grid { size, .. } => size,
            WindowKind::Session { gap } => gap,
        };
        self.windows.iter().map(length).max().unwrap_or(0)
    }

    /// Which windows a metric has: indices into [`Plan::windows`].
    pub(super) fn of(&self, metric: &str) -> Vec<u16> {
        let applies = |&index: &u16| self.windows[usize::from(index)].applies_to(metric);
        (0..self.windows.len() as u16).filter(applies).collect()
    }
}

impl Window {
    fn parse<P: AsRef<str>>(text: &str, metrics: &[P]) -> Result<Self, PlanError> {
        let window = || text.to_owned();
        let (shape, least) = match text.split_once(AT_LEAST) {
            Some((shape, least)) => (shape, Some(least.trim())),
            None => (text, None),
        };
        let least = least.map_or(Ok(1), |least| match least.parse::<u32>() {
            Ok(least) if least > 0 => Ok(least),
            _ => Err(PlanError::Least { window: window(), text: least.to_owned() }),
        })?;
        let duration = |part: &str| {
            parse_duration(part)
                .ok_or_else(|| PlanError::Duration { window: window(), text: part.to_owned() })
        };
        let kind = if let Some(gap) = shape.trim().strip_prefix("session") {
            WindowKind::Session { gap: duration(gap.trim())? }
        } else if let Some((size, slide)) = shape.split_once('/') {
            let (size, slide) = (duration(size.trim())?, duration(slide.trim())?);
            if slide >= size {
                return Err(PlanError::Slide { window: window() });
            }
            let parts = size / divisor(size, slide);
            if parts > MAX_PARTS {
                return Err(PlanError::Parts { window: window(), parts });
            }
            WindowKind::Grid { size, slide }
        } else {
            let size = duration(shape.trim())?;
            WindowKind::Grid { size, slide: size }
        };
        if metrics.iter().any(|pattern| pattern.as_ref().is_empty()) {
            return Err(PlanError::Pattern { window: window() });
        }
        let metrics = metrics.iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        Ok(Self { kind, metrics, least })
    }

    /// Its form.
    #[must_use]
    pub fn kind(&self) -> WindowKind {
        self.kind
    }

    /// Its name as people write it: `1m`, `10m/1m`, `session 30s`; always in the largest unit that fits.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            WindowKind::Grid { size, slide } if size == slide => Span(size).to_string(),
            WindowKind::Grid { size, slide } => format!("{}/{}", Span(size), Span(slide)),
            WindowKind::Session { gap } => format!("session {}", Span(gap)),
        }
    }

    /// From how many readings on its results are kept.
    #[must_use]
    pub fn least(&self) -> u32 {
        self.least
    }

    /// Whether it is for this metric.
    #[must_use]
    pub fn applies_to(&self, metric: &str) -> bool {
        let fits = |text: &String| MetricPattern::parse(text).is_ok_and(|pattern| pattern.matches(metric));
        self.metrics.is_empty() || self.metrics.iter().any(fits)
    }
}

/// A duration in the largest unit that writes it as a whole number.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, nanos) = UNITS.iter().find(|(_, nanos)| self.0 % nanos == 0).unwrap_or(&("ns", 1));
        write!(f, "{}{unit}", self.0 / nanos)
    }
}

/// Nanoseconds; `None` when the text is none, or nothing, or longer than a hundred years.
fn parse_duration(text: &str) -> Option<i64> {
    let (unit, nanos) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let digits = &text[..text.len() - unit.len()];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = digits.parse::<i64>().ok()?.checked_mul(*nanos)?;
    (nanos > 0 && nanos <= 36_525 * 86_400 * SECOND).then_some(nanos)
}

/// The greatest common divisor (Euclid).
pub(super) fn divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { divisor(b, a % b) }
}
