# Type `make` to see what there is. Everything is installed into .venv and nowhere else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# editable_mode=compat puts this folder itself on the path; the other editable modes hide
# twisted/plugins from twistd.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
    --config-settings editable_mode=compat

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@python=""; for name in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "crawlsock needs Python 3.10 or later; install it, or say make PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$($$python --version)" >&2; $$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Two stamps: a person who only wants to see it run does not wait for the test tools.
$(VENV)/.run: $(BIN)/python setup.cfg pyproject.toml
	@echo "installing crawlsock into $(VENV)" >&2
	@$(INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/python setup.cfg pyproject.toml
	@echo "installing crawlsock and its tools into $(VENV)" >&2
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.run

.PHONY: venv
venv: $(VENV)/.dev ## make .venv with everything that development needs

.PHONY: run
run: $(VENV)/.run ## crawl a sample GitLab from end to end
	@$(BIN)/crawlsock demo $(ARGS)

.PHONY: test
test: $(VENV)/.dev ## run every test, against a real PostgreSQL
	@$(BIN)/python -m tests $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.dev ## take the pictures of the dashboard into docs/screenshots/ anew
	@rm -rf docs/screenshots
	@CRAWLSOCK_SCREENSHOTS=$(CURDIR)/docs/screenshots $(BIN)/python -m pytest -q tests/browser/test_screens.py

.PHONY: check
check: $(VENV)/.dev ## lint, types, import law, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m crawlsock.config docs --check
	$(BIN)/python -m crawlsock.wire.reference --check
	$(BIN)/python -m crawlsock.web.reference --check

.PHONY: bench
bench: $(VENV)/.dev ## measure, beside peers in the same run; one JSON object a line
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.dev ## kill things while they work; one JSON object a line
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

.PHONY: dist
dist: $(VENV)/.dev ## build the wheel and the source distribution into dist/
	@rm -rf dist build
	@$(BIN)/python -m build

.PHONY: clean
clean: ## remove what make and the tools have made, .venv too
	rm -rf $(VENV) build dist .coverage* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	    .import_linter_cache _trial_temp* tests.*/ *.egg-info twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
