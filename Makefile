# The two commands of the README, and what a developer needs. `make help` lists them.
.PHONY: help demo test check bench build deps long web

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

demo: ## builds, starts everything and feeds it; Ctrl-C ends it (DEMO_SECONDS=10: by itself)
	scripts/demo.sh

build: ## the release binary
	cargo build --release -p penstock

deps: ## what the tests need: MQTT clients of others, tools
	scripts/install-test-deps.sh

test: ## installs what the tests need, runs them all
	# Without what they need, many tests would say nothing and pass.
	deps="$$(scripts/install-test-deps.sh)" && PENSTOCK_TEST_DEPS="$$deps" cargo test --workspace
	cd sim && CARGO_TARGET_DIR="$${CARGO_TARGET_DIR:-../target}" cargo test

long: ## the long forms: 10 000 seeds, 10 million fuzzed inputs, 1 000 power cuts, 200 kills
	scripts/long.sh

check: ## formatting, lints, documentation, house rules
	cargo fmt --all --check
	# Without the tests first: what only tests use is dead code in the binary.
	cargo clippy --workspace -- -D warnings
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	# Of the whole workspace, as `make test` builds it: alone, the package would build its dependencies again with other features.
	cargo test --workspace --test it house::
	# Where Node is: what is embedded is what the sources make.
	scripts/web.sh check

web: ## the web interface from its sources, into web/dist, which is kept (needs Node 18 or later)
	scripts/web.sh build

bench: ## the benchmarks, against Debian's Mosquitto in the same run; the blackout and memory
	bench/run.sh
	bench/stream.sh
	bench/rules.sh
