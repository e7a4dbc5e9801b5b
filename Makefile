PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types notebooks clean

demo: $(VENV)/ready-demo
	$(BIN)/boostloss demo

test: $(VENV)/ready-test
	$(BIN)/python -m pytest

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check boostloss

types: $(VENV)/ready-test
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/ready-demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group engines --editable ".[report]"
	touch $@

$(VENV)/ready-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group test --editable ".[report]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
