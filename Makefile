# On a fresh clone with Python 3.11+, make and a package registry, `make demo` and `make test` just work.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all fuzz wheel docs site fmt bench clean

# What is installed is what is tested: no path of the caller's may shadow it.
unexport PYTHONPATH PYTHONHOME
# Tests start hundreds of processes: compiled once is enough.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Each is run, not just looked for: a version manager leaves launchers behind for versions that it does not start.
USABLE := -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
ifndef PYTHON
PYTHON := $(shell for each in python3.13 python3.12 python3.11 python3; do \
	if $$each $(USABLE); then echo $$each; break; fi; done)
endif

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet
SOURCES := pyproject.toml $(shell find src examples -type f -not -name '*.pyc')

help:
	@echo "make demo    see the gate at work in front of two small services"
	@echo "make test    lint, types, and the tests against the wheel as installed; says which it leaves out"
	@echo "make test-all  those too: what needs programs of the system (.ci/install brings them) and what takes long"
	@echo "make fuzz    send many more random requests through both doors than the tests do (EXAMPLES=20000)"
	@echo "make docs    write the pages of docs/reference that follow from the code anew"
	@echo "make site    build the pages into site/, and fail where a link leads nowhere"
	@echo "make fmt     format the code and mend what ruff can mend"
	@echo "make bench   measure beside other libraries and write benchmarks/RESULTS.md, in 20 minutes (SECONDS=20);"
	@echo "             QUICK=1 shows in five that it works, and writes below build/bench"
	@echo "make clean   remove everything that these made"
	@echo
	@echo "PYTHON=... picks the Python for the virtual environment (now: $(or $(PYTHON),none found))."

demo: .venv/.demo
	@$(BIN)/keystile demo

# Two workers, each with servers, ports and folders of its own; a file's tests stay together, for many share a server.
# Where everybody is given one Redis or one PostgreSQL there is but one worker: tests empty these at will.
WORKERS := $(if $(KEYSTILE_TEST_REDIS_URL)$(KEYSTILE_TEST_POSTGRES_URL),0,2)

test test-all: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@$(MAKE) --no-print-directory wheel
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

test-all: export KEYSTILE_SERVICES := 1
test-all: export KEYSTILE_STRESS := 1
test-all: export KEYSTILE_FUZZ ?= 1200

fuzz: wheel
	KEYSTILE_FUZZ=$(or $(EXAMPLES),20000) $(BIN)/pytest tests/fuzz

# By way of the source distribution, so that both are known to build. Always anew: tests of an old wheel prove nothing.
wheel: .venv/.dev
	@rm -rf dist && mkdir dist
	@$(BIN)/python -m build --outdir dist >dist/build.log 2>&1 || { cat dist/build.log >&2; exit 1; }
	@$(PIP) install --force-reinstall --no-deps dist/*.whl
	@echo "installed $$(cd dist && echo *.whl)"

docs: wheel
	$(BIN)/python -m keystile.reference docs/reference

site: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	$(BIN)/python .ci/llms.py mkdocs.yml site

fmt: .venv/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: wheel
	@$(PIP) install '.[bench]'
	$(BIN)/python -m benchmarks $(if $(SECONDS),--seconds $(SECONDS)) $(if $(QUICK),--quick)

clean:
	rm -rf .venv dist build site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made: pyproject.toml
	@$(or $(PYTHON),false) $(USABLE) || { \
		echo "keystile needs Python 3.11 or newer with ensurepip; name one with PYTHON=..." >&2; exit 1; }
	@echo "setting up .venv with $$($(PYTHON) --version)"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: .venv/.made $(SOURCES)
	@$(PIP) install '.[demo]'
	@touch $@

.venv/.dev: .venv/.made
	@$(PIP) install '.[dev]'
	@touch $@
