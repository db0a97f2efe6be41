"""Runs the benchmarks against each server in turn and prints medians as markdown. See run.sh."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from brokers import Mosquitto, Penstock

# connections, in flight, publishes for mosquitto, publishes for penstock: each a few seconds of the server's CPU,
# of which the kernel counts 10 ms.
THROUGHPUT = [(50, 20, 400_000, 2_000_000), (1000, 1, 200_000, 400_000), (50, 100, 400_000, 4_000_000)]
IDLE = 15_000


def main():
    options = parse()
    Penstock.binary = options.penstock
    brokers = [b for b in (Mosquitto, Penstock) if b.name in options.brokers]
    results = {}
    for run in range(options.runs):
        # Alternating, and the other one first each time: drift of the machine hits both.
        for broker in brokers if run % 2 == 0 else brokers[::-1]:
            for part, measure in PARTS.items():
                if part in options.only:
                    measure(options, broker, results)
    text = report(options, brokers, results)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "results.json").write_text(json.dumps(results, indent=1))
    (options.work / "report.md").write_text(text)
    print(text)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstock", default="target/release/penstock")
    parser.add_argument("--fleet", default="target/release/examples/fleet")
    parser.add_argument("--work", type=Path, default=Path("target/bench"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the publishes and connections")
    parser.add_argument("--only", type=lambda s: s.split(","), default=list(PARTS))
    parser.add_argument("--brokers", type=lambda s: s.split(","), default=["mosquitto", "penstock"])
    options = parser.parse_args()
    options.scale = 10 if options.quick else 1
    return options


def fleet(options, *args):
    """Runs the generator; exit 1 (something was lost or refused) is part of the result."""
    command = [options.fleet, *map(str, args), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode > 1:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def note(results, broker, what, value):
    if value is not None:
        results.setdefault(what, {}).setdefault(broker.name, []).append(value)
    print(f"{time.strftime('%H:%M:%S')} {broker.name}: {what}: {value}", file=sys.stderr, flush=True)


def throughput(options, broker, results):
    for connections, in_flight, theirs, ours in THROUGHPUT:
        messages = (theirs if broker is Mosquitto else ours) // options.scale
        with broker(options.work) as server:
            common = ["bench", "--target", f"127.0.0.1:{server.port}", "-c", connections, "-w", in_flight]
            fleet(options, *common, "-n", messages // 10)  # warm
            done = fleet(options, *common, "-n", messages, "--watch", server.pid)
        if done["acknowledged"] != messages:
            raise SystemExit(f"{broker.name} acknowledged {done['acknowledged']} of {messages}: {done}")
        name = f"{connections} × {in_flight}"
        note(results, broker, f"cpu {name}", done["server_cpu_seconds_per_million"])
        note(results, broker, f"generator cpu {name}", done["generator_cpu_seconds"] * 1e6 / messages)
        note(results, broker, f"rate {name}", done["acknowledged_per_second"])
        note(results, broker, f"p99 ms {name}", done["latency"][0]["p99_us"] / 1000)


def tls_args(server):
    certs = server.certs
    args = ["--tls-ca", certs / "ca.crt"]
    if server.mutual:
        args += ["--tls-cert", certs / "client.crt", "--tls-key", certs / "client.key"]
    return args


def memory(options, broker, results):
    count = IDLE // options.scale
    for kind in ("plain", "TLS"):
        with broker(options.work, tls="server" if kind == "TLS" else "") as server:
            # The first connections pay for buffers and pools that all share.
            port = server.port if kind == "plain" else server.tls_port
            common = ["connections", "--target", f"127.0.0.1:{port}", "--watch", server.pid, "--sources", 4]
            common += tls_args(server) if kind == "TLS" else []
            done = fleet(options, *common, "-c", count, "--connect-rate", 3000)
        note(results, broker, f"memory {kind}", done["rss_bytes_per_connection"])


def storm(options, broker, results):
    count = IDLE // options.scale
    with broker(options.work, tls="mutual") as server:
        done = fleet(options, "connections", "--target", f"127.0.0.1:{server.tls_port}", *tls_args(server),
                     "--watch", server.pid, "--sources", 4, "-c", count, "--connect-rate", 1000,
                     "--storms", 1, "--steady-target", f"127.0.0.1:{server.port}")
    steady = done["steady"]
    note(results, broker, "storm seconds", done["storm_seconds"][0])
    note(results, broker, "storm refused or failed attempts", done["connect_refused"] + done["connect_failures"])
    for when in ("before", "during", "after"):
        note(results, broker, f"steady p50 ms {when}", steady[when]["p50_us"] / 1000)
        note(results, broker, f"steady p99 ms {when}", steady[when]["p99_us"] / 1000)
        note(results, broker, f"steady max ms {when}", steady[when]["max_us"] / 1000)
    note(results, broker, "steady lost", steady["lost"] + steady["unacknowledged"])
    note(results, broker, "storm cpu", done["storm_server_cpu_seconds"])


PARTS = {"throughput": throughput, "memory": memory, "storm": storm}


def report(options, brokers, results):
    lines = [f"Measured {date.today()} by `bench/run.sh --runs {options.runs}" + (" --quick`" if options.quick else "`")
             + f": median of {options.runs} runs (lowest–highest).", "", *machine(options, brokers), ""]
    names = [b.name for b in brokers]
    ratio = len(names) == 2
    lines.append("| what | " + " | ".join(names) + (" | mosquitto ÷ penstock |" if ratio else " |"))
    lines.append("|---|" + "--:|" * (len(names) + ratio))
    for key, title in titles():
        if key not in results:
            continue
        cells = [spread(results[key].get(name, [])) for name in names]
        if ratio:
            values = [results[key].get(name) for name in names]
            both = all(values) and statistics.median(values[1]) > 0
            cells.append(f"{statistics.median(values[0]) / statistics.median(values[1]):.2f}" if both else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def titles():
    for connections, in_flight, *_ in THROUGHPUT:
        name = f"{connections} × {in_flight}"
        yield f"cpu {name}", f"server CPU s per million QoS 1 publishes, {connections} connections × {in_flight} in flight"
        yield f"rate {name}", f"acknowledged publishes/s, {name}"
        yield f"p99 ms {name}", f"acknowledged after ms, p99, {name} (closed loop)"
        yield f"generator cpu {name}", f"generator CPU s per million, {name}"
    for kind in ("plain", "TLS"):
        yield f"memory {kind}", f"resident bytes per idle connection, {kind}, {IDLE} connections"
    yield "storm seconds", f"{IDLE} mTLS clients back after, s"
    yield "storm cpu", "server CPU s of the storm and 5 s before it"
    yield "storm refused or failed attempts", "attempts refused or failed in it"
    for what in ("p50", "p99", "max"):
        for when in ("before", "during", "after"):
            yield f"steady {what} ms {when}", f"acknowledgement of connected clients, {what} ms, {when}"
    yield "steady lost", "connected clients or publishes lost"


def spread(values):
    if not values:
        return ""
    digits = 0 if statistics.median(values) >= 100 else 2
    form = lambda value: f"{value:,.{digits}f}".replace(",", " ")
    middle = form(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form(min(values))}–{form(max(values))})"


def machine(options, brokers):
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    options.work.mkdir(parents=True, exist_ok=True)
    disk = subprocess.run(["df", "--output=fstype", options.work], capture_output=True, text=True).stdout.split()[-1]
    load = os.getloadavg()
    return [f"- {os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB; kernel {platform.release()}; data on {disk}; "
            f"load average at the end {load[0]:.1f} (generator and server share the cores)",
            "- " + "; ".join(f"{b.name} {b.version(options.penstock)}" for b in brokers)
            + ". Mosquitto: persistence off, no limits on what is in flight. Penstock: every acknowledgement after an fsync.",
            "- Payload 64 bytes, one topic per connection, MQTT 5, loopback; CPU is user + system of the server's "
            "process (`/proc/PID/stat`) from the first publish to the last acknowledgement."]


if __name__ == "__main__":
    main()
