//! Who may come in just now: a listener's token bucket on new connections, its number of connections, and the
//! TLS handshakes at a time (R2.5). What it protects is the latency of those already connected, when fifteen
//! thousand come back at once.
//!
//! [`Core`] decides and knows no clock, no lock, no socket. [`Gate`] is its shell, shared by the threads that
//! accept; what it hands out gives its place back when dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// New connections per second, sustained; `None`: no limit.
    pub connects_per_s: Option<u32>,
    /// New connections at once above the rate, at least 1.
    pub burst: u32,
    /// Connections at a time: each costs memory and a file descriptor.
    pub connections: usize,
    /// TLS handshakes at a time: each is a fraction of a millisecond of a core, and tens of kilobytes.
    pub handshakes: usize,
}

impl From<&crate::config::Limits> for Limits {
    fn from(config: &crate::config::Limits) -> Self {
        Self {
            connects_per_s: config.connects_per_s,
            burst: config.connect_burst,
            connections: config.connections,
            handshakes: config.handshakes,
        }
    }
}

/// Handshakes that may wait for their turn, for each one that runs. Those that wait cost a socket; the deadline
/// of a connection bounds how long, so more than can be served by then would only time out.
const WAITING_PER_HANDSHAKE: usize = 64;
/// The hint when the number is the limit: nobody knows when somebody leaves.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// Whether a connection may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Admit,
    /// Not now.
    Busy(Busy),
}

/// Why not now, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Which limit was met.
    pub limit: Limit,
    /// When it is worth trying again, from now.
    pub retry_after: Duration,
}

