# Each target sets up what it needs: a fresh machine needs Python >= 3.11, make and the registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto
STAMP := $(VENV)/.installed

.PHONY: install test coverage demo lint types contracts docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "upscore needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[dev]'
	@touch $(STAMP)

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

# by itself, for counting lines makes the tests take half as long again
coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term

demo: install
	rm -rf demo
	$(BIN)/upscore data toy --out demo/toy --num 200
	$(BIN)/upscore train fcn8s-toy --data demo/toy --out demo/run
	$(BIN)/upscore evaluate demo/run --data demo/toy --split val
	$(BIN)/upscore predict demo/run demo/toy/JPEGImages/toy_00000?.jpg --out demo/predictions
	$(BIN)/upscore report demo/run

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

docs: install
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
