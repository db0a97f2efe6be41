//! MQTT over WebSocket (MQTT 5.0 section 6): from an accepted socket to the same bytes as over TCP.
//!
//! [`accept`] does the HTTP upgrade; the [`Bytes`] it returns is an `AsyncRead + AsyncWrite`, so that the
//! connection code never knows. Packets may be split over frames and share them; only binary frames are
//! taken [MQTT-6.0.0-1]. Pings are answered while reading.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes as Data};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response, write_response,
};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// Where MQTT is.
const PATH: &str = "/mqtt";
/// The subprotocol [MQTT-6.0.0-3]; the second is what clients of MQTT 3.1 called it.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// Read at a time. Small, because each connection has its own buffer of it; a larger frame grows it.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Largest frame we send: what waits in a connection's buffer when the socket is slow.
const SENT_FRAME_BYTES: usize = 64 << 10;
/// Bytes of sent frames that wait for the socket; beyond it `poll_write` waits.
const WRITE_BUFFER_BYTES: usize = 2 * SENT_FRAME_BYTES + 1024;

/// What a WebSocket listener allows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest message and frame taken, bytes. A client that sends a packet per message needs the listener's
    /// packet limit.
    pub message_bytes: usize,
    /// The pages that may connect from a browser, as their `Origin` (`https://app.example`). Empty: any.
    /// Programs that are no browser send no `Origin` and are not asked.
    pub origins: Vec<String>,
}

/// Upgrades an HTTP connection to MQTT over WebSocket. Bound it by the connection's deadline.
///
/// # Errors
/// What the client was refused for (it got an HTTP response that says so), or the socket's error.
pub async fn accept<S>(mut socket: S, settings: &Settings) -> io::Result<Bytes<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(settings.message_bytes))
        .max_frame_size(Some(settings.message_bytes));
    let upgrade = Upgrade { settings };
    // Lent, because the library says nothing to a client that asks for no upgrade.
    let upgraded = tokio_tungstenite::accept_hdr_async_with_config(&mut socket, upgrade, Some(config)).await;
    if let Err(error) = upgraded {
        if let Some(answer) = answer_to(&error) {
            say(&mut socket, &answer).await?;
        }
        return Err(failed(error));
    }
    // Nothing came behind the request: the library refuses that.
    let stream = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
    Ok(Bytes { stream, unread: Data::new(), refusal: None })
}

/// What a client hears that asks for no WebSocket, as far as it speaks HTTP at all.
fn answer_to(error: &WsError) -> Option<ErrorResponse> {
    const HERE: &str = "this port takes MQTT over WebSocket: connect an MQTT client to ws://HOST:PORT/mqtt, subprotocol mqtt. \
                        The HTTP API, and MQTT without WebSocket, have ports of their own";
    let text = |what: &str| if what.is_empty() { HERE.to_owned() } else { format!("{what}; {HERE}") };
    let (status, what) = match error {
        WsError::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => (StatusCode::UPGRADE_REQUIRED, String::new()),
        // RFC 6455, section 4.4.
        WsError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            (StatusCode::UPGRADE_REQUIRED, "the version of WebSocket must be 13".to_owned())
        }
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => return None,
        WsError::Protocol(_)
        | WsError::Capacity(_)
        | WsError::AttackAttempt
        | WsError::HttpFormat(_)
        | WsError::Utf8(_) => (StatusCode::BAD_REQUEST, error.to_string()),
        _ => return None,
    };
    let mut response = refused(status, text(&what));
    if status == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade, close"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    Some(response)
}

async fn say(socket: &mut (impl AsyncWrite + Unpin), response: &ErrorResponse) -> io::Result<()> {
    let mut bytes = Vec::new();
    write_response(&mut bytes, response).map_err(failed)?;
    bytes.extend_from_slice(response.body().as_deref().unwrap_or_default().as_bytes());
    socket.write_all(&bytes).await?;
    socket.shutdown().await
}

/// A WebSocket as a stream of bytes.
#[derive(Debug)]
pub struct Bytes<S> {
    stream: WebSocketStream<S>,
    /// What is left of the last message.
    unread: Data,
    /// Set once something was received that closes the connection: the close frame, to be sent first.
    refusal: Option<(Option<CloseFrame>, String)>,
}

impl<S> Bytes<S> {
    /// The socket beneath.
    pub fn socket(&self) -> &S
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.stream.get_ref()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Bytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.refusal.is_some() {
                return self.poll_refuse(cx);
            }
            if !self.unread.is_empty() {
                let n = self.unread.len().min(out.remaining());
                out.put_slice(&self.unread[..n]);
                self.unread.advance(n);
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(data))) => self.unread = data,
                Some(Ok(Message::Text(_))) => {
                    let reason = "MQTT takes binary frames only";
                    let close = CloseFrame { code: CloseCode::Unsupported, reason: reason.into() };
                    self.refusal = Some((Some(close), "the client sent a text frame".to_owned()));
                }
                // Answered by the library with the next read or write.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_))) => {}
                Some(Err(WsError::Capacity(CapacityError::MessageTooLong { size, max_size }))) => {
                    let reason = format!("a message has {size} bytes, at most {max_size} are taken");
                    let close = CloseFrame { code: CloseCode::Size, reason: reason.as_str().into() };
                    self.refusal = Some((Some(close), reason));
                }
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) | None => {
                    return Poll::Ready(Ok(()));
                }
                // Gone without a close frame: to MQTT that is a connection that ended.
                Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Bytes<S> {
    /// Sends the close frame, then fails.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some((close @ Some(_), _)) = &mut self.refusal {
            ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(failed)?;
            Pin::new(&mut self.stream).start_send(Message::Close(close.take())).map_err(failed)?;
        }
        // That the client does not read it changes nothing.
        let _ = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        let reason = match &self.refusal {
            Some((_, reason)) => reason.clone(),
            None => String::new(),
        };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(failed)?;
        let n = bytes.len().min(SENT_FRAME_BYTES);
        let frame = Message::Binary(Data::copy_from_slice(&bytes[..n]));
        Pin::new(&mut self.stream).start_send(frame).map_err(failed)?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(failed)
    }
}

/// Checks the request, and answers with the subprotocol that was chosen [MQTT-6.0.0-4].
struct Upgrade<'s> {
    settings: &'s Settings,
}

impl Callback for Upgrade<'_> {
    #[allow(clippy::result_large_err)] // the library's trait
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        if request.uri().path() != PATH {
            return Err(refused(StatusCode::NOT_FOUND, format!("MQTT over WebSocket is at {PATH}")));
        }
        if let Some(origin) = request.headers().get(header::ORIGIN)
            && !self.settings.origins.is_empty()
            && !self.settings.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
        {
            let text = "pages of this origin may not connect (gateway.websocket.origins)";
            return Err(refused(StatusCode::FORBIDDEN, text.to_owned()));
        }
        let Some(chosen) = subprotocol(request.headers()) else {
            let text = "the subprotocol must be mqtt: send Sec-WebSocket-Protocol: mqtt";
            return Err(refused(StatusCode::BAD_REQUEST, text.to_owned()));
        };
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
        Ok(response)
    }
}

fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let offered = || {
        let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
        values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
    };
    SUBPROTOCOLS.into_iter().find(|known| offered().any(|name| name == *known))
}

fn refused(status: StatusCode, text: String) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn failed(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed | WsError::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let reason = String::from_utf8_lossy(body).trim_end().to_owned();
            io::Error::new(io::ErrorKind::InvalidData, reason)
        }
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

#[cfg(test)]
mod tests;
