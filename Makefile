# Every target does its own set-up. Needed on the machine: Python 3.11 or newer, git and make.
#
#   make demo      two rounds of a task, end to end, without a key   ONCE=1 ends by itself · JSON=1 · LIVE=1 · PORT=8000 · GITHUB=fake
#   make serve     the service (settings: .env, see .env.example)
#   make check     format, lint, types, floors, locks
#   make test      what a change needs while it is made              ARGS="-k notify"
#   make test-all  the whole suite: slow tests and PostgreSQL, too   ARGS="--durations=25"
#   make lock      pin what pyproject.toml asks for                  UPGRADE=1 takes newer versions
#   make clean     remove the environment and the caches

MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
UV := $(shell command -v uv)
PY := .venv/bin/python

# Named after the content of the locks: other locks, another environment.
MADE := .venv/locks-$(firstword $(shell cat requirements.txt requirements-dev.txt | cksum))
INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(PY),$(PY) -m pip install --quiet --disable-pip-version-check)

.PHONY: all demo serve check test test-all lock clean
all: check test

demo: $(MADE)/runtime $(MADE)/chromium
	@$(PY) main.py demo $(if $(ONCE),--once) $(if $(JSON),--json) $(if $(LIVE),--live) $(if $(PORT),--port $(PORT)) $(if $(GITHUB),--github)

serve: $(MADE)/runtime
	@$(PY) main.py serve

check: $(MADE)/dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m pytest tests/test_project.py -k lock

# A file stays in one process, so that what its tests share is made once. Bytecode is kept even where the environment
# says not to: each process would compile the tests anew.
PYTEST = PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: $(MADE)/dev $(MADE)/chromium
	$(PYTEST) -m "representative or not (slow or postgres)" $(ARGS)

test-all: $(MADE)/dev $(MADE)/chromium
	$(PYTEST) $(ARGS)

COMPILE = $(or $(UV),.venv/bin/uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) pyproject.toml

lock: | $(if $(UV),,$(MADE))
	$(if $(UV),,@$(PY) -m pip install --quiet --disable-pip-version-check uv)
	$(COMPILE) -o requirements.txt
	$(COMPILE) --group dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found: install one, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making .venv with $(PYTHON); the first time takes a minute …" >&2
	@rm -rf .venv
	@$(if $(UV),$(UV) venv --quiet --python $(PYTHON),$(PYTHON) -m venv) .venv >&2
	@mkdir $@

# Without one the pages are only read: a machine that can have none still gets its demo and its tests.
$(MADE)/chromium: | $(MADE)/runtime
	@deploy/install-chromium $(PY) >&2 || echo "There is no Chromium: pages are read, not run." >&2
	@touch $@

$(MADE)/runtime: | $(MADE)
	@$(INSTALL) --require-hashes -r requirements.txt >&2
	@touch $@

$(MADE)/dev: | $(MADE)
	@$(INSTALL) --require-hashes -r requirements-dev.txt >&2
	@touch $@ $(MADE)/runtime
