//! What webhooks and gateways for text messages get, and what they cannot do to us.

use std::time::{Duration, Instant};

use penstock_alert::{
    Address, Body, Channels, Config, Failure, Kind, Receipt, Secret, Signer, SmsConfig, SmsFormat,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, at, tenant};
use crate::receiver::{Answer, Receiver, status};

/// `whsec_` and the base64 of 32 bytes, 1 to 32.
const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn private() -> Config {
    let mut config = Config::default();
    config.webhook.allow_private = true;
    config.webhook.timeout_s = 2;
    config.signing_secret = Some(Secret::new(SECRET));
    config
}

/// The test button: one attempt at this address.
async fn attempt(config: &Config, address: Address) -> Result<Receipt, Failure> {
    let house = House::new();
    let delivery = house.alerts.test_delivery(&tenant(), &address, at(7)).unwrap();
    let channels = Channels::new(&config.validate().unwrap(), None);
    channels.deliver(&tenant(), &delivery, at(7)).await
}

fn hook(receiver: &Receiver) -> Address {
    Address::Webhook { url: receiver.url() }
}

#[tokio::test]
async fn a_webhook_gets_json_a_key_and_a_signature() {
    let receiver = Receiver::new(|_, _| status("202 Accepted")).await;
    let receipt = attempt(&private(), hook(&receiver)).await.unwrap();
    assert_eq!(receipt.said, "202 ok");
    let request = receiver.requests().pop().unwrap();
    assert_eq!(request.path, "/hook?x=1");
    assert_eq!(request.headers["host"], receiver.address.to_string());
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Body = serde_json::from_str(&request.body).unwrap();
    assert_eq!((body.version, body.kind, body.tenant.as_str()), (1, Kind::Test, "acme"));
    let id = &request.headers["webhook-id"];
    assert_eq!(&request.headers["idempotency-key"], id);
    let seconds = (at(7).millis() / 1000).to_string();
    assert_eq!(request.headers["webhook-timestamp"], seconds);
    let expect = Signer::new(SECRET).unwrap().sign(id, at(7).millis() / 1000, request.body.as_bytes());
    assert_eq!(request.headers["webhook-signature"], expect);
}

