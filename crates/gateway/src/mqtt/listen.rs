//! Accepting sockets and giving each to a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use super::handshakes::{Arrival, Handshakes, Secured};
use super::shared::Shared;
use crate::admission::Place;
use crate::dispatch::ToWorker;
use crate::websocket;

/// What a listener's clients speak beneath MQTT.
pub(super) enum Transport {
    Tcp,
    Tls(Handshakes),
    WebSocket(Arc<websocket::Settings>),
}

/// A connection on its way to its worker.
pub(crate) struct Accepted {
    pub(super) incoming: Incoming,
    pub(super) peer: SocketAddr,
    pub(super) admission: Admission,
}

/// What a worker gets. Sockets here belong to no runtime.
pub(super) enum Incoming {
    Tcp(std::net::TcpStream),
    /// After the handshake.
    Tls(Secured),
    /// Before the upgrade, which costs little.
    WebSocket(std::net::TcpStream, Arc<websocket::Settings>),
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
        let incoming = match &transport {
            Transport::Tcp => Incoming::Tcp(socket),
            Transport::WebSocket(settings) => Incoming::WebSocket(socket, Arc::clone(settings)),
            Transport::Tls(handshakes) => {
                handshakes.begin(Arrival { socket, peer, admission, at: Instant::now() });
                continue;
            }
        };
        hand_over(&shared, Accepted { incoming, peer, admission });
    }
}

/// Gives a connection to the worker whose turn it is.
pub(super) fn hand_over(shared: &Shared, accepted: Accepted) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let worker = NEXT.fetch_add(1, Ordering::Relaxed) % shared.config.workers;
    shared.to_worker(worker, ToWorker::Accepted(Box::new(accepted)));
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
