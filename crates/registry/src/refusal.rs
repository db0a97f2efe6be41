//! Why somebody may not speak: one text for the client, another for the operator.

use std::fmt;

/// What the client is told. An unknown user and a wrong token are the same, so that nobody can try names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// No credentials, or none of a kind this server takes.
    Missing,
    /// The credentials are not good.
    Credentials,
    /// The credentials are good, the client id is not theirs.
    ClientId,
    /// The credentials could not be checked; try again.
    Unavailable,
}

/// Why somebody may not speak. `Display` is what the client may see; [`Refusal::operator`] is for the log.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the client is told.
    pub kind: RefusalKind,
    /// What the operator reads: names the user and the exact reason. Never sent to the client.
    pub operator: String,
}

impl Refusal {
    pub(crate) fn missing(operator: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Missing, operator: operator.into() }
    }

    pub(crate) fn credentials(operator: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Credentials, operator: operator.into() }
    }

    pub(crate) fn unavailable(operator: impl fmt::Display) -> Self {
        Self { kind: RefusalKind::Unavailable, operator: operator.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RefusalKind::Missing => {
                "credentials are required: a user name and token, a JWT or a client certificate"
            }
            RefusalKind::Credentials => "the credentials are not valid",
            RefusalKind::ClientId => {
                "the client id is not this identity's: use its name, or its name, a slash and anything"
            }
            RefusalKind::Unavailable => "credentials cannot be checked now: try again",
        })
    }
}

impl std::error::Error for Refusal {}
