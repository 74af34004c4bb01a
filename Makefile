# Everything runs in a virtual environment of its own, made on first use: `make demo` is enough to start.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist worksteal
BENCH_VENV ?= .venv-bench
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: help install demo test lint types tests bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make the virtual environment and install nnxtrain with its tools

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "nnxtrain needs Python 3.11, 3.12 or 3.13; say which: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --group dev
	@touch $@

demo: $(VENV)/.installed ## train the built-in example (LeNet on drawn shapes, no download)
	$(BIN)/nnxtrain fit

test: lint types tests ## everything that must pass: linters, types, tests

lint: $(VENV)/.installed ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed ## check types
	$(BIN)/mypy

tests: $(VENV)/.installed ## run the test suite, the examples in docstrings included
	$(BIN)/python -m pytest --doctest-modules nnxtrain tests $(PYTEST_ARGS)

bench: $(BENCH_VENV)/.installed ## measure nnxtrain beside its peers (BENCH_ARGS="--only dispatch lenet": these tables alone)
	$(BENCH_VENV)/bin/python scripts/bench/all.py $(BENCH_ARGS)

# The peers have an environment of their own: nothing of ours may come to need them.
$(BENCH_VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --upgrade pip
	$(BENCH_VENV)/bin/pip install --quiet --editable . flax==0.12.8 equinox==0.13.8 keras==3.15.1
	{ $(BENCH_VENV)/bin/pip install --quiet torch==2.13.0 --index-url $(TORCH_INDEX) && \
	  $(BENCH_VENV)/bin/pip install --quiet lightning==2.6.6; } || \
	  echo "PyTorch cannot be had from $(TORCH_INDEX); it and Lightning are left out of the comparison"
	@touch $@

clean: ## remove the virtual environment and caches (never runs/)
	rm -rf $(VENV) $(BENCH_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
