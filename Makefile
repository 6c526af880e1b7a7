# `make demo` and `make test` need Python 3.11+ and nothing else: they make .venv and install what they use.
# Where PyPI's PyTorch is too large (its Linux build brings CUDA), set PIP_EXTRA_INDEX_URL to an index of CPU builds.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
ORACLES := $(VENV)/.oracles
EXTRAS := plot torch optax keras test dev

# Keras fixes its backend when it is imported: three processes, one a backend, run each Keras test at the same time.
KERAS_TESTS := $(wildcard tests/test_keras*.py)
KERAS_WORKERS := --dist each $(foreach backend,tensorflow jax torch,--tx popen//env:KERAS_BACKEND=$(backend))
OTHER_TESTS := $(wildcard tests/test_torch*.py tests/test_optax*.py tests/test_docs.py)
CORE_TESTS := $(filter-out $(KERAS_TESTS) $(OTHER_TESTS),$(wildcard tests/test_*.py))
PYTEST := $(RUN) -m pytest -q
SPEED := -m "not slow"

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint bench clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: $(READY)  ## train a small network in four libraries and compare
	@$(VENV)/bin/lrsched demo

test: lint $(ORACLES)  ## check style and types, run all tests but the slow ones: core, Keras on three backends, the rest
	@echo "== core"
	@$(PYTEST) $(SPEED) -n $(JOBS) $(CORE_TESTS) lrsched
	@echo "== Keras on TensorFlow, JAX and PyTorch"
	@$(PYTEST) $(SPEED) $(KERAS_WORKERS) $(KERAS_TESTS)
	@echo "== PyTorch, Optax, examples of the adapters, README, notebooks"
	@$(PYTEST) $(SPEED) -n $(JOBS) $(OTHER_TESTS) adapters

test-all: SPEED := --hypothesis-profile=thorough
test-all: $(VENV)/.oracles-large test  ## run all tests, the slow ones too, with more examples

lint: $(READY)  ## check style, formatting and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(RUN) -m mypy

bench: $(READY)  ## run the benchmarks
	@$(RUN) -m benchmarks

clean:  ## remove the environment, caches and builds
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "making $(VENV): about 4 GB, minutes on the first run"
	@$(PYTHON) -m venv $(VENV)
	@for extra in $(EXTRAS); do \
	    echo "  installing lrsched-suite[$$extra]"; \
	    $(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[$$extra]" || exit 1; \
	done
	@touch $@

# Libraries to compare with; without one of them its tests are skipped.
$(VENV)/.oracles%: tests/oracles%.txt $(READY)
	@echo "  installing tests/oracles$*.txt"
	@DS_BUILD_OPS=0 $(RUN) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -r $< \
	    || echo "  some are missing: their tests will be skipped"
	@touch $@

$(ORACLES): tests/oracles.txt $(READY)
	@echo "  installing tests/oracles.txt"
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-deps -r $< || echo "  some are missing: their tests will be skipped"
	@touch $@
