//! MQTT over the WebSocket listener.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use record::Qos;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use wire::mqtt::Version;

use super::client::{Client, Hello, socket};
use super::rig::Rig;

/// A WebSocket as a stream of bytes: what is written goes out in messages of `message_bytes`, each in fragments of
/// `fragment_bytes`.
struct Framed {
    socket: WebSocket<TcpStream>,
    unread: Vec<u8>,
    message_bytes: usize,
    fragment_bytes: usize,
}

impl Read for Framed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.unread = bytes.to_vec(),
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => return Ok(0),
                Ok(_) => {}
                Err(Error::Io(error)) => return Err(error),
                Err(other) => return Err(io::Error::other(other)),
            }
        }
        let n = self.unread.len().min(into.len());
        into[..n].copy_from_slice(&self.unread[..n]);
        self.unread.drain(..n);
        Ok(n)
    }
}

impl Write for Framed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for message in bytes.chunks(self.message_bytes) {
            let count = message.len().div_ceil(self.fragment_bytes);
            for (n, fragment) in message.chunks(self.fragment_bytes).enumerate() {
                let code = if n == 0 { Data::Binary } else { Data::Continue };
                let frame = Frame::message(fragment.to_vec(), OpCode::Data(code), n + 1 == count);
                self.socket.write(Message::Frame(frame)).map_err(io::Error::other)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(io::Error::other)
    }
}

fn rig() -> Rig {
    Rig::with(|config| config.websocket = Some(([127, 0, 0, 1], 0).into()))
}

/// Asks for the upgrade; the subprotocol that was chosen, or the status and words of the refusal.
fn upgrade(
    rig: &Rig,
    path: &str,
    subprotocol: Option<&str>,
) -> Result<(WebSocket<TcpStream>, String), (u16, String)> {
    let address = rig.addresses().websocket.unwrap();
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(name) = subprotocol {
        request.headers_mut().append("Sec-WebSocket-Protocol", HeaderValue::from_str(name).unwrap());
    }
    match client(request, socket(address)) {
        Ok((socket, response)) => {
            Ok((socket, response.headers()["Sec-WebSocket-Protocol"].to_str().unwrap().to_owned()))
        }
        Err(refused) => match refused {
            tokio_tungstenite::tungstenite::HandshakeError::Failure(Error::Http(response)) => {
                let words = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8(words).unwrap()))
            }
            other => panic!("{other}"),
        },
    }
}

fn connect(rig: &Rig, id: &str, message_bytes: usize, fragment_bytes: usize) -> Client {
    let (socket, chosen) = upgrade(rig, "/mqtt", Some("mqtt")).unwrap();
    assert_eq!(chosen, "mqtt");
    let framed = Framed { socket, unread: Vec::new(), message_bytes, fragment_bytes };
    let mut client = Client::over(framed, Version::V5);
    client.say_hello(&Hello::v5(id));
    let heard = client.hear();
    assert!(heard.starts_with("CONNACK 00"), "{heard}");
    client
}

#[test]
fn mqtt_is_at_its_path_under_its_name() {
    let rig = rig();
    for (path, subprotocol, expect) in [
        ("/mqtt", Some("mqtt"), Ok("mqtt")),
        ("/mqtt", Some("mqttv3.1"), Ok("mqttv3.1")),
        ("/", Some("mqtt"), Err((404, "MQTT over WebSocket is at /mqtt"))),
        ("/mqtt/", Some("mqtt"), Err((404, "MQTT over WebSocket is at /mqtt"))),
        ("/v1/telemetry", Some("mqtt"), Err((404, "MQTT over WebSocket is at /mqtt"))),
        ("/mqtt", Some("chat"), Err((400, "the subprotocol must be mqtt"))),
        ("/mqtt", None, Err((400, "the subprotocol must be mqtt"))),
    ] {
        match (upgrade(&rig, path, subprotocol), expect) {
            (Ok((_, chosen)), Ok(expect)) => assert_eq!(chosen, expect),
            (Err((status, words)), Err((expect, start))) => {
                assert!(status == expect && words.starts_with(start), "{path} {subprotocol:?}: {words}");
            }
            (found, expect) => {
                panic!("{path} {subprotocol:?}: {:?}, not {expect:?}", found.map(|(_, chosen)| chosen))
            }
        }
    }
}

#[test]
fn a_publish_is_acknowledged_after_its_commit_however_it_is_framed() {
    let rig = rig();
    // A packet in many messages, a message in many fragments, and as usual.
    for (n, (message_bytes, fragment_bytes)) in
        [(1, 1), (3, 2), (7, 3), (1 << 20, 1), (1 << 20, 1 << 20)].into_iter().enumerate()
    {
        let mut client = connect(&rig, &format!("c{n}"), message_bytes, fragment_bytes);
        rig.log.hold();
        client.publish("a", "payload", Qos::AtLeastOnce, 1);
        client.expect_silence();
        rig.log.await_held();
        rig.log.release();
        client.expect(&["PUBACK 1 00"]);
        client.disconnect();
    }
}

#[test]
fn packets_share_a_message_and_cross_its_end() {
    let rig = rig();
    let mut client = connect(&rig, "c", 1 << 20, 1 << 20);
    client.subscribe("a", Qos::AtMostOnce);
    let one = |n: u8| [0x30, 5, 0, 1, b'a', 0, b'0' + n];
    let all: Vec<u8> = (1..=4).flat_map(one).collect();
    // Two packets and the half of a third; the other half and the fourth.
    client.send_bytes(&all[..17]);
    client.send_bytes(&all[17..]);
    let expect = (1..=4).map(|n| format!("a {n} q0 id0 dup=0 retain=0"));
    expect.for_each(|line| assert_eq!(client.hear(), line));
}

#[test]
fn a_text_message_ends_the_connection_with_1003_and_its_will_goes_out() {
    let rig = rig();
    let mut watcher = Client::connect(rig.address(), &Hello::v5("watcher"));
    watcher.subscribe("wills/#", Qos::AtMostOnce);
    let (mut socket, _) = upgrade(&rig, "/mqtt", Some("mqtt")).unwrap();
    let hello = Hello::v5("c").will("wills/c", "gone", 0).encoded();
    socket.send(Message::Binary(hello.into())).unwrap();
    assert!(matches!(socket.read().unwrap(), Message::Binary(bytes) if bytes[0] == 0x20));
    socket.send(Message::Text("hello".into())).unwrap();
    loop {
        match socket.read().unwrap() {
            Message::Close(close) => break assert_eq!(close.unwrap().code, CloseCode::Unsupported),
            Message::Binary(_) => {}
            other => panic!("{other}"),
        }
    }
    watcher.expect(&["wills/c gone q0 id0 dup=0 retain=0"]);
}
