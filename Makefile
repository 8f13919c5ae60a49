# A recipe that fails halfway, or in a pipe, must fail as a whole.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Tests use the installed Pythons: uv downloads none, and packages come from PyPI only.
export UV_PYTHON_DOWNLOADS := never
# Compile the libraries at installation, even where Python is set to store no compiled files: a start
# that compiles all of them takes three times as long, and the tests start hundreds of commands.
export UV_COMPILE_BYTECODE := 1

INTERPRETER ?= python3
UV := .tools/bin/uv
BIN := .venv/bin
ENVIRONMENTS := .venv .venv-3.11 .venv-3.12 .venv-3.13
PROTOS := protos/manman/v1
# The last released contract: hosts of that release must continue to work.
RELEASED := protos/released.json
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock"

.PHONY: help setup run test mutants test-rest test-all check protos release-contract docs lock bench images stack format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-17s %s\n", $$1, $$2}' Makefile

setup: .venv/ready ## Create .venv from the hashed requirements (needs python3, pip and make)

run: setup ## Run the API and one host manager, and watch the fleet (Ctrl-C stops it)
	@# On a terminal the demonstration gets a process group of its own, so that Ctrl-C
	@# reaches it and not make, which would report its clean exit as an error. "|| exit"
	@# keeps bash running, which creates that group; a last command would replace it.
	@# PPID is make: if that is killed, the demonstration stops.
	@if [ -t 0 ]; then set -m; fi; $(BIN)/manmanv2 demo --stop-with-pid $$PPID || exit

test: setup ## Run the suite once (PYTHON=3.12 for another Python, ARGS="-k name" for pytest)
	@$(BIN)/python -m tests.support.run_suite

test-rest: setup ## Run e2e and deploy, and the suite on all other installed Pythons
	@$(BIN)/python -m tests.support.run_suite --rest

mutants: setup ## Change the rules in small ways and list changes that no test notices (MUTANTS="domain.naming*")
	@# 25 minutes on two cores. The report is read with: .venv/bin/mutmut results
	nice $(BIN)/mutmut run $(MUTANTS)

test-all: test test-rest ## Run it on every installed Python

check: setup ## Run linters, type checker and import contracts, and check generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive domain application adapters entrypoints
	$(BIN)/buf lint
	$(BIN)/buf breaking --against $(RELEASED)
	deploy/check
	@# Generated in a separate folder, so that the check changes no file.
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) protos OUT="$$fresh"; \
	diff -r --exclude=__pycache__ --exclude=__init__.py --exclude='*.proto' "$$fresh/$(PROTOS)" $(PROTOS) \
		|| { echo "The generated code is not up to date: make protos" >&2; exit 1; }; \
	$(MAKE) docs OUT="$$fresh"; \
	for file in $$(cd "$$fresh" && find docs -type f); do \
		diff "$$file" "$$fresh/$$file" || { echo "$$file is not up to date: make docs" >&2; exit 1; }; \
	done
	@# The environment was created from requirements/, so this check needs no network.
	@$(UV) pip install --offline --dry-run --python .venv --requirements pyproject.toml --extra otel --group dev 2>&1 \
		| grep -q 'Would make no changes' \
		|| { echo "requirements/ does not match pyproject.toml: make lock" >&2; exit 1; }
	$(BIN)/python -m adapters.sql.migrations check

OUT ?= .
protos: setup ## Generate the code of protos/
	@# From the root, so that imports in the generated code match the folders.
	@$(BIN)/python -m grpc_tools.protoc -I . \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
		--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=$(OUT) --grpc_python_out=$(OUT) \
		--mypy_out=quiet:$(OUT) --mypy_grpc_out=quiet:$(OUT) \
		$(PROTOS)/*.proto

release-contract: setup ## Record the current contract as released: from now on it may only grow
	$(BIN)/buf build --exclude-source-info --output $(RELEASED)

docs: setup ## Regenerate the documents and manual pages that are made from the code
	@$(BIN)/python -m docs.generator $(OUT)

lock: $(UV) ## Regenerate requirements/ from pyproject.toml (UPGRADE=1 takes newer versions)
	@mkdir -p requirements
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra otel pyproject.toml --output-file requirements/run.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra otel pyproject.toml --group dev --constraints requirements/run.txt --output-file requirements/dev.txt
	$(COMPILE) --group build --constraints requirements/dev.txt --output-file requirements/build.txt

bench: setup ## Measure heartbeats per second against an empty handler
	@$(BIN)/python -m tests.benchmarks

IMAGE_TAG ?= latest
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' entrypoints/__init__.py)
COMMIT = $(shell git rev-parse HEAD)
CREATED = $(shell date --utc +%Y-%m-%dT%H:%M:%SZ)
images: ## Build the images of the API and of the host manager (IMAGE_TAG, BUILD_FLAGS for docker build)
	@for target in api host; do \
		docker build --file docker/Dockerfile --target $$target \
			--tag ghcr.io/whale-net/manmanv2-$$target:$(IMAGE_TAG) --build-arg VERSION=$(VERSION) \
			--build-arg COMMIT=$(COMMIT) --build-arg CREATED=$(CREATED) $(BUILD_FLAGS) .; \
	done

stack: setup ## Test the whole production stack in containers (as root on Debian, with a Docker engine)
	@$(BIN)/pytest tests/stack

format: setup ## Format the code and fix what a linter can fix
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

clean: ## Remove everything that was built or downloaded here
	rm -rf .tools $(ENVIRONMENTS) dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Marks a complete environment, so that a second make costs nothing.
$(ENVIRONMENTS:=/ready): pyproject.toml $(wildcard requirements/*.txt) | $(UV)
	@echo "Setting up $(@D) with $(INTERPRETER)"
	@$(UV) venv --quiet --allow-existing --python $(INTERPRETER) $(@D)
	@echo "Setting up $(@D): installing the packages of requirements/dev.txt, which can take a minute"
	@$(UV) pip sync --quiet --python $(@D) --require-hashes requirements/dev.txt
	@echo "Setting up $(@D): installing manmanv2"
	@# No isolated build, because hatchling comes from the hashed requirements too.
	@$(UV) pip install --quiet --python $(@D) --no-deps --no-build-isolation --editable .
	@touch $@

$(UV):
	@echo "Setting up .tools: fetching uv, which installs packages (needed once)"
	@$(INTERPRETER) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "manmanv2 needs Python 3.11 or later, and python3 is " + sys.version)'
	@$(INTERPRETER) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv
