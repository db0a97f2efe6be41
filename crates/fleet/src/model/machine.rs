//! A server.
//!
//! ```text
//! processor  c = 6 + 24·(office hours, up from 7 to 10 and down from 16 to 20, weekdays) + 60·b²   %; b: bursts of some minutes
//! memory     m = 30 + 40·(time since its restart / 1 to 3 days) + 2·noise                        %; it leaks
//! disk       d = 40 + 35·(time since it was cleared / 6 to 12 days)                              %
//! load       ℓ = cores·c/100·(1 + 0.2·noise);  net = 200 + 90·c·(1 + 0.3·noise) kB/s;  T = 36 + 0.35·c °C
//! ```

use super::cycle::{DAY_MS, Local, MINUTE_MS, SECOND_MS, phase};
use super::{Channel, SLOTS, channel, character};
use crate::random::{smooth, smoothstep};

pub(super) const CHANNELS: [Channel; 6] = [
    channel("cpu_pct", "%", 1, 0.0, 100.0),
    channel("memory_pct", "%", 1, 25.0, 75.0),
    channel("disk_pct", "%", 1, 40.0, 75.0),
    channel("load1", "", 2, 0.0, 40.0),
    channel("net_rx_kbps", "kB/s", 0, 150.0, 12_000.0),
    channel("temperature", "°C", 0, 35.0, 72.0),
];

#[derive(Debug)]
pub(crate) struct Machine {
    own: u64,
    cores: f64,
    restart_ms: f64,
    clear_ms: f64,
    offset: f64,
    shift_h: f64,
}

impl Machine {
    pub(super) fn new(own: u64) -> Self {
        Self {
            own,
            cores: 2f64.powi(character(own, 1, 1.0, 5.999) as i32),
            restart_ms: character(own, 2, 1.0, 3.0) * DAY_MS,
            clear_ms: character(own, 3, 6.0, 12.0) * DAY_MS,
            offset: character(own, 4, 0.0, 1.0),
            shift_h: character(own, 5, -1.0, 1.0),
        }
    }

    pub(super) fn sample(&self, at_ms: i64, out: &mut [f64; SLOTS]) {
        let at = at_ms as f64;
        let local = Local::new(at_ms, self.shift_h);
        let burst = smooth(self.own ^ 6, at / (4.0 * MINUTE_MS)).max(0.0);
        let noise = smooth(self.own ^ 7, at / (5.0 * SECOND_MS));
        let cpu = 6.0 + 24.0 * office(local) + 60.0 * burst * burst + 3.0 * noise;
        out[0] = cpu;
        out[1] = 30.0 + 40.0 * phase(at, self.restart_ms, self.offset) + 2.0 * noise;
        out[2] = 40.0 + 35.0 * phase(at, self.clear_ms, self.offset);
        out[3] = self.cores * cpu / 100.0 * (1.0 + 0.2 * smooth(self.own ^ 8, at / MINUTE_MS));
        out[4] = 200.0 + 90.0 * cpu * (1.0 + 0.3 * noise);
        out[5] = 36.0 + 0.35 * cpu;
    }
}

fn office(local: Local) -> f64 {
    if local.weekday() >= 5.0 {
        return 0.0;
    }
    let up = smoothstep(((local.hour - 7.0) / 3.0).clamp(0.0, 1.0));
    let down = smoothstep(((20.0 - local.hour) / 4.0).clamp(0.0, 1.0));
    up * down
}
