#!/usr/bin/env bash
# Everything on embedded parts, on real readings: builds, starts the server, lets this machine be a device and
# twenty more be simulated (vehicles for the map, cold stores, motors, meters, batteries, servers; now and then one
# has something wrong with it, and a message is broken), has rules look at them, waits until readings can be asked for, and runs
# until Ctrl-C.
#
#   DEMO_SECONDS=10   ends by itself        DEMO_DATA=dir   where to keep the data (default ./penstock-data)
#   DEMO_BINARY=path  a binary already built        PENSTOCK__HTTP__LISTEN=127.0.0.1:0 and the like: other ports
set -euo pipefail
cd "$(dirname "$0")/.."

data=${DEMO_DATA:-penstock-data}
penstock=${DEMO_BINARY:-${CARGO_TARGET_DIR:-target}/release/penstock}
[ -n "${DEMO_BINARY:-}" ] || cargo build --release -p penstock

work=$(mktemp -d)
pids=()
cleanup() {
    trap - EXIT INT TERM
    # The devices first, the server last, so that it has everything when it drains.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 0' INT TERM

"$penstock" serve --data "$data" --ready-file "$work/ready" & pids+=($!)
for _ in $(seq 300); do
    [ -e "$work/ready" ] && break
    kill -0 "${pids[0]}" 2>/dev/null || { echo "the server did not start; see above" >&2; exit 1; }
    sleep 0.1
done
[ -e "$work/ready" ] || { echo "the server is not ready after 30 s" >&2; exit 1; }
address() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/ready"; }
http="http://$(address http)" mqtt=$(address mqtt)

device=$(tr -cd 'A-Za-z0-9._-' </proc/sys/kernel/hostname)
"$penstock" probe --target "$mqtt" --device "${device:=this-machine}" --interval 1 --buffer "$work/probe.db" & pids+=($!)
"$penstock" fleet run --target "$mqtt" --devices 20 --interval 1 --duration 100000000 --kind mixed \
    --client-id demo- --topic 'devices/{kind}-{i}/telemetry' --anomalies 0.3 --faults duplicate=0.002,malformed=0.0005 \
    >"$work/fleet" 2>&1 & pids+=($!)

# What these devices really do: vehicles are too fast every few minutes, motors idle in each of their cycles, doors are opened by day, and
# a meter that runs backwards is among the faults. A second run finds its rules.
rule() {
    local id=$1
    shift
    "$penstock" rule show "$id" --server "$http" >/dev/null 2>&1 || "$penstock" rule add "$@" --server "$http" >/dev/null
}
rule too-fast --name "Too fast" --when "speed_kmh > 70" --for 5s --clear-when "speed_kmh < 65" --severity info
rule motor-idles --name "Motor idles" --when "load_pct < 16" --for 30s --severity info
rule door-open --name "Door open" --when "door_open = 1" --for 30s
rule meter-runs-backwards --name "Meter runs backwards" --when "rate(energy_kwh, '1 minute') < 0" --severity critical

ask() { "$penstock" query --server "$http" "$@"; }
for _ in $(seq 300); do
    count=$(ask --format csv -p "\"$device\"" "SELECT count(*) FROM telemetry WHERE device_id = ?" | tail -n 1 | tr -d '\r')
    [ "${count:-0}" -gt 0 ] && break
    sleep 0.1
done
[ "${count:-0}" -gt 0 ] || { echo "this machine's readings cannot be asked for after 30 s" >&2; exit 1; }

echo
ask -p "\"$device\"" "SELECT time, device_id, metric, value FROM telemetry WHERE device_id = ? ORDER BY time DESC, metric LIMIT 8"
cat <<END

Penstock runs. In a browser: $http/    MQTT $mqtt, data in $data

  mosquitto_pub -h ${mqtt%:*} -p ${mqtt##*:} -q 1 -t devices/d1/telemetry -m '{"temperature":21.5}'
  $penstock query --server $http "SELECT * FROM telemetry WHERE device_id = 'd1'"
  curl '$http/v1/devices/$device/latest'

Four rules look at the devices; the first alerts come within minutes, "Too fast" before the others. In a browser: $http/#/alerts

  $penstock rule list --server $http
  $penstock alert list --server $http
  $penstock rule test too-fast --since 10m --server $http

END
if [ -n "${DEMO_SECONDS:-}" ]; then
    # Waited for, so that a signal ends it at once.
    sleep "$DEMO_SECONDS" & wait $!
else
    echo "Ctrl-C ends it."
    wait "${pids[0]}"
fi
