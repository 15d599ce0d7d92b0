# Thin targets; each says what it does. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
JOBS   ?= 2
SECONDS ?= 3600

.PHONY: help replay create detect test lint format types coverage bench bench-peers bench-growth faults faults-parallel fuzz tables-check watch replay-year lock lock-check locks-fresh docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gpuenv needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

create: $(VENV)/.ready ## look at this machine, decide, lock, build .venv-gpu, train in it, write the evidence
	@$(BIN)/gpuenv create $(ARGS)

detect: $(VENV)/.ready ## show this machine: driver, CUDA, GPUs, each fact with its source
	@$(BIN)/gpuenv detect $(ARGS)

test: $(VENV)/.ready-dev ## run every test that needs no GPU
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder $(ARGS)

faults: $(VENV)/.ready-dev ## let every fault happen at every stage and write docs/reliability.md (10 to 20 minutes)
	@$(BIN)/python tools/faults.py $(ARGS)

faults-parallel: $(VENV)/.ready-dev ## a hundred creates at once on one cache and one store
	@GPUENV_TEST_MANY=100 $(BIN)/python -m pytest -n 0 -s tests/faults/test_many.py

fuzz: $(VENV)/.ready-dev ## give every reader changed inputs for SECONDS (3600); findings lie in .fuzz/
	@cd tests && ../$(BIN)/python -m fuzz.run $(SECONDS) $(ARGS)

lint: $(VENV)/.ready-dev ## style, types, and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.ready-dev ## put the code into its style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

coverage: $(VENV)/.ready-dev ## lines of five rooms that the unit tests run, in percent
	@$(BIN)/python -m coverage run --data-file=build/coverage --source=resolver/gpuenv -m pytest -n 0 tests/unit
	@for room in commands steps environment index cli; do \
	  printf '%-12s' $$room; \
	  $(BIN)/python -m coverage report --data-file=build/coverage --include="*/gpuenv/$$room/*" --format=total; \
	done

bench: $(VENV)/.ready-dev ## measure start-up, detection, a page, a decision, a build; asserts nothing
	@$(BIN)/python tools/bench.py $(ARGS)

bench-peers: $(VENV)/.ready-dev ## measure gpuenv, uv, pip and light-the-torch on one index; root, minutes
	@$(BIN)/python tools/bench_peers.py $(ARGS)

bench-growth: $(VENV)/.ready-dev ## measure how the cost of a command grows with what it is given (minutes)
	@$(BIN)/python tools/bench_growth.py $(ARGS)

lock: $(VENV)/.ready-dev ## make the repository's own locks again, from the recorded index
	@$(BIN)/python tools/lock_recorded.py $(ARGS)

locks-fresh: $(VENV)/.ready-dev ## the hashed locks on the live index: show what would change; ARGS=--force writes
	@$(BIN)/python tools/lock_fresh.py $(ARGS)

lock-check: $(VENV)/.ready-dev ## make them again and compare; exit 1 with the difference
	@$(BIN)/python tools/lock_recorded.py --check $(ARGS)

replay: $(VENV)/.ready-dev ## replay half a year of nightlies and renew the table in docs/nightlies.md (minutes)
	@$(BIN)/python tools/replay_nightlies.py --write $(ARGS)

docs: $(VENV)/.ready-dev ## renew what the pages take from code and tables: reference.md, gpuenv.1, cases.md, matrix.md
	@$(BIN)/python tools/make_reference.py
	@$(BIN)/python tools/make_man.py
	@$(BIN)/python tools/make_cases.py
	@{ head -n 5 docs/matrix.md; $(BIN)/gpuenv matrix --platform all --format markdown; } > docs/matrix.md.new
	@mv docs/matrix.md.new docs/matrix.md

watch: $(VENV)/.ready-dev ## look at the live pages for what no table knows: show the difference; ARGS=--force writes
	@$(BIN)/python tools/watch.py $(ARGS)

replay-year: $(VENV)/.ready-dev ## replay a year with tables that stopped at its beginning, for docs/watch.md (minutes)
	@$(BIN)/python tools/replay_year.py --write $(ARGS)

tables-check: $(VENV)/.ready-dev ## read ten wheels of PyPI again and compare them with the tables
	@$(BIN)/python tools/update_tables.py --check $(ARGS)

clean: ## remove what make made here (environments too)
	rm -rf $(VENV) .venv-gpu .pytest_cache .mypy_cache .ruff_cache .hypothesis
