#!/usr/bin/env bash
# How long each page of the web interface takes until it can be used: on 1 000 devices, and on 99 000, with the release binary
# and Debian's Chromium on the same machine. Prints markdown; docs/benchmarks.md is made from it.
#
#   bench/web.sh [RUNS]          WEB_BINARY=path  a binary already built
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-7}
binary=${WEB_BINARY:-${CARGO_TARGET_DIR:-target}/release/penstock}
[ -n "${WEB_BINARY:-}" ] || cargo build --release -p penstock
PENSTOCK_TEST_DEPS=$(scripts/install-test-deps.sh)
export PENSTOCK_TEST_DEPS PENSTOCK__HTTP__LISTEN=127.0.0.1:0 PENSTOCK__GATEWAY__MQTT__LISTEN=127.0.0.1:0
export PENSTOCK__GATEWAY__WEBSOCKET__LISTEN="" PENSTOCK__PGWIRE__LISTEN=""

for devices in 1000 99000; do
    work=$(mktemp -d)
    "$binary" serve --data "$work/data" --ready-file "$work/ready" 2>"$work/log" & server=$!
    trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
    until [ -s "$work/ready" ]; do kill -0 "$server"; sleep 0.1; done
    address() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/ready"; }
    mqtt=$(address mqtt)
    echo "$devices devices, $runs runs:"
    node bench/web.mjs "http://$(address http)" "${mqtt##*:}" "$devices" "$runs"
    kill "$server"
    wait "$server" || true
    rm -rf "$work"
done
trap - EXIT
