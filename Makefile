# `make demo` and `make test` need Python 3.11+ and nothing else: they make .venv and install what they use.
# Where PyPI's PyTorch is too large (its Linux build brings CUDA), set PIP_EXTRA_INDEX_URL to an index of CPU builds.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
ORACLES := $(VENV)/.oracles
EXTRAS := plot config demo torch optax keras test dev

# Each suite is folders of tests. Keras fixes its backend when it is imported: three processes, one a backend, run each
# Keras test at the same time. Trainers of other libraries want these whole, where other tests load one file of them.
WITH_KERAS := tests/trainers/test_trainer_keras.py
KERAS_TESTS := tests/adapter_keras $(WITH_KERAS)
KERAS_WORKERS := --dist each $(foreach backend,tensorflow jax torch,--tx popen//env:KERAS_BACKEND=$(backend))
TRAINER_TESTS := tests/trainers --ignore=$(WITH_KERAS)
# The longest first. Files stay whole: several start processes once for all their tests.
ADAPTER_TESTS := tests/docs tests/adapter_optax tests/adapter_torch
ADAPTER_WORKERS = -n $(JOBS) --dist loadfile --no-loadscope-reorder
CORE_TESTS := $(filter-out $(KERAS_TESTS) $(ADAPTER_TESTS) tests/trainers tests/__%,$(patsubst %/,%,$(wildcard tests/*/)))
PYTEST := $(RUN) -m pytest -q

# What Hypothesis draws is the same in every run of `make test`; the others start from SEED, by chance unless it is given.
SEED ?= $(eval SEED := $(shell $(PYTHON) -c 'import random; print(random.randrange(10**9))'))$(SEED)
DEPTH := fast
DEPTH_fast := -m "not slow"
DEPTH_thorough = --hypothesis-profile=thorough --hypothesis-seed=$(SEED)
EXAMPLES ?= 1000
TESTS ?= tests/core tests/translate tests/compat $(wildcard tests/adapter_torch/test_torch_import*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-core test-lowest core trainers keras adapters explore lint bench clean distclean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: $(READY)  ## train a small network in four libraries and compare
	@$(VENV)/bin/lrsched demo

# All suites run, whatever becomes of one, and the last line says which failed. An interrupt ends them all.
SUITES := lint core trainers keras adapters
define each_suite
@trap 'exit 130' INT; failed=; \
for suite in $(SUITES); do \
    $(MAKE) --no-print-directory $$suite DEPTH=$(1) $(if $(2),SEED=$(2)) || failed="$$failed $$suite"; \
done; \
$(if $(2),echo "SEED=$(2) repeats these draws";) \
if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi; echo "passed: $(SUITES)"
endef

test: $(ORACLES)  ## check style and types, run all tests but the slow ones, with the same draws in every run
	$(call each_suite,fast)

test-all: $(ORACLES) $(VENV)/.oracles-large  ## run all tests, the slow ones too, with more draws and fresh ones (SEED=7 repeats them)
	@echo "SEED=$(SEED)"
	$(call each_suite,thorough,$(SEED))

core: $(ORACLES)  ## one suite of `make test`: all that needs no process of its own
	@echo "== core"
	@$(PYTEST) $(DEPTH_$(DEPTH)) -n $(JOBS) $(CORE_TESTS) lrsched

trainers: $(ORACLES)  ## one suite: trainers of other libraries, and the rates that their updates use
	@echo "== trainers of other libraries"
	@$(PYTEST) $(DEPTH_$(DEPTH)) -n $(JOBS) $(TRAINER_TESTS)

keras: $(ORACLES)  ## one suite: Keras on TensorFlow, JAX and PyTorch
	@echo "== Keras on TensorFlow, JAX and PyTorch"
	@$(PYTEST) $(DEPTH_$(DEPTH)) $(KERAS_WORKERS) $(KERAS_TESTS)

adapters: $(ORACLES)  ## one suite: PyTorch, Optax, examples of the adapters, README, notebooks
	@echo "== PyTorch, Optax, examples of the adapters, README, notebooks"
	@$(PYTEST) $(DEPTH_$(DEPTH)) $(ADAPTER_WORKERS) $(ADAPTER_TESTS) adapters

# What it finds becomes an @example of the test, or a test of its own.
explore: $(ORACLES)  ## search with fresh draws: SEED=7 repeats, EXAMPLES=5000 a test (1000), TESTS="tests/core/test_laws.py"
	@echo "SEED=$(SEED) EXAMPLES=$(EXAMPLES)"
	@EXAMPLES=$(EXAMPLES) $(PYTEST) -m hypothesis --hypothesis-profile=explore --hypothesis-seed=$(SEED) -n $(JOBS) $(TESTS) \
	    || { echo 'make explore SEED=$(SEED) EXAMPLES=$(EXAMPLES) TESTS="$(TESTS)" repeats the draws'; exit 1; }
	@echo "nothing found with SEED=$(SEED) EXAMPLES=$(EXAMPLES)"

# What is promised: the core on each Python, with NumPy alone; the lowest NumPy and PyTorch that pyproject.toml names.
# Each has an environment of its own. TOOLS are pinned as in the other.
ALONE = $(VENV)/alone-$(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("SOABI") or "python")')
TOOLS = $$(grep -E '^(hypothesis|mpmath|pytest|pytest-xdist)==' constraints.txt)
LOWEST = $(shell sed -nE 's/.*"(numpy|torch)>=([0-9.]+)".*/\1==\2/p' pyproject.toml)
LOWEST_TESTS := $(filter-out tests/compat tests/house,$(CORE_TESTS)) tests/house/test_architecture.py \
    $(wildcard $(patsubst %,tests/adapter_torch/test_torch_%.py,scheduler scheduler_state scheduler_groups scheduler_search scaler resume feedback))

test-core:  ## run the core tests with NumPy alone: PYTHON=python3.13, NUMPY=2.1.0 (the newest)
	@echo "making $(ALONE)"
	@$(PYTHON) -m venv --clear $(ALONE)
	@$(ALONE)/bin/python -m pip install -qq --disable-pip-version-check $(TOOLS) numpy$(addprefix ==,$(NUMPY))
	@$(ALONE)/bin/python -m pytest -q $(DEPTH_fast) -n $(JOBS) $(CORE_TESTS) --ignore=tests/house/test_commands.py lrsched

test-lowest:  ## run the core and the schedulers of PyTorch with the lowest versions of NumPy and PyTorch: PYTHON=python3.11
	@echo "making $(ALONE)-lowest with $(LOWEST)"
	@$(PYTHON) -m venv --clear $(ALONE)-lowest
	@$(ALONE)-lowest/bin/python -m pip install -qq --disable-pip-version-check $(TOOLS) $(LOWEST)
	@$(ALONE)-lowest/bin/python -m pytest -q $(DEPTH_fast) -n $(JOBS) $(LOWEST_TESTS) lrsched

lint: $(READY)  ## check style, formatting and types
	@echo "== style and types"
	@failed=0; \
	$(VENV)/bin/ruff check . || failed=1; \
	$(VENV)/bin/ruff format --check . || failed=1; \
	$(RUN) -m mypy || failed=1; \
	$(RUN) tests/house/check_calls.py || failed=1; \
	exit $$failed

bench: $(READY)  ## run the benchmarks
	@$(RUN) -m benchmarks

clean:  ## remove caches and builds
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

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
