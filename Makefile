## make lab        open the lessons in JupyterLab
## make test       lint, unit tests, every notebook, every lesson in a browser
## make setup      only make or update .venv; `lab` and `test` do it by themselves
## make lint | unit | notebooks | browser     one part of `make test`
## make format     let ruff mend what it can
## make outputs    run the lessons and store their outputs anew
## make student    write the lessons without their solutions to build/student/
## make html       write the lessons as pages that need no kernel and no network to build/html/
## make fuzz       feed the readers of formats with mutated input (SECONDS=60 for each; needs the extra `fuzz`)
## make bench      run the benchmarks
## make lock       write requirements.lock anew from pyproject.toml (UPGRADE=--upgrade: with the newest versions)
## make clean      remove .venv and everything else that can be made again
## Another Python: make VENV=.venv-3.13 PYTHON=python3.13 test

# The first of these that is new enough and has venv.
PYTHON ?= python3 python python3.14 python3.13 python3.12 python3.11
VENV ?= .venv
JOBS ?= 2
SECONDS ?= 60
LESSON ?= notebooks/00_start_here.ipynb

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
# In a container one is often root, and has to say so.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup lab test lint format outputs student html unit notebooks browser fuzz bench lock clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## //p' Makefile

setup: $(VENV)/ready

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON); do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	    && exec "$$python" -m venv $(VENV); \
	done; \
	echo 'kvmlab needs Python 3.11 to 3.14 with venv (Debian, Ubuntu: the package python3-venv). Tried: $(PYTHON).' >&2; \
	echo 'To name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)' >&2; \
	exit 1

# uv installs the lock three to four times as fast as pip does; where uv cannot reach its index, pip may.
$(VENV)/ready: $(VENV)/pyvenv.cfg requirements.lock pyproject.toml
	@echo 'Installing what the lessons need into $(VENV) (the first time this takes up to a minute or two) ...'
	@sed -n '/^uv==/,/#/p' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --python $(VENV) --require-hashes --compile-bytecode -r requirements.lock \
	  || $(BIN)/python -m pip install --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo 'Compiling the simulator ...'
	@$(BIN)/python -c 'import kvmlab; kvmlab.warm_up()'
	@touch $@

lab: setup
	$(BIN)/python -m jupyterlab $(AS_ROOT) $(LESSON)

test: lint unit notebooks browser

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

unit: setup
	$(BIN)/pytest -n $(JOBS) -m 'not browser'

outputs: setup
	$(BIN)/python tools/store_outputs.py

student html: setup
	$(BIN)/python -m tools.editions $@

# One notebook stays on one worker: its cells share a kernel.
notebooks: setup
ifneq ($(wildcard notebooks/*.ipynb),)
	$(BIN)/pytest -p nbval --nbval --nbval-sanitize-with tests/nbval.cfg notebooks -n $(JOBS) --dist loadfile
else
	@echo 'There are no notebooks to run.'
endif

browser: setup
	$(BIN)/pytest tests/browser -m browser -n $(JOBS)

fuzz: setup
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet atheris || true
	$(BIN)/python tools/fuzz.py $(SECONDS)

bench: setup
	@set -e; for script in benchmarks/*.py; do echo "$$script"; PYTHONPATH=. $(BIN)/python "$$script"; done

lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra lab --extra test --group setup \
	  --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --custom-compile-command 'make lock' --quiet $(UPGRADE) --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf tests/browser/screenshots
	find . -name __pycache__ -prune -exec rm -rf {} +
