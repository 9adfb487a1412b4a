# `make up` and its siblings need python3 >= 3.11 and make; all else goes into .venv.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help up test check contracts release-contracts lock install install-dev

VENV := $(CURDIR)/.venv
# From here, not from /: a folder above may have a space in its name.
BIN := .venv/bin
PY := $(BIN)/python

# Nothing is written outside .venv, MOPS_HOME and the temporary directory: neither bytecode nor any tool's cache.
export PYTHONPYCACHEPREFIX := $(VENV)/pycache
export UV_CACHE_DIR := $(VENV)/cache/uv
export MYPY_CACHE_DIR := $(VENV)/cache/mypy
export RUFF_CACHE_DIR := $(VENV)/cache/ruff
export HYPOTHESIS_STORAGE_DIRECTORY := $(VENV)/cache/hypothesis
# Safe to write, as it lands in .venv; without it every start compiles all libraries anew.
unexport PYTHONDONTWRITEBYTECODE
# macOS stops a forked child that looks up the system's proxies, unless told that this is fine.
export OBJC_DISABLE_INITIALIZE_FORK_SAFETY := YES

# PYTHON, if it is given. Else the system's, where it is new enough: a distribution compiles it so that all of the stack takes
# a seventh less than on one that pyenv compiled. Else the first on PATH; empty if there is none. One that can make an
# environment by itself goes before one that needs pip for that.
FIND_PYTHON = for needs in ensurepip sys; do \
	for p in "$$PYTHON" /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	[ -n "$$p" ] && "$$p" -c "import $$needs, sys; sys.exit(sys.version_info < (3, 11))" </dev/null >/dev/null 2>&1 && break 2; p=; done; done; \
	[ -n "$$p" ] || { echo "mops needs Python 3.11 or newer, and none is on PATH: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }

help:
	@echo "make up         the whole stack on this machine, in the foreground"
	@echo "make test       the whole test suite, against a real Postgres"
	@echo "make check      lint, types, import contracts, freshness of the exported contracts"
	@echo "make contracts  export openapi/ and what derives from it"
	@echo "make bench-NAME a run of bench/, such as reads: ratios beside their bars"
	@echo "make release-contracts  keep the contracts as what was released: later ones mustn't break them"
	@echo "make lock       recompile the hashed lock files"

install:
	@$(FIND_PYTHON); exec "$$p" deploy/install.py

install-dev:
	@$(FIND_PYTHON); exec "$$p" deploy/install.py --dev

up: install
	@exec $(PY) -m deploy.local --parent $$PPID

# Three for two cores: a process that waits for the stack that it started leaves a core to another.
test: install-dev
	@exec $(PY) -m pytest -n 3 --dist loadscope --no-loadscope-reorder -p no:cacheprovider $(ARGS)

check: install-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy chassis services gateway deploy tests bench
	$(BIN)/lint-imports --no-cache
	$(PY) -m deploy.contracts --check
	$(PY) -m deploy.contracts --against openapi/released

contracts: install
	@exec $(PY) -m deploy.contracts

release-contracts: install-dev
	$(PY) -m deploy.contracts --release
	$(PY) -m pytest tests/contract/record.py -q -p no:cacheprovider

# A run of bench/: its last line is one JSON object of ratios and bars.
bench-%: install-dev
	@exec $(PY) -m bench.$(subst -,_,$*) $(ARGS)

PARTS := pyproject.toml $(wildcard services/*/pyproject.toml) gateway/pyproject.toml
# Neither an index nor a host may stand in a lock: it would break behind a mirror.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version 3.11 $(UPGRADE)

# UPGRADE=--upgrade takes the newest versions; without it the locked ones stay where they can.
lock: install
	$(COMPILE) $(PARTS) -o requirements.lock
	$(COMPILE) $(PARTS) --group dev -c requirements.lock -o requirements-dev.lock
	echo uv | $(COMPILE) - -c requirements.lock -o requirements-uv.lock
