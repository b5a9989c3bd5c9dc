# make test needs Python 3.11 or newer and git; the launcher builds .venv with the dev extra.
# ARGS goes to the program a target runs: make test ARGS='tests/core -x'

.DEFAULT_GOAL := help
.PHONY: help env lock test test-rest test-all kills check format format-check lint types imports names shell docs docs-check bench mutants clean

ARGS ?=
PY := .venv/bin/python

SHELL_SCRIPTS = nvsx requirements/renew .ci/run .ci/servers $(shell git ls-files '*.sh')

# Tests side by side, of the quick ones and of the rest. Those wait for processes and clocks more
# than for the processor, so there are more of them at once, and they are given more time: a limit
# that is larger costs a passing test nothing. A worker without work takes some of another's, so
# that one long file does not keep one of them busy while the others stand.
JOBS ?= 2
REST_JOBS ?= 4
NVSX_TEST_PATIENCE ?= 2

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: ## build or update .venv with everything tests and checks need
	@NVSX_EXTRAS=dev NVSX_BUILD_ONLY=1 ./nvsx

lock: ## choose anew, and lock, the versions that are installed; ARGS="--upgrade-package rich" for one
	requirements/renew $(or $(ARGS),--upgrade)

# What needs more than Python and git, or minutes: the markers in pyproject.toml.
APART := kubectl or server or processes or slow
PYTEST = $(PY) -m pytest -n $(JOBS) --dist loadfile
PYTEST_REST = NVSX_TEST_PATIENCE=$(NVSX_TEST_PATIENCE) $(PY) -m pytest -n $(REST_JOBS) --dist worksteal

test: env ## run the tests that need Python and git only, in a few minutes
	$(PYTEST) -m "not ($(APART))" $(ARGS)

test-rest: env ## run the others: kubectl, servers, real processes, slow ones
	$(PYTEST_REST) -m "$(APART)" $(ARGS)

test-all: env ## run all tests; those that lack kubectl or a server say so and skip
	$(PYTEST_REST) $(ARGS)

KILL_ROUNDS ?= 60

kills: env ## kill the daemon in sixty rounds while hooks run; KILL_SEED=7 for other moments
	KILL_ROUNDS=$(KILL_ROUNDS) $(PY) -m pytest -q --log-cli-level=INFO \
		tests/serve/test_killed_in_rounds.py $(ARGS)

check: format-check lint types imports names shell docs-check ## everything CI checks besides the tests

format: env ## format the code and fix what ruff can fix
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

format-check: env
	$(PY) -m ruff format --check

lint: env
	$(PY) -m ruff check

types: env
	$(PY) -m mypy

imports: env
	.venv/bin/lint-imports --no-logo

names: env
	$(PY) .ci/check-names

shell: env
	.venv/bin/shellcheck $(SHELL_SCRIPTS)

docs: env ## write the generated documents anew
	$(PY) -m docs.make

docs-check: env
	$(PY) -m docs.make --check

bench: env ## run the benchmarks
	$(PY) benchmarks/run.py $(ARGS)

SEED ?= 1
COUNT ?= 300

mutants: env ## change what decides in small ways, COUNT times, and see that tests notice
	$(PY) -m tests.mutants --seed $(SEED) --count $(COUNT) --jobs $(JOBS) $(ARGS)

clean: ## remove what builds and tools leave behind; .venv goes too
	rm -rf .venv .venv.lock .venv.building build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
