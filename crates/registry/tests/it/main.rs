//! Who is let in, who is not, and what each may touch.

#![allow(clippy::unwrap_used)] // tests, helpers included

mod acl;
mod certificates;
mod config;
mod devices;
mod jwts;
mod tokens;

use std::sync::Arc;

use penstock_registry::{Administration, AuthConfig, Authenticator, Identity, Mode, Presented, Refusal};
use record::{DeviceId, TenantId, Timestamp};

/// 2026-01-01T00:00:00Z, in seconds.
const NOW: i64 = 1_767_225_600;

fn now() -> Timestamp {
    at(0)
}

/// `seconds` after [`NOW`].
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((NOW + seconds) * 1_000_000_000)
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn device(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

/// `[auth]` in required mode, with `more` in TOML.
fn required(more: &str) -> AuthConfig {
    let config: AuthConfig = toml::from_str(more).unwrap();
    AuthConfig { mode: Mode::Required, ..config }
}

struct House {
    authenticator: Authenticator,
    administration: Administration,
}

impl House {
    fn new(config: &AuthConfig) -> Self {
        let policy = config.validate().unwrap();
        let metadata: Arc<dyn metadata::Metadata> = Arc::new(metadata::Memory::new());
        let administration = Administration::new(&policy, metadata.clone());
        Self { authenticator: Authenticator::open(policy, metadata).unwrap(), administration }
    }

    fn ask(&self, username: &str, secret: &str) -> Result<Identity, Refusal> {
        self.ask_at(username, secret, now())
    }

    fn ask_at(&self, username: &str, secret: &str, now: Timestamp) -> Result<Identity, Refusal> {
        let username = Some(username).filter(|name| !name.is_empty());
        let presented = Presented { username, secret: Some(secret.as_bytes()), ..Presented::nothing() };
        self.authenticator.authenticate(&presented, now)
    }
}
