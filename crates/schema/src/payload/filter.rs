//! Which topics, device types and firmware versions a rule is about.

/// A topic as levels: `+` and `{anything}` take one, `#` at the end the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicFilter {
    levels: Vec<Option<String>>,
    tail: bool,
}

impl TopicFilter {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > record::limits::TOPIC_BYTES {
            return Err("is empty or too long");
        }
        let mut levels: Vec<&str> = text.split('/').collect();
        let tail = levels.last() == Some(&"#");
        if tail {
            levels.pop();
        }
        let level = |level: &&str| match *level {
            "+" => Ok(None),
            name if name.starts_with('{') && name.ends_with('}') => Ok(None),
            name if name.contains(['+', '#', '{', '}']) => {
                Err("has a wildcard or a brace inside a level, or a # before its end")
            }
            name => Ok(Some(name.to_owned())),
        };
        Ok(Self { levels: levels.iter().map(level).collect::<Result<_, _>>()?, tail })
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        let mut found = topic.split('/');
        let fits = |level: &Option<String>| match (level, found.next()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(name), Some(found)) => name == found,
        };
        self.levels.iter().all(fits) && (self.tail || found.next().is_none())
    }
}

/// A text, or with a `*` at its end the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    text: String,
    open: bool,
}

impl Beginning {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (start, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        if text.is_empty() || start.contains('*') {
            return Err("is empty, or has a * before its end");
        }
        Ok(Self { text: start.to_owned(), open })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        if self.open { text.starts_with(&self.text) } else { text == self.text }
    }
}
