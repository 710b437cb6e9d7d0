# make demo: a /backspace comment becomes a pull request, on this machine. make test: the fast checks.
# Each target installs what it needs, system packages included, and says so first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
LOCK_HOW := --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url
RUNS := .venv/.runs
TESTS := .venv/.tests
NEEDS_TO_RUN := git:git bwrap:bubblewrap /usr/bin/python3:python3
NEEDS_TO_TEST := $(NEEDS_TO_RUN) chromium:chromium /usr/lib/postgresql:postgresql node:nodejs dockerd:docker.io debootstrap:debootstrap

.PHONY: help install demo test test-all test-live lint bench lock clean
help:
	@echo "make demo      a /backspace comment becomes a pull request, here, without any account"
	@echo "make install   what the bot needs to run, into .venv; then .venv/bin/backspace serve"
	@echo "make test      the fast checks: ruff, mypy --strict, pytest without the slow suites"
	@echo "make test-all  the same and the slow suites"
	@echo "make test-live PROVIDER=modal|e2b|daytona|docker   the sandbox contract and a job there, with your token"
	@echo "make lint      ruff and mypy alone"
	@echo "make bench     measure, as ratios against named peers"
	@echo "make lock      resolve the lock files again from pyproject.toml"

install: $(RUNS)
	@.ci/install-system $(NEEDS_TO_RUN)

demo: install
	$(BIN)/backspace demo $(ARGS)

test: $(TESTS) lint
	@.ci/install-system $(NEEDS_TO_TEST)
	$(BIN)/pytest -n 3 -m "not slow" $(ARGS)

test-all: $(TESTS) lint
	@.ci/install-system $(NEEDS_TO_TEST)
	$(BIN)/pytest -n 2 $(ARGS)

test-live: $(TESTS)
	PROVIDER=$(PROVIDER) $(BIN)/pytest tests/live/suite.py --timeout 300 $(ARGS)

lint: $(TESTS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(TESTS)
	@.ci/install-system $(NEEDS_TO_RUN)
	$(BIN)/python -m benchmarks $(ARGS)

$(RUNS): requirements.lock pyproject.toml
	@.ci/install-system git:git
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3.12 make ... names one." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/install-system --always python3-venv
	@echo "Installing the Python packages of requirements.lock into .venv (about a minute the first time)."
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(TESTS): $(RUNS) requirements-dev.lock
	@echo "Installing the Python packages of requirements-dev.lock into .venv (every provider's SDK, and the test tools)."
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

lock:
	uv pip compile pyproject.toml $(LOCK_HOW) --all-extras -o requirements-dev.lock
	uv pip compile pyproject.toml $(LOCK_HOW) --extra build -c requirements-dev.lock -o requirements.lock
	uv pip compile --group door $(LOCK_HOW) -c requirements.lock -o requirements-door.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
