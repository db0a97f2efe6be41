//! Who is asking, by the ways HTTP clients say so.

use std::borrow::Cow;
use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use record::Timestamp;
use registry::{Authenticator, Identity, Presented, Refusal, RefusalKind};

/// Who is asking by the `Authorization` header: `Bearer <token>`, `Token <token>` (InfluxDB 2.x), `Token
/// <user>:<token>` (InfluxDB 1.8) or `Basic`; or by InfluxDB 1.x's parameters `u` and `p`.
///
/// # Errors
/// [`Refusal`].
pub fn identify(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    parameters: Option<(&str, &str)>,
    peer: Option<SocketAddr>,
    now: Timestamp,
) -> Result<Identity, Refusal> {
    // Telegraf's InfluxDB 2 output sends the header without a token when it has none: that shows nothing.
    let nothing = |value: &&HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"token");
    let said = match headers.get(header::AUTHORIZATION).filter(|value| !nothing(value)) {
        Some(value) => Some(value.to_str().ok().and_then(authorization).ok_or_else(|| Refusal {
            kind: RefusalKind::Credentials,
            operator: "the Authorization header is none of Bearer, Token and Basic".to_owned(),
        })?),
        None => parameters.map(|(user, password)| (Some(Cow::from(user)), Cow::from(password))),
    };
    let presented = match &said {
        Some((user, secret)) => Presented {
            username: user.as_deref(),
            secret: Some(secret.as_bytes()),
            peer,
            ..Presented::nothing()
        },
        None => Presented { peer, ..Presented::nothing() },
    };
    authenticator.authenticate(&presented, now)
}

/// User and secret of an `Authorization` header.
fn authorization(value: &str) -> Option<(Option<Cow<'_, str>>, Cow<'_, str>)> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, secret) = text.split_once(':')?;
        return Some((Some(user.to_owned().into()), secret.to_owned().into()));
    }
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Some(match rest.split_once(':') {
            Some((user, secret)) => (Some(user.into()), secret.into()),
            None => (None, rest.into()),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_who_one_is() {
        for (value, expect) in [
            ("Bearer abc", Some((None, "abc"))),
            ("bearer  abc ", Some((None, "abc"))),
            ("Token abc", Some((None, "abc"))),
            ("Token acme/d1:abc", Some((Some("acme/d1"), "abc"))),
            ("Basic YWNtZS9kMTphOmI=", Some((Some("acme/d1"), "a:b"))),
            ("Basic !", None),
            ("Basic YWJj", None),
            ("Digest x", None),
            ("Bearer", None),
            ("", None),
        ] {
            let found = authorization(value);
            let found = found.as_ref().map(|(user, secret)| (user.as_deref(), &**secret));
            assert_eq!(found, expect, "{value}");
        }
    }
}
