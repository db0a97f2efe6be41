use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data as DataFrame, OpCode};

use super::*;

type Client = WebSocketStream<DuplexStream>;

fn settings() -> Settings {
    Settings { message_bytes: 1000, origins: Vec::new() }
}

fn request(path: &str, headers: &[(&'static str, &str)]) -> Request {
    let mut request = format!("ws://host{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

async fn connect(
    request: Request,
    settings: &Settings,
) -> (io::Result<Bytes<DuplexStream>>, Result<(Client, Response), WsError>) {
    let (near, far) = tokio::io::duplex(4096);
    let client = tokio_tungstenite::client_async(request, near);
    let (server, client) = tokio::join!(accept(far, settings), client);
    (server, client.map(|(stream, response)| (stream, response.map(|_| ()))))
}

async fn pair() -> (Bytes<DuplexStream>, Client) {
    let (server, client) =
        connect(request("/mqtt", &[("Sec-WebSocket-Protocol", "mqtt")]), &settings()).await;
    (server.unwrap(), client.unwrap().0)
}

#[tokio::test]
async fn the_upgrade_checks_path_subprotocol_and_origin() {
    let listed = Settings { origins: vec!["https://app.example".to_owned()], ..settings() };
    let proto = "Sec-WebSocket-Protocol";
    for (path, headers, origins, expect) in [
        ("/mqtt", vec![(proto, "mqtt")], false, Ok("mqtt")),
        ("/mqtt?x=1", vec![(proto, "mqtt")], false, Ok("mqtt")),
        ("/mqtt", vec![(proto, "mqttv3.1, mqtt")], false, Ok("mqtt")),
        ("/mqtt", vec![(proto, "mqttv3.1")], false, Ok("mqttv3.1")),
        ("/", vec![(proto, "mqtt")], false, Err((404, "MQTT over WebSocket is at /mqtt"))),
        ("/mqtt", vec![(proto, "amqp")], false, Err((400, "the subprotocol must be mqtt"))),
        ("/mqtt", vec![], false, Err((400, "the subprotocol must be mqtt"))),
        ("/mqtt", vec![(proto, "mqtt"), ("Origin", "https://evil.example")], false, Ok("mqtt")),
        ("/mqtt", vec![(proto, "mqtt"), ("Origin", "https://app.example")], true, Ok("mqtt")),
        ("/mqtt", vec![(proto, "mqtt")], true, Ok("mqtt")),
        (
            "/mqtt",
            vec![(proto, "mqtt"), ("Origin", "https://evil.example")],
            true,
            Err((403, "pages of this origin may not connect")),
        ),
    ] {
        let settings = if origins { &listed } else { &settings() };
        let (server, client) = connect(request(path, &headers), settings).await;
        match (client, expect) {
            (Ok((_, response)), Ok(chosen)) => {
                server.unwrap();
                assert_eq!(response.headers()[proto], chosen);
            }
            (Err(WsError::Http(response)), Err((status, text))) => {
                assert_eq!(response.status().as_u16(), status, "{headers:?}");
                let error = server.unwrap_err().to_string();
                assert!(error.contains(text), "{error}");
            }
            // The client library refuses an answer to an offer it did not make in its own words.
            (Err(error), Err((_, text))) => {
                let refusal = server.unwrap_err().to_string();
                assert!(refusal.contains(text), "{refusal} ({error})");
            }
            (client, expect) => panic!("{path} {headers:?}: {client:?}, expected {expect:?}"),
        }
    }
}

/// What people and programs try on this port who do not know it.
#[tokio::test]
async fn who_asks_for_no_websocket_hears_what_the_port_takes() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "426 Upgrade Required"),
        ("GET /mqtt HTTP/1.1\r\nConnection: keep-alive\r\n\r\n".to_owned(), "426 Upgrade Required"),
        (format!("GET /mqtt HTTP/1.1\r\n{upgrade}\r\n"), "426 Upgrade Required"),
        (format!("GET /mqtt HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 8\r\n\r\n"), "426 Upgrade Required"),
        (format!("GET /mqtt HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 13\r\n\r\n"), "400 Bad Request"),
        ("POST /v1/telemetry HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}".to_owned(), "400 Bad Request"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "400 Bad Request"),
        ("\u{10}\u{c}\0\u{4}MQTT\u{4}\u{2}\0<\0\0".to_owned(), "400 Bad Request"),
    ] {
        let (mut near, far) = tokio::io::duplex(4096);
        near.write_all(request.as_bytes()).await.unwrap();
        let refused = accept(far, &settings()).await.unwrap_err();
        assert!(!refused.to_string().is_empty());
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {answer}");
        assert!(answer.contains("ws://HOST:PORT/mqtt"), "{request:?}: {answer}");
        assert_eq!(answer.contains("\r\nupgrade: websocket\r\n"), status.starts_with("426"), "{answer}");
    }
    // Who says nothing and goes is told nothing.
    let (near, far) = tokio::io::duplex(4096);
    drop(near);
    accept(far, &settings()).await.unwrap_err();
}

#[tokio::test]
async fn packets_cross_frames_and_share_them() {
    let (mut server, mut client) = pair().await;
    let packets = b"first packet|second|third and last";
    // Split inside a packet; several in one frame; fragments of one message; an empty frame between.
    client.send(Message::Binary(packets[..3].to_vec().into())).await.unwrap();
    client.send(Message::Binary(Data::new())).await.unwrap();
    client.send(Message::Binary(packets[3..20].to_vec().into())).await.unwrap();
    let fragment =
        |bytes: &[u8], code, last| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(code), last));
    client.send(fragment(&packets[20..22], DataFrame::Binary, false)).await.unwrap();
    client.send(Message::Ping(Data::from_static(b"between"))).await.unwrap();
    client.send(fragment(&packets[22..], DataFrame::Continue, true)).await.unwrap();
    let mut read = vec![0; packets.len()];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(read, packets);
    server.flush().await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Data::from_static(b"between")));
}

