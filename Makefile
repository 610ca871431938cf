# Everything from a fresh clone: `make run`, `make test`. Needs Python 3.11 or newer, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIVE ?=
UP := $(VENV)/up.$(shell echo $$PPID)

.DEFAULT_GOAL := help
.PHONY: help run demo test lint format bench drill clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: UP = $(if $(filter-out 0,$(LIVE)),--live)
run: $(UP) ## start everything: UI, daemon, a tick a minute (LIVE=1 insists on the exchange)

demo: UP = --simulated
demo: $(UP) ## the same on the built-in simulator: invented prices, no network

# make does not pass a SIGINT of its own on to what it runs, but it removes the target: so the target is a file, and
# what runs ends when that is gone. It has the number of this make in its name: another one is not to end with it.
$(UP): $(VENV)/run.stamp always
	@touch $@; exec $(BIN)/pricetracker up --while $@ $(UP)

.PHONY: always

test: $(VENV)/dev.stamp ## all tests: unit, integration, end to end
	@$(BIN)/python -m pytest -n 3 --dist worksteal  # on two cores, since some tests wait most of the time

lint: $(VENV)/dev.stamp ## lint, format and type checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/dev.stamp ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/dev.stamp ## every figure beside its peer and its goal: one table, one page (benchmarks/out)
	@$(BIN)/python -m benchmarks

drill: $(VENV)/dev.stamp ## a simulated week under random faults of a seed, with what has to hold along the way
	@$(BIN)/python -m benchmarks.drill

clean: ## remove the virtual environment and caches; data stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment holds absolute paths: in a copied or moved checkout it would run the other one's code on the other one's
# data. So make looks at each call (20 ms) whether it was made here, whether its interpreter starts and is the version it
# was made with, and whether that is the one asked for by PYTHON=; if not, it is made anew. pyvenv.cfg tells the first two.
MINOR := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
ASKED := $(if $(filter command environment,$(firstword $(origin PYTHON))),$(PYTHON),$(BIN)/python)
STANDS := $(shell exec 2>/dev/null; test ! -L $(VENV) && \
	case "$$(grep '^command = ' $(VENV)/pyvenv.cfg)" in (*" $$(pwd -P)/$(VENV)") ;; (*) false ;; esac && \
	own=$$($(BIN)/python -I $(MINOR)) && \
	case "$$(grep '^version = ' $(VENV)/pyvenv.cfg)" in ("version = $$own".*) ;; (*) false ;; esac && \
	test "$$($(ASKED) -I $(MINOR))" = "$$own" && echo yes)

ifneq ($(STANDS),yes)
$(VENV)/run.stamp: always
endif

# A stamp is written last: a set-up that was interrupted is done again. (A linked environment is another's: unlink it.)
$(VENV)/run.stamp: pyproject.toml constraints.txt
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo 'no $(PYTHON) here. Name another: make PYTHON=python3.13 …' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.13 …")'
	@if [ -e $(VENV)/run.stamp ] && [ "$(STANDS)" != yes ]; then echo "$(VENV) is another place's or another Python's: making it anew"; fi
	@if [ -L $(VENV) ]; then rm $(VENV); fi
	@{ [ "$(STANDS)" = yes ] && test -x $(BIN)/pip; } || $(PYTHON) -m venv --clear $(VENV)
	@echo "setting up $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[exchanges]'
	@touch $@

# DuckDB 1.2 stands in a folder of its own: a test opens the published file with it. So does Dagster's storage for Postgres,
# whose newest release asks for a Dagster one patch older than ours: what it needs else is there.
$(VENV)/dev.stamp: $(VENV)/run.stamp
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[exchanges,dev]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-warn-conflicts --upgrade --target $(VENV)/duckdb-1.2 duckdb==1.2.2
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-warn-conflicts --constraint constraints.txt --no-deps --upgrade --target $(VENV)/dagster-postgres dagster-postgres psycopg2-binary
	@touch $@
