//! Wide tables: a row a moment of a device, a column a metric.
//!
//! A metric's name says which tables it is in: `cpu.usage_idle{cpu=cpu0}` is the field `usage_idle` of the table `cpu`, of
//! rows whose tag `cpu` is `cpu0`; `gps.fix.quality` is `quality` of `gps.fix` and `fix.quality` of `gps`; `load{zone=a}` is
//! the field `value` of `load`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use record::ValueKind;

use super::shape::instant;
use super::{Shape, kind_name};

/// The columns that every wide table begins with.
pub(crate) const FIXED: [&str; 3] = ["time", "arrived_at", "device_id"];

/// What kinds of value a metric has had: a bit for each [`ValueKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) u8);

impl Kinds {
    pub(crate) const fn of(kind: ValueKind) -> Self {
        Self(1 << kind as u8)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is so of the name of one of them.
    pub(crate) fn any(self, is_so: impl Fn(&str) -> bool) -> bool {
        use ValueKind::{Bool, Float, Int, Location, Text};
        let kinds = [Float, Int, Bool, Text, Location];
        kinds.into_iter().any(|kind| self.has(Self::of(kind)) && is_so(kind_name(kind)))
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a column holds. It widens to what all values of its field fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Int,
    Float,
    Bool,
    Text,
    /// Latitude and longitude are two columns.
    Lat,
    Lng,
}

impl Holds {
    fn of(kinds: Kinds) -> &'static [Self] {
        const INT: u8 = Kinds::of(ValueKind::Int).0;
        const FLOAT: u8 = Kinds::of(ValueKind::Float).0;
        const NUMBERS: u8 = INT | FLOAT;
        const BOOL: u8 = Kinds::of(ValueKind::Bool).0;
        const LOCATION: u8 = Kinds::of(ValueKind::Location).0;
        match kinds.0 {
            INT => &[Self::Int],
            FLOAT | NUMBERS | 0 => &[Self::Float],
            BOOL => &[Self::Bool],
            LOCATION => &[Self::Lat, Self::Lng],
            _ => &[Self::Text],
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Lat => "_lat",
            Self::Lng => "_lng",
            _ => "",
        }
    }

    const fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Float | Self::Lat | Self::Lng => DataType::Float64,
        }
    }
}

/// A metric's name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parted<'n> {
    plain: &'n str,
    tags: &'n str,
}

impl<'n> Parted<'n> {
    pub(crate) fn of(name: &'n str) -> Self {
        match name.strip_suffix('}').and_then(|rest| rest.split_once('{')) {
            Some((plain, tags)) => Self { plain, tags },
            None => Self { plain: name, tags: "" },
        }
    }

    /// The field it is in a table; `None`: it is in another. Where a table has no name its fields have whole ones.
    pub(crate) fn field(&self, table: &str) -> Option<&'n str> {
        if table.is_empty() {
            return Some(if self.plain.is_empty() { "value" } else { self.plain });
        }
        match self.plain.strip_prefix(table)? {
            "" => Some("value"),
            rest => rest.strip_prefix('.').filter(|field| !field.is_empty()),
        }
    }

    /// The table it is listed with; `None`: a name of one part, which is a table only to who asks for it.
    pub(crate) fn table(&self) -> Option<&'n str> {
        match self.plain.rsplit_once('.') {
            Some((table, field)) if !table.is_empty() && !field.is_empty() => Some(table),
            _ => (!self.tags.is_empty() && !self.plain.is_empty()).then_some(self.plain),
        }
    }

    /// All that it is in: what stands before each of its dots, and itself.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &'n str> {
        let plain = self.plain;
        plain.match_indices('.').map(move |(at, _)| &plain[..at]).chain([plain])
    }

    /// Keys and values, without escapes.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let pairs = split(self.tags, ',').into_iter().filter(|pair| !pair.is_empty());
        let named = |pair: &str| match &*split(pair, '=') {
            [key, value] => (unescaped(key).into_owned(), unescaped(value).into_owned()),
            // Not from line protocol: kept as it is.
            _ => ("tags".to_owned(), pair.to_owned()),
        };
        pairs.map(named).collect()
    }
}

/// Parts between separators that no backslash precedes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut escaped) = (Vec::new(), 0, false);
    for (at, char) in text.char_indices() {
        if char == separator && !escaped {
            parts.push(&text[from..at]);
            from = at + separator.len_utf8();
        }
        escaped = char == '\\' && !escaped;
    }
    parts.push(&text[from..]);
    parts
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let (mut plain, mut chars) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&next @ (',' | '=' | ' ')) if char == '\\' => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(char),
        }
    }
    plain.into()
}

/// A wide table: where its tags and fields stand among its columns.
#[derive(Clone, Debug)]
pub(crate) struct Wide {
    pub(crate) shape: Shape,
    pub(crate) tags: BTreeMap<String, usize>,
    pub(crate) fields: BTreeMap<String, Vec<(usize, Holds)>>,
    /// What each column behind the fixed ones holds.
    pub(crate) holds: Vec<Holds>,
}

