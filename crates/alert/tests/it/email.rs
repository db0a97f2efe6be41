//! E-mail: through a real server where there is one, and through one that breaks off.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use metadata::Memory;
use penstock_alert::{
    Address, Channels, Config, Delivery, Failure, Receipt, Secret, SmtpConfig, SmtpSecurity,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

use crate::house::{House, at, began, tenant};

fn config(port: u16) -> Config {
    let smtp = SmtpConfig {
        host: "127.0.0.1".into(),
        port: Some(port),
        security: SmtpSecurity::None,
        username: None,
        password: None,
        from: "Penstock <alerts@penstock.example>".into(),
        timeout_s: 30, // as it is by default: a busy machine is not a silent server
    };
    Config { smtp: Some(smtp), base_url: Some("https://p.example/".into()), ..Config::default() }
}

/// An alert of a device and a rule whose names try to be more than names.
fn delivery(config: &Config) -> Delivery {
    let house = House::with(config.clone(), Arc::new(Memory::new()));
    house.rules.set("hot", |terms| terms.name = "Hot\r\nBcc: eve@example.com\r\n\r\n<b>ü</b>".into());
    house.person("ann", |ann| {
        ann.channels = [("mail".to_owned(), Address::Email { to: "ann@example.com".into() })].into();
    });
    let mut hot = began("hot", "pump 1 <script>", 0);
    hot.why = "81 °C\n.\nQUIT".into();
    house.take(&[hot], at(0));
    house.outbox().pop().unwrap()
}

async fn send(config: &Config) -> Result<Receipt, Failure> {
    let channels = Channels::new(&config.validate().unwrap(), None);
    channels.deliver(&tenant(), &delivery(config), at(1)).await
}

/// A mail server that says these words, one after each line it gets, and closes after the last; within a mail it waits for its end.
/// Returns what it got.
async fn server(words: &'static [&'static str]) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut got) = (BufReader::new(read).lines(), String::new());
        let mut in_mail = false;
        for (n, word) in words.iter().enumerate() {
            if n > 0 {
                loop {
                    let Ok(Some(line)) = lines.next_line().await else { return got };
                    got += &format!("{line}\n");
                    if !in_mail || line == "." {
                        break;
                    }
                }
            }
            in_mail = word.starts_with("354");
            if write.write_all(format!("{word}\r\n").as_bytes()).await.is_err() {
                break;
            }
        }
        got
    });
    (port, task)
}

#[tokio::test]
async fn an_e_mail_says_what_it_is_about_and_nothing_more() {
    let words = &["220 hi", "250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 queued as 4711", "221 bye"];
    let (port, server) = server(words).await;
    let config = config(port);
    assert_eq!(send(&config).await.unwrap().said, "250 2.0.0 queued as 4711");
    let got = server.await.unwrap();
    assert!(
        got.contains("MAIL FROM:<alerts@penstock.example>") && got.contains("RCPT TO:<ann@example.com>"),
        "{got}"
    );
    assert_eq!(got.matches("RCPT TO").count(), 1);
    let delivery = delivery(&config);
    let (head, body) = got.split_once("\n\n").unwrap();
    assert!(head.contains(&format!("Message-ID: <{}@penstock.example>", delivery.key)), "{head}");
    assert!(
        head.contains("Date: Thu, 01 Jan 2026 00:00:00 +0000")
            && head.contains("Auto-Submitted: auto-generated"),
        "{head}"
    );
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert!(body.contains("text/plain") && body.contains("text/html"), "{body}");
}

#[tokio::test]
async fn a_server_that_drops_refuses_or_is_silent_is_reported() {
    for (words, may_pass, reason) in [
        (&[][..], true, ""),
        (&["220 hi"], true, ""),
        (&["220 hi", "250 ok", "250 ok", "250 ok", "354 go"], true, ""),
        (&["421 too busy"], true, "too busy"),
        (&["220 hi", "250 ok", "250 ok", "550 no such user"], false, "no such user"),
        (&["220 hi", "250 ok", "250 ok", "250 ok", "354 go", "451 try later"], true, "try later"),
    ] {
        let (port, server) = server(words).await;
        let failure = send(&config(port)).await.unwrap_err();
        assert!(failure.may_pass == may_pass && failure.reason.contains(reason), "{words:?}: {failure:?}");
        server.await.unwrap();
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut impatient = config(silent.local_addr().unwrap().port());
    impatient.smtp.as_mut().unwrap().timeout_s = 1;
    let failure = send(&impatient).await.unwrap_err();
    assert!(failure.may_pass, "{failure:?}");
}

/// A server of others, that takes a login and says on its output what it got.
const PEER: &str = r#"
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = mail.get_body(("plain",)).get_content()
        html = mail.get_body(("html",)).get_content()
        print(json.dumps({"to": envelope.rcpt_tos, "subject": mail["subject"], "id": mail["message-id"],
                          "keys": mail.keys(), "text": text, "html": html}), flush=True)
        return "250 taken"

def login(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"ann" and data.password == b"secret", handled=False)

async def main():
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1])
    make = lambda: SMTP(Handler(), hostname="peer", authenticator=login, auth_require_tls=tls is not None,
                        tls_context=tls, require_starttls=tls is not None)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

