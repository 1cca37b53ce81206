# Each target sets up what it needs: a fresh machine needs Python >= 3.11, make and the registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto
# where it is set, every process would compile torch again
unexport PYTHONDONTWRITEBYTECODE
# each process tests files that follow each other: what a file or a folder shares is made in one of
# them, and kernels are compiled once
PYTEST := -m pytest -n $(JOBS) --dist worksteal
STAMP := $(VENV)/.installed

.PHONY: install test test-fast wheel coverage fuzz demo lint types contracts lock packages docs clean

# what is imported is compiled then: pip would compile all of torch, SciPy and the others
install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "upscore needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[dev]'
	@touch $(STAMP)

test: install
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

# the inner loop: no trainings, browsers, real photos or compiled lattices
FAST := -m "not slow and not browser and not real" tests/core tests/data \
  tests/evaluation/test_confusion.py tests/models/test_catalog.py tests/models/test_fixed_weights.py \
  tests/training/test_recipe.py tests/cli/test_parsing.py tests/cli/test_json.py
test-fast: install
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) $(FAST)

# wheel and sdist; the wheel in an environment of its own, with the lowest versions that pyproject.toml
# names: first without extras, when predict works and train says what to type; then with all of them, which
# is typed as that message says, the README's quick start and the fast tests
WHEEL_PYTHON := build/wheel-env/bin/python
wheel: install
	rm -rf dist build/wheel-env build/quick-start
	$(BIN)/python -m hatchling build -d dist
	$(PYTHON) -m venv build/wheel-env
	$(BIN)/python .ci/lowest.py > build/lowest.txt
	$(WHEEL_PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check dist/*.whl \
	  --constraint build/lowest.txt
	cd build && wheel-env/bin/upscore predict ../docs/images/objects.jpg --out quick-start/core
	cd build && wheel-env/bin/upscore train --data none 2>&1 | grep -F 'pip install "upscore[train]"'
	$(WHEEL_PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check "upscore[all]" \
	  --constraint build/lowest.txt pytest pytest-xdist hypothesis scikit-learn
	cd build && wheel-env/bin/upscore data toy --out quick-start/toy --num 12 --size 64 80
	cd build && wheel-env/bin/upscore predict quick-start/toy/JPEGImages/toy_000000.jpg --model roads \
	  --out quick-start/at-once
	cd build && wheel-env/bin/upscore train fcn8s-toy --data quick-start/toy --out quick-start/run \
	  --set budget.iterations=3
	cd build && wheel-env/bin/upscore evaluate quick-start/run --data quick-start/toy
	cd build && wheel-env/bin/upscore predict quick-start/run quick-start/toy/JPEGImages/*_00000?.jpg \
	  --out quick-start/labelled
	cd build && wheel-env/bin/upscore report quick-start/run
	$(WHEEL_PYTHON) -c "import upscore; assert 'site-packages' in upscore.__file__"
	OMP_NUM_THREADS=1 $(WHEEL_PYTHON) $(PYTEST) $(FAST)

# by itself, for counting lines makes the tests take half as long again
coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) --cov --cov-report=term

# damaged files of every format, read for MINUTES; what is not refused cleanly is kept in build/fuzz, and
# SEED=FORMAT:NUMBER, as it is printed, reads that input again
MINUTES ?= 5
fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -m fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

demo: install
	rm -rf demo
	$(BIN)/upscore demo --out demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

# requirements.lock, from pyproject.toml and constraints.txt, for all systems
lock:
	rm -rf build/lock-env
	$(PYTHON) -m venv build/lock-env
	build/lock-env/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lock-env/bin/python .ci/lock.py

# licences and known vulnerabilities of what constraints.txt pins
packages: install
	$(BIN)/python .ci/packages.py

docs: install
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) demo dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
