# Two commands for a newcomer: `make demo` and `make test`. Both make .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint format docs results bench kill-test clean

demo: $(STAMP)
	$(BIN)/tightbound demo

# One thread a process: small tensors gain nothing from more, and two processes share two cores well.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The tables of components, from the code.
docs: $(STAMP)
	$(BIN)/python docs/tables.py

# The page of results, from docs/published.yaml and docs/results/*.json.
results: $(STAMP)
	$(BIN)/python docs/results.py

# Speed beside pythae, plain loops and the machine's limits, into benchmarks/results. Long; an idle machine is best.
# make bench BENCH='--cases 1 4 --device cuda'; all options by BENCH=--help.
bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.bench $(BENCH)

# 200 kills at random moments, each followed by a resume, against the uninterrupted run. Long: not part of the tests.
kill-test: $(STAMP)
	$(BIN)/python benchmarks/kill_test.py --kills 200

# pip, not another installer: it alone finds a CPU build of torch that lies on the machine, where there is one.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Tightbound needs Python 3.11 or newer; set PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache
