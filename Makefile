# Two commands for a newcomer: `make demo` and `make test`. `make help` lists the rest.

PORT ?= 8000
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=2
BENCH_ARGS ?=
APPS = backoffice crm platform_ops funding ib risk marketing

BIN = .venv/bin
MANAGE = $(BIN)/python manage.py
DEVSTACK = $(BIN)/python -m backoffice.devstack
STEP = $(BIN)/python -m backoffice.devstack.step

# One run starts dozens of processes: each reads what the first of them compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo demo-reset test check check-types check-rest bench schema lock

help:
	@echo 'make demo         the whole product with an invented broker, on http://127.0.0.1:$(PORT) (other port: PORT=8001)'
	@echo 'make demo-reset   remove the demo data (asks on a terminal), so that the next make demo starts over'
	@echo 'make test         everything that CI runs: checks, then all tests (PYTEST_ARGS="-k ledger" for some)'
	@echo 'make check        style, types, import ladder, migrations, API schema, templates'
	@echo 'make bench        measure against the limits of this machine (BENCH_ARGS="settle --size smoke")'
	@echo 'make setup        .venv with the locked requirements (PYTHON=/path/to/python3.11 to choose one)'
	@echo 'make schema       accept the current API schema into docs/api/openapi.yaml'
	@echo 'make lock         how requirements.txt is compiled'

setup:
	@PYTHON='$(PYTHON)' scripts/setup.sh

setup-tests:
	@PYTHON='$(PYTHON)' scripts/setup.sh --tests

demo: setup
	@$(DEVSTACK) up --port $(PORT)

demo-reset: setup
	@if [ -t 0 ]; then $(DEVSTACK) reset; else $(DEVSTACK) reset --yes; fi

test: setup-tests
	@$(MAKE) --no-print-directory check
	@$(DEVSTACK) exec --no-migrate --not-durable -- scripts/run_tests.sh $(BIN)/python $(PYTEST_ARGS)

# Types take as long as everything else: two halves, side by side.
check: setup
	@$(MAKE) --no-print-directory -j 2 check-types check-rest

check-types:
	@$(STEP) 'types: mypy' -- $(BIN)/mypy $(APPS)

check-rest:
	@$(STEP) 'style: ruff check' -- $(BIN)/ruff check .
	@$(STEP) 'style: ruff format' -- $(BIN)/ruff format --check .
	@$(STEP) 'import ladder' -- $(BIN)/lint-imports
	@$(STEP) 'templates: djlint' -- $(BIN)/djlint --lint --quiet templates
	@$(STEP) 'missing migrations' -- $(DEVSTACK) exec --no-migrate -- $(MANAGE) makemigrations --check --dry-run
	@$(STEP) 'API schema' -- scripts/check_schema.sh

bench: setup
	@BACKOFFICE_DEVSTACK_SHARED_BUFFERS=$${BACKOFFICE_DEVSTACK_SHARED_BUFFERS:-1GB} $(DEVSTACK) exec -- $(MANAGE) bench $(BENCH_ARGS)

schema: setup
	@scripts/check_schema.sh --write

# The lock is compiled without naming any package index, so that it installs from whichever one a machine uses.
lock:
	@echo 'Edit requirements.in, then, with uv at hand (it is needed for this only):'
	@echo '  uv pip compile --generate-hashes --no-emit-index-url --python-version 3.11 requirements.in -o requirements.txt'
	@echo 'The next `make setup` installs the difference. Commit both files together.'
