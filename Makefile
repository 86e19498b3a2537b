# Everything a contributor runs. Needs Python >= 3.11 and make; root only where the list says so.
# The first target that needs it creates .venv from requirements-dev.lock (hashes checked).

PYTHON ?= python3
TRUTH  ?= 20000
FUZZ   ?= 600
SOAK   ?= 1800
# Processes that run tests side by side, many of which wait; those on nodes have the machine to
# themselves.
TESTERS ?= 3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.made-from-lock

.DEFAULT_GOAL := help
.PHONY: help demo demo-cluster test test-cluster story truth corpus fuzz soak check bench figures fmt docs lock pin clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## see pods refused and let in, in seconds and without a cluster
	@$(BIN)/python -m demo

demo-cluster: $(STAMP) ## the same with kubectl, through a real Kubernetes API server (needs Go)
	@$(BIN)/python -m demo --cluster

test: $(STAMP) ## run every test; with Go through a real API server, as root on real nodes too
	@if [ -n "$$KUBEBUILDER_ASSETS" ] || command -v go >/dev/null; then \
		$(BIN)/python tests/cluster/build.py; \
	else \
		echo "no Go and no KUBEBUILDER_ASSETS: the tests that need a Kubernetes API server are skipped"; \
	fi
	@passed=true; \
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile -m "not nodes" || passed=false; \
	$(BIN)/python -m pytest -m nodes || passed=false; \
	$$passed

test-cluster: $(STAMP) ## only the tests where pods run on real nodes (needs root, containerd and Go)
	@$(BIN)/python tests/cluster/build.py
	@SLIMGATE_REQUIRE_NODES=1 $(BIN)/python -m pytest -m nodes tests/cluster

story: $(STAMP) ## of those, what happens to pods while things happen to slimgate, two minutes each
	@$(BIN)/python tests/cluster/build.py
	@SLIMGATE_REQUIRE_NODES=1 SLIMGATE_STORY_SECONDS=120 $(BIN)/python -m pytest -v tests/cluster/nodes/test_story.py

truth: $(STAMP) ## compare with the Go code that decides on nodes (needs Go; TRUTH=1000 for less)
	@SLIMGATE_TRUTH=$(TRUTH) $(BIN)/python -m pytest -v -n logical --dist worksteal tests/oracles

corpus: $(STAMP) ## have containerd start every image of the corpus, and write docs/corpus.md (as root, with Go)
	@SLIMGATE_REQUIRE_NODES=1 SLIMGATE_CORPUS=1 $(BIN)/python -m pytest -v tests/cluster/corpus

fuzz: $(STAMP) ## give the parsers made-up bytes, FUZZ=600 seconds of CPU each (what fails stays in .fuzz)
	@mkdir -p .fuzz
	@for target in $$($(BIN)/python -c 'from tests.fuzz.targets import NAMES; print(*NAMES)'); do \
		printf '%s ' "$$target"; \
		$(BIN)/python -m tests.fuzz.run "$$target" --seconds $(FUZZ) 2>.fuzz/log \
			|| { cat .fuzz/log; exit 1; }; \
	done

soak: $(STAMP) ## fifty reviews a second for SOAK=1800 seconds while everything fails that can
	@$(BIN)/python -m tests.soak.soak --seconds $(SOAK)

check: $(STAMP) ## lint, formatting, types, layering
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## measure reading an image against its physical limit
	@$(BIN)/python -m benchmarks

figures: $(STAMP) ## measure all there is, and write docs/performance.md by it (twenty minutes, a quiet machine)
	@$(BIN)/python -m benchmarks --record

fmt: $(STAMP) ## format, and apply the fixes ruff is sure of
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP) ## write the pages that are made from code (checks, cli, limits, catalogue, performance)
	$(BIN)/python -m scripts.docs
	$(BIN)/python -m tests.catalogue.page
	$(BIN)/python -m benchmarks.page

lock: ## resolve the dependencies again; the locks hold hashes and no addresses
	PYTHON="$(PYTHON)" scripts/lock

pin: $(STAMP) ## write the digests of the bases into the Dockerfile (asks their registries)
	@$(BIN)/python -m scripts.pin

clean: ## remove .venv and what tools left behind
	rm -rf $(VENV) dist .fuzz .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "slimgate needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
