//! `[alert]`: what is possible, and what is refused by name.

use penstock_alert::{Config, Secret};

fn config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

#[test]
fn the_example_of_the_documentation_is_possible() {
    let docs = include_str!("../../../../docs/alerts.md");
    let example = docs.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    #[derive(serde::Deserialize)]
    struct File {
        alert: Config,
    }
    let with_secret = example.replace("whsec_…", "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
    let file: File = toml::from_str(&with_secret).unwrap();
    file.alert.validate().unwrap();
    assert!(toml::from_str::<File>(example).unwrap().alert.validate().is_err(), "the dots are no secret");
    config("").validate().unwrap();
}

#[test]
fn what_cannot_be_is_refused_by_its_key() {
    let smtp = "[smtp]\nhost = \"mail\"\n";
    let sms = "[sms]\nurl = \"https://sms\"\n";
    for (text, words) in [
        ("suppress_s = 100000".to_owned(), "alert.suppress_s: 100000 is not possible: write 0 to 86400"),
        ("digest_s = 5".to_owned(), "alert.digest_s: 5"),
        ("messages_per_hour = 1".to_owned(), "alert.messages_per_hour: 1"),
        ("attempts = 0".to_owned(), "alert.attempts: 0"),
        ("base_url = \"penstock\"".to_owned(), "alert.base_url: \"penstock\" is no address"),
        ("signing_secret = \"hunter2\"".to_owned(), "alert.signing_secret: is not possible"),
        ("[webhook]\ntimeout_s = 0".to_owned(), "alert.webhook.timeout_s: 0"),
        ("[templates]\nsms_text = \"{devise}\"".to_owned(), "alert.templates.sms_text: there is no {devise}"),
        (format!("{smtp}from = \"alerts\""), "alert.smtp.from: \"alerts\""),
        (
            format!("{smtp}from = \"a@b.c\"\nusername = \"u\""),
            "alert.smtp.password: username and password go together",
        ),
        (format!("{sms}body = \"Body={{text}}\""), "alert.sms.body: write {to} and {text}"),
        #[cfg(not(feature = "onnx"))]
        ("[models]\ndir = \"models\"".to_owned(), "alert.models.dir: this build runs no models"),
        (format!("{sms}format = \"json\"\nbody = '{{to}} {{text}}'"), "alert.sms.body: is no JSON"),
        (format!("{sms}body = \"{{to}}{{text}}\"\nheaders = {{\"a b\" = \"c\"}}"), "alert.sms.headers"),
    ] {
        let told = config(&text).validate().map(drop).unwrap_err().to_string();
        assert!(told.starts_with(words), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    for unknown in [
        "supress_s = 1",
        "[webhook]\nx = 1",
        "[smtp]\nhost = \"a\"\nfrom = \"a@b.c\"\nx = 1",
        "[templates]\nx = \"\"",
        "[models]\nx = \"\"",
    ] {
        assert!(toml::from_str::<Config>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn secrets_are_shown_to_nobody() {
    let config = Config { signing_secret: Some(Secret::new("whsec_hunter2")), ..Config::default() };
    let shown = [format!("{config:?}"), toml::to_string(&config).unwrap()];
    assert!(shown.iter().all(|text| !text.contains("hunter2")), "{shown:?}");
}
