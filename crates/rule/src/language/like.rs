//! Patterns of `LIKE`, and of ids in scopes.

/// A pattern: texts with anything between them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Like {
    parts: Vec<Part>,
    /// Whether capital letters are as good as small ones.
    folds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// This character.
    Char(char),
    /// Any one.
    One,
    /// Any number of any.
    Any,
}

impl Like {
    /// SQL's: `%` is any text, `_` any character; after `escape` both are themselves.
    pub(crate) fn sql(pattern: &str, escape: Option<char>, folds: bool) -> Self {
        let mut parts = Vec::new();
        let mut chars = pattern.chars();
        while let Some(next) = chars.next() {
            parts.push(match next {
                next if Some(next) == escape => Part::Char(chars.next().unwrap_or(next)),
                '%' => Part::Any,
                '_' => Part::One,
                next => Part::Char(next),
            });
        }
        Self::new(parts, folds)
    }

    /// Of an id: `*` is any text.
    pub(crate) fn id(pattern: &str) -> Self {
        let part = |c| if c == '*' { Part::Any } else { Part::Char(c) };
        Self::new(pattern.chars().map(part).collect(), false)
    }

    fn new(mut parts: Vec<Part>, folds: bool) -> Self {
        if folds {
            parts = parts.into_iter().flat_map(folded).collect();
        }
        parts.dedup_by(|a, b| *a == Part::Any && *b == Part::Any);
        Self { parts, folds }
    }

    /// Whether the text fits. Goes back to the last `%` only: the time is the product of the lengths at worst.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.folds {
            return self.fits(&text.to_lowercase());
        }
        self.fits(text)
    }

    fn fits(&self, text: &str) -> bool {
        let (mut part, mut rest) = (0, text.chars());
        let mut back: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.parts.get(part), rest.next()) {
                (Some(Part::Any), _) => {
                    back = Some((part, before.clone()));
                    (part, rest) = (part + 1, before);
                }
                (Some(Part::Char(wanted)), Some(found)) if *wanted == found => part += 1,
                (Some(Part::One), Some(_)) => part += 1,
                (None, None) => return true,
                _ => {
                    let Some((any, mut from)) = back.take() else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    back = Some((any, from.clone()));
                    (part, rest) = (any + 1, from);
                }
            }
        }
    }
}

fn folded(part: Part) -> Vec<Part> {
    match part {
        Part::Char(c) => c.to_lowercase().map(Part::Char).collect(),
        other => vec![other],
    }
}
