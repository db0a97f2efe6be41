#!/usr/bin/env bash
# The stream under load: the blackout, memory over many readings, and devices beyond the budget. Release builds; a table
# to stderr, JSON to stdout. Half an hour or so at its full size.
#
#   bench/stream.sh [--quick]     a tenth of everything
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
ulimit -n "$(ulimit -Hn)"
cargo build --release -p penstock -p penstock-rigs --bins
bin=$target/release
if [ "${1:-}" = --quick ]; then
    "$bin/blackout" --devices 500 --before-s 15
    "$bin/memory" --readings 2000000
    "$bin/memory" --devices 100000 --metrics 1 --readings 100000 --budget 10000
else
    # Each may find a promise broken; the others are measured all the same.
    "$bin/blackout" || true
    "$bin/blackout" --backfill-after-s 300 || true
    "$bin/memory" --readings 100000000
    "$bin/memory" --devices 1000000 --metrics 1 --readings 1000000 --budget 100000
fi
