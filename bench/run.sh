#!/usr/bin/env bash
# The end-to-end benchmarks: this broker with fsync on against Debian's Mosquitto with persistence off, in the
# same run, alternating, medians of several runs. Prints a markdown table; docs/benchmarks.md is made from it.
#
#   bench/run.sh [--runs N] [--only throughput,memory,storm] [--quick] [--brokers mosquitto,penstock]
#
# Needs: python3, openssl, mosquitto (apt-get install mosquitto), about 16 000 open files (ulimit -Hn).
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
target=${CARGO_TARGET_DIR:-target}
cargo build --release -p penstock
cargo build --release -p penstock-fleet --example fleet
exec python3 bench/drive.py --penstock "$target/release/penstock" --fleet "$target/release/examples/fleet" \
    --work "$target/bench" "$@"
