# Two commands need nothing beforehand but Python 3.11 or newer, git and make:
#   make demo    compiles an embedded example and shows what was made
#   make test    passes the tests
PYTHON ?= python3
VENV ?= .venv
DEMO ?= .demo
WORKERS ?= $$($(bin)/python -c 'import os; print(2 * (os.cpu_count() or 1))')  # tests wait for servers half of the time

unexport PYTHONDONTWRITEBYTECODE  # or each of the tests' processes would compile what it imports

bin := $(VENV)/bin
runs := $(VENV)/.runs
installed := $(VENV)/.installed

.PHONY: help demo test helm-versions coverage lint types docs wheel bench schemas hostile cluster clean
.NOTPARALLEL:  # one pip at a time in the private environment

help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# The private environment: with what kcd-gen itself needs, for the demo, or with everything. Compiled once here, so that
# it starts as fast as an installed package.
$(runs): pyproject.toml
	$(call install,.)
	@touch $@

$(installed): pyproject.toml
	$(call install,.[dev$(comma)docs])
	@touch $(runs) $@

# Prints the name of each package that pip looks up. What pip returns goes through the third stream, past the loop.
comma := ,
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kcd-gen needs Python 3.11 or newer; choose one with: make PYTHON=python3.12")'
@test -x $(bin)/python || { echo "Creating $(VENV)" >&2; $(PYTHON) -m venv $(VENV); }
@echo "Installing $(1) into $(VENV), with:" >&2
@{ { PYTHONUNBUFFERED=1 $(bin)/python -m pip install --disable-pip-version-check --editable '$(1)'; echo $$? >&3; } | \
    while read -r word name rest; do case "$$word $$name" in \
        "Collecting "*) echo "  $${name%%[<>=!~;]*}" >&2;; "Installing collected") echo "Unpacking them" >&2;; \
    esac; done; } 3>&1 | { read -r code; exit $$code; }
@$(bin)/python -m compileall -q kubocd_gen
endef

demo: $(runs) ## Compile fixtures/quickstart into .demo/output and show what was created
	@echo "Compiling fixtures/quickstart" >&2
	@rm -rf $(DEMO)
	@PATH="$(abspath $(bin)):$$PATH" $(bin)/python fixtures/quickstart/tour.py $(DEMO)/output

# Tests marked `slow` install packages, run containers or servers for a while, inject faults again and again, or repeat
# what others test on a larger scale. Those that need
# servers are left out where there are none and none can be installed.
test: $(installed) ## Run the tests that are not slow; ALL=1 runs every test and searches further, as CI does
	@tests/servers.sh || { echo "the tests that need them are left out" >&2; export WITHOUT_SERVERS=1; }; \
	$(if $(ALL),THOROUGH_TESTS=1) $(bin)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(ALL),,-m 'not slow') $(PYTEST_ARGS)

# CI compares the versions in packages; this also builds one with Go, and takes minutes for each. For a nightly job.
helm-versions: $(installed) ## Run the tests of templates with helm 3.19, 3.22, 4.2 and 4.3
	$(bin)/python -m tests.helm_versions

coverage: ## After `make test PYTEST_ARGS="--cov=kubocd_gen --cov-branch"`: 95 % of each room that compiles
	@for room in sources compiler helm schema kube_yaml; do \
	    $(bin)/coverage report --include="kubocd_gen/$$room/*" --skip-covered --fail-under=95 || exit 1; done

lint: $(installed) ## Check style, format, and that rooms import in one direction
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/lint-imports --no-cache

types: $(installed) ## Check types
	$(bin)/mypy --strict

# Not with --quiet: warnings would be hidden from --strict, too.
docs: $(installed) ## Build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(bin)/python -m mkdocs build --strict

wheel: $(installed) ## Build the wheel into dist/, and try it in an environment of its own
	$(bin)/python -m tests.wheel_check

bench: $(installed) ## Measure against a bare helm template; BENCH_ARGS="--sizes 10000 --rounds 3" and others
	$(bin)/python -m tests.benchmarks $(BENCH_ARGS)

schemas: $(installed) ## Write schemas/flux/ from the Go types of Flux's APIs; needs Go
	$(bin)/python -m tests.flux_schemas

hostile: $(installed) ## Measure what hostile input costs, for docs/limits.md
	$(bin)/python -m tests.benchmarks.hostile

# Not part of `make test` and CI: building Kubernetes and Flux takes too long. tests/cluster/README.md describes it.
cluster: $(installed) ## Apply the output with Flux on a real API server; CLUSTER_ARGS="--delivery git" and others
	$(bin)/python -m tests.cluster $(CLUSTER_ARGS)

clean: ## Remove what these commands made
	rm -rf $(VENV) $(DEMO) .helm build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
