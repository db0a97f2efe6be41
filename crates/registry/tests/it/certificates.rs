use penstock_registry::{AuthConfig, Identity, Method, Presented, Refusal, RefusalKind};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SerialNumber};

use crate::{House, device, now, required, tenant};

fn params(names: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    params.serial_number = Some(SerialNumber::from(vec![0x0a, 0x1b, 0xff]));
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params
}

fn der(params: CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn ask(house: &House, certificate: &[u8], secret: Option<&str>) -> Result<Identity, Refusal> {
    let presented = Presented {
        certificate: Some(certificate),
        secret: secret.map(str::as_bytes),
        ..Presented::nothing()
    };
    house.authenticator.authenticate(&presented, now())
}

fn check(config: &AuthConfig, params: CertificateParams, expect: Result<(&str, &str), &str>) {
    let outcome = ask(&House::new(config), &der(params), None);
    match (outcome, expect) {
        (Ok(identity), Ok(names)) => {
            assert_eq!((identity.tenant.as_str(), identity.name()), names);
            assert_eq!(identity.method, Method::Certificate);
            assert!(identity.expires_at.is_some());
        }
        (Err(refusal), Err(reason)) => assert!(refusal.operator.contains(reason), "{}", refusal.operator),
        (outcome, expect) => panic!("{outcome:?}, expected {expect:?}"),
    }
}

#[test]
fn a_certificate_names_its_device_and_tenant() {
    use DnType::{CommonName, OrganizationName};
    let by_name = required("[certificates]");
    let full = [(CommonName, "d1"), (OrganizationName, "acme")];
    check(&by_name, params(&full), Ok(("acme", "d1")));
    check(&by_name, params(&[(OrganizationName, "acme")]), Err("serial a1bff: has no common name"));
    check(&by_name, params(&[(CommonName, "d1")]), Err("has no organization (O)"));
    check(&by_name, params(&[(CommonName, "d/1"), (OrganizationName, "acme")]), Err("'/' at byte 1"));
    check(&by_name, params(&[(CommonName, "+"), (OrganizationName, "acme")]), Err("'+' at byte 0"));
    let mut old = params(&full);
    old.not_after = rcgen::date_time_ymd(2025, 12, 31);
    check(&by_name, old, Err("has expired"));
    check(&required("[certificates]\ntenant = \"t\""), params(&full), Ok(("t", "d1")));

    let san = |names: &[SanType]| {
        let mut params = params(&full);
        params.subject_alt_names = names.to_vec();
        params
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let by_dns = required("[certificates]\ndevice = \"san_dns\"");
    check(&by_dns, san(&[uri("urn:x"), dns("pump-7")]), Ok(("acme", "pump-7")));
    check(&by_dns, san(&[dns("a"), dns("b")]), Err("more than one DNS name"));
    check(&by_dns, params(&full), Err("has no DNS name"));
    let by_uri = required("[certificates]\ndevice = \"san_uri\"");
    check(&by_uri, san(&[uri("urn:dev:mac:0024")]), Ok(("acme", "dev:mac:0024")));
    check(&by_uri, san(&[uri("device://pump-7")]), Ok(("acme", "pump-7")));
    check(&by_uri, san(&[uri("device://a/b")]), Err("'/' at byte 1"));
}

#[test]
fn a_certificate_without_the_setting_proves_nothing() {
    let house = House::new(&required(""));
    let certificate = der(params(&[(DnType::CommonName, "d1"), (DnType::OrganizationName, "acme")]));
    assert_eq!(ask(&house, &certificate, None).unwrap_err().kind, RefusalKind::Missing);
    let broken = ask(&House::new(&required("[certificates]")), b"junk", None).unwrap_err();
    assert!(broken.operator.contains("cannot be read"), "{}", broken.operator);
}

#[test]
fn a_revoked_serial_is_refused_without_a_restart() {
    let house = House::new(&required("[certificates]"));
    let certificate = der(params(&[(DnType::CommonName, "d1"), (DnType::OrganizationName, "acme")]));
    let connected = ask(&house, &certificate, None).unwrap();
    assert!(house.administration.revoke_certificate("not hex", "", now()).is_err());
    house.administration.revoke_certificate("0A:1B:FF", "stolen", now()).unwrap();
    let refusal = ask(&house, &certificate, None).unwrap_err();
    assert!(refusal.operator.contains("certificate:a1bff is revoked"), "{}", refusal.operator);
    assert!(house.authenticator.recheck(&connected, now()).is_err());
}

#[test]
fn two_proofs_must_both_hold_and_agree() {
    let house = House::new(&required("[certificates]"));
    let certificate = der(params(&[(DnType::CommonName, "d1"), (DnType::OrganizationName, "acme")]));
    let token = |t: &str, d: &str| {
        house.administration.add_device_token(&tenant(t), &device(d), None, now()).unwrap()
    };
    ask(&house, &certificate, Some(token("acme", "d1").reveal())).unwrap();
    for (t, d) in [("acme", "d2"), ("other", "d1")] {
        let refusal = ask(&house, &certificate, Some(token(t, d).reveal())).unwrap_err();
        assert!(
            refusal.operator.contains("the client certificate is of device \"d1\""),
            "{}",
            refusal.operator
        );
    }
    assert!(ask(&house, &certificate, Some("wrong")).is_err());
    house.administration.revoke_certificate("0a1bff", "", now()).unwrap();
    assert!(ask(&house, &certificate, Some(token("acme", "d1").reveal())).is_err());
}
