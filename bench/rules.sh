#!/usr/bin/env bash
# What rules cost beside the stream: the same load, as fast as it is taken, without rules and with many. Prints a line of JSON for each:
# processor time of the server for a reading, from the first publish until all is stored and seen by rules, and how much of it the
# evaluation took by its own account.
#
#   MESSAGES=200000   of 20 metrics each     DEVICES=1000   a connection each     RULES="0 1000 10000"
#   BINARY=path       a server already built (default: builds the release)
set -euo pipefail
cd "$(dirname "$0")/.."

messages=${MESSAGES:-200000} devices=${DEVICES:-1000} all=${RULES:-0 1000 10000}
. bench/server.sh

# The sum of a metric on its page, by the beginning of its lines.
metric() { curl -sS "http://$(address http)/metrics" | awk -v of="$1" 'index($0, of) == 1 { sum += $NF } END { print sum + 0 }'; }

# A rule in ten looks at a window, one has a duration, one a fact of the device; none ever holds.
rules() {
    python3 - "$(address http)" "$1" <<'PYTHON'
import http.client, json, sys
address, count = sys.argv[1], int(sys.argv[2])
metrics = ["temperature", "humidity", "pressure", "voltage"]
connection = http.client.HTTPConnection(address)
for n in range(count):
    metric, far = metrics[n % 4], 1_000_000 + n
    kinds = {
        1: {"when": f"avg({metric}, '5 minutes') > {far}"},
        2: {"when": f"{metric} > {far}", "for": "1m", "clear_when": f"{metric} < 1"},
        3: {"when": f"{metric} < -{far} AND device.type = 'motor'"},
    }
    rule = kinds.get(n % 10, {"when": f"{metric} > {far}"})
    connection.request("POST", "/v1/rules", json.dumps({"name": f"r{n}", **rule}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 201, said
PYTHON
}

for count in $all; do
    serve
    rules "$count"
    before=$(cpu)
    "$penstock" fleet bench --target "$(address mqtt)" --connections "$devices" --in-flight 4 --metrics 20 --messages "$messages" >&2
    until [ "$(metric 'penstock_readings_stored_total')" -ge $((messages * 20)) ] &&
        [ "$(metric 'penstock_reader_lag_records{reader="rules"')" -eq 0 ]; do sleep 0.2; done
    sleep 1
    awk -v rules="$count" -v n=$((messages * 20)) -v cpu="$(cpu)" -v before="$before" \
        -v seen="$(metric penstock_rule_readings_total)" -v took="$(metric penstock_rule_evaluation_seconds_total)" 'BEGIN {
        printf "{\"rules\": %d, \"readings\": %d, \"server_us_per_reading\": %.3f, ", rules, n, 1e6 * (cpu - before) / n
        printf "\"seen_by_rules\": %d, \"evaluation_us_per_reading\": %.3f}\n", seen, seen ? 1e6 * took / seen : 0
    }'
    kill -TERM "$server" && wait "$server" || true
    server=
done
