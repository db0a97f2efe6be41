//! The rows of the credentials and revocations tables, as JSON for people to read.

use metadata::{Metadata, Row, Table};
use record::TenantId;
use serde::{Deserialize, Serialize};

use crate::{Error, SubjectKind};

/// Tokens of one user at a time: rotation needs two, a fleet's spare a few; without a bound a script that
/// adds and never revokes would slow every connect.
pub(crate) const TOKENS_PER_CREDENTIAL: usize = 8;

/// The body of a credentials row; the row's id is the user name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credential {
    pub(crate) kind: SubjectKind,
    pub(crate) tokens: Vec<StoredToken>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) publish: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subscribe: Vec<String>,
}

/// A token as stored: what it was cannot be found from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredToken {
    /// Names the token to the operator; the start of its hash.
    pub(crate) id: String,
    pub(crate) sha256: String,
    pub(crate) created_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at_ms: Option<i64>,
}

impl Credential {
    pub(crate) fn load(
        metadata: &dyn Metadata,
        tenant: &TenantId,
        user: &str,
    ) -> Result<Option<Self>, Error> {
        match metadata.get(Table::Credentials, tenant.as_str(), user)? {
            Some(row) => Self::from_row(&row).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Error> {
        serde_json::from_slice(&row.body).map_err(|e| Error::Row {
            table: Table::Credentials.name(),
            tenant: row.tenant.clone(),
            id: row.id.clone(),
            reason: e.to_string(),
        })
    }

    pub(crate) fn to_row(&self, tenant: &TenantId, user: &str) -> Row {
        let body = serde_json::to_vec(self).expect("a struct of texts and numbers is always JSON");
        Row { tenant: tenant.as_str().to_owned(), id: user.to_owned(), body }
    }
}

/// What is revoked. A revocation is a row; where it is, the thing is revoked, whatever its body says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Revoked<'a> {
    /// A certificate, by serial number (lower-case hex). Installation-wide: a certificate names its tenant
    /// itself, and one that leaked may not be asked for it.
    Certificate { serial: &'a str },
    /// A JWT, by its `jti`.
    Jwt { tenant: &'a TenantId, jti: &'a str },
    /// A device or service, whatever it shows.
    Subject { tenant: &'a TenantId, kind: SubjectKind, name: &'a str },
}

impl Revoked<'_> {
    /// Tenant and id of the row.
    pub(crate) fn key(self) -> (String, String) {
        match self {
            Self::Certificate { serial } => (String::new(), format!("certificate:{serial}")),
            Self::Jwt { tenant, jti } => (tenant.as_str().to_owned(), format!("jwt:{jti}")),
            Self::Subject { tenant, kind, name } => {
                let kind = match kind {
                    SubjectKind::Device => "device",
                    SubjectKind::Service => "service",
                };
                (tenant.as_str().to_owned(), format!("{kind}:{name}"))
            }
        }
    }

    pub(crate) fn is_noted(self, metadata: &dyn Metadata) -> Result<bool, metadata::Error> {
        let (tenant, id) = self.key();
        Ok(metadata.get(Table::Revocations, &tenant, &id)?.is_some())
    }
}

/// Lower-case hex without separators or leading zeros, however the operator wrote it; `None` when it is not hex.
pub(crate) fn normal_serial(text: &str) -> Option<String> {
    let hex: String =
        text.chars().filter(|c| !matches!(c, ':' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    let hex = hex.strip_prefix("0x").unwrap_or(&hex);
    if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let trimmed = hex.trim_start_matches('0');
    Some(if trimmed.is_empty() { "0" } else { trimmed }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::normal_serial;

    #[test]
    fn a_serial_is_the_same_however_it_is_written() {
        for (text, expect) in [
            ("0A:1b:FF", Some("a1bff")),
            ("0x0a1bff", Some("a1bff")),
            ("00", Some("0")),
            ("12g", None),
            ("", None),
        ] {
            assert_eq!(normal_serial(text).as_deref(), expect, "{text}");
        }
    }
}
