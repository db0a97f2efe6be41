use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use penstock_registry::{Acl, Method, Subject};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};

use crate::{House, NOW, at, now, required, tenant};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const RSA: &[u8] = include_bytes!("keys/rsa-2048.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa-2048.pub.pem");
/// The modulus of the same key, for the key set.
const RSA_SHORT: &str = include_str!("keys/rsa-1024.pub.pem");

fn claims() -> Value {
    json!({"iss": "https://id", "aud": "penstock", "sub": "d1", "tenant": "acme", "exp": NOW + 300, "jti": "j1"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn issuer(algorithm: &str, source: &str, path: &Path, more: &str) -> String {
    format!(
        "[[jwt]]\nissuer = \"https://id\"\naudience = [\"penstock\", \"other\"]\nalgorithm = \"{algorithm}\"\n\
         {source} = {path:?}\ntenant_claim = \"tenant\"\n{more}\n"
    )
}

/// Writes `key` and opens a house that takes tokens signed with `algorithm`.
fn house(directory: &Path, algorithm: &str, key: &[u8]) -> House {
    let path = directory.join(format!("{algorithm}.key"));
    std::fs::write(&path, key).unwrap();
    House::new(&required(&issuer(algorithm, "key", &path, "")))
}

#[test]
fn each_algorithm_is_verified_and_only_its_own_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let pairs = [
        ("HS256", Algorithm::HS256, EncodingKey::from_secret(SECRET), SECRET.to_vec()),
        ("RS256", Algorithm::RS256, EncodingKey::from_rsa_pem(RSA).unwrap(), RSA_PUBLIC.as_bytes().to_vec()),
        (
            "ES256",
            Algorithm::ES256,
            EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap(),
            ec.public_key_pem().into_bytes(),
        ),
        (
            "EdDSA",
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap(),
            ed.public_key_pem().into_bytes(),
        ),
    ];
    for (name, _, _, public) in &pairs {
        let house = house(directory.path(), name, public);
        for (signed_as, algorithm, private, _) in &pairs {
            let outcome = house.ask("ignored", &sign(&Header::new(*algorithm), &claims(), private));
            if signed_as == name {
                let identity = outcome.unwrap();
                assert_eq!((identity.tenant.as_str(), identity.name()), ("acme", "d1"), "{name}");
                assert_eq!(identity.method, Method::Jwt);
                assert_eq!(identity.expires_at, Some(at(360)), "exp and the leeway");
            } else {
                let refusal = outcome.unwrap_err();
                let expect = format!("its algorithm is \"{signed_as}\", the issuer's is {name}");
                assert!(refusal.operator.contains(&expect), "{}", refusal.operator);
                assert_eq!(refusal.to_string(), "the credentials are not valid");
            }
        }
        // The classic: sign with HMAC, the public key as the secret; the header says what the verifier wants.
        let confused = sign(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(public));
        assert_eq!(house.ask("", &confused).is_ok(), *name == "HS256", "{name}");
        let (_, rest) = confused.split_once('.').unwrap();
        let header = base64_url(format!("{{\"alg\":\"{name}\"}}").as_bytes());
        assert!(house.ask("", &format!("{header}.{rest}")).is_err() || *name == "HS256");
    }
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn a_token_that_is_not_signed_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let house = house(directory.path(), "HS256", SECRET);
    let payload = base64_url(claims().to_string().as_bytes());
    let good = sign(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(SECRET));
    house.ask("", &good).unwrap();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let forged = base64_url(with("sub", json!("d2")).to_string().as_bytes());
    let header = message.split_once('.').unwrap().0;
    for bad in [
        format!("{}.{payload}.", base64_url(br#"{"alg":"none"}"#)),
        format!("{}.{payload}.{signature}", base64_url(br#"{"alg":"none"}"#)),
        format!("{}.{payload}.{signature}", base64_url(br#"{"alg":"hs256"}"#)),
        format!("{header}.{forged}.{signature}"),
        format!("{message}.AAAA"),
        format!("{message}.{}", &signature[1..]),
        format!("{payload}.{signature}"),
        "a.b.c".to_owned(),
        "..".to_owned(),
        format!("{good}.x"),
    ] {
        assert!(house.ask("", &bad).is_err(), "{bad}");
    }
    let other_key = EncodingKey::from_secret(b"another secret of the same length");
    let refusal = house.ask("", &sign(&Header::new(Algorithm::HS256), &claims(), &other_key)).unwrap_err();
    assert!(refusal.operator.contains("its signature is wrong"), "{}", refusal.operator);
}

#[test]
fn claims_are_checked_against_the_clock_that_is_passed_in() {
    let directory = tempfile::tempdir().unwrap();
    let house = house(directory.path(), "HS256", SECRET);
    let key = EncodingKey::from_secret(SECRET);
    let mut no_exp = claims();
    no_exp.as_object_mut().unwrap().remove("exp");
    let mut no_aud = claims();
    no_aud.as_object_mut().unwrap().remove("aud");
    for (claims, expect) in [
        (claims(), ""),
        (with("aud", json!(["x", "other"])), ""),
        (with("exp", json!(NOW - 59)), ""),
        (with("exp", json!(NOW as f64 + 0.5)), ""),
        (with("exp", json!(NOW - 60)), "it expired 60 s ago"),
        (with("exp", json!("soon")), "the claim \"exp\" is no number"),
        (no_exp, "it has no exp"),
        (with("nbf", json!(NOW + 60)), ""),
        (with("nbf", json!(NOW + 61)), "it is valid only in 61 s"),
        (with("aud", json!("somebody")), "its audience is \"somebody\", not ours"),
        (with("aud", json!(["x"])), "not ours"),
        (no_aud, "its audience is null"),
        (with("iss", json!("https://other")), "\"https://other\" is none of auth.jwt"),
        (with("iss", json!(7)), "the claim \"iss\" is missing or no text"),
        (with("sub", json!("a/b")), "'/' at byte 1"),
        (with("sub", json!("+")), "'+' at byte 0"),
        (with("sub", json!(null)), "the claim \"sub\" is missing"),
        (with("tenant", json!("#")), "the tenant id holds"),
        (with("tenant", json!("")), "the tenant id is empty"),
    ] {
        match house.ask("", &sign(&Header::new(Algorithm::HS256), &claims, &key)) {
            Ok(_) => assert_eq!(expect, "", "{claims}"),
            Err(refusal) => {
                assert!(!expect.is_empty() && refusal.operator.contains(expect), "{}", refusal.operator)
            }
        }
    }
}

#[test]
fn a_jwt_is_revoked_by_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let house = house(directory.path(), "HS256", SECRET);
    let token = sign(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(SECRET));
    let connected = house.ask("", &token).unwrap();
    house.administration.revoke_jwt(&tenant("acme"), "j1", "leaked", now()).unwrap();
    assert!(house.ask("", &token).unwrap_err().operator.contains("jwt:j1 is revoked"));
    assert!(house.authenticator.recheck(&connected, now()).is_err());
}

#[test]
fn the_kid_picks_the_key_of_a_set_and_the_set_reloads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let jwk =
        |kid: &str, secret: &[u8]| json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": base64_url(secret)});
    let second = b"second secret, of thirty-two b..";
    let foreign = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "use": "enc"});
    let keys = |keys: &[Value]| std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    keys(&[jwk("a", SECRET), jwk("b", second), foreign.clone()]);
    let house = House::new(&required(&issuer("HS256", "jwks", &path, "")));
    let signed = |kid: Option<&str>, secret: &[u8]| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
        sign(&header, &claims(), &EncodingKey::from_secret(secret))
    };
    house.ask("", &signed(Some("a"), SECRET)).unwrap();
    house.ask("", &signed(Some("b"), second)).unwrap();
    for (kid, secret, expect) in [
        (Some("a"), &second[..], "its signature is wrong"),
        (Some("c"), SECRET, "its kid \"c\" is none of the issuer's keys"),
        (Some("r"), SECRET, "its kid \"r\" is none of the issuer's keys"),
        (None, SECRET, "it has no kid, and the issuer has several keys"),
    ] {
        let refusal = house.ask("", &signed(kid, secret)).unwrap_err();
        assert!(refusal.operator.contains(expect), "{}", refusal.operator);
    }
    assert!(!house.authenticator.reload_if_changed().unwrap());
    keys(&[jwk("c", SECRET)]);
    assert!(house.authenticator.reload_if_changed().unwrap());
    house.ask("", &signed(Some("c"), SECRET)).unwrap();
    house.ask("", &signed(None, SECRET)).unwrap();
    assert!(house.ask("", &signed(Some("a"), SECRET)).is_err());
    // A broken file is named, and the keys stay as they were.
    std::fs::write(&path, "{").unwrap();
    let error = house.authenticator.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("jwks.json of issuer \"https://id\" is not a JSON Web Key Set"), "{error}");
    house.ask("", &signed(Some("c"), SECRET)).unwrap();
}

#[test]
fn a_key_that_does_not_fit_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let set = |key: Value| json!({ "keys": [key] }).to_string();
    for (algorithm, source, content, expect) in [
        ("HS256", "key", "too short".to_owned(), "holds a secret of 9 bytes, HS256 needs 32"),
        ("HS256", "key", RSA_PUBLIC.to_owned(), "holds a PEM key, which is no secret"),
        ("RS256", "key", "0123456789abcdef0123456789abcdef".to_owned(), "is not PEM"),
        ("RS256", "key", RSA_SHORT.to_owned(), "less than 2048 bits"),
        ("ES256", "key", RSA_PUBLIC.to_owned(), "holds no public key for ES256"),
        ("EdDSA", "key", RSA_PUBLIC.to_owned(), "holds no public key for EdDSA"),
        ("HS256", "jwks", set(json!({"kty": "oct", "k": "AAAA"})), "holds a secret of 3 bytes"),
        ("RS256", "jwks", set(json!({"kty": "oct", "k": "AAAA"})), "has no key for RS256"),
        ("RS256", "jwks", set(json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})), "has no key for RS256"),
    ] {
        std::fs::write(&path, content).unwrap();
        let policy = required(&issuer(algorithm, source, &path, "")).validate().unwrap();
        let metadata = std::sync::Arc::new(metadata::Memory::new());
        let error = penstock_registry::Authenticator::open(policy, metadata).err().unwrap().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let gone = required(&issuer("HS256", "key", &directory.path().join("gone"), "")).validate().unwrap();
    let error = penstock_registry::Authenticator::open(gone, std::sync::Arc::new(metadata::Memory::new()));
    assert!(error.err().unwrap().to_string().contains("gone of issuer \"https://id\" cannot be read"));
}

#[test]
fn a_service_gets_its_grants_from_claims() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, SECRET).unwrap();
    let more = "subject = \"service\"\npublish_claim = \"pub\"\nsubscribe_claim = \"sub_topics\"";
    let config = required(&issuer("HS256", "key", &path, more));
    let house = House::new(&config);
    let key = EncodingKey::from_secret(SECRET);
    let token = |claims: &Value| sign(&Header::new(Algorithm::HS256), claims, &key);
    let identity = house.ask("", &token(&with("sub_topics", json!(["devices/+/telemetry"])))).unwrap();
    assert_eq!(identity.subject, Subject::Service("d1".into()));
    let acl = Acl::new(&config.validate().unwrap(), []).unwrap();
    acl.may_subscribe(&identity, "devices/+/telemetry").unwrap();
    assert!(acl.may_subscribe(&identity, "devices/#").is_err());
    assert!(acl.may_publish(&identity, "devices/d1/telemetry").is_err());
    assert!(
        house.ask("", &token(&with("pub", json!("#")))).unwrap_err().operator.contains("no list of topics")
    );
}
