#!/usr/bin/env bash
# Real clients of PostgreSQL against a server: the JDBC driver, pgx, psycopg 3 and 2, asyncpg, SQLAlchemy, node-postgres, psql.
#
#   scripts/sql-clients.sh [BINARY]    starts BINARY (target/release/penstock) on ports of its own, and ends it
#
# Installs into a folder of the user's cache: a venv with psycopg, psycopg2-binary, asyncpg, sqlalchemy (PyPI); pg and pg-cursor
# (npm); pgx (Go); the driver org.postgresql:postgresql (Maven). Wants python3, node and npm, go, java and mvn on the machine,
# and says on stderr which it had to do without: SKIPPED. Exit code: 0 all that was there went through, 1 something failed, 77
# nothing could be tried.
set -uo pipefail
cd "$(dirname "$0")/.."

jdbc=42.7.7 pgx=v5.13.0
python=(psycopg[binary,pool]==3.3.9 psycopg2-binary==2.9.13 asyncpg==0.32.0 sqlalchemy==2.1.9)
node=(pg@8 pg-cursor@2)

binary=${1:-target/release/penstock}
[ -x "$binary" ] || { echo "no server at $binary: build it, or name one" >&2; exit 77; }
deps=${PENSTOCK_SQL_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock/sql-clients}
here=$PWD/scripts/sql-clients
mkdir -p "$deps"
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$work"' EXIT

PENSTOCK__HTTP__LISTEN=127.0.0.1:0 PENSTOCK__PGWIRE__LISTEN=127.0.0.1:0 PENSTOCK__GATEWAY__MQTT__LISTEN=127.0.0.1:0 \
    PENSTOCK__GATEWAY__WEBSOCKET__LISTEN=127.0.0.1:0 \
    "$binary" serve --data "$work/data" --ready-file "$work/ready.json" 2>"$work/server.log" &
server=$!
for _ in $(seq 300); do
    [ -s "$work/ready.json" ] && break
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    sleep 0.1
done
address() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/ready.json"; }
http=$(address http) port=$(address pgwire)
port=${port##*:}

curl -sSf -H 'content-type: application/json' "http://$http/v1/telemetry" -d '[
    {"device_id":"c1","metric":"t","value":21.5,"ts":"2026-11-20T12:00:00Z"},
    {"device_id":"c1","metric":"n","value":9007199254740993,"ts":"2026-11-20T12:07:00.123456Z"},
    {"device_id":"c2","metric":"s","value":"o'\''pen","ts":"2026-11-20T12:07:00Z"},
    {"device_id":"c2","metric":"ok","value":true,"ts":"2026-11-20T12:08:00Z"},
    {"device_id":"c2","metric":"at","value":{"lat":53.5,"lng":10},"ts":"2026-11-20T12:09:00Z"}]' >/dev/null || exit 1
for _ in $(seq 100); do
    rows=$("$binary" query --server "http://$http" --format csv 'SELECT count(*) FROM telemetry' | tail -1 | tr -d '\r')
    [ "$rows" = 5 ] && break
    sleep 0.1
done

tried=0 failed=0
skip() { echo "SKIPPED $1: $2" >&2; }
# try NAME TOOL... : runs `NAME_install`, then `NAME_run`.
try() {
    local name=$1 tool
    for tool in "${@:2}"; do
        command -v "$tool" >/dev/null || { skip "$name" "no $tool on this machine"; return; }
    done
    if ! "${name}_install" >"$work/install.log" 2>&1; then
        skip "$name" "it cannot be installed; is a registry reachable? $(tail -1 "$work/install.log")"
        return
    fi
    tried=$((tried + 1))
    "${name}_run" || failed=$((failed + 1))
}

python_install() {
    [ -x "$deps/venv/bin/python" ] || python3 -m venv "$deps/venv"
    "$deps/venv/bin/pip" install --quiet "${python[@]}"
}
python_run() { "$deps/venv/bin/python" "$here/check.py" "$port" me none; }

node_install() { npm install --silent --no-audit --no-fund --prefix "$deps" "${node[@]}"; }
node_run() { NODE_PATH="$deps/node_modules" node "$here/check.cjs" "$port" me none; }

pgx_install() {
    mkdir -p "$deps/pgx" && cp "$here/pgx/main.go" "$deps/pgx/" && cd "$deps/pgx" || return
    [ -e go.mod ] || go mod init sqlclients
    go get "github.com/jackc/pgx/v5@$pgx" && go mod tidy && go build -o check .
    local built=$?
    cd - >/dev/null || return
    return $built
}
pgx_run() { "$deps/pgx/check" "$port" me none; }

jdbc_install() {
    local jar="$deps/postgresql-$jdbc.jar"
    if [ ! -e "$jar" ]; then
        mvn -q dependency:copy -Dartifact="org.postgresql:postgresql:$jdbc" -DoutputDirectory="$deps" || return
    fi
    javac -d "$deps/jdbc" "$here/Check.java"
}
jdbc_run() { java -cp "$deps/jdbc:$deps/postgresql-$jdbc.jar" Check "$port" me none; }

psql_install() { :; }
psql_run() {
    local command out bad=0
    for command in '\d' '\d telemetry' '\d+ telemetry' '\dt+' '\l' '\l+' '\dn+' '\df' '\dv' '\di' '\du' '\dx' '\dT' '\dp' '\dC' '\do' \
        '\da' '\db' '\dO' '\dd' '\ddp' '\drds' '\dy' '\conninfo' "\\copy (SELECT device_id FROM telemetry) TO '$work/out.csv' CSV HEADER"; do
        if out=$(psql -X -w -h 127.0.0.1 -p "$port" -U me -d penstock -v ON_ERROR_STOP=1 -c "$command" 2>&1); then
            echo "ok      psql: $command"
        else
            echo "FAILED  psql: $command: $out"
            bad=1
        fi
    done
    return $bad
}

try psql psql
try python python3
try node node npm
try pgx go
try jdbc java javac mvn

if [ "$tried" = 0 ]; then
    echo "SKIPPED all of them: NOTHING PROVEN" >&2
    exit 77
fi
echo "$tried kinds of clients tried, $failed of them failed" >&2
[ "$failed" = 0 ]
