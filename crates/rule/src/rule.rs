//! A rule: a document with a name, a version, and somebody's.

use record::TenantId;
use serde::{Deserialize, Serialize};

use crate::detectors::Asked;
use crate::evaluator::Detectors;
use crate::language::{Names, TrackKind};
use crate::limits::ID_BYTES;
use crate::set::Compiled;
use crate::{CompileError, Document, RuleId};

/// A rule as it is kept, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Whose.
    #[serde(with = "tenant_as_text")]
    pub tenant: TenantId,
    /// Its name within the tenant.
    pub id: RuleId,
    /// One more with each change of the document; starts with 1.
    pub version: u32,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// What it says.
    pub document: Document,
}

impl Rule {
    /// Whether it compiles.
    ///
    /// # Errors
    /// [`CompileError`] says what is wrong, and where in its text.
    pub fn check(&self) -> Result<(), CompileError> {
        let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=ID_BYTES).contains(&self.id.0.len()) || !self.id.0.bytes().all(is_id) {
            return Err(CompileError::about(
                "id",
                format!("{:?} is not possible: 1 to {ID_BYTES} of a-z 0-9 -", self.id.0),
            ));
        }
        self.document.compile().map(|_| ())
    }
}

impl Document {
    /// Whether it compiles, for a rule that has no id yet.
    ///
    /// # Errors
    /// [`CompileError`] says what is wrong, and where in its text.
    pub fn compile(&self) -> Result<(), CompileError> {
        Compiled::new(self, &mut Names::default()).map(|_| ())
    }

    /// Whether it compiles and these detectors have all that it asks for: a model that is not there would never say anything.
    ///
    /// # Errors
    /// As [`Document::compile`].
    pub fn compile_for(&self, detectors: &dyn Detectors) -> Result<(), CompileError> {
        let mut names = Names::default();
        Compiled::new(self, &mut names)?;
        for track in names.tracks() {
            if let TrackKind::Score(asked) = &track.kind
                && let Err(reason) = detectors.offers(asked)
            {
                return Err(self.missing(asked, reason));
            }
        }
        Ok(())
    }

    /// That a model is missing, where it is named first.
    fn missing(&self, asked: &Asked, reason: String) -> CompileError {
        let Asked::Model { name, .. } = asked else { return CompileError::about("when", reason) };
        let named = format!("'model:{name}'");
        let texts = [("when", Some(&self.when)), ("clear_when", self.clear_when.as_ref())];
        let mut places = texts.into_iter().filter_map(|(key, text)| Some((key, text?, text?.find(&named)?)));
        match places.next() {
            Some((key, text, place)) => CompileError::at(key, text, place, reason),
            None => CompileError::about("when", reason),
        }
    }
}

mod tenant_as_text {
    use record::TenantId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(tenant: &TenantId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(tenant.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TenantId, D::Error> {
        TenantId::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}
