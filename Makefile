# Everything a developer runs. `make help` lists it; CI calls these targets and nothing else.

VENV   := .venv
PY     := $(VENV)/bin/python
UV     := $(VENV)/bin/uv
STAMP  := $(VENV)/.folio-ready
VLLM   := .venv-vllm
VLLM_STAMP := $(VLLM)/.folio-ready
# Compiled once here, not at every start: many containers forbid Python to keep what it compiles.
OPTIONS := --quiet --compile-bytecode
ROOMS   := folio ingest ocr_stage ledger chunking indexer infra console quality
OVERRIDES := infra/deploy/vllm/overrides.txt
PYTHON ?= python3
# TORCH=cpu installs PyTorch's small CPU build from PyTorch's own index (1 GB instead of 6 GB).
TORCH  ?=

.DEFAULT_GOAL := help
.PHONY: help setup vllm run test check faults bench kafka lock fix wheel clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## make the environment in .venv (silent when there is nothing to do)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("folio needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make setup PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@test -x $(UV) || $(PY) -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	@echo "Installing what folio needs into $(VENV) (about 6 GB on Linux, most of it PyTorch) ..."
	@if [ -n "$(TORCH)" ]; then VIRTUAL_ENV=$(VENV) $(UV) pip install $(OPTIONS) --torch-backend $(TORCH) --no-verify-hashes -r requirements.lock; \
	 else VIRTUAL_ENV=$(VENV) $(UV) pip sync $(OPTIONS) requirements.lock; fi
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@$(PY) -m compileall -q $(ROOMS)
	@touch $@

vllm: $(VLLM_STAMP) ## make .venv-vllm: the real vLLM on the CPU, for tests/vllm

$(VLLM_STAMP): requirements-vllm.lock pyproject.toml | $(STAMP)
	@test -x $(VLLM)/bin/python || $(UV) venv --quiet --python $(PY) $(VLLM)
	@echo "Installing vLLM for the CPU into $(VLLM) (about 6 GB, most of it PyTorch) ..."
	@if [ -n "$(TORCH)" ]; then VIRTUAL_ENV=$(VLLM) $(UV) pip install $(OPTIONS) --torch-backend $(TORCH) --no-verify-hashes --override $(OVERRIDES) -r requirements-vllm.lock; \
	 else VIRTUAL_ENV=$(VLLM) $(UV) pip sync $(OPTIONS) requirements-vllm.lock; fi
	@VIRTUAL_ENV=$(VLLM) $(UV) pip install --quiet --no-deps --editable .
	@touch $@
	@echo "vLLM is there: make test runs tests/vllm too"

run: setup ## the example documents through the whole pipeline, a cited answer, then serve (ONCE=1: end after the answer)
	@$(VENV)/bin/folio demo $(if $(ONCE),,--serve)

# Three at once on two cores: half of their time the tests wait. A file stays in one process, which makes what its tests share once.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder

test: setup ## the everyday tests; those on the real vLLM too where make vllm was run, and always in CI
	@if [ -n "$$CI" ] || [ -e $(VLLM_STAMP) ]; then $(MAKE) --no-print-directory vllm && $(VLLM)/bin/python -m pytest tests/vllm; \
	 else echo "tests/vllm: not run, vLLM is not here (make vllm installs it, 6 GB)"; fi
	@infra/deploy/kafka/broker.sh prepare || [ -z "$$CI" ]
	@$(PY) -m pytest -m "not faults" --ignore tests/vllm $(SIDE_BY_SIDE)

check: setup ## ruff, mypy strict, the import contracts
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

faults: setup ## the long one: kill -9 at every fail point, and 200 random kills
	@infra/deploy/kafka/broker.sh prepare || [ -z "$$CI" ]
	@$(PY) -m pytest tests/faults -m faults --timeout 3600

bench: setup ## the short benchmarks that need no GPU and no test data, references beside ours
	@for each in startup overhead first_page chunking_speed index_speed memory kafka_speed; do echo "== $$each"; $(PY) -m benchmarks.$$each || exit 1; done

fix: setup ## format and mend what ruff can mend
	@$(VENV)/bin/ruff format --quiet . && $(VENV)/bin/ruff check --quiet --fix .

kafka: ## a real Kafka broker on 127.0.0.1:9092 without Docker (STOP=1 stops it)
	@infra/deploy/kafka/broker.sh $(if $(STOP),stop,start)

lock: ## write both lock files anew (they name no download address)
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(PY) -m pip install --quiet 'uv>=0.13'; }
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra dev pyproject.toml -o requirements.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --override $(OVERRIDES) infra/deploy/vllm/requirements.in -o requirements-vllm.lock

wheel: setup ## build the wheel into dist/
	@VIRTUAL_ENV=$(VENV) $(UV) build --quiet --wheel

clean: ## remove what make made, and the demo's state
	@find $(ROOMS) -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf $(VENV) $(VLLM) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .folio
