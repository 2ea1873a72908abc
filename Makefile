SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -q -p no:cacheprovider
TALLY := build/proof/tally.jsonl
LONG := export PROOF=long PROOF_TALLY=$(abspath $(TALLY));
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1
# The synthesis runs on Node 20 and later; jsii would fill the screen with advice about the oldest of them.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

.PHONY: help setup demo manual screenshots test test-of-the-code test-of-the-stack bench proof proof-of-the-code proof-of-the-stack lint unit cli integration matrices infra local e2e docs coverage local-up local-down local-env local-fleet local-account kept clean

help: ## what can be made
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.done: requirements.txt tests/requirements.txt pyproject.toml
	@echo "Installing the CDK app, the command line imdsv2 and the test tools into .venv ..." >&2
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet -r requirements.txt -r tests/requirements.txt
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv-local/.done: local/requirements.txt
	@echo "Installing the local AWS into .venv-local ..." >&2
	$(PYTHON) -m venv .venv-local
	.venv-local/bin/python -m pip install --quiet -r local/requirements.txt
	@touch $@

.venv-custodian/.done: tests/bench/requirements-custodian.txt
	@echo "Installing Cloud Custodian, the baseline of the benchmarks, into .venv-custodian ..." >&2
	$(PYTHON) -m venv .venv-custodian
	.venv-custodian/bin/python -m pip install --quiet -r $<
	@touch $@

.venv-prowler/.done: tests/proof/requirements-prowler.txt
	@echo "Installing Prowler, a judge of the long proofs, into .venv-prowler (2 GB) ..." >&2
	$(PYTHON) -m venv .venv-prowler
	.venv-prowler/bin/python -m pip install --quiet -r $<
	@touch $@

.venv-judges/.done: tests/requirements-judges.txt
	@echo "Installing checkov, a parser of HCL and the command line of AWS, judges of templates, remedies and the manual, into .venv-judges ..." >&2
	$(PYTHON) -m venv .venv-judges
	.venv-judges/bin/python -m pip install --quiet -r $<
	@touch $@

.venv-manual/.done: docs/requirements.txt
	@echo "Installing Sphinx, which builds the manual, into .venv-manual ..." >&2
	$(PYTHON) -m venv .venv-manual
	.venv-manual/bin/python -m pip install --quiet -r $<
	@touch $@

node_modules/.done: package.json package-lock.json
	@echo "Installing the CDK command line and the IAM evaluator into node_modules ..." >&2
	npm ci --silent --no-audit --no-fund
	@touch $@

demo: .venv/.done .venv-local/.done ## the main job on the local AWS: findings in, verdicts out, shown as a table
	$(PY) -m local demo

setup: .venv/.done .venv-local/.done .venv-judges/.done .venv-manual/.done node_modules/.done ## install all that demo and tests need

manual: .venv-manual/.done node_modules/.done ## the manual as HTML, into build/manual; a broken link or a page that is in no list fails
	.venv-manual/bin/sphinx-build -q -W --keep-going -b html docs build/manual

screenshots: setup ## the pictures of README and manual, into docs/pictures
	PYTHONPATH=lambdas:cli $(PY) -m tests.docs.screenshots

test: lint ## every test, in two parts at a time
	$(MAKE) --no-print-directory -j 2 test-of-the-code test-of-the-stack

test-of-the-code: # the part of `test` that needs processors: it takes what the other part leaves of them
	nice $(PYTEST) -n 2 tests/unit tests/cli
	nice $(PYTEST) -n 2 tests/integration
	nice $(PYTEST) -n 2 tests/proof
	nice $(PYTEST) tests/infra
	nice $(PYTEST) tests/docs

test-of-the-stack: # the part of `test` that runs on the local AWS, and mostly waits
	$(PYTEST) tests/local
	$(PYTEST) tests/e2e

lint: setup ## ruff and strict mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

unit cli integration: setup ## a part of the tests that runs on two processors
	$(PYTEST) -n 2 tests/$@

matrices: setup ## the short forms of the proofs: calls that fail, functions that die, two at once
	$(PYTEST) -n 2 tests/proof

infra local e2e docs: setup ## a part of the tests that shares what it starts
	$(PYTEST) tests/$@

coverage: setup ## branch coverage of lambdas/ by unit and integration tests: a summary here, pages in build/coverage
	$(PYTEST) -n 2 --cov --cov-report=term --cov-report=html tests/unit tests/integration

bench: setup .venv-custodian/.done ## the benchmarks, into build/bench/results.json
	PYTHONPATH=lambdas $(PY) -m tests.bench

proof: setup .venv-custodian/.done .venv-prowler/.done ## the long proofs: every fault, every death, meetings of two, kills, walks, other people's judges
	@rm -f $(TALLY); mkdir -p $(dir $(TALLY))
	$(MAKE) --no-print-directory -j 2 proof-of-the-code proof-of-the-stack
	PROOF_TALLY=$(TALLY) $(PY) -m tests.proof.tally

proof-of-the-code: # the part of `proof` that runs in small worlds: it takes what the other part leaves of the processors
	$(LONG) nice $(PYTEST) -n 2 -m hypothesis tests/unit tests/cli tests/integration
	$(LONG) nice $(PYTEST) -n 2 --dist worksteal tests/proof/faults tests/proof/crashes tests/proof/pairs

proof-of-the-stack: # the part of `proof` that runs on the local AWS, and mostly waits; then the walks, which need one processor
	$(LONG) $(PYTEST) -n 4 tests/proof/wire
	$(LONG) $(PYTEST) tests/proof/killed tests/proof/judges
	PROOF_EXAMPLES=1200 $(PYTEST) tests/integration/test_lifecycle_machine.py

local-up: .venv/.done .venv-local/.done ## start the local AWS with the stack deployed, in the background
	$(PY) -m local up

local-fleet: .venv/.done ## launch the demo's fleet on the local AWS that is up
	$(PY) -m local fleet

local-account: .venv/.done ## launch the tutorial's five instances on the local AWS that is up
	$(PY) -m local account

local-env: .venv/.done ## print the export lines that an AWS client needs (make -s local-env)
	@$(PY) -m local env

local-down: .venv/.done ## end the local AWS and all that it started
	$(PY) -m local down

kept: setup ## write anew what templates, ledger items, the demo, the architecture page, the beliefs and the reference are compared with; read the difference, then commit it
	KEEP=1 $(PYTEST) tests/infra/test_templates_kept.py tests/integration/test_items_kept.py tests/e2e/test_demo.py tests/docs/test_architecture.py tests/docs/test_beliefs.py tests/docs/test_events.py tests/docs/test_reference_pages.py

clean: ## remove what was installed and built
	rm -rf .venv .venv-local .venv-judges .venv-manual .venv-custodian .venv-prowler node_modules build cdk.out
