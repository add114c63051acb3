# Two commands: `make run` and `make test`. Both do all set-up; both can be repeated.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --progress-bar on
# Every process of the product and each worker of the tests reads what another compiled: without
# it each compiles all of our modules anew, about a second for every one of a start's nine.
unexport PYTHONDONTWRITEBYTECODE
# beside the library it stands for, so that work trees may share a $(VENV)
KERNELS := kvserve/kernels/_kernels.stamp

.PHONY: run test setup lint unit format lock clean
.DEFAULT_GOAL := run

run: setup
	@exec $(PY) manage.py up --port $(PORT)

setup: $(VENV)/.assets $(KERNELS)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Holdpoint needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Use: make PYTHON=python3.12"; exit 1; }
	@command -v c++ >/dev/null || { echo "A C++ compiler is needed to build llama.cpp (Debian: apt-get install g++)."; exit 1; }
	@echo "setup    | creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "python -m venv failed (Debian: apt-get install python3-venv)."; exit 1; }
	@touch $@

# The engine comes first: it takes longest and fails clearest on its own.
$(VENV)/.engine: $(VENV)/.python ops_platform/install/engine.py requirements.txt
	@$(PY) -P ops_platform/install/engine.py
	@touch $@

# Paged attention is a small C library beside its sources; where it cannot be built, kvserve does without.
$(KERNELS): $(VENV)/.engine ops_platform/install/kernels.py $(wildcard kvserve/kernels/*.[ch])
	@$(PY) -P ops_platform/install/kernels.py
	@touch $@

$(VENV)/.requirements: $(VENV)/.engine requirements.txt constraints.txt
	@echo "setup    | installing requirements.txt (about 500 MB; a few minutes on the first run)"
	@$(PIP) -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/.assets: $(VENV)/.requirements package-lock.json
	@$(PY) -P ops_platform/install/assets.py
	@touch $@

$(VENV)/.dev: $(VENV)/.assets $(KERNELS) requirements-dev.txt
	@echo "setup    | installing requirements-dev.txt"
	@$(PIP) -r requirements-dev.txt -c constraints.txt
	@touch $@

test: lint unit

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(PY) manage.py check --fail-level WARNING
	$(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null

# Missing migrations are a test (ops_platform/tests/test_project.py): they need the database.
# Without SLOW=1 all but the tests marked slow (whole product in a browser, soaks, golden questions);
# CI runs `make test SLOW=1`, which is everything.
unit: $(VENV)/.dev
	$(PY) -m pytest -n 2 $(if $(SLOW),,-m "not slow") $(ARGS)

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Pin everything that requirements bring along, without this machine's build tags.
lock: $(VENV)/.dev
	@$(PY) -m pip freeze --exclude-editable | sed "s/+cpu//" > constraints.txt

clean:
	rm -rf $(VENV) node_modules staticfiles .mypy_cache .ruff_cache .pytest_cache
	rm -f kvserve/kernels/_kernels.*
	@echo "var/ (your data) is kept; remove it by hand if you mean it"
