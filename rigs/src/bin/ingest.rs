//! Line protocol over HTTP into Penstock and into VictoriaMetrics, the same readings: processor time until everything is
//! committed and can be asked for, and what it takes on disk once it is merged.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use record::Timestamp;
use rigs::metrics::{cpu_time, folder_bytes, resident_bytes};
use rigs::outcome::{Result, exit};
use rigs::server::{Place, binary};
use rigs::truth::ask::Asker;
use serde_json::json;

#[derive(Parser, Debug)]
struct Args {
    /// Devices, a line each with 20 fields every ten seconds
    #[arg(long, default_value_t = 1000)]
    devices: u64,
    /// Minutes of readings, sent as fast as they are taken
    #[arg(long, default_value_t = 360)]
    minutes: u64,
    /// Connections, each for its share of the devices
    #[arg(long, default_value_t = 2)]
    connections: u64,
    /// Lines in a request
    #[arg(long, default_value_t = 500)]
    lines: usize,
    /// `[stream] windows` of the server [default: the server's]
    #[arg(long)]
    windows: Option<String>,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// VictoriaMetrics [default: from the path]; "": without it
    #[arg(long, default_value = "victoria-metrics")]
    victoria: String,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What takes longer than this does not end.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What became of one of them.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu: Duration,
    wall: Duration,
    memory_bytes: u64,
    disk_bytes: u64,
}

