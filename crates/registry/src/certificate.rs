//! Identity by client certificate. That the chain is good is rustls's to say, before anything here runs.

use std::sync::Arc;

use record::{DeviceId, TenantId, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::AttributeTypeAndValue;

use crate::config::{CertificateDevice, CertificatePolicy, CertificateTenant};
use crate::credential::normal_serial;
use crate::identity::{ClientIdRule, Identity, Method, Proof, Subject};

/// The identity that a verified certificate (DER) names; the reason for the operator when it names none.
pub(crate) fn identify(policy: &CertificatePolicy, der: &[u8], now: Timestamp) -> Result<Identity, String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|e| format!("the client certificate cannot be read: {e}"))?;
    let serial =
        normal_serial(&certificate.raw_serial_as_string()).ok_or("the client certificate has no serial")?;
    let because = |reason: String| format!("the client certificate with serial {serial}: {reason}");
    let validity = certificate.validity();
    // A resumed TLS session brings a certificate that was verified earlier.
    let now_seconds = now.nanos().div_euclid(1_000_000_000);
    if now_seconds > validity.not_after.timestamp() {
        return Err(because("has expired".to_owned()));
    }
    let device = device(policy.device, &certificate).map_err(because)?;
    let device = DeviceId::parse(&device).map_err(|e| because(e.to_string()))?;
    let tenant = match &policy.tenant {
        CertificateTenant::Fixed(tenant) => tenant.clone(),
        CertificateTenant::Organization => {
            let organization = only("organization (O)", certificate.subject().iter_organization().map(text))
                .map_err(because)?;
            TenantId::parse(&organization).map_err(|e| because(e.to_string()))?
        }
    };
    let not_after_nanos = validity.not_after.timestamp().saturating_mul(1_000_000_000);
    Ok(Identity {
        tenant,
        client_id: ClientIdRule::Own(device.as_str().into()),
        subject: Subject::Device(device),
        method: Method::Certificate,
        grants: Arc::default(),
        expires_at: Some(Timestamp::from_nanos(not_after_nanos)),
        proof: Proof::Certificate { serial: serial.as_str().into() },
    })
}

fn device(place: CertificateDevice, certificate: &X509Certificate<'_>) -> Result<String, String> {
    if place == CertificateDevice::CommonName {
        return only("common name", certificate.subject().iter_common_name().map(text));
    }
    let names = certificate.subject_alternative_name().map_err(|e| e.to_string())?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    match place {
        CertificateDevice::SanUri => only(
            "URI among its alternative names",
            names.filter_map(|name| match name {
                GeneralName::URI(uri) => Some(bare_uri(uri).to_owned()),
                _ => None,
            }),
        ),
        CertificateDevice::CommonName | CertificateDevice::SanDns => only(
            "DNS name among its alternative names",
            names.filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            }),
        ),
    }
}

/// What a URI says after its scheme: `urn:dev:mac:0024` → `dev:mac:0024`, `device://pump-7` → `pump-7`.
fn bare_uri(uri: &str) -> &str {
    match uri.split_once("://") {
        Some((_, rest)) => rest,
        None => uri.strip_prefix("urn:").unwrap_or(uri),
    }
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute.as_str().unwrap_or_default().to_owned()
}

/// The only one: with two, which of them names the device would be anyone's guess.
fn only(what: &str, mut all: impl Iterator<Item = String>) -> Result<String, String> {
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!("has no {what}")),
        (Some(_), Some(_)) => Err(format!("has more than one {what}")),
    }
}
