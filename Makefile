# The menu. `make demo` and `make test` are all a fresh machine needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test check lint types format bench bench-workspace bench-health bench-planner soak corpus fuzz docs clean

bin := .venv/bin
ready := .venv/ready
# Two for each core: most tests wait for processes.
workers := $(shell echo $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )))

help: ## Show this menu
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# A .venv holds its absolute path; in a checkout that was moved or copied it is made again.
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
	@$(bin)/python -m pytest -n $(workers) --dist worksteal

recipes: $(ready) ## Every recipe of docs/recipes.md, with packages from the registries
	@$(bin)/python -m pytest tests/recipes -n 2 -m 'variant or not variant'

try-projects: $(ready) ## Set real projects of the registries up with `gcr init`, and land patches; ARGS="click"
	@$(bin)/python -m tests.projects $(ARGS)

corpus: $(ready) ## Apply patches of other projects in real repositories; ARGS="roo-3 codex"
	@$(bin)/python -m tests.corpus $(ARGS)

MINUTES ?= 10
fuzz: $(ready) ## Plan random hostile patches in two processes; MINUTES=1 is a short form, ARGS="--seed 7"
	@$(bin)/python -m tests.fuzzing --minutes $(MINUTES) $(ARGS)

check: $(ready) lint types test ## What CI runs: format, lint, types, tests

lint: $(ready) ## Formatting and lint
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .

types: $(ready) ## mypy, strict
	@$(bin)/mypy

format: $(ready) ## Format the code
	@$(bin)/ruff format .
	@$(bin)/ruff check --fix .

bench: $(ready) ## How quickly the engine wakes, the cost of sealing, the processes and transactions of a patch, patches side by side
	@$(bin)/python benchmarks/wake.py
	@$(bin)/python benchmarks/seal.py
	@$(bin)/python -m benchmarks.one_patch
	@$(bin)/python benchmarks/side_by_side.py

bench-workspace: $(ready) ## The time to prepare the workspace of a one-line patch; ARGS="1000 20000"
	@$(bin)/python -m benchmarks.workspace $(ARGS)

bench-health: $(ready) .venv-bench/ready ## /health beside its peers, under load, under faults; ARGS="--only ratios"
	@$(bin)/python -m benchmarks.health.run $(ARGS)

bench-planner: $(ready) ## What planning costs: large files, every rung, hostile input; ARGS="fuzzy 10"
	@$(bin)/python -m benchmarks.planner $(ARGS)

.venv-bench/ready: benchmarks/health/requirements.txt | $(ready)
	@$(bin)/python -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install -r benchmarks/health/requirements.txt
	@touch $@

HOURS ?= 24
soak: $(ready) ## The real installation with a fault every minute; HOURS=0.06 is a short form
	@$(bin)/python -m benchmarks.health.soak --hours $(HOURS) $(ARGS)

docs: $(ready) ## Test the documents against the code
	@$(bin)/python -m pytest tests/test_docs.py

clean: ## Remove what the targets above made
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
