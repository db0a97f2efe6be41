//! The certificate of MQTT over TLS, looked at before a server starts.

use gateway::tls::{Files, Tls};
use record::Timestamp;

use crate::Config;

/// Whether the files of the TLS listener can be used and last; `None`: there is no such listener.
#[must_use]
pub fn tls(config: &Config) -> Option<Result<String, String>> {
    let settings = config.gateway.mqtt_tls.as_ref()?;
    let opened = Tls::open(Files::from(settings)).map_err(|error| error.to_string());
    Some(opened.and_then(|tls| match tls.warning(Timestamp::now()) {
        Some(warning) => Err(warning),
        None => Ok(format!("{} and its key can be used", settings.cert.display())),
    }))
}
