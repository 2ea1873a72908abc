SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup test demo bench lint unit integration infra e2e docs local-up local-down local-env clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.venv/.done: requirements.txt tests/requirements.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet -r requirements.txt -r tests/requirements.txt
	@touch $@

.venv-local/.done: local/requirements.txt
	$(PYTHON) -m venv .venv-local
	.venv-local/bin/python -m pip install --quiet -r local/requirements.txt
	@touch $@

node_modules/.done: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	@touch $@

setup: .venv/.done .venv-local/.done ## install what demo and tests need
