use penstock_registry::AuthConfig;

const ISSUER: &str = "issuer = \"i\"\naudience = [\"a\"]\nalgorithm = \"HS256\"\n";

#[test]
fn a_good_configuration_passes() {
    let config: AuthConfig = toml::from_str(&format!(
        "mode = \"required\"\ndeny_subscribe = [\"test/nosubscribe\"]\ndevice_topics = [\"cmd/{{id}}/#\"]\n\
         [[jwt]]\n{ISSUER}key = \"k\"\ntenant = \"t\"\n[certificates]\ndevice = \"san_uri\"\n"
    ))
    .unwrap();
    assert!(!config.validate().unwrap().is_open());
    AuthConfig::default().validate().unwrap();
}

#[test]
fn what_is_wrong_is_named() {
    let issuer = |more: &str| format!("[[jwt]]\n{ISSUER}{more}\n");
    for (text, expect) in [
        ("token_min_bytes = 8".to_owned(), "auth.token_min_bytes: must be at least 16"),
        ("deny_subscribe = [\"a/#/b\"]".to_owned(), "auth.deny_subscribe: the topic pattern \"a/#/b\""),
        ("device_topics = [\"cmd/#\"]".to_owned(), "has no {id} level"),
        (issuer("tenant = \"t\""), "auth.jwt for issuer \"i\": give either key or jwks"),
        (issuer("key = \"k\"\njwks = \"j\"\ntenant = \"t\""), "give either key or jwks"),
        (issuer("key = \"k\""), "give either tenant or tenant_claim"),
        (issuer("key = \"k\"\ntenant = \"t\"\ntenant_claim = \"c\""), "not both"),
        (issuer("key = \"k\"\ntenant = \"a/b\""), "the tenant id holds the character '/'"),
        (issuer("key = \"k\"\ntenant = \"t\"\nleeway_seconds = 601"), "leeway_seconds is at most 600"),
        (format!("{0}{0}", issuer("key = \"k\"\ntenant = \"t\"")), "is there twice"),
        ("[certificates]\ntenant = \"#\"".to_owned(), "auth.certificates.tenant: the tenant id holds"),
    ] {
        let error = toml::from_str::<AuthConfig>(&text).unwrap().validate().unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    for unknown in ["mod = \"open\"", "mode = \"closed\"", "[[jwt]]\nnope = 1", "[certificates]\nx = 1"] {
        assert!(toml::from_str::<AuthConfig>(unknown).is_err(), "{unknown}");
    }
    let none = format!("[[jwt]]\n{}key = \"k\"\ntenant = \"t\"\n", ISSUER.replace("HS256", "none"));
    assert!(toml::from_str::<AuthConfig>(&none).is_err());
}