impl Wide {
    /// From the names of metrics; `None`: none is in it.
    pub(crate) fn of<'n>(table: &str, metrics: impl Iterator<Item = (&'n str, Kinds)>) -> Option<Self> {
        let mut tags: BTreeMap<String, usize> = BTreeMap::new();
        let mut fields: BTreeMap<&str, Kinds> = BTreeMap::new();
        for (name, kinds) in metrics {
            let parted = Parted::of(name);
            let Some(field) = parted.field(table) else { continue };
            tags.extend(parted.tags().into_iter().map(|(key, _)| (key, 0)));
            let known = fields.entry(field).or_default();
            *known = known.with(kinds);
        }
        (!fields.is_empty()).then(|| Self::with(table, tags, fields))
    }

    /// Of devices that have sent nothing.
    pub(crate) fn without_fields(table: &str) -> Self {
        Self::with(table, BTreeMap::new(), BTreeMap::new())
    }

    fn with(table: &str, mut tags: BTreeMap<String, usize>, fields: BTreeMap<&str, Kinds>) -> Self {
        let mut columns: Vec<Field> = FIXED.iter().map(|name| fixed(name)).collect();
        let mut holds = Vec::new();
        let mut add = |name: &str, of: Holds| {
            let mut name = name.to_owned();
            // A tag may be called as a field is, or as ours are.
            while columns.iter().any(|column| *column.name() == name) {
                name.push('_');
            }
            columns.push(Field::new(name, of.data_type(), true));
            holds.push(of);
            columns.len() - 1
        };
        for (key, place) in &mut tags {
            *place = add(key, Holds::Text);
        }
        let fields = fields.into_iter().map(|(field, kinds)| {
            let held = Holds::of(kinds).iter();
            let places = held.map(|&of| (add(&format!("{field}{}", of.suffix()), of), of));
            (field.to_owned(), places.collect())
        });
        let fields = fields.collect();
        let shape = Shape {
            name: table.into(),
            schema: Arc::new(Schema::new(columns)),
            time: Some(0),
            device: Some(2),
            metric: None,
            kind: None,
            own: true,
        };
        Self { shape, tags, fields, holds }
    }
}

fn fixed(name: &str) -> Field {
    let kind = if name == "device_id" { DataType::Utf8 } else { instant() };
    Field::new(name, kind, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_field_of_each_table_that_begins_it() {
        let of = |name, table| Parted::of(name).field(table);
        assert_eq!(of("cpu.usage_idle{cpu=cpu0}", "cpu"), Some("usage_idle"));
        assert_eq!(of("gps.fix.quality", "gps"), Some("fix.quality"));
        assert_eq!(of("gps.fix.quality", "gps.fix"), Some("quality"));
        assert_eq!(of("load{zone=a}", "load"), Some("value"));
        assert_eq!((of("cpus.x", "cpu"), of("cpu.", "cpu"), of("x", "cpu")), (None, None, None));
        let table = |name| Parted::of(name).table();
        assert_eq!(table("cpu.usage_idle{cpu=cpu0}"), Some("cpu"));
        assert_eq!(table("load{zone=a}"), Some("load"));
        assert_eq!(table("gps.fix.quality"), Some("gps.fix"));
        assert_eq!((table("temperature"), table(".x"), table("x.")), (None, None, None));
    }

    #[test]
    fn in_a_table_without_a_name_fields_have_whole_names() {
        let fields = ["cpu.idle{cpu=0}", "t", ".x", "{a=1}"].map(|name| Parted::of(name).field(""));
        assert_eq!(fields, [Some("cpu.idle"), Some("t"), Some(".x"), Some("value")]);
    }

    #[test]
    fn tags_come_without_escapes() {
        let tags = |name| Parted::of(name).tags();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tags(r"m.f{a=1,b\,c=x\=y\ z}"), [pair("a", "1"), pair("b,c", "x=y z")]);
        assert_eq!(tags("m.f"), []);
        assert_eq!(tags("m{odd}"), [pair("tags", "odd")]);
    }

    #[test]
    fn columns_hold_what_was_seen_and_have_names_of_their_own() {
        let of = |kinds: &[ValueKind]| {
            kinds.iter().fold(Kinds::default(), |kinds, &kind| kinds.with(Kinds::of(kind)))
        };
        use ValueKind::{Bool, Float, Int, Location, Text};
        let metrics = [
            ("m.count", of(&[Int])),
            ("m.level{time=x,ok=1}", of(&[Int])),
            ("m.level", of(&[Float])),
            ("m.ok", of(&[Bool])),
            ("m.place", of(&[Location])),
            ("m.state", of(&[Int, Text])),
            ("n.other", of(&[Text])),
        ];
        let wide = Wide::of("m", metrics.into_iter()).unwrap();
        let columns: Vec<String> =
            wide.shape.schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        assert_eq!(
            columns[3..],
            [
                "ok Utf8",
                "time_ Utf8",
                "count Int64",
                "level Float64",
                "ok_ Boolean",
                "place_lat Float64",
                "place_lng Float64",
                "state Utf8"
            ]
        );
        assert!(Wide::of("x", metrics.into_iter()).is_none());
    }
}
