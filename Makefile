# Two commands: `make demo` and `make test`. Everything else is for contributors.
PYTHON ?= python3
VENV   := .venv
SHELL  := /bin/bash
.SHELLFLAGS := -o pipefail -ec
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help demo up test check kafka-test faults lock audit clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Streamgauge needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> creating $(VENV) ($$($(PYTHON) --version))"
	@$(PYTHON) -m venv $(VENV)
	@echo "==> installing the locked dependencies (about 90 packages; two minutes or less)"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on \
	  --require-hashes -r requirements.lock 2>&1 | $(BIN)/python stack/setup_progress.py
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps \
	  --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## set everything up and run the main job (ONCE=1 exits by itself)
	@$(BIN)/streamgauge demo $(if $(ONCE),--once)

up: $(STAMP) ## the embedded stack alone, for your own spans
	@$(BIN)/streamgauge up

test: $(STAMP) ## the tests, on the embedded stack
	@$(BIN)/python -m pytest tests
	@command -v java >/dev/null || echo "note: no Java here: the Apache Kafka tests (make kafka-test) were not run"

check: $(STAMP) ## style, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

kafka-test: $(STAMP) ## the tests that need Apache Kafka (Java 17 and Maven)
	@$(BIN)/python -m pytest tests/kafka tests/faults -m kafka

RUNS ?= 20
SEED ?= 1
faults: $(STAMP) ## seeded faults on three Kafka brokers: make faults RUNS=20 SEED=1, or NAME=alerts, ...
	@$(BIN)/python -m tests.faults.run --runs $(RUNS) --seed $(SEED) $(if $(NAME),--name $(NAME))

LOCK := uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command "make lock"
lock: ## re-resolve requirements.lock and the image's two (needs uv)
	$(LOCK) --extra embedded --extra dev -o requirements.lock
	$(LOCK) -c requirements.lock --no-annotate --extra pictures --extra apprise -o deploy/image/requirements.lock
	$(LOCK) -c requirements.lock --no-annotate --extra gpu -o deploy/image/requirements-gpu.lock

audit: ## known weaknesses of the locked dependencies, from PyPI's advisories (needs uv)
	uv tool run pip-audit --strict --require-hashes --disable-pip -r requirements.lock
	uv tool run pip-audit --strict --require-hashes --disable-pip -r deploy/image/requirements.lock
	uv tool run pip-audit --strict --require-hashes --disable-pip -r deploy/image/requirements-gpu.lock

clean: ## remove the environment and what runs left behind
	rm -rf $(VENV) .streamgauge .cache
