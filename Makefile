# `make demo` shows what prefloop does; `make test` checks that it does it. Both set everything up.

PYTHON ?= python3
OUT ?= runs/demo
SHORT_OUT ?= runs/demo-short
# Threads are always set, and those that wait do so asleep: beside a busy neighbour, spinning OpenMP
# threads make everything four times slower.
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)
THREADS ?= $(CORES)
WORKERS ?= $(CORES)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
export TOKENIZERS_PARALLELISM := false
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help demo demo-short test lint types pytest setup clean
.DELETE_ON_ERROR:

help:
	@echo "make demo        online DPO on the embedded testbed, about 2 minutes on 2 cores"
	@echo "make demo-short  the same, 3 small rounds, under a minute"
	@echo "make test        lint, types and the whole test suite"
	@echo "make setup       only make .venv, with everything for development"
	@echo "make clean       remove .venv, caches and the demo's run folders"
	@echo "OUT=folder of the demo, THREADS=of the demo, WORKERS=of the tests, PYTHON=interpreter"

demo: .venv/.package
	@OMP_NUM_THREADS=$(THREADS) $(BIN)/prefloop demo --out "$(OUT)"
	@echo "Open $(abspath $(OUT))/report.html in a browser."

demo-short: .venv/.package
	@OMP_NUM_THREADS=$(THREADS) $(BIN)/prefloop demo --short --out "$(SHORT_OUT)"
	@echo "Open $(abspath $(SHORT_OUT))/report.html in a browser."

test: lint types pytest
	@echo "lint, types and tests pass"

lint: .venv/.development
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/.development
	@echo "== mypy"
	@$(BIN)/mypy

# One thread a process, as many processes as there are cores: the best use of either.
pytest: .venv/.development
	@echo "== pytest"
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

setup: .venv/.development

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "prefloop needs Python 3.11 or later; set PYTHON=python3.11 or so"; exit 1; }
	@echo "== making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.package: .venv/.python pyproject.toml constraints.txt
	@echo "== installing prefloop and what it runs on (torch is the large one; a few minutes)"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/.development: .venv/.package
	@echo "== installing what lint, types and tests need"
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist src/*.egg-info runs/demo runs/demo-short
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
