#!/usr/bin/env bash
# How fast history goes through a changed configuration: feeds a server, then has it make a data set of what its log holds, with
# nothing live beside it. Prints JSON: readings, seconds and processor seconds of the feeding until stored, and of the data set.
#
#   MESSAGES=200000   of 20 metrics each        BINARY=path  a server already built (default: builds the release)
set -euo pipefail
cd "$(dirname "$0")/.."

messages=${MESSAGES:-200000}
. bench/server.sh

serve
http="http://$(address http)"

# Seconds by the clock.
now() { date +%s.%N; }
stored() { "$penstock" query --server "$http" --format csv "$@" "SELECT count(*) FROM telemetry" | tail -n 1 | tr -d '\r'; }

cpu_a=$(cpu) a=$(now)
"$penstock" fleet bench --target "$(address mqtt)" --connections 100 --in-flight 20 --metrics 20 --messages "$messages" >&2
until [ "$(stored)" -ge $((messages * 20)) ]; do sleep 0.2; done
cpu_b=$(cpu) b=$(now)

printf '[stream]\nwindows = ["1m", "5m", "1h"]\n' >"$work/next.toml"
"$penstock" reprocess start bench --server "$http" --config "$work/next.toml" >&2
until "$penstock" reprocess list --server "$http" --format json | grep -q '"state": *"\(done\|failed\)"'; do sleep 0.1; done
cpu_c=$(cpu) c=$(now)
"$penstock" reprocess list --server "$http" >&2

awk -v n="$(stored --dataset bench)" -v a="$a" -v b="$b" -v c="$c" -v x="$cpu_a" -v y="$cpu_b" -v z="$cpu_c" 'BEGIN {
    printf "{\"readings\": %d, \"live\": {\"s\": %.1f, \"cpu_s\": %.1f}, ", n, b - a, y - x
    printf "\"data_set\": {\"s\": %.1f, \"cpu_s\": %.1f, \"readings_per_s\": %d, \"readings_per_cpu_s\": %d}}\n", c - b, z - y, n / (c - b), n / (z - y)
}'
