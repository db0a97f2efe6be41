# The two commands of the README, and what a developer needs. `make help` lists them.
.PHONY: help demo test check bench build

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

build: ## the release binary
	cargo build --release -p penstock

test: ## every test
	cargo test --workspace

check: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