/// What was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::connects_per_s`].
    Rate,
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::handshakes`].
    Handshakes,
}

/// The decisions. The bucket is kept as the time at which it would be empty again (the generic cell rate
/// algorithm, ITU-T I.371): one number, exact for any rate, nothing to refill.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    /// When all that was let in would have been let in at the sustained rate.
    paid_until: Option<Instant>,
    connections: usize,
}

impl Core {
    /// Nobody connected, the bucket full.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, paid_until: None, connections: 0 }
    }

    /// A connection arrives.
    pub fn arrive(&mut self, now: Instant) -> Decision {
        if self.connections >= self.limits.connections {
            return Decision::Busy(Busy { limit: Limit::Connections, retry_after: FULL_RETRY });
        }
        if let Some(rate) = self.limits.connects_per_s {
            let each = Duration::from_secs(1) / rate.max(1);
            let tolerance = each * (self.limits.burst.max(1) - 1);
            let paid_until = self.paid_until.map_or(now, |until| until.max(now));
            let ahead = paid_until - now;
            if ahead > tolerance {
                return Decision::Busy(Busy { limit: Limit::Rate, retry_after: ahead - tolerance });
            }
            self.paid_until = Some(paid_until + each);
        }
        self.connections += 1;
        Decision::Admit
    }

    /// A connection that was let in has gone.
    pub fn leave(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    /// How many are in.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Takes other limits; who is in stays in.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}

/// How many were let in and turned away, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Let in.
    pub admitted: AtomicU64,
    /// Turned away by the rate.
    pub refused_rate: AtomicU64,
    /// Turned away by the number of connections.
    pub refused_connections: AtomicU64,
    /// Turned away by the number of handshakes.
    pub refused_handshakes: AtomicU64,
}

/// A listener's gate.
#[derive(Debug)]
pub struct Gate {
    core: Mutex<Core>,
    handshakes: Arc<Semaphore>,
    /// Permits to wait or run: bounds the queue in front of `handshakes`.
    places: Arc<Semaphore>,
    counters: Counters,
}

/// A connection's place; dropped, it is free again.
#[derive(Debug)]
pub struct Place(Arc<Gate>);

/// A handshake's turn; dropped, it is the next one's.
#[derive(Debug)]
pub struct Turn {
    _running: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate with nobody in.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let handshakes = limits.handshakes.clamp(1, Semaphore::MAX_PERMITS / (WAITING_PER_HANDSHAKE + 1));
        Arc::new(Self {
            core: Mutex::new(Core::new(limits)),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            places: Arc::new(Semaphore::new(handshakes * (WAITING_PER_HANDSHAKE + 1))),
            counters: Counters::default(),
        })
    }

    /// A connection arrives.
    ///
    /// # Errors
    /// [`Busy`]: MQTT 5 is told "server busy", the others are closed.
    pub fn arrive(self: &Arc<Self>, now: Instant) -> Result<Place, Busy> {
        let decision = self.core.lock().arrive(now);
        match decision {
            Decision::Admit => {
                self.counters.admitted.fetch_add(1, Ordering::Relaxed);
                Ok(Place(self.clone()))
            }
            Decision::Busy(busy) => Err(self.counted(busy)),
        }
    }

    /// Waits for a turn to shake hands; who comes first is served first. Dropping the future gives the place
    /// up, so a deadline around it is enough.
    ///
    /// # Errors
    /// [`Busy`] when too many wait already.
    pub async fn handshake(&self) -> Result<Turn, Busy> {
        let full = Busy { limit: Limit::Handshakes, retry_after: FULL_RETRY };
        let place = self.places.clone().try_acquire_owned().map_err(|_| self.counted(full))?;
        let running = self.handshakes.clone().acquire_owned().await.expect("the semaphore is never closed");
        Ok(Turn { _running: running, _place: place })
    }

    /// How many are in.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.core.lock().connections()
    }

    /// How many were let in and turned away.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn counted(&self, busy: Busy) -> Busy {
        let counter = match busy.limit {
            Limit::Rate => &self.counters.refused_rate,
            Limit::Connections => &self.counters.refused_connections,
            Limit::Handshakes => &self.counters.refused_handshakes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        busy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.core.lock().leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { connects_per_s: Some(10), burst: 3, connections: 1000, handshakes: 2 };

    fn admitted(core: &mut Core, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| core.arrive(now) == Decision::Admit).count()
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut core = Core::new(LIMITS);
        assert_eq!(admitted(&mut core, start, 10), 3);
        let Decision::Busy(busy) = core.arrive(start) else { panic!("the burst is spent") };
        assert_eq!((busy.limit, busy.retry_after), (Limit::Rate, Duration::from_millis(100)));
        // The hint is exact: a moment earlier is too early.
        assert_eq!(admitted(&mut core, start + Duration::from_millis(99), 1), 0);
        assert_eq!(admitted(&mut core, start + Duration::from_millis(100), 5), 1);
        // A second of attempts gives a second's worth, and a long rest no more than the burst.
        let second: usize =
            (101..=1100).map(|ms| admitted(&mut core, start + Duration::from_millis(ms), 1)).sum();
        assert_eq!(second, 10);
        assert_eq!(admitted(&mut core, start + Duration::from_secs(3600), 10), 3);
    }

    #[test]
    fn a_refused_attempt_costs_nothing() {
        let start = Instant::now();
        let mut core = Core::new(LIMITS);
        admitted(&mut core, start, 10_000);
        assert_eq!(admitted(&mut core, start + Duration::from_millis(100), 1), 1);
    }

    #[test]
    fn the_clock_may_stand_still_or_come_from_another_thread() {
        let start = Instant::now() + Duration::from_secs(1);
        let mut core = Core::new(LIMITS);
        assert_eq!(core.arrive(start), Decision::Admit);
        // A thread that read its clock a little earlier.
        assert_eq!(core.arrive(start - Duration::from_millis(50)), Decision::Admit);
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let gate = Gate::new(Limits { connects_per_s: None, connections: 2, ..LIMITS });
        let now = Instant::now();
        let first = gate.arrive(now).unwrap();
        let _second = gate.arrive(now).unwrap();
        assert_eq!(gate.arrive(now).unwrap_err().limit, Limit::Connections);
        drop(first);
        gate.arrive(now).unwrap();
        assert_eq!(gate.connections(), 1);
        assert_eq!(gate.counters().admitted.load(Ordering::Relaxed), 3);
        assert_eq!(gate.counters().refused_connections.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn handshakes_take_turns_and_the_queue_is_bounded() {
        let gate = Gate::new(Limits { handshakes: 1, ..LIMITS });
        let running = gate.handshake().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..WAITING_PER_HANDSHAKE {
            let mut turn = Box::pin(gate.handshake());
            assert!(futures_util::poll!(&mut turn).is_pending());
            waiting.push(turn);
        }
        assert_eq!(gate.handshake().await.unwrap_err().limit, Limit::Handshakes);
        // Who gives up makes room; who waited longest is next.
        drop(waiting.pop());
        drop(running);
        waiting.remove(0).await.unwrap();
        assert_eq!(gate.counters().refused_handshakes.load(Ordering::Relaxed), 1);
    }
}
