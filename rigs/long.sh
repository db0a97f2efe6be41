#!/usr/bin/env bash
# The long forms of the fault rigs. Needs root and loop devices for all but kill9.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
# The storm has a mail server of others.
PENSTOCK_TEST_DEPS=${PENSTOCK_TEST_DEPS:-$(scripts/install-test-deps.sh)}
export PENSTOCK_TEST_DEPS
cargo build --release -p penstock -p penstock-rigs --bins
"$target/release/powercut" --cuts 1000 --server-cuts 50
"$target/release/diskfull" --rounds 5
"$target/release/kill9" --rounds 200
"$target/release/fleetkill" --kills 50
"$target/release/truth" --seeds "1..${TRUTH_SEEDS:-500}"
"$target/release/sqlfuzz" --cases 100000000 --seconds "${SQLFUZZ_SECONDS:-900}"
"$target/release/storm"
