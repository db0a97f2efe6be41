#!/usr/bin/env bash
# The long forms of what `make test` proves in short: an hour or so. Root and loop devices for the power cuts.
#
#   SEEDS=10000    seeds of each simulation        INPUTS=10000000   fuzzed inputs per target
#   TRUTH_SEEDS=500   scenarios with a known truth, played to the whole server
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
seeds=${SEEDS:-10000} inputs=${INPUTS:-10000000}

echo "simulation of the log, $seeds seeds" >&2
PENSTOCK_SIM_SEEDS=$seeds cargo test --release -p penstock-log --test it
echo "sessions against their model, $seeds seeds" >&2
PENSTOCK_SIM_SEEDS=$seeds cargo test --release -p penstock-gateway --test it state::
echo "gateway and log together, $seeds seeds" >&2
(cd sim && PENSTOCK_SIM_SEEDS=$seeds cargo test --release)
for target in mqtt json line_protocol template; do
    echo "fuzzing $target, $inputs inputs" >&2
    cargo run --release --manifest-path fuzz/Cargo.toml --bin drive -- "$target" "$inputs"
done
echo "a user's model through the whole server" >&2
cargo test --workspace --features penstock/onnx --test it models::
rigs/long.sh