#[test]
fn the_signature_is_that_of_standard_webhooks() {
    // Computed with Python: base64(hmac_sha256(key, "msg_1.1614265330." + body)).
    let signature = Signer::new(SECRET).unwrap().sign("msg_1", 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,FSmX4Wf1dnvQna5sVCd/dJduSyeq3Em1EpYcmmI1BLQ=");
    for wrong in ["", "AQID", "whsec_", "whsec_AQID", "whsec_!!!"] {
        assert!(Signer::new(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn the_example_of_the_documentation_checks_a_signature() {
    let docs = include_str!("../../../../docs/alerts.md");
    let example = docs.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let body = r#"{"version": 1, "why": "81 °C"}"#;
    // The example wants a message of now.
    let at_s = record::Timestamp::now().millis() / 1000;
    let signature = Signer::new(SECRET).unwrap().sign("id", at_s, body.as_bytes());
    let ask = |body: &str| {
        let headers = serde_json::json!({"webhook-id": "id", "webhook-timestamp": at_s.to_string(), "webhook-signature": signature});
        let program = format!("{example}\nprint(is_from_penstock({headers}, {body:?}.encode(), {SECRET:?}))");
        tokio::process::Command::new("python3").args(["-c", &program]).output()
    };
    let Ok(output) = ask(body).await else {
        eprintln!("skipped: there is no python3");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "True", "{output:?}");
    let other = ask(&body.replace("81", "80")).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&other.stdout).trim(), "False", "{other:?}");
}

#[tokio::test]
async fn what_is_no_success_is_a_failure_with_its_reason() {
    let said = |text: &str| Answer::Say(text.to_owned());
    let long = format!("HTTP/1.1 400 Bad\r\nconnection: close\r\n\r\n\u{1b}[31m{}", "x".repeat(9000));
    for (answer, may_pass, wait, words) in [
        (status("500 Oops"), true, None, "500 ok"),
        (status("404 Not Found"), true, None, "404 ok"),
        (status("410 Gone"), false, None, "410 ok"),
        (said("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"), true, Some(7), "503"),
        (
            said("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"),
            false,
            None,
            "not followed",
        ),
        (said("SSH-2.0-OpenSSH_9.2\r\n\r\n"), true, None, "the peer broke off"),
        (Answer::Drop, true, None, "the peer broke off"),
        (said(&long), true, None, "400  [31mxxx"),
    ] {
        let receiver = Receiver::new(move |_, _| answer.clone()).await;
        let failure = attempt(&private(), hook(&receiver)).await.unwrap_err();
        assert!(failure.reason.contains(words) && failure.reason.len() < 300, "{failure:?}");
        assert_eq!((failure.may_pass, failure.wait), (may_pass, wait.map(Duration::from_secs)), "{words}");
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[tokio::test]
async fn who_hangs_is_given_up_and_who_never_ends_is_cut_off() {
    let silent = Receiver::new(|_, _| Answer::Hang).await;
    let began = Instant::now();
    let failure = attempt(&private(), hook(&silent)).await.unwrap_err();
    assert!(failure.may_pass && failure.reason.contains("no answer within 2 s"), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    // The status is what counts.
    let slow = Receiver::new(|_, _| Answer::Stall).await;
    assert_eq!(attempt(&private(), hook(&slow)).await.unwrap().said, "200 so");
    let endless = Receiver::new(|_, _| Answer::Endless).await;
    let receipt = attempt(&private(), hook(&endless)).await.unwrap();
    assert!(receipt.said.starts_with("200 xxx") && receipt.said.len() < 300, "{receipt:?}");
    // What was on its way in sockets' buffers; the receiver would have sent for ever.
    assert!(*endless.sent.lock() < 64 << 20);
}

#[tokio::test]
async fn nobody_is_connected_to_who_must_not_be() {
    let receiver = Receiver::new(|_, _| status("200 OK")).await;
    let port = receiver.address.port();
    let config = Config::default();
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "2130706433", "127.1"] {
        let address = Address::Webhook { url: format!("http://{host}:{port}/") };
        let failure = attempt(&config, address).await.unwrap_err();
        assert!(!failure.may_pass && failure.reason.contains("is a private address"), "{host}: {failure:?}");
    }
    assert!(receiver.requests().is_empty());
    // A closed port of this machine: refused.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = Address::Webhook { url: format!("http://{free}/") };
    let failure = attempt(&private(), address).await.unwrap_err();
    assert!(failure.may_pass && failure.reason.contains("connecting to"), "{failure:?}");
    // A name that there is not; by RFC 6761 there never will be.
    let address = Address::Webhook { url: "http://nowhere.invalid/".into() };
    let failure = attempt(&private(), address).await.unwrap_err();
    assert!(failure.may_pass && failure.reason.contains("has no address"), "{failure:?}");
}

/// A receiver with a certificate of its own, for one request. Returns its port, the certificate (PEM), and whether the handshake went well.
async fn https() -> (u16, String, tokio::task::JoinHandle<bool>) {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], key.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return false };
        let mut some = [0; 4096];
        assert!(stream.read(&mut some).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream.shutdown().await.is_ok()
    });
    (port, key.cert.pem(), task)
}

#[tokio::test]
async fn https_is_spoken_only_with_whom_an_authority_knows() {
    let (port, _, server) = https().await;
    let address = Address::Webhook { url: format!("https://localhost:{port}/") };
    let failure = attempt(&private(), address).await.unwrap_err();
    assert!(failure.reason.starts_with("TLS failed"), "{failure:?}");
    assert!(!server.await.unwrap(), "the handshake must not have gone well");
}

#[tokio::test]
async fn https_reaches_whom_an_authority_knows() {
    let (port, certificate, server) = https().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    // The system's authorities are read once per process: another process, with those of the test.
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "webhook::https_from_another_process", "--ignored"])
        .env("SSL_CERT_FILE", file.path())
        .env("HOOK_PORT", port.to_string())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(server.await.unwrap());
}

#[tokio::test]
#[ignore = "run by the one above, in a process of its own"]
async fn https_from_another_process() {
    let url = format!("https://localhost:{}/", std::env::var("HOOK_PORT").unwrap());
    assert_eq!(attempt(&private(), Address::Webhook { url }).await.unwrap().said, "204");
}

#[tokio::test]
async fn a_text_message_goes_through_the_gateway_of_the_configuration() {
    let receiver = Receiver::new(|_, _| status("201 Created")).await;
    let sms = Some(SmsConfig {
        url: receiver.url(),
        body: "To={to}&From=%2B123&Body={text}".into(),
        format: SmsFormat::Form,
        username: Some("AC1".into()),
        password: Some(Secret::new("token")),
        headers: [("x-account".to_owned(), Secret::new("7"))].into(),
    });
    let mut config = Config { sms, ..Config::default() };
    config.templates.sms_text = "{what}: {device} & {tenant}".into();
    let house = House::with(config.clone(), std::sync::Arc::new(metadata::Memory::new()));
    let address = Address::Sms { to: "+491711234567".into() };
    let delivery = house.alerts.test_delivery(&tenant(), &address, at(7)).unwrap();
    let channels = Channels::new(&config.validate().unwrap(), None);
    channels.deliver(&tenant(), &delivery, at(7)).await.unwrap();
    let request = receiver.requests().pop().unwrap();
    assert_eq!(request.body, "To=%2B491711234567&From=%2B123&Body=Test%3A+no+device+%26+acme");
    // base64 of AC1:token
    assert_eq!(request.headers["authorization"], "Basic QUMxOnRva2Vu");
    assert_eq!(
        (request.headers["x-account"].as_str(), request.headers["content-type"].as_str()),
        ("7", "application/x-www-form-urlencoded")
    );
    assert_eq!(request.headers["idempotency-key"], delivery.key);
    let without = attempt(&Config::default(), address).await.unwrap_err();
    assert!(!without.may_pass && without.reason.contains("[alert.sms]"), "{without:?}");
}
