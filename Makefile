PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test bench docs lint types dist clean

demo: $(VENV)/ready-demo
	$(BIN)/boostloss demo

test: $(VENV)/ready-test
	$(BIN)/python -m pytest

bench: $(VENV)/ready-bench
	$(BIN)/python -W ignore -m benchmarks

docs: $(VENV)/ready-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check boostloss

types: $(VENV)/ready-test
	$(BIN)/mypy

# the same commit gives the same bytes
dist: $(VENV)/ready-dist
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/ready-demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group engines --editable ".[report]"
	touch $@

$(VENV)/ready-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group test --editable ".[report,dask]"
	touch $@

$(VENV)/ready-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group engines --group docs --editable ".[dask]"
	touch $@

$(VENV)/ready-dist: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group release
	touch $@

# imbalance-xgboost asks for the package xgboost by name: its dependencies are left out
$(VENV)/ready-bench: $(VENV)/ready-test
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m pip install --quiet --no-deps imbalance-xgboost==0.8.1
	touch $@

clean:
	rm -rf $(VENV) dist
