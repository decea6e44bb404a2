## make lab        open the lessons in JupyterLab: a copy of your own, in my_lessons/, where what you write stays
## make test       lint, unit tests, every notebook, every lesson in a browser
## make setup      only make or update .venv; `lab` and `test` do it by themselves
## make tools      the same, with what the tests need
## make lint | web | unit | notebooks | browser     one part of `make test` (web: needs Node, else it is skipped)
## make format     let ruff fix what it can
## make outputs    run the lessons and store their outputs again
## make student    write the lessons without their solutions to build/student/
## make html       write the lessons as pages that need no kernel and no network to build/html/
## make site       write the same pages for a web server to build/site/, with a reference if pdoc is in .venv
## make api        write the reference of kvmlab's functions to build/site/api/
## make versions   the tests with other versions: RESOLUTION=lowest-direct (the lowest that will do) or highest
## make fuzz       feed the readers of formats with mutated input (SECONDS=60 for each; needs the extra `fuzz`)
## make mutants    change the rules and the readers in 500 ways, and see whether a unit test notices (hours)
## make bench      run the benchmarks
## make lock       write the locks again from pyproject.toml (UPGRADE=--upgrade: with the newest versions)
## make clean      remove .venv and everything else that can be made again
## Another Python: make VENV=.venv-3.13 PYTHON=python3.13 test

# The first of these that is new enough and has venv.
PYTHON ?= python3 python python3.14 python3.13 python3.12 python3.11
VENV ?= .venv
JOBS ?= 2
SECONDS ?= 60
MINE ?= my_lessons
LESSON ?= $(MINE)/00_start_here.ipynb
RESOLUTION ?= lowest-direct

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
# In a container one is often root, and has to say so.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# Everything stays in this folder: downloads are dropped once they are installed (who sets UV_CACHE_DIR keeps them there),
# and what Jupyter, IPython and matplotlib write goes to $(VENV)/home.
HERE := $(if $(filter /%,$(firstword $(VENV))),,$(CURDIR)/)$(VENV)
DOWNLOADS := $(if $(UV_CACHE_DIR),,$(VENV)/downloads)
export UV_CACHE_DIR ?= $(HERE)/downloads
export JUPYTER_CONFIG_DIR := $(HERE)/home/config
export JUPYTER_DATA_DIR := $(HERE)/home/data
export JUPYTER_RUNTIME_DIR := $(HERE)/home/runtime
export IPYTHONDIR := $(HERE)/home/ipython
export MPLCONFIGDIR := $(HERE)/home/matplotlib
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The certificates that this system trusts, as pip does: a proxy that looks inside has one of its own.
export UV_SYSTEM_CERTS := 1

.PHONY: help setup tools lab test lint format web outputs student html site unit notebooks browser fuzz bench lock clean
.PHONY: api versions mutants
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## //p' Makefile

setup: $(VENV)/ready
tools: $(VENV)/ready-to-test

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON); do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	    && exec "$$python" -m venv $(VENV); \
	done; \
	echo 'kvmlab needs Python 3.11 to 3.14 with venv (Debian, Ubuntu: the package python3-venv). Tried:' >&2; \
	for python in $(PYTHON); do echo "  $$python: $$("$$python" --version 2>/dev/null || echo not here)" >&2; done; \
	echo 'To name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)' >&2; \
	exit 1

