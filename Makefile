# Every target makes .venv by itself; a machine needs Python >= 3.11 and make, nothing else.
# Extra options for the installation of torch, such as an index of CPU builds, go into TORCH_OPTIONS.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
TORCH_OPTIONS ?=
BIN := .venv/bin
STAMP := .venv/.installed
AUDIT ?= .venv/audit
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test check audit fuzz format docs build-miniature clean

help:
	@echo "make demo             align the embedded model with ERPO; results in runs/demo"
	@echo "make test             all checks and tests"
	@echo "make audit            ask for known vulnerabilities of the pinned packages; needs a network"
	@echo "make fuzz             look for inputs that break a parser, for SECONDS=600 (Linux)"
	@echo "make format           put the source into its standard form"
	@echo "make docs             build the documentation in site/; a broken link fails"
	@echo "make build-miniature  make the embedded base model anew"
	@echo "make clean            drop caches; .venv and runs stay"

# Torch goes first: an index of its own must not serve anything else.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@echo "installing into .venv (once, some minutes)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP) $(TORCH_OPTIONS) torch
	@$(PIP) --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/exante align --output runs/demo

test: check

# What CI runs, on the whole tree; the tests go last, so that their closing line is the last one.
check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/pytest --numprocesses 2

# Not a part of the checks: it takes minutes, and ends with 1 if anything was found.
SECONDS ?= 600
fuzz: $(STAMP)
	@$(PIP) --editable '.[dev,fuzz]'
	PYTHONPATH=src:. $(BIN)/python -m tests.fuzz --seconds $(SECONDS) --found runs/fuzz

format: $(STAMP)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

$(AUDIT)/bin/pip-audit:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip-audit

# Not a part of `check`, which needs no network. An audit that was not held is never a clean one.
audit: $(AUDIT)/bin/pip-audit
	@$(AUDIT)/bin/pip-audit --vulnerability-service osv --strict --no-deps --disable-pip \
		--progress-spinner off --requirement constraints.txt 2> $(AUDIT)/said; code=$$?; \
	if grep -qE "^(No known|Found [0-9]+ known) vulnerabilit" $(AUDIT)/said; \
	then cat $(AUDIT)/said; exit $$code; \
	else tail -n 1 $(AUDIT)/said; echo "NOT AUDITED: the service was not reached, or pip-audit failed"; exit 2; fi

# The page of commands comes from their help, the rest is Markdown and docstrings.
docs: $(STAMP)
	@$(PIP) --editable '.[docs]'
	$(BIN)/python -m tests.docs.reference
	$(BIN)/zensical build --clean --strict

build-miniature: $(STAMP)
	$(BIN)/exante miniature build

clean:
	rm -rf .cache site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