/// A Python that knows aiosmtpd: that of the tests' tools, or the system's.
fn python() -> Option<PathBuf> {
    let of_tests = std::env::var("PENSTOCK_TEST_DEPS").map(|folder| format!("{folder}/venv/bin/python"));
    let candidates = of_tests.into_iter().chain(["python3".to_owned()]);
    candidates.map(PathBuf::from).find(|python| {
        let check =
            std::process::Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    })
}

/// That server, running: what it says, and its port. With a file of key and certificate it wants STARTTLS.
async fn peer(python: PathBuf, certificate: &[&Path]) -> (Child, Lines<BufReader<ChildStdout>>, u16) {
    let mut peer = Command::new(python)
        .args(["-c", PEER])
        .args(certificate)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    (peer, lines, port)
}

#[tokio::test]
async fn a_server_of_others_understands_it() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with aiosmtpd; `make test` installs it");
        return;
    };
    let (_peer, mut lines, port) = peer(python, &[]).await;
    let mut config = config(port);
    let smtp = config.smtp.as_mut().unwrap();
    (smtp.username, smtp.password) = (Some("ann".into()), Some(Secret::new("wrong")));
    let failure = send(&config).await.unwrap_err();
    assert!(!failure.may_pass && failure.reason.contains("535"), "{failure:?}");
    config.smtp.as_mut().unwrap().password = Some(Secret::new("secret"));
    assert_eq!(send(&config).await.unwrap().said, "250 taken");
    let got: serde_json::Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(got["to"], serde_json::json!(["ann@example.com"]));
    assert_eq!(got["subject"], "[warning] Hot  Bcc: eve@example.com    <b>ü</b>: pump 1 <script>");
    let text = got["text"].as_str().unwrap().replace("\r\n", "\n");
    assert!(text.starts_with("Raised: Hot  Bcc: eve@example.com    <b>ü</b>\nSeverity: warning\n"), "{text}");
    assert!(text.contains("81 °C\n.\nQUIT") && text.contains("https://p.example/#/alerts/"), "{text}");
    let html = got["html"].as_str().unwrap();
    assert!(html.contains("pump 1 &lt;script&gt;") && !html.contains("<script>"), "{html}");
    assert!(!got["keys"].to_string().contains("Bcc"), "{}", got["keys"]);
}

#[tokio::test]
async fn a_server_of_others_is_spoken_to_behind_tls() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with aiosmtpd; `make test` installs it");
        return;
    };
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (certificate, both) =
        (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(certificate.path(), key.cert.pem()).unwrap();
    std::fs::write(both.path(), key.signing_key.serialize_pem() + &key.cert.pem()).unwrap();
    let (_peer, mut lines, port) = peer(python, &[both.path()]).await;
    // Nobody's authority: not even the login is sent.
    let failure = send(&behind_tls(port)).await.unwrap_err();
    assert!(failure.may_pass && failure.reason.contains("certificate"), "{failure:?}");
    // The system's authorities are read once per process: another process, with those of the test.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "email::starttls_from_another_process", "--ignored"])
        .env("SSL_CERT_FILE", certificate.path())
        .env("MAIL_PORT", port.to_string())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(lines.next_line().await.unwrap().unwrap().contains("ann@example.com"));
}

#[tokio::test]
#[ignore = "run by the one above, in a process of its own"]
async fn starttls_from_another_process() {
    let port = std::env::var("MAIL_PORT").unwrap().parse().unwrap();
    assert_eq!(send(&behind_tls(port)).await.unwrap().said, "250 taken");
}

/// With a name that the certificate has, and a login.
fn behind_tls(port: u16) -> Config {
    let mut config = config(port);
    let smtp = config.smtp.as_mut().unwrap();
    (smtp.host, smtp.security) = ("localhost".into(), SmtpSecurity::Starttls);
    (smtp.username, smtp.password) = (Some("ann".into()), Some(Secret::new("secret")));
    config
}

#[tokio::test]
async fn without_starttls_a_server_gets_nothing() {
    let (port, server) = server(&["220 hi", "250 ok", "221 bye"]).await;
    let mut config = config(port);
    config.smtp.as_mut().unwrap().security = SmtpSecurity::Starttls;
    let failure = send(&config).await.unwrap_err();
    assert!(!server.await.unwrap().contains("MAIL"), "{failure:?}");
    let none = send(&Config { smtp: None, ..config }).await.unwrap_err();
    assert!(!none.may_pass && none.reason.contains("[alert.smtp]"), "{none:?}");
}
