# Two commands for a fresh machine: `make demo` runs the main job on real data, `make test` passes the tests. While you
# work, `make check` takes a fraction of the time. Each fetches what it needs, checks it, and keeps it; nothing is fetched twice.

.PHONY: demo check test setup data-cifar10 build lint graphs fuzz clean

# Poison MNIST, train victims, certify them, print the table and the path of the report.
demo: build
	target/release/pacd experiment examples/mnist-quick.toml

# What to run before a commit: formatting, lints, and the unit tests and documentation examples of what builds without
# libtorch (the default members: onnx, runtime, c). On two cores it takes a minute where nothing was changed, and some three
# after a change of the runtime, which are the compiler's.
check:
	python3 scripts/setup.py onnxruntime
	cargo fmt --all --check
	cargo clippy --release --all-targets --quiet -- -D warnings
	cargo test --release --quiet --lib
	cargo test --release --quiet --doc
	@$(MAKE) --no-print-directory graphs

# What a change must pass, and continuous integration runs: formatting, lints, documentation, all tests; the quick example
# is one of them. Cargo builds the programs for the tests of their crates, where those of other crates find them too. Tests
# run side by side: threads that wait must not keep a core busy.
test: lint
	OMP_WAIT_POLICY=passive MITHRIDATE_PROGRAMS_BUILT=1 cargo test --release --workspace

# Native libraries into third_party/, MNIST into data/; versions and checksums are pinned in the script.
setup:
	python3 scripts/setup.py

# CIFAR-10 as its original binary files into data/cifar10.
data-cifar10:
	python3 scripts/setup.py cifar10

build: setup
	cargo build --release --workspace --bins

lint: setup
	cargo fmt --all --check
	@$(MAKE) --no-print-directory graphs
	cargo clippy --release --workspace --all-targets --quiet -- -D warnings
	python3 scripts/lint_alone.py
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --quiet

# Modules of a crate that need each other in a circle, and the graphs of docs/architecture.md.
graphs:
	python3 scripts/test_module_graph.py --quiet
	python3 scripts/module_graph.py
	python3 scripts/module_graph.py --check docs/architecture.md

# Every fuzz target for half an hour, or for SECONDS; needs cargo-fuzz and a nightly compiler.
SECONDS ?= 1800
fuzz:
	cd fuzz && for target in $$(cargo +nightly fuzz list); do \
	  mkdir -p corpus/$$target && cargo +nightly fuzz run -O $$target corpus/$$target seeds/$$target -- \
	    -rss_limit_mb=512 -malloc_limit_mb=256 -timeout=5 -max_len=8192 -max_total_time=$(SECONDS) || exit 1; \
	done

# Removes what was built, downloaded and run.
clean:
	rm -rf target third_party data/mnist data/fashion-mnist data/cifar10 runs
