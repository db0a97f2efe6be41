//! MQTT over the TLS listener, with client certificates, and certificates that change.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use penstock_gateway::config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use record::Qos;
use registry::{AuthConfig, CertificateConfig, Mode};
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use wire::mqtt::Version;

use super::client::{Client, Hello, socket};
use super::rig::Rig;

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
struct Identity {
    cert: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Identity { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// The authorities of a fleet, and the files of its gateway.
struct Fleet {
    directory: TempDir,
    servers: Authority,
    devices: Authority,
}

impl Fleet {
    fn new() -> Self {
        let (servers, devices) = (Authority::new("servers"), Authority::new("devices"));
        let fleet = Self { directory: tempfile::tempdir().unwrap(), servers, devices };
        fleet.renew();
        fs::write(fleet.file("ca.pem"), fleet.devices.0.pem()).unwrap();
        fleet
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Gives the server another certificate.
    fn renew(&self) {
        let Identity { cert, key } = self.servers.issue("localhost");
        fs::write(self.file("cert.pem"), cert).unwrap();
        fs::write(self.file("key.pem"), key).unwrap();
    }

    fn rig(&self, require_client_cert: bool, auth: Option<AuthConfig>) -> Rig {
        let tls = config::Tls {
            listen: ([127, 0, 0, 1], 0).into(),
            cert: self.file("cert.pem"),
            key: self.file("key.pem"),
            client_ca: Some(self.file("ca.pem")),
            require_client_cert,
        };
        Rig::with_auth(auth, |config| config.mqtt_tls = Some(tls))
    }

    /// A socket whose handshake is done as soon as something is said.
    fn dial(&self, rig: &Rig, identity: Option<&Identity>) -> Stream {
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = socket(rig.addresses().mqtt_tls.unwrap());
        while tls.is_handshaking() {
            if tls.complete_io(&mut tcp).is_err() {
                break; // Refused: it is seen by what is heard.
            }
        }
        StreamOwned::new(tls, tcp)
    }

    /// The first thing heard after CONNECT.
    fn greet(&self, rig: &Rig, identity: Option<&Identity>, hello: &Hello<'_>) -> (Client, String) {
        let mut client = Client::over(self.dial(rig, identity), Version::V5);
        client.say_hello(hello);
        let heard = client.hear();
        (client, heard)
    }

    fn connect(&self, rig: &Rig, identity: Option<&Identity>, id: &str) -> Client {
        let (client, heard) = self.greet(rig, identity, &Hello::v5(id));
        assert!(heard.starts_with("CONNACK 00"), "{heard}");
        client
    }
}

/// The certificate that the server shows.
fn shown(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_publish_over_tls_is_acknowledged_after_its_commit() {
    let fleet = Fleet::new();
    let rig = fleet.rig(false, None);
    let mut client = fleet.connect(&rig, None, "c");
    rig.log.hold();
    client.publish("a", "x", Qos::AtLeastOnce, 1);
    client.expect_silence();
    rig.log.await_held();
    rig.log.release();
    client.expect(&["PUBACK 1 00"]);
    client.disconnect();
}

#[test]
fn a_message_larger_than_any_tls_record_goes_both_ways() {
    let fleet = Fleet::new();
    let rig = fleet.rig(false, None);
    let mut client = fleet.connect(&rig, None, "c");
    client.subscribe("a", Qos::AtLeastOnce);
    let payload = "0123456789".repeat(20_000);
    client.publish("a", &payload, Qos::AtLeastOnce, 1);
    let mut heard = [client.hear(), client.hear()];
    heard.sort();
    assert_eq!(heard[0], "PUBACK 1 00");
    assert_eq!(heard[1], format!("a {payload} q1 id1 dup=0 retain=0"));
}

#[test]
fn client_certificates_are_required_or_not_and_always_of_the_right_authority() {
    let fleet = Fleet::new();
    let right = fleet.devices.issue("d1");
    let wrong = Authority::new("another fleet").issue("d1");
    for (required, identity, let_in) in [
        (true, Some(&right), true),
        (true, None, false),
        (true, Some(&wrong), false),
        (false, Some(&right), true),
        (false, None, true),
        (false, Some(&wrong), false),
    ] {
        let rig = fleet.rig(required, None);
        let (_client, heard) = fleet.greet(&rig, identity, &Hello::v5("c"));
        let expect = if let_in { "CONNACK 00" } else { "closed" };
        assert!(heard.starts_with(expect), "required {required}, let in {let_in}: {heard}");
    }
}

#[test]
fn a_certificate_says_which_device_it_is() {
    let fleet = Fleet::new();
    let certificates = CertificateConfig { tenant: Some("acme".into()), ..CertificateConfig::default() };
    let auth = AuthConfig { mode: Mode::Required, certificates: Some(certificates), ..AuthConfig::default() };
    let rig = fleet.rig(false, Some(auth));
    let (_client, heard) = fleet.greet(&rig, None, &Hello::v5("d1"));
    assert!(heard.starts_with("CONNACK 87"), "nobody without credentials: {heard}");
    let identity = fleet.devices.issue("d1");
    let mut client = fleet.connect(&rig, Some(&identity), "d1");
    client.publish("devices/d1/telemetry", r#"{"metric":"t","value":1}"#, Qos::AtLeastOnce, 1);
    client.publish("devices/d2/telemetry", r#"{"metric":"t","value":1}"#, Qos::AtLeastOnce, 2);
    client.expect(&["PUBACK 1 00", "PUBACK 2 87"]);
}

#[test]
fn new_certificates_are_shown_to_new_connections_and_old_ones_stay() {
    let fleet = Fleet::new();
    let rig = fleet.rig(true, None);
    let identity = fleet.devices.issue("d1");
    let before = shown(&fleet.dial(&rig, Some(&identity)));
    let mut old = fleet.connect(&rig, Some(&identity), "old");
    assert!(!rig.reload().unwrap(), "nothing has changed");

    fleet.renew();
    assert!(rig.reload().unwrap());
    assert_ne!(shown(&fleet.dial(&rig, Some(&identity))), before);
    let mut new = fleet.connect(&rig, Some(&identity), "new");
    new.subscribe("a", Qos::AtMostOnce);
    old.published("a", "still here");
    new.expect(&["a still here q0 id0 dup=0 retain=0"]);

    // Another authority: whoever is connected stays, whoever comes needs its signature.
    let others = Authority::new("others");
    fs::write(fleet.file("ca.pem"), others.0.pem()).unwrap();
    assert!(rig.reload().unwrap());
    assert_eq!(fleet.greet(&rig, Some(&identity), &Hello::v5("late")).1, "closed");
    fleet.connect(&rig, Some(&others.issue("d2")), "d2");
    old.published("a", "yet");
}

#[test]
fn files_that_do_not_fit_together_change_nothing() {
    let fleet = Fleet::new();
    let rig = fleet.rig(false, None);
    let before = shown(&fleet.dial(&rig, None));
    fs::write(fleet.file("key.pem"), fleet.servers.issue("localhost").key).unwrap();
    let words = rig.reload().unwrap_err().to_string();
    assert!(words.contains("key.pem") && words.contains("does not belong"), "{words}");
    assert_eq!(shown(&fleet.dial(&rig, None)), before);
    fleet.connect(&rig, None, "c").published("a", "x");
}
