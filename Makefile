# `make demo` and `make test` each set everything up on a machine that has only Python.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHON

.PHONY: setup demo test test-slow lint format constraints clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/find-python
	@python=$$(scripts/find-python) || exit 1; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then \
	    echo "setup: $$python -m venv $(VENV)"; rm -rf $(VENV); "$$python" -m venv $(VENV) || exit 1; \
	fi
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt --editable '.[data,dask]' --group dev
	@touch $@

demo: setup
	$(BIN)/utiliscope demo --out demo

test: setup
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: setup
	JAX_DISABLE_MOST_OPTIMIZATIONS=false $(BIN)/python -m pytest -n auto --dist load -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# After a change of dependencies. The file holds versions only, no address.
constraints:
	$(BIN)/python -m uv pip compile --universal --all-extras --group dev --no-header --no-annotate \
	    --no-emit-index-url --upgrade --quiet pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) demo build dist *.egg-info
