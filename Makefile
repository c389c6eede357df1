# The menu. `make demo` and `make test` are all a fresh machine needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test check lint types format bench docs clean

bin := .venv/bin
ready := .venv/ready

help: ## Show this menu
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# A .venv knows its absolute place; in a checkout that was moved or copied it is made anew.
ifneq ($(shell cat $(ready) 2>/dev/null),$(CURDIR))
.PHONY: $(ready)
endif

setup: $(ready) ## Prepare .venv with the pinned packages

$(ready): pyproject.toml constraints.txt scripts/setup.sh
	@sh scripts/setup.sh

demo: $(ready) ## The main job, end to end, on a sample repository
	@$(bin)/python demo/run.py

up: $(ready) ## Serve your own repositories (runner.toml; `gcr init` makes it)
	@$(bin)/gcr up

test: $(ready) ## The test suite
	@$(bin)/python -m pytest -n auto --dist worksteal

check: $(ready) lint types test ## What CI runs: format, lint, types, tests

lint: $(ready) ## Formatting and lint
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .

types: $(ready) ## mypy, strict
	@$(bin)/mypy

format: $(ready) ## Put the code into shape
	@$(bin)/ruff format .
	@$(bin)/ruff check --fix .

bench: $(ready) ## How quickly the engine wakes, and what sealing costs
	@$(bin)/python benchmarks/wake.py
	@$(bin)/python benchmarks/seal.py

docs: $(ready) ## Hold the documents to what is so
	@$(bin)/python -m pytest tests/test_docs.py

clean: ## Remove what the targets above made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
