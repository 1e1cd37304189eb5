# Everything a developer or an operator types. `make` lists it; every target makes .venv first where it is missing.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := luthien_stream workers tests
CLIENTS := newest older aider llm
ENVIRONMENTS := tests/clients/environments

.DEFAULT_GOAL := help
.PHONY: help install up test test-long test-clients test-live bench bench-policies bench-record bench-backtest check lock-clients format lock schemas clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

install: .venv/.installed ## make .venv and install the gateway into it

up: .venv/.installed ## start everything; flags with ARGS="--listen 127.0.0.1:9000"
	@exec $(BIN)/luthien-stream up $(ARGS)

test: .venv/.developing ## the tests; some of them with ARGS="-k name"
ifeq ($(filter-out -%,$(ARGS)),)
	@$(BIN)/pytest -q $(ARGS) tests/acceptance # one at a time: they kill parts of the whole product
	@$(BIN)/pytest -q -n 2 --dist loadfile --ignore=tests/acceptance $(ARGS)
else
	@$(BIN)/pytest -q $(ARGS)
endif

test-long: .venv/.developing ## the tests that take minutes
	@$(BIN)/pytest -q -m long --hypothesis-profile=searching $(ARGS)
	@$(BIN)/pytest -q -m "hypothesis and not long" --hypothesis-profile=searching -n 2 --dist loadfile $(ARGS)

test-clients: .venv/.developing $(CLIENTS:%=.clients/%/.installed) .clients/node/.installed ## real clients (Node and 3 GB of disk needed)
	@$(BIN)/pytest -q -m clients tests/clients $(ARGS); code=$$?; $(BIN)/python -m tests.clients.table; exit $$code

test-live: .venv/.developing ## real providers, with your keys, for a few cents
	@$(BIN)/pytest -q -s -m live tests/live $(ARGS)

bench: .venv/.developing ## measure; the last line has the ratios
	@$(BIN)/python -m tests.bench $(ARGS)

bench-policies: .venv/.developing ## measure what policies cost
	@$(BIN)/python -m tests.bench.policies

bench-record: .venv/.developing ## ten minutes of load: whether the record keeps up
	@$(BIN)/python -m tests.bench.record $(ARGS)

bench-backtest: .venv/.developing ## recorded calls through other policies, in chunks a second
	@$(BIN)/python -m tests.bench.backtest $(ARGS)

check: .venv/.developing ## style, form and types
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet --check $(SOURCES)
	@$(BIN)/mypy --no-error-summary

format: .venv/.developing ## bring the code into form
	@$(BIN)/ruff check --quiet --fix $(SOURCES)
	@$(BIN)/ruff format --quiet $(SOURCES)

schemas: .venv/.developing ## generate schemas/ from the events
	@$(BIN)/python -m luthien_stream.events.schema

lock: .venv/.locking ## choose the newest versions of everything, with their hashes
	@.venv/locking/bin/uv pip compile $(LOCK_FLAGS) pyproject.toml --extra build --output-file requirements.lock
	@.venv/locking/bin/uv pip compile $(LOCK_FLAGS) pyproject.toml --extra build --extra test --extra dev \
		--output-file requirements-dev.lock

lock-clients: .venv/.locking ## choose what the clients of test-clients need, with hashes
	@for name in $(CLIENTS); do .venv/locking/bin/uv pip compile $(LOCK_FLAGS) $(ENVIRONMENTS)/$$name.in \
		--output-file $(ENVIRONMENTS)/$$name.lock || exit 1; done
	@cd $(ENVIRONMENTS) && npm install --package-lock-only --silent
	@$(PYTHON) -c 'import json, pathlib; file = pathlib.Path("$(ENVIRONMENTS)/package-lock.json"); \
		lock = json.loads(file.read_text()); [one.pop("funding", None) for one in lock["packages"].values()]; \
		file.write_text(json.dumps(lock, indent=2) + "\n")'

clean: ## remove what these targets made, but no data (that is in .luthien)
	rm -rf .venv .clients build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find luthien_stream workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

LOCK_FLAGS := --quiet --no-config --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	@echo "installing (a minute the first time) ..."
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.developing: requirements-dev.lock .venv/.installed
	@echo "installing what the tests need ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

.clients/%/.installed: $(ENVIRONMENTS)/%.lock | .venv/bin/python
	@echo "installing the clients $* ..."
	@$(PYTHON) -m venv .clients/$*
	@.clients/$*/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@

.clients/node/.installed: $(ENVIRONMENTS)/package.json $(ENVIRONMENTS)/package-lock.json $(ENVIRONMENTS)/.npmrc
	@echo "installing the clients that npm has (minutes the first time) ..."
	@mkdir -p .clients/node && cp $^ .clients/node/
	@cd .clients/node && npm install --no-save --silent # not `ci`: it wants the binaries for all systems in the lock
	@touch $@

.venv/.locking: | .venv/bin/python
	@$(PYTHON) -m venv .venv/locking
	@.venv/locking/bin/python -m pip --disable-pip-version-check --quiet install uv
	@touch $@
