//! What a worker does to its connections on purpose: devices that go away, storms.

use std::cmp::Reverse;

use super::{SWEEP_NS, Worker};
use crate::disorder::Disorder;

/// How often is looked whom a fault hits now.
const LOOK_NS: u64 = 50_000_000;

impl Worker {
    /// How often idle connections are looked at, and faults that come with time.
    pub(super) fn sweep_ns(&self) -> u64 {
        let disturbs = |disorder: &Disorder| disorder.faults.offline > 0.0 || disorder.faults.storm > 0.0;
        if self.writer.disorder().is_some_and(disturbs) { LOOK_NS } else { SWEEP_NS }
    }

    /// Breaks the connections whose devices go away now, and those that a storm hits.
    pub(super) fn disturb(&mut self, now_ns: u64) {
        let over = self.halted || (self.is_open() && self.due_ns == u64::MAX);
        let Some(disorder) = self.writer.disorder().copied().filter(|_| self.running && !over) else {
            return;
        };
        let now_ms = self.clock.wall_ms(now_ns);
        if disorder.faults.offline > 0.0 {
            for index in 0..self.links.len() {
                self.leave(index, now_ns, now_ms, &disorder);
            }
        }
        let episode = disorder.schedule.episode_at(now_ms);
        if disorder.faults.storm > 0.0 && self.storm <= episode && disorder.storm_ms(episode) <= now_ms {
            self.storm = episode + 1;
            for index in 0..self.links.len() {
                if disorder.storm_hits(self.links[index].session.number, episode) && self.cut(index) {
                    self.stats.fault("storm");
                    self.attempts.push(Reverse((now_ns, index)));
                }
            }
        }
    }

    /// The device goes away, if it is to be away now.
    fn leave(&mut self, index: usize, now_ns: u64, now_ms: i64, disorder: &Disorder) {
        let link = &mut self.links[index];
        if now_ns < link.away_until_ns {
            return;
        }
        let Some(until_ms) = disorder.away_until(link.session.number, now_ms) else { return };
        link.away_until_ns = now_ns + (until_ms - now_ms) as u64 * 1_000_000;
        let back_ns = link.away_until_ns;
        link.session.postpone(back_ns);
        self.stats.fault("offline");
        self.cut(index);
        self.attempts.push(Reverse((back_ns, index)));
    }

    /// Ends a connection as if its device lost power; `false` when there is none.
    pub(super) fn cut(&mut self, index: usize) -> bool {
        let Some(transport) = &self.links[index].transport else { return false };
        transport.reset_on_close();
        self.drop_link(index);
        true
    }
}
