//! Accepting sockets and giving each to a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::shared::Shared;
use super::stream::Stream;
use crate::admission::Place;
use crate::dispatch::ToWorker;
use crate::tls::{self, Tls};
use crate::websocket;

/// What a listener's clients speak beneath MQTT.
#[derive(Clone)]
pub(super) enum Transport {
    Tcp,
    Tls(Arc<Tls>),
    WebSocket(Arc<websocket::Settings>),
}

/// A socket on its way to its worker.
pub(crate) struct Accepted {
    socket: std::net::TcpStream,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) admission: Admission,
}

/// How a socket was let in.
pub(super) enum Admission {
    /// It has a place, until it is dropped.
    Admitted(#[expect(dead_code, reason = "held, not read")] Place),
    /// It is only told to come back later.
    Busy(#[expect(dead_code, reason = "held, not read")] BusyPlace),
}

/// One of the few places for clients that are told to come back.
pub(super) struct BusyPlace(Arc<Shared>);

impl Drop for BusyPlace {
    fn drop(&mut self) {
        self.0.told_busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A stream ready for MQTT, and the client's certificate (DER) if it showed one.
pub(super) struct Ready {
    pub(super) stream: Stream,
    pub(super) certificate: Option<Box<[u8]>>,
}

/// Clients at a time that are read only to be told "server busy"; the others are closed without a word.
const TOLD_BUSY: usize = 1024;
/// A dead peer is found after a minute and a few probes; NATs forget earlier than the two hours of the system.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// What was sent and not acknowledged by the peer's system for so long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(90);
/// After an error of accept that concerns the process (no more descriptors) it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until it is dropped.
pub(super) async fn accept(listener: TcpListener, transport: Transport, shared: Arc<Shared>) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        shared.metrics.shared().accepted.add_shared(1);
        let Some(admission) = admit(&shared, &transport) else { continue };
        prepare(&socket);
        let Ok(socket) = socket.into_std() else { continue };
        let accepted = Accepted { socket, transport: transport.clone(), peer, admission };
        let worker = NEXT.fetch_add(1, Ordering::Relaxed) % shared.config.workers;
        shared.to_worker(worker, ToWorker::Accepted(Box::new(accepted)));
    }
}

fn admit(shared: &Arc<Shared>, transport: &Transport) -> Option<Admission> {
    if let Ok(place) = shared.gate.arrive(Instant::now()) {
        return Some(Admission::Admitted(place));
    }
    shared.metrics.shared().refused_busy.add_shared(1);
    // A handshake only to say "busy" would be the very work that is to be spared.
    if matches!(transport, Transport::Tls(_)) {
        return None;
    }
    let told = shared.told_busy.fetch_add(1, Ordering::Relaxed);
    let place = BusyPlace(Arc::clone(shared));
    (told < TOLD_BUSY).then_some(Admission::Busy(place))
}

/// Options that are advice: a socket that does not take them serves all the same.
fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let options = SockRef::from(socket);
    let _ = options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    #[cfg(target_os = "linux")]
    let _ = options.set_tcp_user_timeout(Some(USER_TIMEOUT));
}

impl Accepted {
    /// Becomes part of the runtime of the calling thread.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn into_parts(self) -> std::io::Result<(TcpStream, Transport, SocketAddr, Admission)> {
        Ok((TcpStream::from_std(self.socket)?, self.transport, self.peer, self.admission))
    }
}

/// Shakes hands, within the deadline of a connection. `None`: it did not come to MQTT.
pub(super) async fn shake_hands(
    shared: Arc<Shared>,
    socket: TcpStream,
    transport: Transport,
) -> Option<Ready> {
    let deadline = shared.config.limits.connect_deadline;
    let outcome = tokio::time::timeout(deadline, async {
        match transport {
            Transport::Tcp => Some(Ready { stream: Stream::Tcp(socket), certificate: None }),
            Transport::Tls(tls) => {
                let _turn = shared.gate.handshake().await.ok()?;
                let accepted = TlsAcceptor::from(tls.current()).accept(socket).await;
                let stream = accepted.map_err(|error| tracing::debug!(%error, "no TLS handshake")).ok()?;
                let certificate = tls::peer_certificate(stream.get_ref().1).map(|c| c.as_ref().into());
                Some(Ready { stream: Stream::Other(Box::pin(stream)), certificate })
            }
            Transport::WebSocket(settings) => {
                let accepted = websocket::accept(socket, &settings).await;
                let stream =
                    accepted.map_err(|error| tracing::debug!(%error, "no WebSocket upgrade")).ok()?;
                Some(Ready { stream: Stream::Other(Box::pin(stream)), certificate: None })
            }
        }
    });
    match outcome.await {
        Ok(ready) => ready,
        Err(_) => {
            shared.metrics.shared().refused_deadline.add_shared(1);
            None
        }
    }
}
