//! Accepting sockets and giving each to a worker.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use super::shared::Shared;
use super::stream::{Duplex, Stream};
use crate::dispatch::ToWorker;

/// A socket on its way to its worker.
pub(crate) struct Accepted {
    pub(super) stream: Incoming,
    pub(super) peer: Option<SocketAddr>,
    pub(super) certificate: Option<Box<[u8]>>,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A stream that is not yet part of a worker's runtime.
pub(super) enum Incoming {
    Tcp(std::net::TcpStream),
    #[expect(dead_code, reason = "TLS and WebSocket come with their listeners")]
    Other(Pin<Box<dyn Duplex>>),
}

impl Incoming {
    /// Becomes part of the runtime of the calling thread.
    pub(super) fn into_stream(self) -> Option<Stream> {
        match self {
            Self::Tcp(socket) => TcpStream::from_std(socket).ok().map(Stream::Tcp),
            Self::Other(stream) => Some(Stream::Other(stream)),
        }
    }
}

/// A dead peer is found after a minute and a few probes; NATs forget earlier than the two hours of the system.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// What was sent and not acknowledged by the peer's system for so long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(90);
/// After an error of accept that concerns the process (no more descriptors) it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until it is dropped.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut next = 0_usize;
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let counters = shared.metrics.shared();
        counters.accepted.add_shared(1);
        if shared.connections.load(Ordering::Relaxed) >= shared.config.limits.connections {
            counters.refused_busy.add_shared(1);
            continue;
        }
        prepare(&socket);
        let Ok(socket) = socket.into_std() else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let accepted = Accepted { stream: Incoming::Tcp(socket), peer: Some(peer), certificate: None };
        shared.to_worker(next, ToWorker::Accepted(Box::new(accepted)));
        next = (next + 1) % shared.config.workers;
    }
}

/// Options that are advice: a socket that does not take them serves all the same.
fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let options = SockRef::from(socket);
    let _ = options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    #[cfg(target_os = "linux")]
    let _ = options.set_tcp_user_timeout(Some(USER_TIMEOUT));
}
