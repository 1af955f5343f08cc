# Each target does all of its own set-up, on a fresh Debian-like machine too. `make demo` and `make test` are the two
# commands of the README.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIS := .clis

.PHONY: demo test fuzz check bench docs docs-reference format lock clean system venv clis

demo: venv  ## the whole swarm on a small project, offline
	@$(BIN)/codeswarm demo

test: system venv clis  ## every test; what can't run here is skipped, with the reason
	@$(BIN)/pytest -n auto --dist worksteal $(PYTEST)

fuzz: venv  ## 100,000 damaged transcripts over all adapters of agents; FUZZ="--seed 7" for others
	@$(BIN)/python -m tests.mutations $(FUZZ)

check: venv  ## format, lint, layers, types, links of the docs
	$(BIN)/ruff format --check src tests docs bench
	$(BIN)/ruff check src tests docs bench
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env -b dummy docs $(VENV)/docs-check

bench: venv  ## measure beside peers, which get an environment of their own; takes minutes
	@scripts/make-bench-venv "$(PYTHON)" .bench-venv
	@$(BIN)/python -m bench $(BENCH)

docs: venv  ## the user guide as a site, in site/; a warning fails it
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs site
	@echo "built: site/index.html"

docs-reference: venv  ## docs/reference/, written anew from the code
	@PYTHONPATH=docs $(BIN)/python -m generate
	@git status --short docs/reference

format: venv  ## put the code into shape
	$(BIN)/ruff format src tests docs bench
	$(BIN)/ruff check --fix src tests docs bench

lock: venv  ## compute requirements/dev.lock anew
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-header --universal -p 3.11 -o requirements/dev.lock --quiet
	$(BIN)/uv pip compile bench/requirements.in --generate-hashes --no-header --universal -p 3.11 -o bench/requirements.lock --quiet

system:  ## system packages that tests use: installed where we are root, else named
	@scripts/system-packages

clis: $(CLIS)/.ready  ## the coding CLIs from npm that tests run for real; without node they are skipped

$(CLIS)/.ready: tests/clis/package.json tests/clis/package-lock.json scripts/make-clis
	@scripts/make-clis $(CLIS)

venv: $(READY)

$(READY): requirements/dev.lock pyproject.toml
	@scripts/make-venv "$(PYTHON)" $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) $(CLIS) .bench-venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist site
