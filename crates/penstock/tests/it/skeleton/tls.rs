//! Certificates are read again on SIGHUP, and connections stay.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::served::{Served, run, text, until};

/// A certificate of its own making for 127.0.0.1, in `server.crt` and `server.key`.
fn renew(dir: &Path) {
    let files = ["-keyout", "server.key", "-out", "server.crt"];
    let kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let name = ["-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"];
    run(Command::new("openssl").arg("req").args(kind).args(files).args(name).current_dir(dir));
}

/// The serial number of the certificate that the server shows.
fn shown(port: &str) -> String {
    let ask = format!(
        "openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    text(&run(Command::new("sh").args(["-c", &ask])).stdout)
}

#[test]
fn a_new_certificate_after_sighup_and_who_is_connected_stays() {
    let dir = tempfile::tempdir().unwrap();
    renew(dir.path());
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (file("server.crt"), file("server.key"));
    let listener = format!(r#"{{ listen = "127.0.0.1:0", cert = "{cert}", key = "{key}" }}"#);
    let served = Served::with(dir.path(), &[("PENSTOCK__GATEWAY__MQTT_TLS", &listener)]);
    let addresses = std::fs::read_to_string(dir.path().join("ready.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&addresses).unwrap();
    let port = addresses["mqtt_tls"].as_str().unwrap().rsplit(':').next().unwrap();
    let before = shown(port);

    std::fs::copy(file("server.crt"), file("first.crt")).unwrap();
    let heard = dir.path().join("heard.txt");
    let listening = ["-h", "127.0.0.1", "-p", port, "-t", "a", "-C", "1", "-d"];
    // Line by line, or it would be heard of only at its end.
    let mut listener = Command::new("stdbuf")
        .args(["-oL", "mosquitto_sub"])
        .args(listening)
        .args(["--cafile", &file("first.crt")])
        .stdout(File::create(&heard).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let heard = || std::fs::read_to_string(&heard).unwrap();
    until("the listener has subscribed", || heard().contains("SUBACK").then_some(()));

    renew(dir.path());
    served.hangup();
    until("the new certificate is shown", || (shown(port) != before).then_some(()));
    let saying = ["-h", "127.0.0.1", "-p", port, "-t", "a", "-q", "1", "-m", "still-there"];
    run(Command::new("mosquitto_pub").args(saying).args(["--cafile", &file("server.crt")]));
    until("the listener has heard it", || listener.try_wait().unwrap());
    assert!(heard().contains("still-there"), "{}", heard());
    assert_eq!(heard().matches("CONNACK").count(), 1, "it never came back: {}", heard());
}
