//! What the machine shows of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};
use sysinfo::{Components, CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

pub(super) type Metrics = BTreeMap<String, Value>;

/// Disks, interfaces and sensors reported, of each kind: a machine with a thousand container interfaces stays one
/// device, not a thousand series that come and go.
const MOST_OF_A_KIND: usize = 16;

pub(super) struct Machine {
    system: System,
    disks: Disks,
    networks: Networks,
    sensors: Components,
    looked: Instant,
}

impl Machine {
    /// The first look; the next one has rates since this one.
    pub(super) fn new() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::everything());
        Self {
            system: System::new_with_specifics(what),
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
            sensors: Components::new_with_refreshed_list(),
            looked: Instant::now(),
        }
    }

    /// The machine's name, as a device.
    pub(super) fn name() -> String {
        System::host_name().filter(|name| !name.is_empty()).unwrap_or_else(|| "host".into())
    }

    /// How it stands now, and what happened since the last look. What a machine does not have is left out.
    pub(super) fn measure(&mut self) -> Metrics {
        let seconds = self.looked.elapsed().as_secs_f64().max(1e-3);
        self.looked = Instant::now();
        let mut metrics = Metrics::new();
        self.processor(&mut metrics);
        self.memory(&mut metrics);
        self.disks(&mut metrics, seconds);
        self.networks(&mut metrics, seconds);
        self.temperatures(&mut metrics);
        metrics
    }

    fn processor(&mut self, metrics: &mut Metrics) {
        self.system.refresh_cpu_usage();
        let load = System::load_average();
        for (name, value) in [
            ("cpu.busy_percent", json!(rounded(self.system.global_cpu_usage().into()))),
            ("cpu.cores", json!(self.system.cpus().len())),
            ("load.1min", json!(load.one)),
            ("load.5min", json!(load.five)),
            ("load.15min", json!(load.fifteen)),
            ("system.uptime_s", json!(System::uptime())),
        ] {
            metrics.insert(name.into(), value);
        }
    }

    fn memory(&mut self, metrics: &mut Metrics) {
        let system = &mut self.system;
        system.refresh_memory();
        for (name, bytes) in [
            ("memory.total_bytes", system.total_memory()),
            ("memory.used_bytes", system.used_memory()),
            ("memory.available_bytes", system.available_memory()),
            ("swap.total_bytes", system.total_swap()),
            ("swap.used_bytes", system.used_swap()),
        ] {
            metrics.insert(name.into(), json!(bytes));
        }
    }

    fn disks(&mut self, metrics: &mut Metrics, seconds: f64) {
        self.disks.refresh(true);
        let mut seen = BTreeSet::new();
        // A disk that is mounted at several places is one disk.
        let disks =
            self.disks.list().iter().filter(|disk| disk.total_space() > 0 && seen.insert(disk.name()));
        for disk in disks.take(MOST_OF_A_KIND) {
            let mount = disk.mount_point().to_string_lossy();
            let (total, available) = (disk.total_space(), disk.available_space());
            let used = rustix::fs::statvfs(disk.mount_point())
                .map(|disk| used_percent(disk.f_blocks, disk.f_bfree, disk.f_bavail));
            let moved = disk.usage();
            for (name, value) in [
                ("total_bytes", json!(total)),
                ("available_bytes", json!(available)),
                // As if nothing were reserved, where nobody says what is.
                (
                    "used_percent",
                    json!(rounded(used.unwrap_or_else(|_| used_percent(total, available, available)))),
                ),
                ("read_bytes_per_s", json!(rounded(moved.read_bytes as f64 / seconds))),
                ("written_bytes_per_s", json!(rounded(moved.written_bytes as f64 / seconds))),
            ] {
                metrics.insert(named("disk", name, "mount", &mount), value);
            }
        }
    }

    fn networks(&mut self, metrics: &mut Metrics, seconds: f64) {
        self.networks.refresh(true);
        let named_interfaces: BTreeMap<_, _> =
            self.networks.iter().filter(|(interface, _)| *interface != "lo").collect();
        for (interface, seen) in named_interfaces.into_iter().take(MOST_OF_A_KIND) {
            for (name, value) in [
                ("received_bytes_total", json!(seen.total_received())),
                ("sent_bytes_total", json!(seen.total_transmitted())),
                ("received_bytes_per_s", json!(rounded(seen.received() as f64 / seconds))),
                ("sent_bytes_per_s", json!(rounded(seen.transmitted() as f64 / seconds))),
                ("errors_total", json!(seen.total_errors_on_received() + seen.total_errors_on_transmitted())),
            ] {
                metrics.insert(named("net", name, "interface", interface), value);
            }
        }
    }

    fn temperatures(&mut self, metrics: &mut Metrics) {
        self.sensors.refresh(true);
        for sensor in self.sensors.list().iter().take(MOST_OF_A_KIND) {
            if let Some(celsius) = sensor.temperature().filter(|celsius| celsius.is_finite()) {
                metrics.insert(
                    named("temperature", "celsius", "sensor", sensor.label()),
                    json!(rounded(celsius.into())),
                );
            }
        }
    }
}

/// What `df` shows: of what somebody may use. Blocks that are reserved for root are neither used nor available.
fn used_percent(all: u64, free: u64, available: u64) -> f64 {
    let used = all.saturating_sub(free);
    100.0 * used as f64 / used.saturating_add(available).max(1) as f64
}

/// A metric of one of several things, named as line protocol's are, so that the thing is a column of the wide table.
fn named(kind: &str, name: &str, tag: &str, of: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/-_.:".contains(letter);
    // Longer than any interface; of a mount point the beginning tells it apart.
    let of: String = of.chars().take(64).map(|letter| if plain(letter) { letter } else { '_' }).collect();
    format!("{kind}.{name}{{{tag}={of}}}")
}

/// Two decimals are more than the counters know.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
