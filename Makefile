# make demo       set up .venv and run the whole chain on the bundled text, on a CPU
# make test       fast tests          make test-slow   real data, faults, documentation
# make test-browser   the report in Chromium, where one is installed
# make coverage   fast tests, and which lines they run    make wheel       wheel and source archive in dist/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-slow test-browser coverage lint format docs wheel clean

install: $(STAMP)

# torch first and pinned exactly: an open range would fetch another build, gigabytes larger, on a CPU machine
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/redwhale demo

# two processes of one thread each: files stay together, since their tests share what their fixtures made
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow and not gpu'

test-browser: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/report

coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=html

lint: install
	$(BIN)/ruff check redwhale tests scripts
	$(BIN)/ruff format --check redwhale tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix redwhale tests scripts
	$(BIN)/ruff format redwhale tests scripts

docs: install
	$(BIN)/python scripts/write_docs.py

wheel: install
	$(BIN)/python scripts/build_wheel.py dist

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .coverage .coverage.* htmlcov build dist
