# Every target does its own set-up; `make` alone lists them.

PYTHON   ?= python3
VENV     ?= .venv
PIP_ARGS ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

BENCHMARK      ?= $(basename $(notdir $(wildcard benchmarks/*.py)))
BENCHMARK_ARGS ?=

# Two processes of one thread each finish the tests sooner than one process of two threads.
TEST_PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest
PYTEST_PARALLEL := OMP_NUM_THREADS=1 $(PYTEST) -n $(TEST_PROCESSES)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-gpu bench lint types contracts format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s  %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter (3.11 or newer), VENV=folder where the environment goes,"
	@echo "  PIP_ARGS='...' is handed to pip; BENCHMARK=training_peers BENCHMARK_ARGS='--threads 2' choose for bench."

setup: $(STAMP) ## virtual environment and editable install

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## train on the built-in phrasebook and score it (about 3 minutes on 2 cores)
	$(BIN)/mt-train --config configs/demo.yaml
	$(BIN)/mt-eval --run runs/demo

test: $(STAMP) ## all tests but the slow ones and those for a GPU
	$(PYTEST_PARALLEL) -m "not slow and not gpu"

test-slow: $(STAMP) ## the tests that take minutes
	$(PYTEST) -m "slow and not gpu"

test-gpu: $(STAMP) ## the tests that need CUDA
	$(PYTEST) -m gpu

bench: $(STAMP) ## the measurements behind every claim about speed, or one of them
	@set -e; for name in $(BENCHMARK); do \
		echo "== $$name"; $(BIN)/python "benchmarks/$$name.py" $(BENCHMARK_ARGS); \
	done

lint: $(STAMP) ## style: ruff, and shell syntax
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@set -e; for script in scripts/*.sh; do sh -n "$$script"; done

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

contracts: $(STAMP) ## which module may import which: import-linter
	$(BIN)/lint-imports

format: $(STAMP) ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and all caches, but no run
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
