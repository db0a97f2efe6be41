//! When a worker rests before it looks at its sockets again.
//!
//! A worker that always looks at once is woken for a handful of packets at a time: most of what it does then is going to
//! sleep and waking up, and each handful is a batch of its own for the log. Where many clients each send a packet now and
//! then, a short rest lets more of them come together. Where clients send many packets at a time, and where there is
//! little to do, there is nothing to gain, and no rest.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long: what it adds to an acknowledgement at most. An fsync takes longer.
const REST: Duration = Duration::from_micros(300);
/// Reads since the last rest that make a worker busy. One that serves less answers each at once.
const BUSY_READS: u32 = 16;
/// Packets per read above which the senders have put them together already.
const PACKED: u32 = 4;

/// What a worker has read since it last had nothing to do. Touched by its own thread alone.
#[derive(Debug, Default)]
pub(super) struct Pace {
    reads: AtomicU32,
    packets: AtomicU32,
}

impl Pace {
    /// Notes a read and the packets that were in it.
    pub(super) fn read(&self, packets: u32) {
        let add =
            |to: &AtomicU32, n| to.store(to.load(Ordering::Relaxed).saturating_add(n), Ordering::Relaxed);
        add(&self.reads, 1);
        add(&self.packets, packets);
    }

    /// Nothing is left to do: rests if it pays.
    pub(super) fn idle(&self) {
        if self.take_rest() {
            std::thread::sleep(REST);
        }
    }

    fn take_rest(&self) -> bool {
        let reads = self.reads.swap(0, Ordering::Relaxed);
        let packets = self.packets.swap(0, Ordering::Relaxed);
        reads >= BUSY_READS && packets <= PACKED.saturating_mul(reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_after_many_small_reads_only() {
        let rests = |reads: u32, packets_each: u32| {
            let pace = Pace::default();
            (0..reads).for_each(|_| pace.read(packets_each));
            (pace.take_rest(), pace.take_rest())
        };
        assert_eq!(rests(BUSY_READS - 1, 1), (false, false));
        assert_eq!(rests(BUSY_READS, 1), (true, false));
        assert_eq!(rests(BUSY_READS, PACKED), (true, false));
        assert_eq!(rests(1000, PACKED + 1), (false, false));
    }
}
