# GhostCRM Client Provisioning: every command a newcomer or contributor needs.
# Only Python (3.11 or newer) and make have to be installed; the rest comes into ./.venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo up down test tests test-long test-speed test-servers check style types format screenshots requirements clean

help: ## Show what each command does
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The runtime environment: rebuilt only when the pins or the project's metadata change.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@echo "Setting up $(VENV) (once; about ten seconds) …" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What tests and checks need on top of it.
$(VENV)/.development: $(VENV)/.runtime requirements/development.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	@touch $@

demo: $(VENV)/.runtime ## Provision a sample client on the embedded PostgreSQL and show how to connect
	@$(BIN)/ghostcrm demo

up: $(VENV)/.runtime ## Start everything in the foreground (PostgreSQL, admin API, dashboard, worker)
	@$(BIN)/ghostcrm up

down: $(VENV)/.runtime ## Stop the embedded PostgreSQL; data stays in ./.ghostcrm
	@$(BIN)/ghostcrm postgres stop

# Types take one core a minute on a fresh clone, so they are looked at beside the tests.
test: style ## Run all checks and the tests, on the PostgreSQL that comes with us
	@$(MAKE) --no-print-directory --jobs 2 types tests

tests: $(VENV)/.development
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "not alone and not long"

test-speed: $(VENV)/.development ## What is measured in time, with the machine to itself
	@$(BIN)/python -m pytest -m alone

test-long: $(VENV)/.development ## Whole provisionings and lives of clients, with every fault at every call
	@$(BIN)/python -m pytest -n auto --dist worksteal -m long

test-servers: $(VENV)/.development ## Parts of the tests once more on PostgreSQL 15, 16 and 17
	@scripts/test-other-servers

check: style types ## Format, lint, types and import layers

style: $(VENV)/.development
	@$(BIN)/ruff format --check --quiet src tests scripts/*.py scripts/write-reference
	@$(BIN)/ruff check --quiet src tests scripts/*.py scripts/write-reference
	@$(BIN)/lint-imports --no-logo

types: $(VENV)/.development
	@$(BIN)/mypy

format: $(VENV)/.development ## Rewrite the code in the house format
	@$(BIN)/ruff format src tests scripts/*.py scripts/write-reference
	@$(BIN)/ruff check --fix src tests scripts/*.py scripts/write-reference

screenshots: $(VENV)/.development ## Look at every page of the dashboard: into screenshots/, and the one in the README
	@$(BIN)/python scripts/look --readme
	@$(BIN)/python scripts/look

requirements: ## Write the hashed pins anew from pyproject.toml (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml requirements/build.in -o requirements/runtime.txt
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--extra development --constraint requirements/runtime.txt \
		pyproject.toml -o requirements/development.txt

clean: ## Remove the environment and caches (never ./.ghostcrm, which holds data)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .servers
