# The commands of the README. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run development check test bench matrix screenshots vendor

help: ## Show these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## Start three backends on localhost ports 9001, 9002 and 9003
	cargo run --release

development: ## Install what the checks need: rustfmt, clippy, cargo-deny
	rustup component add rustfmt clippy
	cargo deny --version || cargo install cargo-deny --locked

check: ## Formatting, lints, documentation, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --locked
	cargo deny --locked check bans licenses sources

test: ## Install what the tests need (nginx and other balancers), then run all of them, and a part of the matrix
	tests/prepare
	cargo test --locked
	cargo bench --locked --bench matrix -- --part

bench: ## Compare speed and memory with peers, side by side; writes BENCHMARKS.md (needs wrk and nginx)
	tests/prepare wrk
	cargo bench --bench speed
	cargo bench --bench certainty

screenshots: ## Take the pictures of the README anew, of the real thing
	tests/prepare
	SCREENSHOTS=docs cargo test --locked --test live

vendor: ## Copy what the live view takes from others into the repository (needs npm)
	cd src/fleet/page/vendor && npm ci --ignore-scripts && cp node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css . && \
	  cp node_modules/uplot/LICENSE uPlot.LICENSE && rm -r node_modules

matrix: ## Check real balancers in each of their ways, healthy and broken; writes MATRIX.md
	tests/prepare
	cargo bench --bench matrix
