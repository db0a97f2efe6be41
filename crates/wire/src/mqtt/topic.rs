//! Topic names and filters (4.7, 4.8): what form they may have, and which filter matches which name.
//!
//! `$share/{group}/{filter}` is read the same in both versions: 3.1.1 does not know shared subscriptions, but its
//! clients use them everywhere.

use std::fmt;

use record::limits::{TOPIC_BYTES, TOPIC_LEVELS};

use super::rules::{self, Rule};
use super::{DecodeError, Version};

/// Why a topic name or filter is refused, and at which of its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TopicError {
    pub(super) rule: &'static Rule,
    /// Bytes from the start of the name or filter.
    pub at: usize,
}

impl TopicError {
    #[cold]
    fn new(at: usize, rule: &'static Rule) -> Self {
        Self { rule, at }
    }

    /// The same as the refusal of a packet in which the name or filter starts at byte `start`.
    #[cold]
    pub(super) fn in_packet(self, version: Option<Version>, start: usize) -> DecodeError {
        DecodeError::new(self.rule, version, start + self.at)
    }

    /// The reason code that fits: 0x8F, 0x90 or 0x81.
    #[must_use]
    pub fn reason(&self) -> super::ReasonCode {
        self.rule.reason
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.rule.what, self.at)
    }
}

impl fmt::Debug for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicError({self})")
    }
}

impl std::error::Error for TopicError {}

/// A topic filter whose form is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter<'a> {
    /// The share name of a shared subscription.
    pub group: Option<&'a str>,
    /// The filter proper, without `$share/{group}/`.
    pub filter: &'a str,
}

/// Checks a topic name: not empty, no wildcard, no U+0000, within the limits.
///
/// # Errors
/// What is wrong with it.
#[inline]
pub fn check_name(name: &str) -> Result<(), TopicError> {
    let bytes = name.as_bytes();
    // One pass without branches, which the compiler turns into vectors; where it was is looked up only when needed.
    let suspicious = bytes.iter().fold(false, |bad, b| bad | (*b == 0) | (*b == b'+') | (*b == b'#'));
    if suspicious | bytes.is_empty() | (bytes.len() >= TOPIC_LEVELS) {
        check_name_slowly(name)
    } else {
        Ok(())
    }
}

#[cold]
fn check_name_slowly(name: &str) -> Result<(), TopicError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Err(TopicError::new(0, &rules::TOPIC_EMPTY));
    }
    if bytes.len() > TOPIC_BYTES {
        return Err(TopicError::new(TOPIC_BYTES, &rules::TOPIC_TOO_LONG));
    }
    if let Some(at) = memchr::memchr3(0, b'+', b'#', bytes) {
        return Err(TopicError::new(
            at,
            if bytes[at] == 0 { &rules::TOPIC_NUL } else { &rules::TOPIC_WILDCARD },
        ));
    }
    check_depth(name, 0, &rules::TOPIC_TOO_DEEP)
}

fn check_depth(levels: &str, start: usize, rule: &'static Rule) -> Result<(), TopicError> {
    match memchr::memchr_iter(b'/', levels.as_bytes()).nth(TOPIC_LEVELS - 1) {
        None => Ok(()),
        Some(at) => Err(TopicError::new(start + at, rule)),
    }
}

/// Checks a topic filter, `$share/{group}/` included, and takes it apart.
///
/// # Errors
/// What is wrong with it.
pub fn parse_filter(whole: &str) -> Result<Filter<'_>, TopicError> {
    if whole.len() > TOPIC_BYTES {
        return Err(TopicError::new(TOPIC_BYTES, &rules::FILTER_TOO_LONG));
    }
    if let Some(at) = memchr::memchr(0, whole.as_bytes()) {
        return Err(TopicError::new(at, &rules::FILTER_NUL));
    }
    let (group, filter) = split_share(whole)?;
    let start = whole.len() - filter.len();
    if filter.is_empty() {
        let rule = if group.is_some() { &rules::SHARE_WITHOUT_FILTER } else { &rules::FILTER_EMPTY };
        return Err(TopicError::new(start, rule));
    }
    check_depth(filter, start, &rules::FILTER_TOO_DEEP)?;
    check_wildcards(filter, start)?;
    Ok(Filter { group, filter })
}

const SHARE: &str = "$share/";

fn split_share(whole: &str) -> Result<(Option<&str>, &str), TopicError> {
    let Some(shared) = whole.strip_prefix(SHARE) else { return Ok((None, whole)) };
    let (group, filter) = shared.split_once('/').unwrap_or((shared, ""));
    if group.is_empty() {
        return Err(TopicError::new(SHARE.len(), &rules::SHARE_EMPTY));
    }
    if let Some(at) = group.find(['+', '#']) {
        return Err(TopicError::new(SHARE.len() + at, &rules::SHARE_WILDCARD));
    }
    Ok((Some(group), filter))
}

/// A wildcard stands alone in its level, and `#` only in the last.
fn check_wildcards(filter: &str, start: usize) -> Result<(), TopicError> {
    let bytes = filter.as_bytes();
    for at in memchr::memchr2_iter(b'+', b'#', bytes) {
        let opens = at == 0 || bytes[at - 1] == b'/';
        let ends = at + 1 == bytes.len();
        let closes = ends || bytes[at + 1] == b'/';
        if bytes[at] == b'#' && !(opens && ends) {
            return Err(TopicError::new(start + at, &rules::FILTER_HASH));
        }
        if bytes[at] == b'+' && !(opens && closes) {
            return Err(TopicError::new(start + at, &rules::FILTER_PLUS));
        }
    }
    Ok(())
}

/// Whether `filter` (without `$share/{group}/`) matches the topic `name`. Both have the right form.
///
/// The reference: plain and obviously right, for tests and for single questions; many subscriptions want a tree.
#[must_use]
pub fn matches(filter: &str, name: &str) -> bool {
    // A leading wildcard does not match a leading `$` (MQTT-4.7.2-1).
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = name.split('/');
    for want in filter.split('/') {
        match (want, levels.next()) {
            // Also the parent: `a/#` matches `a`.
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (want, Some(have)) if want == have => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}
