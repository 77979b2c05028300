# Every target sets up what it needs (.venv, by requirements/venv.sh) and does so once.
# The recipes run programs of .venv by path: nothing has to be activated.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

bin := .venv/bin
setup := .venv/stamp
overlay := .tools/samples
linters := .tools/lint
auditors := .tools/audit
fuzzer := .tools/fuzz
go_tools := .tools/go
# More arguments for pytest, make faults, make fuzz or make lock: make test ARGS='-k grammar'
ARGS ?=

.PHONY: help
help: ## Show the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: setup
setup: $(setup) ## Make or update .venv (the targets below do it themselves)

.PHONY: tools
tools: $(linters)/stamp $(go_tools)/stamp ## Install the linters and act (needs Go; the targets below do it themselves)

.PHONY: demo
demo: $(setup) ## Pack and verify every model in samples/, results in out/
	@$(bin)/megdump-ci run --config samples/megdump.toml --report out

.PHONY: test
test: $(setup) ## Run the unit tests and the tests on the real engine
	@$(bin)/pytest $(ARGS)

.PHONY: faults
faults: $(setup) ## Plant faults, and count what is caught and what is a false alarm
	@$(bin)/python -m tests.faults $(ARGS)

.PHONY: fuzz
fuzz: $(setup) $(fuzzer)/stamp ## Try made-up and altered inputs, for a minute or ARGS='--seconds 600'
	@PYTHONPATH=$(fuzzer) $(bin)/python -W ignore::UserWarning -m tests.fuzz $(ARGS)

.PHONY: test-container
test-container: $(setup) ## Build the container and test it (needs a Docker engine)
	@docker info >/dev/null 2>&1 || { echo 'no Docker engine answers: start one, then run again' >&2; exit 1; }
	@$(bin)/pytest tests/container $(ARGS)

.PHONY: test-workflow
test-workflow: $(setup) $(go_tools)/stamp ## Test the action in a runner (needs a Docker engine, and Go)
	@docker info >/dev/null 2>&1 || { echo 'no Docker engine answers: start one, then run again' >&2; exit 1; }
	@$(bin)/pytest tests/workflow $(ARGS)

.PHONY: test-browser
test-browser: $(setup) ## Test report.html in Chromium (which Debian's packages bring if it is missing)
	@tests/browser/setup.sh
	@$(bin)/pytest tests/browser $(ARGS)

.PHONY: lint
lint: $(setup) $(linters)/stamp ## Check format, style and types, the Dockerfile and .github/
	@$(bin)/ruff format --check
	@$(bin)/ruff check
	@$(bin)/mypy
	@$(linters)/bin/hadolint Dockerfile
	@$(linters)/bin/shellcheck .ci/run image/cut_and_test.sh requirements/venv.sh tests/browser/setup.sh
	@$(linters)/bin/zizmor --offline --quiet --persona pedantic .
	@$(linters)/bin/zizmor --offline --quiet tests/workflow/*.yml
	@check=$(linters)/bin/check-jsonschema; \
	$$check --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml tests/workflow/*.yml; \
	$$check --quiet --builtin-schema vendor.github-actions action.yml; \
	$$check --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

.PHONY: lint-workflows
lint-workflows: $(linters)/stamp $(go_tools)/stamp ## Check the workflows and their scripts (needs Go)
	@PATH=$(CURDIR)/$(linters)/bin:$$PATH $(go_tools)/actionlint .github/workflows/*.yml tests/workflow/*.yml

.PHONY: audit
audit: $(auditors)/stamp ## Ask what is known against the packages that are shipped (needs the network)
	@$(auditors)/bin/python .github/scripts/audit.py $(auditors)/bin/pip-audit

.PHONY: sbom
sbom: $(auditors)/stamp ## Write the list of the packages that are shipped, out/packages.cdx.json (CycloneDX)
	@mkdir -p out
	@$(auditors)/bin/cyclonedx-py requirements --output-reproducible --output-format JSON \
	  --output-file out/packages.cdx.json requirements/run.txt

.PHONY: format
format: $(setup) ## Format the code, and mend what ruff can mend
	@$(bin)/ruff check --fix-only --quiet
	@$(bin)/ruff format

.PHONY: samples
samples: $(setup) $(overlay)/stamp ## Make the models and data of samples/ anew (same bytes)
	@PYTHONPATH=$(overlay) $(bin)/python -W ignore::UserWarning samples/make.py

.PHONY: docs
docs: $(setup) ## Bring action.yml and the made parts of the documentation up to date
	@$(bin)/python docs/tables.py

.PHONY: lock
lock: ## Lock requirements/*.in anew; ARGS=--upgrade takes newer versions
	@uv=$$(requirements/venv.sh uv); compile() { \
	  "$$uv" pip compile --quiet --generate-hashes --no-annotate --python-version 3.10 \
	    --python-platform x86_64-manylinux_2_28 --override requirements/overrides.txt \
	    --custom-compile-command 'make lock' "requirements/$$1.in" -o "requirements/$$1.txt" \
	    "$${@:2}" $(ARGS); }; \
	compile uv; compile run; compile dev; compile lint; compile audit; \
	compile samples --no-emit-package numpy; compile fuzz

.PHONY: clean
clean: ## Remove what the targets made, .venv and .tools included
	rm -rf .venv .tools out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is the last thing written, so that a set-up that was stopped is done again.
$(setup): requirements/venv.sh requirements/dev.txt pyproject.toml .python-version
	@requirements/venv.sh

$(overlay)/stamp: requirements/samples.txt $(setup)
	@uv=$$(requirements/venv.sh uv); rm -rf $(overlay); \
	"$$uv" pip install --quiet --python .venv --target $(overlay) --require-hashes --no-deps \
	  -r requirements/samples.txt
	@touch $@

$(fuzzer)/stamp: requirements/fuzz.txt $(setup)
	@uv=$$(requirements/venv.sh uv); rm -rf $(fuzzer); \
	"$$uv" pip install --quiet --python .venv --target $(fuzzer) --require-hashes --no-deps \
	  -r requirements/fuzz.txt
	@touch $@

$(linters)/stamp: requirements/lint.txt $(setup)
	@uv=$$(requirements/venv.sh uv); rm -rf $(linters); \
	"$$uv" venv --quiet --no-project --python .venv/bin/python $(linters); \
	"$$uv" pip sync --quiet --python $(linters) --require-hashes requirements/lint.txt
	@touch $@

# Without .venv, which a release and the audit of each week would install for this alone.
$(auditors)/stamp: requirements/audit.txt
	@uv=$$(requirements/venv.sh uv); rm -rf $(auditors); \
	"$$uv" venv --quiet --no-project --python 3.10 $(auditors); \
	"$$uv" pip sync --quiet --python $(auditors) --require-hashes requirements/audit.txt
	@touch $@

# What go.sum does not have the hash of is not built.
$(go_tools)/stamp: requirements/go.mod requirements/go.sum
	@go version >/dev/null || { echo 'this needs Go: install it, then run again' >&2; exit 1; }
	@cd requirements && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOBIN=$(CURDIR)/$(go_tools) go install tool
	@touch $@
