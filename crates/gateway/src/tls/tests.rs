use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls::client::Resumption as ClientResumption;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key, PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        self.issue_as(params)
    }

    fn issue_as(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

struct Bench {
    directory: TempDir,
    servers: Authority,
    clients: Authority,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
            servers: Authority::new("servers"),
            clients: Authority::new("clients"),
        };
        let (cert, key) = bench.servers.issue("localhost");
        bench.write("cert.pem", &cert);
        bench.write("key.pem", &key);
        bench.write("ca.pem", &bench.clients.pem());
        bench
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    fn files(&self, client_ca: bool, require_client_cert: bool) -> Files {
        let path = |name: &str| self.directory.path().join(name);
        Files {
            cert: path("cert.pem"),
            key: path("key.pem"),
            client_ca: client_ca.then(|| path("ca.pem")),
            require_client_cert,
        }
    }

    fn client(&self, certificate: Option<(String, String)>) -> ClientConfig {
        let roots = roots(Path::new("test"), self.servers.pem().as_bytes()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match certificate {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(
                    certificates("cert", Path::new("test"), cert.as_bytes()).unwrap(),
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        }
    }
}

/// What both sides saw: the client's certificate, and whether the session was resumed.
struct Seen {
    peer: Option<Vec<u8>>,
    resumed: bool,
    server_certificate: Vec<u8>,
}

async fn shake(tls: &Tls, client: &Arc<ClientConfig>) -> Result<Seen, String> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let serve = async {
        let mut stream =
            TlsAcceptor::from(tls.current()).accept(far).await.map_err(|e| format!("server: {e}"))?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map_err(|e| format!("server: {e}"))?;
        stream.write_all(&byte).await.map_err(|e| format!("server: {e}"))?;
        stream.flush().await.map_err(|e| format!("server: {e}"))?;
        let (_, connection) = stream.get_ref();
        let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Ok::<_, String>((peer_certificate(connection).map(|der| der.to_vec()), resumed))
    };
    let ask = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(client.clone())
            .connect(name, near)
            .await
            .map_err(|e| format!("client: {e}"))?;
        stream.write_all(b"x").await.map_err(|e| format!("client: {e}"))?;
        stream.flush().await.map_err(|e| format!("client: {e}"))?;
        stream.read_exact(&mut [0]).await.map_err(|e| format!("client: {e}"))?;
        Ok::<_, String>(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    };
    let (served, asked) = tokio::join!(serve, ask);
    let (peer, resumed) = served?;
    Ok(Seen { peer, resumed, server_certificate: asked? })
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_checked_and_handed_on() {
    let bench = Bench::new();
    let own = bench.clients.issue("d1");
    let foreign = Authority::new("strangers").issue("d1");
    let own_der = certificates("cert", Path::new("test"), own.0.as_bytes()).unwrap().remove(0).to_vec();
    for (ask, require, certificate, expect) in [
        (false, false, None, Ok(None)),
        (false, false, Some(own.clone()), Ok(None)),
        (true, false, None, Ok(None)),
        (true, false, Some(own.clone()), Ok(Some(own_der.clone()))),
        (true, true, Some(own.clone()), Ok(Some(own_der.clone()))),
        (true, true, None, Err("no certificates")),
        (true, false, Some(foreign.clone()), Err("UnknownIssuer")),
    ] {
        let tls = Tls::open(bench.files(ask, require)).unwrap();
        let outcome = shake(&tls, &Arc::new(bench.client(certificate))).await;
        match (outcome, expect) {
            (Ok(seen), Ok(peer)) => assert_eq!(seen.peer, peer, "{ask} {require}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (Ok(_), Err(part)) => panic!("{ask} {require}: expected {part}"),
            (Err(error), Ok(_)) => panic!("{ask} {require}: {error}"),
        }
    }
}

#[tokio::test]
async fn both_versions_resume_and_a_new_authority_ends_that() {
    let bench = Bench::new();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        bench.write("ca.pem", &bench.clients.pem());
        let tls = Tls::open(bench.files(true, true)).unwrap();
        let (cert, key) = bench.clients.issue("d1");
        let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(Path::new("t"), bench.servers.pem().as_bytes()).unwrap())
            .with_client_auth_cert(
                certificates("cert", Path::new("t"), cert.as_bytes()).unwrap(),
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        client.resumption = ClientResumption::in_memory_sessions(8);
        let client = Arc::new(client);
        let first = shake(&tls, &client).await.unwrap();
        assert!(!first.resumed && first.peer.is_some());
        let again = shake(&tls, &client).await.unwrap();
        assert!(again.resumed, "{version:?}");
        assert_eq!(again.peer, first.peer, "a resumed session keeps its certificate");
        // A reload of the same authorities keeps the tickets; other authorities do not.
        tls.reload().unwrap();
        assert!(shake(&tls, &client).await.unwrap().resumed, "{version:?}");
        bench.write("ca.pem", &Authority::new("new clients").pem());
        tls.reload().unwrap();
        let error = shake(&tls, &client).await.err().unwrap();
        assert!(error.contains("UnknownIssuer") || error.contains("UnknownCA"), "{error}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart() {
    let bench = Bench::new();
    let tls = Tls::open(bench.files(false, false)).unwrap();
    let client = Arc::new(bench.client(None));
    let before = shake(&tls, &client).await.unwrap().server_certificate;
    assert!(!tls.reload_if_changed().unwrap());
    let (cert, key) = bench.servers.issue("localhost");
    bench.write("cert.pem", &cert);
    // Half of a rotation: the new certificate beside the old key. The old pair stays in use.
    let error = tls.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("key.pem does not belong to the certificate"), "{error}");
    assert_eq!(shake(&tls, &client).await.unwrap().server_certificate, before);
    bench.write("key.pem", &key);
    assert!(tls.reload_if_changed().unwrap());
    let fresh = Arc::new(bench.client(None));
    assert_ne!(shake(&tls, &fresh).await.unwrap().server_certificate, before);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let bench = Bench::new();
    let (cert, key) = bench.servers.issue("localhost");
    for (file, text, expect) in [
        ("cert.pem", Some(""), "the TLS cert"),
        ("cert.pem", Some("hello"), "holds no certificate in PEM"),
        ("cert.pem", Some(key.as_str()), "holds no certificate in PEM"),
        ("key.pem", Some("hello"), "holds no private key in PEM"),
        ("key.pem", Some(cert.as_str()), "holds no private key in PEM"),
        ("key.pem", Some(key.as_str()), "does not belong to the certificate"),
        ("ca.pem", Some("hello"), "the TLS client_ca"),
        ("ca.pem", None, "cannot be read: No such file"),
        ("cert.pem", None, "cannot be read: No such file"),
        ("key.pem", None, "cannot be read: No such file"),
    ] {
        let path = bench.directory.path().join(file);
        let good = fs::read_to_string(&path).unwrap();
        match text {
            Some(text) => bench.write(file, text),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = Tls::open(bench.files(true, true)).err().unwrap().to_string();
        assert!(error.contains(expect) && error.contains(file), "{error}");
        bench.write(file, &good);
    }
    assert!(matches!(Tls::open(bench.files(false, true)), Err(Error::NoAuthority)));
}

#[test]
fn an_expired_certificate_is_warned_about_not_refused() {
    let bench = Bench::new();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let (cert, key) = bench.servers.issue_as(params);
    bench.write("cert.pem", &cert);
    bench.write("key.pem", &key);
    let tls = Tls::open(bench.files(false, false)).unwrap();
    let end = Timestamp::from_nanos(1_767_225_600_000_000_000);
    assert_eq!(tls.expires_at(), Some(end));
    let day = 86_400_000_000_000;
    let warning =
        |days: i64| tls.warning(Timestamp::from_nanos(end.nanos() + days * day)).unwrap_or_default();
    assert_eq!(warning(-30), "");
    assert!(warning(-3).contains("cert.pem expires in 3 days"), "{}", warning(-3));
    assert!(warning(1).contains("cert.pem has expired"), "{}", warning(1));
}
