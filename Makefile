# Targets to install, run, test, measure and check the project; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
SEED ?= 1
IMAGE ?= toolworker
# an empty PYTHON would leave "-c", whose dash make takes for its own
CHECK_PYTHON = $(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "toolworker needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 1; }
# programs in a venv begin with its path: of a checkout that was moved or copied none starts
moved = $(if $(wildcard $(1)),$(shell grep -qsF " $(CURDIR)/$(1)" $(1)/pyvenv.cfg || echo moved))
MOVED := $(call moved,.venv)

# bytecode is kept, or each program that a test starts compiles all that it imports
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: moved help install demo up roll test fuzz tools-check bench-tools chaos pages-check screenshots versions compose-check test-image conformance mutation bench bench-long bench-genesys bench-actions lint clean lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## install everything into .venv (the other targets do it by themselves)

.venv/installed: requirements-dev.lock pyproject.toml $(MOVED)
	@$(CHECK_PYTHON)
	@$(if $(MOVED),rm -rf .venv)
	@echo "installing into .venv (about a minute the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## the main job on embedded servers: five deliveries and a data action, their answers
	@$(BIN)/toolworker demo

up: install ## the whole stack on embedded servers, until Ctrl-C
	@$(BIN)/toolworker up

roll: ## replace a running compose installation's containers, one by one (IMAGE=toolworker:1.4)
	@ops/roll.sh $(IMAGE)

test: lint ## lint, types, import rules, then every test on real Redis and Postgres
	$(BIN)/pytest -n 6

fuzz: install ## 10,000 mutated deliveries, and every property with five times the cases of `make test`
	$(BIN)/pytest -n 2 -q --hypothesis-profile=fuzz $(shell grep -rl --include='test_*.py' tests.cases tests)

tools-check: install ## every mistake of every tool folder (TOOLS_DIR), with file and line
	@$(BIN)/toolworker tools check

bench-tools: install ## what checking 100 tools and validating a call cost
	@$(BIN)/python -m bench.tools

chaos: install ## break everything under traffic and hold every run to the promises (SEED=1)
	$(BIN)/pytest tests/chaos -m chaos -q --chaos-seed $(SEED)

pages-check: install ## ten faults found from a run id in Chromium, and what the pages cost (2 min)
	$(BIN)/pytest tests/dashboard -m browser -q -s

screenshots: install ## write docs/screenshots anew, with Chromium
	$(BIN)/pytest tests/dashboard/test_browser.py -q --screenshots docs/screenshots

versions: install ## the last release beside this one, on the same Redis: every run answered once (2 min)
	$(BIN)/pytest tests/acceptance/test_versions.py -m versions -q -s

compose-check: install ## build the image, run docker-compose.yml, break it, scale it (needs Docker)
	$(BIN)/pytest tests/compose -m compose -q

# the checkout is read-only there: what the tests write goes to the container's /tmp
test-image: ## unit and integration tests inside the image, on its Python (needs Docker)
	docker build -t $(IMAGE) .
	docker build -t $(IMAGE)-test --build-arg IMAGE=$(IMAGE) -f tests/image/Dockerfile .
	docker run --rm --init -v "$(CURDIR)":/checkout:ro -w /checkout $(IMAGE)-test \
		python -m pytest -n 2 -q -p no:cacheprovider tests/unit tests/integration

conformance: .venv-conformance/installed ## Genesys' own SDK (170 MB, a venv of its own) against the simulator
	.venv-conformance/bin/pytest tests/conformance -m conformance -q

# bench: production's packages and the peers; those of tests would count as a worker's memory. Each
# lock is whole, but for psutil in that of bench: Celery imports it where it is, and production has none
.SECONDEXPANSION:
.venv-%/installed: requirements-%.lock pyproject.toml $$(call moved,.venv-$$*)
	@$(CHECK_PYTHON)
	@$(if $(call moved,.venv-$*),rm -rf .venv-$*)
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-$*.lock
	@.venv-$*/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

mutation: .venv-mutation/installed ## change the code a line at a time; each change must fail a test (docs/mutation.md)
	.venv-mutation/bin/mutmut run --max-children 2

bench: .venv-bench/installed ## beside plain Celery, dramatiq and Node: the table in docs/performance.md (12 min)
	@.venv-bench/bin/python -m bench

bench-long: .venv-bench/installed ## the memory of a worker over 100,000 runs (30 min)
	@.venv-bench/bin/python -m bench memory

bench-genesys: install ## the Genesys side's three figures: a burst, an outage, an expiring token (3 min)
	$(BIN)/python -m bench.genesys

bench-actions: install ## data actions through nginx: load, killed processes, idle connections (14 min)
	@$(BIN)/python -m bench.actions

lint: install ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## write the lock files anew from pyproject.toml (needs uv)
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra flower -c requirements.lock pyproject.toml -o requirements-flower.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra bench --extra browser --extra embedded --extra flower --extra test -c requirements-flower.lock pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra bench --extra embedded -c requirements-dev.lock --no-emit-package psutil pyproject.toml -o requirements-bench.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra bench --extra conformance --extra embedded --extra test -c requirements-dev.lock pyproject.toml -o requirements-conformance.lock
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra embedded --extra mutation --extra test -c requirements-dev.lock pyproject.toml -o requirements-mutation.lock

clean: ## remove .venv and everything the demo left
	rm -rf .venv .venv-bench .venv-conformance .venv-mutation .demo mutants