fn main() -> ExitCode {
    exit("ingest", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let sets = args.minutes * 6;
    let readings = args.devices * sets * FIELDS as u64;
    let begin_ms = Timestamp::now().nanos() / 1_000_000 - (sets as i64 + 1) * 10_000;
    let load = Load { args, begin_ms, sets };
    let ours = penstock(&load, folder, readings)?;
    let told = |cost: &Cost| {
        json!({
            "cpu_s": cost.cpu.as_secs_f64(),
            "wall_s": cost.wall.as_secs_f64(),
            "readings_per_cpu_s": readings as f64 / cost.cpu.as_secs_f64(),
            "readings_per_s": readings as f64 / cost.wall.as_secs_f64(),
            "resident_mib": cost.memory_bytes >> 20,
            "bytes_per_reading": cost.disk_bytes as f64 / readings as f64,
        })
    };
    let mut report = json!({ "readings": readings, "devices": args.devices, "penstock": told(&ours) });
    if !args.victoria.is_empty() {
        let theirs = victoria(&load, folder, readings)?;
        report["victoria_metrics"] = told(&theirs);
        report["readings_per_cpu_s_ratio"] = json!(theirs.cpu.as_secs_f64() / ours.cpu.as_secs_f64());
        report["bytes_ratio"] = json!(theirs.disk_bytes as f64 / ours.disk_bytes as f64);
    }
    Ok(serde_json::to_string_pretty(&report)?)
}

fn penstock(load: &Load<'_>, folder: &Path, readings: u64) -> anyhow::Result<Cost> {
    let data = folder.join("penstock");
    let mut place = Place::new(&binary(load.args.binary.as_deref())?, &data, folder)?.with_everything();
    place.more = "[gateway.topics]\nbackfill_after_s = 604800\n".to_owned();
    if let Some(windows) = &load.args.windows {
        write!(place.more, "[stream]\nwindows = {windows}\n")?;
    }
    let server = place.start(|_| ())?;
    let (cpu, began) = (cpu_time(server.pid())?, Instant::now());
    load.send(place.http)?;
    let asker = Asker::new(place.http, "");
    let stored = || -> anyhow::Result<u64> {
        let rows = asker.rows("SELECT sum(stored + late) AS stored FROM ledger")?;
        rows.first()
            .map_or(Ok(0), |row| row.cell("stored").map(|cell| cell.map_or(0, |n| n.parse().unwrap_or(0))))
    };
    while stored()? < readings {
        ensure!(began.elapsed() < PATIENCE, "{} of {readings} readings are stored", stored()?);
        std::thread::sleep(Duration::from_millis(200));
    }
    let (mut cpu, wall) = (cpu_time(server.pid())? - cpu, began.elapsed());
    let memory_bytes = resident_bytes(server.pid())?;
    server.stop()?;
    // What the server does in its own time: the rest of the buffer becomes files, and files are merged.
    let mine = cpu_time(std::process::id())?;
    let store = series::Parquet::open(&data.join("series"), series::parquet::store::Options::default())?;
    store.roll()?;
    let now = Timestamp::now().nanos() / 1_000_000 + 3 * 86_400_000;
    for now in [now, now + 86_400_000] {
        while store.maintain(now)? {}
    }
    drop(store);
    cpu += cpu_time(std::process::id())? - mine;
    Ok(Cost { cpu, wall, memory_bytes, disk_bytes: folder_bytes(&data.join("series"))? })
}

fn victoria(load: &Load<'_>, folder: &Path, readings: u64) -> anyhow::Result<Cost> {
    let data = folder.join("victoria");
    let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let output = std::fs::File::create(folder.join("victoria.log"))?;
    let child = Command::new(&load.args.victoria)
        .arg(format!("-storageDataPath={}", data.display()))
        .arg(format!("-httpListenAddr={http}"))
        .args(["-retentionPeriod=10y", "-search.maxUniqueTimeseries=10000000"])
        .stdout(output.try_clone()?)
        .stderr(output)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{} cannot be started", load.args.victoria))?;
    let server = Victoria(child);
    let get = |path: &str| -> anyhow::Result<String> {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
        Ok(agent.get(format!("http://{http}{path}")).call()?.body_mut().read_to_string()?)
    };
    let began = Instant::now();
    while get("/health").is_err() {
        ensure!(began.elapsed() < Duration::from_secs(60), "VictoriaMetrics is not ready after 60 s");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (cpu, began) = (cpu_time(server.0.id())?, Instant::now());
    load.send(http)?;
    get("/internal/force_flush")?;
    let wall = began.elapsed();
    let sent = cpu_time(server.0.id())? - cpu;
    // Counting costs it much; that is not part of taking readings in.
    let hours = load.args.minutes / 60 + 2;
    let end = (load.begin_ms + load.sets as i64 * 10_000) / 1000 + 60;
    let names: serde_json::Value = serde_json::from_str(&get("/api/v1/label/__name__/values")?)?;
    // One name after the other: of all at once it says that it has not enough memory for so many samples.
    let mut count = 0;
    for name in names["data"].as_array().into_iter().flatten().filter_map(|name| name.as_str()) {
        if !name.starts_with("env_") {
            continue;
        }
        let found =
            get(&format!("/api/v1/query?query=sum(count_over_time({name}%5B{hours}h%5D))&time={end}"))
                .with_context(|| format!("counting what VictoriaMetrics has of {name}"))?;
        let found: serde_json::Value = serde_json::from_str(&found)?;
        count += found["data"]["result"][0]["value"][1].as_str().unwrap_or("0").parse::<u64>()?;
    }
    ensure!(
        count == readings,
        "VictoriaMetrics has {count} of {readings} readings: {}",
        folder.join("victoria.log").display()
    );
    let memory_bytes = resident_bytes(server.0.id())?;
    let merging = cpu_time(server.0.id())?;
    get("/internal/force_merge")?;
    // It answers at once; it has merged when its files do not change any more.
    let (mut size, mut still) = (0, 0);
    while still < 5 {
        std::thread::sleep(Duration::from_secs(2));
        let now = folder_bytes(&data)?;
        still = if now == size { still + 1 } else { 0 };
        size = now;
    }
    let cpu = sent + (cpu_time(server.0.id())? - merging);
    Ok(Cost { cpu, wall, memory_bytes, disk_bytes: size })
}

/// Ends with what it stands for.
struct Victoria(Child);

impl Drop for Victoria {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const FIELDS: usize = 20;

/// Name, decimals, where it starts, how far it goes at a time.
const FIELD: [(&str, i32, f64, f64); FIELDS] = [
    ("temperature", 1, 21.0, 0.1),
    ("humidity", 1, 55.0, 0.2),
    ("pressure", 1, 1013.0, 0.1),
    ("board_temperature", 2, 38.0, 0.05),
    ("voltage", 1, 230.0, 0.4),
    ("current", 2, 4.0, 0.06),
    ("power", 0, 900.0, 12.0),
    ("vibration", 3, 0.2, 0.01),
    ("flow", 2, 12.0, 0.06),
    ("level", 1, 140.0, 0.2),
    ("co2", 0, 600.0, 4.0),
    ("pm25", 1, 8.0, 0.2),
    ("light", 0, 400.0, 3.0),
    ("noise", 1, 45.0, 1.0),
    ("rpm", 0, 1480.0, 2.0),
    ("rssi", 0, -70.0, 1.5),
    ("battery", 0, 90.0, 0.01),
    ("valve", 0, 40.0, 0.01),
    ("energy", 2, 1000.0, 0.01),
    ("state", 0, 1.0, 0.01),
];

struct Load<'a> {
    args: &'a Args,
    begin_ms: i64,
    sets: u64,
}

impl Load<'_> {
    /// Sends everything; returns when the last request was answered.
    fn send(&self, http: SocketAddr) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let share = |connection| scope.spawn(move || self.send_share(http, connection));
            let shares: Vec<_> = (0..self.args.connections).map(share).collect();
            shares.into_iter().try_for_each(|share| share.join().expect("a sender does not panic"))
        })
    }

    fn send_share(&self, http: SocketAddr, connection: u64) -> anyhow::Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(300)))
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("http://{http}/write?precision=ms");
        let mut devices: Vec<Device> = (connection..self.args.devices)
            .step_by(self.args.connections as usize)
            .map(Device::new)
            .collect();
        let mut body = String::new();
        for set in 0..self.sets {
            for some in devices.chunks_mut(self.args.lines) {
                body.clear();
                some.iter_mut()
                    .for_each(|device| device.line(self.begin_ms + set as i64 * 10_000, &mut body));
                loop {
                    let mut answer = agent.post(&url).send(&body)?;
                    match answer.status().as_u16() {
                        204 => break,
                        429 | 503 => std::thread::sleep(Duration::from_millis(100)),
                        status => {
                            let said = answer.body_mut().read_to_string().unwrap_or_default();
                            anyhow::bail!("{url} answered {status}: {said}");
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Sensors that wander and are quantised, on a clock that jitters.
struct Device {
    no: u64,
    random: u64,
    values: [f64; FIELDS],
}

impl Device {
    fn new(no: u64) -> Self {
        Self { no, random: no.wrapping_mul(0x9e37_79b9_7f4a_7c15), values: FIELD.map(|(.., start, _)| start) }
    }

    fn unit(&mut self) -> f64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn line(&mut self, set_ms: i64, to: &mut String) {
        let at_ms = set_ms + (self.no as i64 * 37) % 10_000 + (self.unit() * 60.0) as i64;
        let _ = write!(to, "env,device_id=d{:06} ", self.no);
        for (n, (name, decimals, _, step)) in FIELD.iter().enumerate() {
            self.values[n] += (self.unit() - 0.5) * 2.0 * step;
            let comma = if n == 0 { "" } else { "," };
            let _ = write!(to, "{comma}{name}={:.*}", *decimals as usize, self.values[n]);
        }
        let _ = writeln!(to, " {at_ms}");
    }
}