# uv installs a lock three to four times as fast as pip does; where uv cannot reach its index, pip may.
define uv
sed -n '/^uv==/,/#/p' requirements-test.lock > $(VENV)/uv.txt \
  && $(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.txt
endef

define install
$(BIN)/uv pip install --quiet --python $(VENV) --require-hashes -r $(1) $(2) \
  || $(BIN)/python -m pip install $(if $(2),,--no-compile) --require-hashes -r $(1)
endef

# Bytecode of everything takes 100 MB; the lessons load a quarter of it, and get that when they are set up.
LOADED := import jupyterlab.labapp, ipykernel.debugger, pandas; from kvmlab import exercises, panels, plots; plots.Picture

# Installing kvmlab itself translates its rules to WebAssembly: that takes llvmlite, which pip or uv fetch for the moment.
# Where there is Node, JupyterLab runs a script of its own in it, which fails as part of our package.json's kind of package.
# Who wants the tests gets all in one go: uv stays, and what is not loaded is not compiled.
LOCK := requirements.lock
$(VENV)/ready-to-test: LOCK := requirements-test.lock

define only_for_lessons
$(BIN)/python -m pip uninstall --quiet --yes uv && rm -rf $(DOWNLOADS) \
  && PYTHONDONTWRITEBYTECODE= $(BIN)/python -c '$(LOADED)'
endef

$(VENV)/ready: $(VENV)/pyvenv.cfg requirements.lock pyproject.toml hatch_build.py
	@echo 'Installing what the lessons need into $(VENV) (the first time this takes up to a minute) ...'
	@$(uv)
	@$(call install,$(LOCK),)
	@$(BIN)/uv pip install --quiet --python $(VENV) --no-deps -e . || $(BIN)/python -m pip install --no-deps -e .
	@echo '{}' > $(VENV)/package.json
	@$(if $(filter requirements.lock,$(LOCK)),$(only_for_lessons))
	@touch $@

$(VENV)/ready-to-test: $(VENV)/ready requirements-test.lock
	@echo 'Installing what the tests need as well ...'
	@$(BIN)/uv --version >/dev/null 2>&1 || { $(uv); }
	@$(call install,$(LOCK),--compile-bytecode)
	@rm -rf $(DOWNLOADS)
	@touch $@

# A reader's answers are the reader's own: they go into a copy, which stays, and a newer version of the lessons can come.
# The browser opens the lesson itself, with no file:// page in between, which some browsers may not read. Nothing is asked
# of the network (news, updates), and no language servers are looked for: npm would be run for that, and leave its log.
lab: setup
	@$(BIN)/python -m kvmlab lessons $(MINE) --keep >/dev/null
	$(BIN)/python -m jupyterlab $(AS_ROOT) --ServerApp.root_dir=$(dir $(LESSON)) --ServerApp.use_redirect_file=False \
	  --LabApp.default_url=/lab/tree/$(notdir $(LESSON)) --LabApp.news_url=None \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LanguageServerManager.autodetect=False \
	  --MappingKernelManager.transport_encryption=auto

test: lint web unit notebooks browser

lint: tools
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --num-workers $(JOBS)
	$(BIN)/lint-imports

format: tools
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

unit: tools
	$(BIN)/pytest -n $(JOBS) -m 'not browser' --ignore tests/browser

# The front end is plain JavaScript: Node checks its types and its style and runs its unit tests, and is needed for no more.
web:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/ready && npm run --silent check; \
	else echo 'No Node here: the checks of the front end are skipped. Its panels are tested in the browser.'; fi

node_modules/ready: package-lock.json
	@npm ci --silent --no-fund --no-audit
	@touch $@

outputs: tools
	$(BIN)/python tools/store_outputs.py

student html: setup
	$(BIN)/python -m tools.editions $@

site: tools
	rm -rf build/site
	$(BIN)/python -m tools.editions site

# One notebook stays on one worker: its cells share a kernel.
notebooks: tools
ifneq ($(wildcard notebooks/*.ipynb),)
	$(BIN)/pytest -p nbval --nbval --nbval-sanitize-with tests/nbval.cfg notebooks -n $(JOBS) --dist loadfile
else
	@echo 'There are no notebooks to run.'
endif

# A file stays on one worker: what its tests share, a JupyterLab, a notebook, the pages, is made once. Not sorted by the
# number of tests, the two that take longest run beside each other.
browser: tools
	$(BIN)/pytest tests/browser -m browser -n $(JOBS) --dist loadfile --no-loadscope-reorder

# The ends of what pyproject.toml admits, in an environment of their own.
OTHER = $(VENV)-$(RESOLUTION)
versions: tools
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OTHER)
	$(BIN)/uv pip install --quiet --python $(OTHER) --resolution $(RESOLUTION) -e '.[lab,test]' 'uv>=0.9'
	@rm -rf $(DOWNLOADS)
	@echo '{}' > $(OTHER)/package.json
	$(OTHER)/bin/python -m pytest -n $(JOBS) -m 'not browser and not index'
	$(OTHER)/bin/python -m pytest -p nbval --nbval --nbval-sanitize-with tests/nbval.cfg notebooks -n $(JOBS) --dist loadfile

api: tools
	$(BIN)/python -m tools.api build/site/api

fuzz: tools
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet atheris || true
	$(BIN)/python tools/fuzz.py $(SECONDS)

# What survives is in tools/mutants.md, each with a reason.
mutants: tools
	$(BIN)/python -m tools.mutants model --count 300 --least 92 --jobs $(JOBS)
	$(BIN)/python -m tools.mutants host --count 200 --least 85 --jobs $(JOBS)

bench: tools
	@set -e; for script in benchmarks/*.py; do echo "$$script"; PYTHONPATH=. $(BIN)/python "$$script"; done

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
  --custom-compile-command 'make lock' --quiet

lock: tools
	$(COMPILE) --extra lab --group quick-start $(UPGRADE) --output-file requirements.lock
	$(COMPILE) --extra lab --extra test --group quick-start --group setup --constraint requirements.lock $(UPGRADE) \
	  --output-file requirements-test.lock
	@rm -rf $(DOWNLOADS)

clean:
	rm -rf $(VENV) $(VENV)-lowest-direct $(VENV)-highest node_modules build dist
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf tests/browser/screenshots kvmlab/engine/rules*.wasm
	find . -name __pycache__ -prune -exec rm -rf {} +
