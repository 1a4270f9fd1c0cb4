# Every target installs what it lacks first (`make setup`) and shares one target folder in the
# user's cache, so that RocksDB is compiled once per machine.
.PHONY: help setup demo test lint fix fuzz bench install docker-test

TARGET := $(or $(CARGO_TARGET_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aimslog/target)
DEMO_DIR ?= $(CURDIR)/aimslog-demo
FUZZ_SECONDS ?= 60

help:
	@echo 'make demo     three nodes, a fictional hospital, a killed leader, an offline auditor'
	@echo 'make test     formatting, lints, unit, property and whole-cluster tests'
	@echo 'make lint     formatting and clippy only'
	@echo 'make fix      format and apply what clippy can fix itself'
	@echo 'make fuzz     long fuzzing with cargo-fuzz (FUZZ_SECONDS=60 for each target)'
	@echo 'make bench    benchmarks of the core, and of a cluster beside etcd'
	@echo 'make install  aimslog and aimslogd, optimised, into ~/.cargo/bin'
	@echo 'make docker-test  the compose cluster, with an image made here'

setup:
	@.ci/setup

demo: setup
	@.ci/build --workspace --bin aimslog --bin aimslogd
	@$(TARGET)/debug/aimslog demo --dir '$(DEMO_DIR)'

test:
	@.ci/test

lint: setup
	cargo fmt --all -- --check
	.ci/cargo clippy --locked --workspace --all-targets -- -D warnings

fix: setup
	cargo fmt --all
	.ci/cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# libFuzzer needs unstable compiler flags; RUSTC_BOOTSTRAP lets the stable toolchain take them.
fuzz: setup
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@cd proto && for target in $$(ls fuzz/fuzz_targets | sed 's/\.rs$$//'); do \
	  echo "== $$target"; \
	  RUSTC_BOOTSTRAP=1 ../.ci/cargo fuzz run --fuzz-dir fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

bench: setup
	@.ci/setup bench
	@.ci/cargo bench --locked -p aimslog-benches --bench core
	@.ci/build --release -p aimslog-node -p aimslog-benches
	@$(TARGET)/release/aimslog-bench compare --aimslogd $(TARGET)/release/aimslogd

install: setup
	@.ci/cargo install --locked --path cli
	@.ci/cargo install --locked --path node

docker-test: setup
	@docker/test.sh
