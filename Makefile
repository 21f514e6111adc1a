# Every command of the README and of CI. Needs Python 3.11 or newer, make and a package index; nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTENSION := $(wildcard collector/tracecanary/collector/_packed*.[ch])
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test fuzz facts-proof crash-test collector-test npm-test json-exporter-test compaction-stress check fmt bench simulate lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(VENV)/.installed ## Install tracecanary with its server into .venv

install-dev: $(VENV)/.installed-dev ## Install what developing needs, too

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tracecanary needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements.lock hatch_build.py $(EXTENSION)
	@echo "installing tracecanary into $(VENV) ..."
	$(PIP_INSTALL) --editable '.[server]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the development tools into $(VENV) ..."
	$(PIP_INSTALL) --editable '.[server,dev]'
	@touch $@

demo: $(VENV)/.installed ## Compare gpt-4.1 with its fine-tune on 280 recorded runs (KEEP=1 leaves the service running)
	$(BIN)/tracecanary demo $(if $(KEEP),--keep) $(if $(LAKE),--lake '$(subst ','\'',$(LAKE))')

test: $(VENV)/.installed-dev ## Run the tests
	$(BIN)/python -m pytest

fuzz: $(VENV)/.installed-dev ## Run the property-based tests on examples that no run has tried
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=default

facts-proof: $(VENV)/.installed-dev ## Derive facts of 10,000 odd traces step by step, at once, and in plain Python, and compare
	TRACECANARY_TEST_TRACES=10000 $(BIN)/python -m pytest tests/analytics/test_derived.py

crash-test: $(VENV)/.installed-dev ## Kill an application and the service under load at 200 random moments each
	TRACECANARY_TEST_KILLS=200 $(BIN)/python -m pytest tests/system/test_crashes.py tests/system/test_service_crashes.py

collector-test: $(VENV)/.installed-dev ## Build an OpenTelemetry Collector with Go and let it forward to the service
	$(BIN)/python -m pytest -m collector tests/system/test_collector.py

npm-test: $(VENV)/.installed-dev ## Let OpenTelemetry's three JavaScript exporters, from npm, send to the service
	$(BIN)/python -m pytest -m npm tests/system/test_javascript_exporters.py

json-exporter-test: $(VENV)/.installed-dev ## Let OpenTelemetry's OTLP/JSON exporter for Python send to the service
	$(BIN)/python -m pytest -m pypi tests/system/test_json_exporter.py

compaction-stress: $(VENV)/.installed-dev ## Read a lake 10,000 times while compaction rewrites it without pause
	TRACECANARY_TEST_READS=10000 $(BIN)/python -m pytest tests/analytics/test_compaction_stress.py

check: $(VENV)/.installed-dev ## Run the linters, the type checker and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.installed-dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## Measure capturing, receiving (beside Phoenix and MLflow, installed into .bench-peers), questions, statistics
	$(BIN)/python bench/capture.py
	$(BIN)/python bench/queries.py
	$(BIN)/python bench/ingest.py --peers
	$(BIN)/python bench/freshness.py
	$(BIN)/python bench/overload.py
	OMP_NUM_THREADS=1 $(BIN)/python bench/statistics_cpu.py

simulate: $(VENV)/.installed-dev ## Measure coverage, false alarms and wrong verdicts on simulated traffic (SIZE=small for a minute)
	OMP_NUM_THREADS=1 $(BIN)/python bench/simulate.py --size $(or $(SIZE),full)

lock: $(VENV)/bin/python ## Renew requirements.lock from pyproject.toml
	$(PIP_INSTALL) 'uv>=0.9'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-header \
	  --extra server --extra dev --output-file requirements.lock pyproject.toml

clean: ## Remove .venv and caches
	rm -rf $(VENV) .bench-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
