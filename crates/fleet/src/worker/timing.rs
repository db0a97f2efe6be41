//! What a worker does because time passes: publishes that are due, keep-alives, deadlines, and telling how far it is.

use std::cmp::Reverse;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

use super::{ATTEMPT_LIMIT_NS, Link, Worker};
use crate::load::{News, Pace};
use crate::session::Phase;

impl Worker {
    /// Open loop: hands out the publishes that are due.
    pub(super) fn publish_due(&mut self) {
        if self.due_ns == u64::MAX || self.halted {
            return;
        }
        let now_ns = self.clock.now_ns();
        let end_ns = self.end_ns();
        let mut due = 0;
        while self.due_ns <= now_ns.min(end_ns - 1) {
            let index = self.due_link;
            let link = &mut self.links[index];
            // What is measured while the device is away is meant to go out when it is back.
            let intended_ns = self.due_ns.max(link.away_until_ns);
            link.session.due(intended_ns, self.clock.wall_ms(self.due_ns), &mut self.stats);
            if due < self.links.len() {
                self.charged.push(index);
            }
            due += 1;
            self.due_link = (self.due_link + 1) % self.links.len();
            self.gaps += 1;
            // Counted from the start, so that rounding does not add up.
            let gaps_ns = self.gaps * self.gap_ns;
            self.due_ns = self.started_ns + gaps_ns - gaps_ns % self.tick_ns;
        }
        // All that is due of a connection leaves in one write.
        for at in 0..self.charged.len() {
            self.advance(self.charged[at]);
        }
        self.charged.clear();
        if self.due_ns >= end_ns {
            self.due_ns = u64::MAX;
            // What was held back goes out now.
            return (0..self.links.len()).for_each(|index| self.advance(index));
        }
        self.arm(self.due_ns - now_ns);
    }

    /// When publishes stop to be due.
    fn end_ns(&self) -> u64 {
        self.options.duration.map_or(u64::MAX, |duration| self.started_ns + duration.as_nanos() as u64)
    }

    /// `poll` waits in milliseconds; publishes are due in nanoseconds.
    fn arm(&self, wait_ns: u64) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let wait = Timespec {
            tv_sec: (wait_ns / 1_000_000_000) as i64,
            tv_nsec: (wait_ns % 1_000_000_000).max(1) as i64,
        };
        let spec = Itimerspec { it_interval: zero, it_value: wait };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .expect("the timer is ours and the time is valid");
    }

    /// Keep-alives, deadlines.
    pub(super) fn sweep(&mut self) {
        let now_ns = self.clock.now_ns();
        if now_ns - self.swept_ns < self.sweep_ns() {
            return;
        }
        self.swept_ns = now_ns;
        self.disturb(now_ns);
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            let quiet_ns = now_ns.saturating_sub(link.spoke_ns);
            let keep_alive_ns = u64::from(link.session.keep_alive_s) * 1_000_000_000;
            match link.session.phase {
                Phase::Up if keep_alive_ns > 0 && quiet_ns > keep_alive_ns / 4 * 3 => {
                    crate::packet::ping(&mut link.session.out);
                    self.flush(index);
                }
                Phase::Greeting if now_ns.saturating_sub(link.began_ns) > ATTEMPT_LIMIT_NS => {
                    self.failed(index, "no CONNACK in time");
                }
                _ => {}
            }
        }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.hungry.is_empty() {
            return Some(Duration::ZERO);
        }
        let now_ns = self.clock.now_ns();
        let attempt = self.attempts.peek().map_or(u64::MAX, |Reverse((due_ns, _))| *due_ns);
        let end = if self.running && !self.halted { self.end_ns() } else { u64::MAX };
        let end = if end > now_ns { end } else { u64::MAX };
        let next_ns = attempt.min(end).min(self.swept_ns + self.sweep_ns());
        Some(Duration::from_nanos(next_ns.saturating_sub(now_ns)))
    }

    /// Tells the coordinator what changed.
    pub(super) fn tell(&mut self) {
        self.progress.tell(&mut self.told, &mut self.stats, self.up);
        // An open loop ends by itself: what was due before the end still goes out, late or not.
        if self.running && self.options.pace == Pace::Closed && self.clock.now_ns() >= self.end_ns() {
            self.halted = true;
        }
        if self.up == self.links.len() && !self.told_up {
            self.told_up = true;
            // A coordinator that is gone closes the command channel too; nothing to do about it here.
            let _ = self.news.send(News::Up { at_ns: self.clock.now_ns() });
        }
        if self.running && !self.told_drained && self.is_done() {
            self.told_drained = true;
            let _ = self.news.send(News::Drained { at_ns: self.clock.now_ns() });
        }
    }

    fn is_done(&self) -> bool {
        let stopped = self.halted
            || match self.options.pace {
                Pace::Closed => false,
                Pace::Open { .. } => self.due_ns == u64::MAX,
                Pace::Idle => false,
            };
        let gone = |link: &Link| link.transport.is_none() && !self.options.reconnect;
        // Looked at only near the end: with thousands of links it is not free.
        if !stopped && !self.links[0].session.is_spent() && !gone(&self.links[0]) {
            return false;
        }
        self.links.iter().all(|link| {
            let session = &link.session;
            let nothing_due = self.halted || !session.has_due();
            gone(link) || ((stopped || session.is_spent()) && nothing_due && session.is_drained())
        })
    }
}
