# Relay. On a fresh machine with Python >= 3.11 (with venv), a C compiler and make:
#   make run     starts it with embedded defaults and prints what to try
#   make test    lint, types, import contracts, stubs against modules, and the whole test suite

# The first Python that is new enough and can make virtual environments; or say which: make run PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
SOURCES := $(shell find relay -name '*.pyx' -o -name '*.pxd')
BENCH_SOURCES := $(shell find benchmarks -name '*.pyx' -o -name '*.pxd')
# Python files with a .pxd beside them are compiled, too.
SOURCES += $(wildcard $(patsubst %.pxd,%.py,$(filter %.pxd,$(SOURCES))))
ROUNDS ?= 20
FUZZ_SECONDS ?= 60
SCENARIO ?=
BASE ?= HEAD
PYTEST_ARGS ?=
# Tests beside the suite: those with other programs (mail servers and clients, the load generator, valgrind), and of crashes.
SERVERS := tests/interop tests/benchmarks tests/hostile/test_steps.py
BESIDE := $(addprefix --ignore ,$(SERVERS) tests/crash)
# What runs in memory and finds most of what an edit breaks, but for the long ones.
QUICK := tests/auth tests/cli tests/config tests/control tests/delivery tests/directory tests/dispatch tests/dsn tests/imap \
	tests/mail tests/managesieve tests/mda tests/net tests/policy tests/pop3 tests/queue tests/readers tests/sieve tests/smtp \
	tests/spool tests/supervisor tests/telemetry tests/workers $(filter-out tests/test_documents.py,$(wildcard tests/test_*.py)) \
	$(addprefix --ignore ,tests/imap/test_threads.py tests/imap/test_consistency.py tests/telemetry/test_cells_compiled.py tests/net/test_tls.py \
	tests/smtp/test_dialogs.py tests/mda/test_local_runs.py)
# Two processes at once; `make pytest PARALLEL=` for one, whose order and output are easier to follow.
PARALLEL ?= -n 2 --dist worksteal
# A stub may leave out what is only for the inside, and say that arguments go by position.
STUBTEST_FLAGS := --concise --ignore-missing-stub --ignore-disjoint-bases --ignore-positional-only \
	--allowlist tests/stubtest-allowed.txt --ignore-unused-allowlist

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_REQUIRE_VIRTUALENV := 1

.DELETE_ON_ERROR:
.PHONY: run test test-quick servers lint format pytest bench bench-micro crash fuzz docs lock clean distclean help

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(STAMPS)/compiled ## Relay with embedded defaults, in the foreground
	@exec $(BIN)/relay serve

test: lint pytest ## Lint and the test suite

test-quick: $(STAMPS)/dev ## What runs in memory, for the inner loop
	$(BIN)/python -m pytest -q $(PARALLEL) $(QUICK) $(PYTEST_ARGS)

servers: $(STAMPS)/dev ## The tests with other mail servers and clients, the load generator and valgrind
	$(BIN)/python -m pytest $(PARALLEL) $(SERVERS) $(PYTEST_ARGS)

pytest: $(STAMPS)/dev
	$(BIN)/python -m pytest $(PARALLEL) $(BESIDE) $(PYTEST_ARGS)

lint: $(STAMPS)/dev ## Ruff, mypy --strict, import contracts, stubs against compiled modules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml $(STUBTEST_FLAGS) \
		$$(find relay benchmarks -name '*.pyi' | sed 's/\.pyi$$//; s,/,.,g' | sort)

format: $(STAMPS)/dev ## Lays the source out as lint wants it
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

bench: $(STAMPS)/bench ## Every benchmark scenario, then benchmarks/RESULTS.md; one: make bench SCENARIO=accept
	$(BIN)/python -m benchmarks $(SCENARIO)

bench-micro: $(STAMPS)/dev ## The hot path's parts by instruction count against a base revision: BASE=main
	$(BIN)/python -m benchmarks.micro --base $(BASE)

crash: $(STAMPS)/dev ## Kill -9 at random under load: make crash ROUNDS=500
	ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/crash --timeout 0 -s $(PYTEST_ARGS)

fuzz: $(STAMPS)/fuzz ## Every fuzz target for a while: make fuzz FUZZ_SECONDS=600
	@for target in $$($(BIN)/python -m tests.fuzz 2>&1 | sed -n 's/^names: //p'); do \
		echo "== $$target"; \
		$(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

docs: $(STAMPS)/compiled ## docs/CONFIG.md and docs/relay.toml from the settings model
	$(BIN)/relay config reference > docs/CONFIG.md
	$(BIN)/relay config example > docs/relay.toml

lock: $(STAMPS)/dev ## Newest versions into deploy/lock (needs uv)
	for group in runtime build dev bench fuzz; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
			$$(test $$group = runtime || echo --group $$group --constraint deploy/lock/runtime.txt) \
			pyproject.toml --output-file deploy/lock/$$group.txt || exit 1; \
	done

clean: ## Removes what was built, not the virtual environment nor the demo's data
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache $(STAMPS)/compiled
	find relay tests benchmarks -name '__pycache__' -prune -exec rm -rf {} +
	find relay benchmarks -name '*.so' -delete

distclean: clean ## The virtual environment too
	rm -rf $(VENV) *.egg-info

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "Relay needs Python 3.11 or newer with venv (Debian: apt install python3-venv)" >&2; exit 1; }
	@$${CC:-cc} --version >/dev/null 2>&1 || { echo "Relay needs a C compiler (Debian: apt install build-essential)" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/build: deploy/lock/build.txt $(STAMPS)/venv
	@echo "Installing what it is built with"
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r deploy/lock/build.txt
	@touch $@

# The package is used from the source tree: the relay command points at it, and setup.py compiles in place.
$(STAMPS)/installed: pyproject.toml setup.py $(STAMPS)/build
	@RELAY_EXT=none $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(STAMPS)/compiled: $(SOURCES) setup.py $(STAMPS)/installed
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(STAMPS)/dev: deploy/lock/dev.txt $(STAMPS)/compiled $(BENCH_SOURCES)
	@RELAY_WITH=benchmarks $(BIN)/python setup.py --quiet build_ext --inplace
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r deploy/lock/dev.txt
	@touch $@

$(STAMPS)/bench: deploy/lock/bench.txt $(STAMPS)/dev
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r deploy/lock/bench.txt
	@touch $@

$(STAMPS)/fuzz: deploy/lock/fuzz.txt $(STAMPS)/dev
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r deploy/lock/fuzz.txt
	@touch $@
