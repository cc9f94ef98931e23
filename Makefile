# The commands of the README. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run development setup check test cases rehearsals soak hosts bench matrix protocols fuzz screenshots vendor dist

help: ## Show these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## Start three backends on localhost ports 9001, 9002 and 9003
	cargo run --release

development: ## Install what the checks need: rustfmt, clippy, cargo-deny
	rustup component add rustfmt clippy
	cargo deny --version || cargo install cargo-deny --locked --debug # unoptimised, as it runs for a second

setup: ## Install what the tests need: nginx, haproxy, a browser, and the balancers of tests/balancers.txt
	tests/prepare

check: ## Formatting, lints, documentation, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked
	cargo deny --locked check bans licenses sources

test: setup ## Install what the tests need, then run all of them: units, the whole program, the cases, a part of the matrix
	tests/run
	cargo build --release --locked
	tests/cases/run --jobs 6 --retries 2
	PROGRAM=$(CURDIR)/target/release/uuid-generator cargo bench --locked --profile dev --bench matrix -- --part=$$(git rev-list --count HEAD 2>/dev/null || echo 0)

cases: ## Judge the program in the situations of tests/cases; CASES="failure/ sticky" for some of them
	cargo build --release --locked
	tests/cases/run --jobs 6 --retries 2 $(CASES)

rehearsals: setup ## Rehearse all kinds of files in tests/rehearse_kinds, as root too where this is root; KINDS=haproxy for some of them
	KINDS=$(or $(KINDS),all) cargo test --locked --test tests -- rehearse_kinds::files_of_all_balancers

soak: ## Load, breakage and API clients for ten minutes (FOR=1h for an hour), and 100 kills of any process of a demo or a check
	SOAK=$(or $(FOR),10m) cargo test --locked --test tests -- soak:: --nocapture
	KILLS=100 cargo test --locked --test tests -- killed::

hosts: ## What records of many hosts cost (writes docs/results/HOSTS.md); a check over five hosts, and over one: namespaces (needs root and nginx)
	cargo bench --profile release --bench hosts
	cargo build --release
	for fleet in "5 60" "1 300"; do set -- $$fleet; PROGRAM=$$PWD/target/release/uuid-generator \
	    examples/several-hosts/run --hosts $$1 --backends $$2 -n 100000 -c 64 --no-experiments || [ $$? -eq 3 ] || exit 1; done

bench: ## Compare speed and memory with peers, side by side; writes docs/results/BENCHMARKS.md (needs wrk and nginx)
	tests/prepare wrk
	cargo build --release --locked
	cp target/release/uuid-generator target/built-quickly # the next command puts what is published in its place
	PROGRAM=$(CURDIR)/target/built-quickly cargo bench --bench speed
	cargo bench -p uuid-generator-testbed --profile release --bench certainty

fuzz: ## Run each fuzz target of crates/http for a minute (needs cargo-fuzz and a nightly toolchain)
	cd crates/http/fuzz && for target in $$(cargo fuzz list); do cargo +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done

screenshots: ## Take the pictures of the README anew, of the real thing
	tests/prepare
	SCREENSHOTS=docs cargo test --locked --test tests live::

vendor: ## Copy what the live view takes from others into the repository (needs npm)
	cd src/fleet/page/vendor && npm ci --ignore-scripts && cp node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css . && \
	  cp node_modules/uplot/LICENSE uPlot.LICENSE && rm -r node_modules

dist: ## Build what is published, run it, and package it: static programs for two architectures, .deb, .rpm, the image; takes long
	packaging/build
	packaging/try
	packaging/package
	PROFILE=image packaging/build x86_64-unknown-linux-musl
	packaging/image

matrix: ## Check real balancers in each of their ways, healthy and broken; writes docs/results/MATRIX.md
	tests/prepare
	cargo bench --bench matrix

protocols: ## Check real balancers with streams, HTTP/2, gRPC and bad certificates; RUNS=20 for more runs; writes docs/results/PROTOCOLS.md
	tests/prepare
	cargo bench --bench protocols -- --runs=$(or $(RUNS),1)