#[tokio::test]
async fn what_is_written_arrives_in_binary_frames() {
    let (mut server, mut client) = pair().await;
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let expect = sent.clone();
    let write = async move {
        server.write_all(&sent).await.unwrap();
        server.flush().await.unwrap();
        server.shutdown().await.unwrap();
    };
    let read = async {
        let mut got = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            match message {
                Message::Binary(data) => got.extend_from_slice(&data),
                Message::Close(_) => {}
                other => panic!("{other:?}"),
            }
        }
        got
    };
    let ((), got) = tokio::join!(write, read);
    assert_eq!(got, expect);
}

#[tokio::test]
async fn a_text_frame_is_refused_with_1003() {
    let (mut server, mut client) = pair().await;
    client.send(Message::Text("hello".into())).await.unwrap();
    let error = server.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.to_string(), "the client sent a text frame");
    match client.next().await.unwrap().unwrap() {
        Message::Close(Some(close)) => assert_eq!(close.code, CloseCode::Unsupported),
        other => panic!("{other:?}"),
    }
    assert!(server.read(&mut [0; 8]).await.is_err(), "it stays refused");
}

#[tokio::test]
async fn a_frame_or_message_over_the_limit_is_refused_with_1009() {
    for fragmented in [false, true] {
        let (mut server, mut client) = pair().await;
        let send = async {
            if fragmented {
                let part =
                    |code, last| Message::Frame(Frame::message(vec![0; 600], OpCode::Data(code), last));
                client.send(part(DataFrame::Binary, false)).await.unwrap();
                client.send(part(DataFrame::Continue, true)).await.unwrap();
            } else {
                client.send(Message::Binary(vec![0; 1001].into())).await.unwrap();
            }
            client.next().await.unwrap().unwrap()
        };
        let mut buffer = [0; 8];
        let (read, answer) = tokio::join!(server.read(&mut buffer), send);
        assert!(read.unwrap_err().to_string().contains("at most 1000 are taken"));
        match answer {
            Message::Close(Some(close)) => assert_eq!(close.code, CloseCode::Size),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_close_and_a_lost_connection_end_the_stream() {
    let (mut server, mut client) = pair().await;
    client.send(Message::Binary(Data::from_static(b"last"))).await.unwrap();
    client.close(None).await.unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");
    let (mut server, client) = pair().await;
    drop(client);
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}
