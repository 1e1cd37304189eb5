# Everything a developer or an operator types. `make` lists it; every target makes .venv first where it is missing.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := luthien_stream workers tests

.DEFAULT_GOAL := help
.PHONY: help install up test test-long bench check format lock schemas clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

install: .venv/.installed ## make .venv and install the gateway into it

up: .venv/.installed ## start everything; flags with ARGS="--listen 127.0.0.1:9000"
	@exec $(BIN)/luthien-stream up $(ARGS)

test: .venv/.developing ## the tests; some of them with ARGS="-k name"
	@$(BIN)/pytest -q $(ARGS)

test-long: .venv/.developing ## the tests that take minutes
	@$(BIN)/pytest -q -m long $(ARGS)

bench: .venv/.developing ## measure; the last line has the ratios
	@$(BIN)/python -m tests.bench $(ARGS)

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

clean: ## remove what these targets made, but no data (that is in .luthien)
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
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

.venv/.locking: | .venv/bin/python
	@$(PYTHON) -m venv .venv/locking
	@.venv/locking/bin/python -m pip --disable-pip-version-check --quiet install uv
	@touch $@
