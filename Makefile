# Two commands: `make run` starts the server, `make test` checks everything.
# Needs Python 3.11 or newer. Tests of the npm client also want Node.js and npm; without them those
# tests are skipped by name (in CI they must run).

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$p; break; fi; done)
ARGS ?=
BENCH ?= ../shared/bench
# Tests often wait, so four processes keep two processors busy; each more reads all tests again.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes, and each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo test test-long check lint types imports docs unit interop-client faults nodes-faults memory attack bench \
	differential mutation binary release test-packaging clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## Start the server (ARGS="--port 8080" passes options).
	$(BIN)/phoenix-compat serve $(ARGS)

demo: $(VENV)/.run ## Create a picture, show its progress, save it.
	$(BIN)/phoenix-compat demo $(ARGS)

# Side by side: the tests often wait, and the checks use one processor.
test: $(VENV)/.dev $(VENV)/.docs interop-client ## Set up and check everything.
	@$(MAKE) --no-print-directory -j2 unit check

check: lint types imports docs ## Check style, types, import rules and documentation; run no tests.

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy packaging

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.docs ## Build the documentation into build/docs; a broken link is an error.
	$(BIN)/sphinx-build -q -n -W --keep-going -c docs -d build/doctrees . build/docs

unit: $(VENV)/.dev interop-client
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# The npm client of the tests; without npm its tests are skipped, by name.
interop-client:
	@if command -v npm >/dev/null 2>&1; then \
		[ tests/interop/node_modules/.package-lock.json -nt tests/interop/package-lock.json ] || \
		npm ci --prefix tests/interop --no-audit --no-fund; \
	else echo "npm is not installed: the tests of npm phoenix will be skipped"; fi

test-long: $(VENV)/.dev interop-client ## Test older clients, a browser and 2 000 made-up requests (takes minutes; wants Node.js and Chromium).
	@if command -v npm >/dev/null 2>&1; then npm ci --prefix tests/interop/long --no-audit --no-fund; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target build/python-clients \
		-r tests/interop/long/requirements.txt || echo "the Python clients did not install: their tests are skipped"
	$(BIN)/python -m pytest -m long $(PARALLEL) tests/faults tests/interop tests/integration tests/unit/cluster tests/unit/mutation tests/conformance $(ARGS)

binary: $(VENV)/.ship ## Build packages that need no Python into dist/: one file, .tar.gz, .deb.
	$(BIN)/python packaging/bundle.py

release: $(VENV)/.ship ## Build all release files, with checksums and a bill of materials (ARGS=--check only checks).
	$(BIN)/python packaging/release.py $(ARGS)

test-packaging: $(VENV)/.ship binary ## Test the binary and the .deb in a minimal Debian (as root, with debootstrap; takes minutes).
	$(BIN)/python -m pytest -m packaging tests/packaging $(ARGS)

# Of what pip says: a line for each package that it fetches, and one when it installs them.
PIP_STEPS := /^Collecting / { sub(/[^A-Za-z0-9._-].*/, "", $$2); print "  fetching " $$2; fflush() } \
	/^Installing collected packages/ { print "  installing them"; fflush() }

# Stamps, so that running the server does not install the tools of the tests.
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what the server needs into $(VENV); this takes a minute, the first time only"
	@set -o pipefail; PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --disable-pip-version-check \
		-c constraints.txt -e '.[server]' | awk '$(PIP_STEPS)'
	@touch $@

# A dependency group's requirements; older versions of pip know no groups.
group = $$($(BIN)/python -c "import tomllib; print(*(r.split(';')[0] for r in tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['$(1)']))")

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.run
	@echo "Installing the tools of the tests into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(call group,dev)
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt $(VENV)/.run
	@echo "Installing Sphinx into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(call group,docs)
	@touch $@

$(VENV)/.ship: pyproject.toml constraints.txt $(VENV)/.dev
	@echo "Installing PyInstaller and the tools of releases into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(call group,ship)
	@touch $@

$(VENV)/.mutation: pyproject.toml constraints.txt $(VENV)/.dev
	@echo "Installing the tools of mutation tests into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(call group,mutation)
	@touch $@

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "venv failed: on Debian, apt-get install python3-venv"; exit 1; }

faults: $(VENV)/.dev ## Kill the server 200 times and count lost tasks (five minutes).
	$(BIN)/python -m tests.faults.kills $(ARGS)

nodes-faults: $(VENV)/.dev ## Break what several nodes stand on, three seeds each, and count lost tasks (an hour).
	$(BIN)/python -m tests.faults.nodes $(ARGS)

memory: $(VENV)/.dev ## Measure the memory of a server while photos arrive (a minute; Linux).
	$(BIN)/python -m tests.integration.uploads.memory $(ARGS)

attack: $(VENV)/.dev ## Attack a server with raw sockets and say what holds (ARGS="--url URL" for a running one).
	$(BIN)/python -m tests.attack $(ARGS)

mutation: $(VENV)/.mutation ## List the changes of a folder that no test notices (ARGS=protocol; 15 minutes or more).
	$(BIN)/python -m tests.mutation $(ARGS)

bench: $(VENV)/.dev ## Measure the speed (BENCH= the folder of phxload.c and wslimit.c).
	$(BIN)/python -m tests.benchmarks --bench $(BENCH) $(ARGS)

differential: $(VENV)/.run ## Compare with a real Phoenix (PHOENIX=http://127.0.0.1:4000, ARGS="--conversations 1000 --seed 1").
	@[ -n "$(PHOENIX)" ] || { echo "name the server that runs Phoenix: make differential PHOENIX=http://127.0.0.1:4000"; exit 1; }
	$(BIN)/phoenix-compat conformance fuzz $(PHOENIX) $(ARGS)

clean: ## Remove everything that the other targets created.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis tests/interop/node_modules tests/interop/long/node_modules
