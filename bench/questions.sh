#!/usr/bin/env bash
# Questions over a week of a fleet, to the store in this process and, with --postgres, to PostgreSQL on the
# same rows with its best index. Words to stderr, figures to stdout. A quarter of an hour with PostgreSQL at its full size.
#
#   DEVICES=1000 DAYS=7 QUESTIONS=PROGRAM bench/questions.sh [--postgres]      DAYS: at least 2
set -euo pipefail
cd "$(dirname "$0")/.."
devices=${DEVICES:-1000} days=${DAYS:-7}
questions=${QUESTIONS:-cargo run --release -q -p penstock-rigs --bin questions --}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086 # a command and its words
ask() { $questions --devices "$devices" --days "$days" "$@"; }
ask
[ "${1:-}" = --postgres ] || exit 0

bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
chmod 755 "$work"
mkdir "$work/pg" && { [ "$(id -u)" != 0 ] || chown postgres "$work/pg"; }
ask --csv "$work/rows.csv"
as "$bin/initdb" -D "$work/pg/data" -A trust >/dev/null
as "$bin/pg_ctl" -D "$work/pg/data" -w -l "$work/pg/log" -o "-k $work/pg -c listen_addresses='' -c shared_buffers=2GB -c work_mem=256MB \
    -c maintenance_work_mem=2GB -c max_wal_size=16GB -c max_parallel_workers_per_gather=2" start >/dev/null
trap 'as "$bin/pg_ctl" -D "$work/pg/data" -m immediate stop >/dev/null || true; rm -rf "$work"' EXIT
sql() { as psql -h "$work/pg" -d postgres -qAt "$@"; }
chmod 644 "$work/rows.csv"
sql <<SQL >&2
CREATE TABLE telemetry (device_id text, metric text, time timestamptz, value float8);
\\timing on
COPY telemetry FROM '$work/rows.csv' CSV;
CREATE INDEX ON telemetry (device_id, metric, time) INCLUDE (value);
VACUUM ANALYZE telemetry;
SQL
sql -c "SELECT 'PostgreSQL: ' || pg_total_relation_size('telemetry') / (SELECT reltuples FROM pg_class WHERE relname = 'telemetry')::float8 || ' B/reading'"
start=$((1764288000)) end=$((1764288000 + days * 86400))
from=$((end - 86400 - 7200)) to=$((end - 7200))
# Each question as often as there, its time as the server's client sees it; one that takes ten minutes is given up.
measure() {
    local what=$1 times=$2 statement=$3
    {
        echo "SET statement_timeout = '10min';"
        echo "\\timing on"
        for ((n = 0; n < times; n++)); do
            printf -v device 'device-%06d' $((n * 37 % devices))
            printf '%s;\n' "${statement//DEVICE/$device}"
        done
    } >"$work/questions.sql"
    sql -o /dev/null -f "$work/questions.sql" 2>&1 | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -g |
        awk -v what="$what" '{ t[NR] = $1 } END { if (!NR || t[NR] >= 600000) { printf "PostgreSQL, %s: given up after ten minutes\n", what; exit } printf "PostgreSQL, %s: median %.3f ms, p99 %.3f ms (%d)\n", what, t[int((NR + 1) / 2)], t[int((NR - 1) * 0.99) + 1], NR }'
}
day="time >= to_timestamp($from) AND time < to_timestamp($to)"
measure "latest values of a device" 200 "SELECT DISTINCT ON (metric) metric, time, value FROM telemetry WHERE device_id = 'DEVICE' ORDER BY metric, time DESC"
measure "one metric of a device, 24 h" 200 "SELECT time, value FROM telemetry WHERE device_id = 'DEVICE' AND metric = 'm3' AND $day ORDER BY time"
measure "one metric of a device, all days, a mean each minute" 50 "SELECT date_bin('1 minute', time, 'epoch'), avg(value) FROM telemetry WHERE device_id = 'DEVICE' AND metric = 'm3' AND time >= to_timestamp($start) GROUP BY 1"
measure "a mean per device over 24 h, the whole fleet" 5 "SELECT device_id, avg(value) FROM telemetry WHERE metric = 'm3' AND $day GROUP BY device_id"
measure "the latest of everything" 1 "SELECT DISTINCT ON (device_id, metric) device_id, metric, time, value FROM telemetry ORDER BY device_id, metric, time DESC"
