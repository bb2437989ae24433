# The commands of this project; `make help` lists them. Needs make, git and Python 3.11 or 3.12, nothing else.
.DEFAULT_GOAL := help
.PHONY: help run test check generate bench bench-race lock
SETUP = sh ops/setup.sh
VENV_PYTHON = .venv/bin/python

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## start everything, stay up; PORTS='kafka=9092 api=9000' chooses other ports
	@$(SETUP) run
	@exec $(VENV_PYTHON) -m ops.up $(foreach port,$(PORTS),--port $(port)) $(ARGS)

test: ## all tests, on servers, ports and data of their own; ARGS='-k name' chooses
	@$(SETUP) dev
	@$(VENV_PYTHON) -m ops.fetch >/dev/null
	@exec $(VENV_PYTHON) -m pytest $(ARGS)

check: ## format, lint, strict types, generated files in step
	@$(SETUP) dev
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy
	$(VENV_PYTHON) -m schemas.generate --check
	$(VENV_PYTHON) -m topics.generate --check
	$(VENV_PYTHON) -m ops.sync_client --check

generate: ## write everything that is generated
	@$(SETUP) dev
	$(VENV_PYTHON) -m schemas.generate
	$(VENV_PYTHON) -m topics.generate
	$(VENV_PYTHON) -m ops.sync_client

bench: ## measure, on servers, ports and data of its own; ARGS chooses
	@$(SETUP) dev
	@exec $(VENV_PYTHON) -m benchmarks $(ARGS)

bench-race: ## the same upstream through us, LiteLLM and Open WebUI (8 GB of packages the first time); ARGS chooses
	@$(SETUP) dev
	@exec $(VENV_PYTHON) -m benchmarks.race $(ARGS)

lock: ## maintainers: resolve every dependency again (UPGRADE=1: to the newest)
	@$(SETUP) dev
	$(VENV_PYTHON) -m ops.lock $(if $(UPGRADE),--upgrade)
