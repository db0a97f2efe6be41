//! TLS handshakes, on threads of their own that give way to the workers.
//!
//! A full handshake with client certificates costs about half a millisecond of a core, some hundred times as much as a
//! publish. When a whole fleet comes back at once, that is seconds of work, and those already connected must not wait for
//! it: what a worker gets is a connection that is ready to be read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::listen::{Accepted, Admission, Incoming, hand_over};
use super::server::{Error, runtime};
use super::shared::Shared;
use super::stream::Portable;
use crate::tls::Tls;

/// What is subtracted from the priority of these threads: where they compete for a core with a worker, they get about a
/// tenth of it, which still ends a storm, and a worker that wakes up goes first.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Sockets taken over before the handshakes have their turn again.
const ARRIVALS: usize = 256;

/// A socket before its handshake.
pub(super) struct Arrival {
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) admission: Admission,
    /// When it was accepted: its deadline counts from there.
    pub(super) at: Instant,
}

/// A connection after its handshake, of no runtime.
pub(super) type Secured = Box<TlsStream<Portable>>;

/// The threads. They end when this is dropped.
pub(super) struct Handshakes {
    /// Unbounded; what goes through holds a place of the gate, whose number is bounded.
    ports: Vec<UnboundedSender<Arrival>>,
    next: AtomicUsize,
}

impl Handshakes {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub(super) fn start(
        threads: usize,
        tls: &Arc<Tls>,
        shared: &Arc<Shared>,
    ) -> Result<(Self, Vec<JoinHandle<()>>), Error> {
        let (mut ports, mut handles) = (Vec::new(), Vec::new());
        for index in 0..threads {
            let (port, arrivals) = unbounded_channel();
            let runtime = runtime()?;
            let (tls, shared) = (Arc::clone(tls), Arc::clone(shared));
            let thread = std::thread::Builder::new().name(format!("mqtt-tls-{index}"));
            let run = move || {
                give_way();
                runtime.block_on(serve(arrivals, tls, shared));
            };
            handles.push(thread.spawn(run).map_err(Error::Thread)?);
            ports.push(port);
        }
        Ok((Self { ports, next: AtomicUsize::new(0) }, handles))
    }

    /// Shakes hands with a client and then hands it to a worker.
    pub(super) fn begin(&self, arrival: Arrival) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.ports.len();
        if self.ports[index].send(arrival).is_err() {
            tracing::debug!("the handshake threads have stopped");
        }
    }
}

/// Lets every other thread go first.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "TLS handshakes run at the same priority as the rest");
    }
}

async fn serve(mut arrivals: UnboundedReceiver<Arrival>, tls: Arc<Tls>, shared: Arc<Shared>) {
    let mut fresh = Vec::with_capacity(ARRIVALS);
    while arrivals.recv_many(&mut fresh, ARRIVALS).await > 0 {
        for arrival in fresh.drain(..) {
            tokio::spawn(shake_hands(arrival, Arc::clone(&tls), Arc::clone(&shared)));
        }
        tokio::task::yield_now().await;
    }
}

/// Shakes hands, within the deadline of a connection.
async fn shake_hands(arrival: Arrival, tls: Arc<Tls>, shared: Arc<Shared>) {
    let Arrival { socket, peer, admission, at } = arrival;
    let deadline = at + shared.config.limits.connect_deadline;
    let secured = tokio::time::timeout_at(deadline.into(), async {
        let _turn = shared.gate.handshake().await.ok()?;
        match secure(socket, &tls).await {
            Ok(secured) => Some(secured),
            Err(error) => {
                tracing::debug!(%peer, %error, "no TLS handshake");
                None
            }
        }
    });
    match secured.await {
        Ok(Some(secured)) => {
            hand_over(&shared, Accepted { incoming: Incoming::Tls(secured), peer, admission });
        }
        Ok(None) => {}
        Err(_) => shared.metrics.shared().refused_deadline.add_shared(1),
    }
}

async fn secure(socket: std::net::TcpStream, tls: &Tls) -> std::io::Result<Secured> {
    let socket = Portable::from(TcpStream::from_std(socket)?);
    let mut stream = TlsAcceptor::from(tls.current()).accept(socket).await?;
    stream.get_mut().0.leave()?;
    Ok(Box::new(stream))
}
