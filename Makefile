PYTHON ?= python3
# newest: what the registry offers; oldest: the lower bounds in pyproject.toml; next: pre-releases
VERSIONS ?= newest
VENV := .venv$(patsubst %,-%,$(filter-out newest,$(VERSIONS)))
BIN := $(VENV)/bin

.PHONY: demo test old-engines spark ray other-tools canary coverage mutation bench docs lint types dist dist-check clean

demo: $(VENV)/ready-demo
	$(BIN)/python examples/demo.py

# one process for each core, with one thread each: threads of two engines that wait for the same
# cores take many times as long
WORKERS ?= 2
test: $(VENV)/ready-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_$(VERSIONS))

# on a real local Spark, which needs Java 17 or newer; in its own environment
spark: .venv-spark/ready
	.venv-spark/bin/python -m pytest $(PYTEST_oldest) tests/spark

# inside Ray Train's function
ray: .venv-ray/ready
	.venv-ray/bin/python -m pytest $(PYTEST_oldest) tests/ray

# the page "With other tools", on Python 3.11 to 3.13; in an environment of 2 GB
other-tools: .venv-other-tools/ready
	OMP_NUM_THREADS=1 .venv-other-tools/bin/python -m pytest $(PYTEST_oldest) tests/other_tools

.venv-%/ready: pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-$*/bin/python -m pip install --quiet --group $* --editable .
	touch $@

# old packages use what newer ones of their own kind deprecate: only our own use counts there
PYTEST_oldest := -o filterwarnings=error::DeprecationWarning:boostloss

# the objectives and metrics, beside engines that are too old for the classifiers
old-engines: .venv-old-engines/ready
	.venv-old-engines/bin/python -W ignore tools/old_engines.py

.venv-old-engines/ready: pyproject.toml
	$(PYTHON) -m venv .venv-old-engines
	.venv-old-engines/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-old-engines/bin/python -m pip install --quiet --group old-engines --editable .
	touch $@

# tells what the next releases will break, and fails nothing
canary:
	-$(MAKE) test VERSIONS=next

# in Python's own steps where numba would compile, and then as it is
coverage: $(VENV)/ready-test
	$(BIN)/python -m pip install --quiet --group coverage
	rm -f .coverage .coverage.*
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest --hypothesis-profile=few -p no:cacheprovider \
		$(PYTEST_$(VERSIONS)) $(LOSS_TESTS)
	$(BIN)/coverage run -m pytest $(PYTEST_$(VERSIONS))
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

LOSS_TESTS := tests/losses $(addprefix tests/kernels/test_,simd_math.py histogram.py softmax.py) tests/test_recorder.py

mutation: $(VENV)/ready-test
	$(BIN)/python -m pip install --quiet --group mutation
	$(BIN)/python tools/mutation.py mutation.jsonl
	NUMBA_DISABLE_JIT=1 $(BIN)/python tools/mutation.py mutation.jsonl
	$(BIN)/python tools/mutation.py mutation.jsonl --report

bench: $(VENV)/ready-bench
	$(BIN)/python -W ignore -m benchmarks

# EXECUTE=off: without running the pages, which the tests do too
EXECUTE ?= cache
docs: $(VENV)/ready-docs
	$(BIN)/sphinx-build -W --keep-going -D nb_execution_mode=$(EXECUTE) -b html docs docs/_build/html

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check boostloss

types: $(VENV)/ready-test
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --strict --warn-unused-ignores tests/typed

# the same commit gives the same bytes
dist: $(VENV)/ready-dist
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# reproducible, complete, typed, and used without a compiler
dist-check: $(VENV)/ready-dist
	$(BIN)/python tools/release.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/ready-demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group engines --group examples --editable ".[report]"
	touch $@

$(VENV)/ready-test: pyproject.toml | $(VENV)/bin/python
	$(INSTALL_$(VERSIONS))
	touch $@

TESTED := --editable ".[report,dask,onnx]"
INSTALL_newest = $(BIN)/python -m pip install --quiet --group test $(TESTED)
INSTALL_next = $(BIN)/python -m pip install --quiet --pre --group test $(TESTED)
# pip cannot ask for the lowest versions; the test tools are the newest that fit them
define INSTALL_oldest
$(BIN)/python -m pip install --quiet uv
	$(UV) --resolution lowest-direct --group engines $(TESTED)
	$(UV) --group test $(TESTED)
endef
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

$(VENV)/ready-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group engines --group examples --group docs --editable ".[report,dask,onnx]"
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
	rm -rf .venv .venv-spark .venv-ray .venv-other-tools .venv-oldest .venv-next .venv-old-engines dist
