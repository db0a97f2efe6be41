//! What a worker does because time passes.

use std::rc::Rc;
use std::time::{Duration, Instant};

use wire::mqtt::ReasonCode;
use wire::mqtt::session::End;

use super::{Shared1, Worker};
use crate::mqtt::connection::Phase;

/// How often the credentials behind a connection are asked about again.
const RECHECK_S: u32 = 60;

impl Worker {
    /// The worker's clock; returns when the worker is done.
    pub(super) async fn count_time(&self) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        seconds.tick().await;
        let started = Instant::now();
        loop {
            if self.stopping.get() {
                // Quicker while there is an end to wait for.
                tokio::time::sleep(Duration::from_millis(10)).await;
                if self.conns.borrow().is_empty() && self.commits.borrow().is_idle() {
                    return;
                }
            } else {
                seconds.tick().await;
            }
            let tick = u32::try_from(started.elapsed().as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            if tick != self.tick.get() {
                self.tick.set(tick);
                self.take_time();
                self.on_tick(tick);
            }
            if self.stopping.get() {
                self.say_goodbye();
            }
        }
    }

    pub(super) fn on_tick(&self, tick: u32) {
        let due = self.wheel.borrow_mut().advance(tick);
        for key in due {
            let Some(conn) = self.find(key.slot, key.generation) else { continue };
            let mut conn = conn.borrow_mut();
            if conn.looked_at > tick {
                continue; // An entry that an earlier look made needless.
            }
            conn.looked_at = 0;
            let Some(patience_s) = conn.patience_s(self) else { continue };
            if tick >= conn.heard.saturating_add(patience_s) {
                conn.silent(self);
            } else {
                self.watch(&mut conn);
            }
        }
        self.close_lingering(tick);
        self.close_stalled_writes(tick);
        self.recheck(tick);
        self.wake_stalled();
    }

    /// Credentials expire and are revoked while connections live; each is asked about once in a while.
    pub(super) fn recheck(&self, tick: u32) {
        let slots = self.conns.borrow().capacity();
        for slot in (0..slots).skip((tick % RECHECK_S) as usize).step_by(RECHECK_S as usize) {
            let conn = self.conns.borrow().get(slot).map(Rc::clone);
            if let Some(conn) = conn {
                conn.borrow_mut().recheck(self);
            }
        }
    }

    pub(super) fn close_lingering(&self, tick: u32) {
        let mut over = Vec::new();
        self.lingering.borrow_mut().retain(|&(key, at)| {
            if tick >= at {
                over.push(key);
            }
            tick < at
        });
        for key in over {
            if let Some(conn) = self.find(key.slot, key.generation) {
                conn.borrow_mut().close_socket(self);
                conn.borrow().wake();
            }
        }
    }

    /// A reader that takes nothing for so long holds our memory for nothing.
    pub(super) fn close_stalled_writes(&self, tick: u32) {
        let limit_s = u32::try_from(self.shared.config.limits.write_stall.as_secs()).unwrap_or(u32::MAX);
        for key in self.blocked.take() {
            let Some(conn) = self.find(key.slot, key.generation) else { continue };
            let mut conn = conn.borrow_mut();
            if conn.blocked == 0 {
                continue;
            }
            if tick.saturating_sub(conn.blocked) >= limit_s {
                self.counters().write_stalls.add(1);
                conn.close_socket(self);
                conn.end(self, End::Lost, None);
            } else {
                self.blocked.borrow_mut().push(key);
            }
        }
    }

    /// Once every answer has gone out, ends what is still connected.
    pub(super) fn say_goodbye(&self) {
        if !self.commits.borrow().is_idle() {
            return;
        }
        let conns: Vec<Shared1> = self.conns.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect();
        for conn in conns {
            let mut conn = conn.borrow_mut();
            match &conn.phase {
                Phase::Live(live) if !live.is_serving() => {}
                Phase::Opening(_) => {}
                _ => conn.end(self, End::Lost, Some(ReasonCode::ServerShuttingDown)),
            }
        }
    }
}
