//! The form of a filter: what stands between its wildcards does not matter here.

/// Takes `$share/{group}/{filter}` apart. The form has been checked when the packet was decoded.
pub(super) fn split_share(whole: &str) -> (Option<&str>, &str) {
    match whole.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, whole),
    }
}

/// The number under which the choices of a share group are logged: FNV-1a over the filter as the client wrote it,
/// `$share/` included. Part of the log's format: it never changes.
#[must_use]
pub fn group_hash(whole: &str) -> u64 {
    whole.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Where a filter has its wildcards. All filters of one shape that could match a topic are one filter: the topic
/// with its levels replaced where the shape says so. Matching is therefore one look-up for each shape in use, and
/// fleets use a handful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bit n: level n is `+`.
    plus: u128,
    /// How many levels, a final `#` not counted.
    levels: u8,
    /// Whether `#` follows.
    hash: bool,
}

impl Shape {
    /// The shape of a filter without its share group, at most [`record::limits::TOPIC_LEVELS`] levels.
    pub(super) fn of(filter: &str) -> Self {
        let mut shape = Self { plus: 0, levels: 0, hash: false };
        for level in filter.split('/') {
            match level {
                "#" => shape.hash = true,
                "+" => {
                    shape.plus |= 1_u128.checked_shl(shape.levels.into()).unwrap_or(0);
                    shape.levels = shape.levels.saturating_add(1);
                }
                _ => shape.levels = shape.levels.saturating_add(1),
            }
        }
        shape
    }

    /// Whether some filter of this shape could match a topic of so many levels. A leading wildcard does not match
    /// a leading `$` (MQTT-4.7.2-1); `#` also matches the level above it.
    pub(super) fn fits(self, topic_levels: usize, dollar: bool) -> bool {
        let levels = usize::from(self.levels);
        let wild_first = self.plus & 1 != 0 || levels == 0;
        (if self.hash { levels <= topic_levels } else { levels == topic_levels }) && !(dollar && wild_first)
    }

    /// The one filter of this shape that matches `topic`; borrowed where it is the topic itself.
    pub(super) fn filter_for<'a>(self, topic: &'a str, scratch: &'a mut String) -> &'a str {
        if self.plus == 0 && !self.hash {
            return topic;
        }
        scratch.clear();
        for (at, level) in topic.split('/').take(self.levels.into()).enumerate() {
            if at > 0 {
                scratch.push('/');
            }
            scratch.push_str(if self.plus >> at & 1 != 0 { "+" } else { level });
        }
        if self.hash {
            scratch.push_str(if self.levels == 0 { "#" } else { "/#" });
        }
        scratch
    }
}
