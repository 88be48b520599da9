# `make help` lists the targets. What they set up lies in .venv, .sam, .ministack, .docs, .make, site
# and models/build, and in the user's cache folder; nothing has to be installed by hand but Python and make.

PYTHON ?= python3
MODEL_SET ?= compact
OUT ?= out

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint audit sbom emulator browser stack local parts bench models docs sam aws lock openapi clean

BIN := .venv/bin
PIP := -m pip --disable-pip-version-check --no-input
# The locks are whole, so nothing is left to resolve: older pips trip over extras when they try. Python compiles
# what is imported by itself; most of the packages' modules never are.
LOCKED := $(PIP) install --quiet --no-compile --no-deps --require-hashes -r
# Locked requirements, with the project itself beside them.
RUNTIME := .venv/runtime
TOOLS := .venv/tools
MODELS := models/build/$(MODEL_SET)/manifest.json
SAM := .sam/ready
AWS := .ministack/ready
DOCS := .docs/ready
BROWSER := .venv/browser
# What the image has beside the library's own dependencies, and what .venv has.
IMAGE_EXTRAS := --extra aws --extra cloudinary --extra firestore
EXTRAS := --extra cli $(IMAGE_EXTRAS)
# What the site is made of, laid out as in the repository, so that the same links hold in both.
PAGES := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs template.yaml \
  benchmarks/README.md models/README.md models/cards models/garment_parser/README.md tests/README.md \
  examples/README.md examples/flutter/README.md
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(RUNTIME) $(MODELS) ## make the masks of one real photo, in out/
	@set -o pipefail; photos="$$($(BIN)/python models/build.py --demo-photos)"; \
	$(BIN)/tryon-masks generate "$$photos"/*4793290.jpg --out "$(OUT)" --overlay \
	| $(BIN)/python -m json.tool
	@ls "$(OUT)"/*4793290.*

test: $(TOOLS) $(MODELS) ## all tests but those of the container image
	@$(BIN)/python models/build.py --demo-photos
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m "not stack and not browser" -n 2 --dist loadscope --no-loadscope-reorder

lint: $(TOOLS) ## style, types, and which way imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(TOOLS) ## known vulnerabilities of the locked packages; says so where it cannot tell
	$(BIN)/python tests/tools/audit.py

sbom: $(TOOLS) $(MODELS) ## what the image is made of, as CycloneDX, beside the models: it carries it
	$(BIN)/python tests/tools/sbom.py $(MODEL_SET)

emulator: $(TOOLS) $(MODELS) $(SAM) ## the handler under the runtime emulator, without a container
	$(BIN)/python -m pytest -m stack tests/stack/test_runtime_emulator.py tests/stack/test_restore.py

browser: $(BROWSER) $(MODELS) ## the page and the sheet in chromium, which must be there
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m browser tests/browser

stack: ## build the image, call it, deploy it: needs docker or root
	@$(PYTHON) -m tests.stack.can_run
	@$(MAKE) --no-print-directory $(TOOLS) $(MODELS) $(SAM) $(AWS)
	AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0 .sam/bin/sam validate --lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m stack tests/stack

local: parts $(TOOLS) $(MODELS) $(SAM) $(AWS) ## the whole service on this machine until Ctrl-C: needs root
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/python -m tests.stack.local

parts:
	@$(PYTHON) -m tests.stack.parts

bench: $(TOOLS) $(MODELS) ## time and memory of each stage, and what a photo costs
	$(BIN)/python -m benchmarks.speed

models: $(RUNTIME) ## fetch, check and convert the models; HAVE=DIR has some already
	$(BIN)/python models/build.py --set $(MODEL_SET) $(if $(HAVE),--have "$(HAVE)")

docs: $(DOCS) ## the documents as a site, in site/; a broken link stops it
	@rm -rf .make/pages && mkdir -p .make/pages
	@tar -c --exclude=__pycache__ $(PAGES) | tar -x -C .make/pages
	NO_MKDOCS_2_WARNING=1 .docs/bin/mkdocs build --strict

sam: $(SAM) ## the SAM CLI, in .sam

aws: $(AWS) ## AWS's services on this machine, in .ministack

lock: $(TOOLS) ## bring the requirements files in line with pyproject.toml
	$(LOCK) pyproject.toml $(EXTRAS) -o requirements.txt
	$(LOCK) pyproject.toml $(IMAGE_EXTRAS) -c requirements.txt -o requirements-image.txt
	$(LOCK) pyproject.toml $(EXTRAS) --extra serve --group dev -c requirements.txt \
	  -o requirements-dev.txt
	$(LOCK) docs/requirements.in -o docs/requirements.txt
	$(LOCK) tests/tools/sam/requirements.in -o tests/tools/sam/requirements.txt
	$(LOCK) tests/tools/ministack/requirements.in -o tests/tools/ministack/requirements.txt
	$(LOCK) tests/tools/browser/requirements.in -c requirements-dev.txt \
	  -o tests/tools/browser/requirements.txt

openapi: $(RUNTIME) ## write docs/openapi.json anew
	@mkdir -p .make
	$(BIN)/python -m tryon_masks.entrypoints.http.openapi > .make/openapi.json
	mv .make/openapi.json docs/openapi.json

clean: ## remove everything that was made here; the cache folder stays
	rm -rf .venv .sam .ministack .docs .make .aws-sam site models/build build "$(OUT)" function/*.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find function models tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

$(RUNTIME): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than Python 3.11: make PYTHON=python3.12 ...")'
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(LOCKED) requirements.txt
	@$(BIN)/python $(PIP) install --quiet --no-deps --editable .
	@$(BIN)/python $(PIP) check
	@touch $@

# The Firestore emulator of the tests needs node, and npm to fetch it.
$(TOOLS): $(RUNTIME) requirements-dev.txt
	@echo "adding the tools for development to .venv"
	@$(BIN)/python $(LOCKED) requirements-dev.txt
	@$(BIN)/python $(PIP) check
	@command -v npm > /dev/null || $(BIN)/python $(LOCKED) models/npm-requirements.txt
	@touch $@

$(BROWSER): tests/tools/browser/requirements.txt $(TOOLS)
	@$(BIN)/python $(LOCKED) $<
	@$(BIN)/python $(PIP) check
	@touch $@

$(MODELS): models/build.py models/catalog.toml models/convert.py models/conversion-requirements.txt \
  models/garment_parser/garment_parser_int8.onnx | $(RUNTIME)
	@$(BIN)/python models/build.py --set $(MODEL_SET) $(if $(HAVE),--have "$(HAVE)")
	@touch $@

$(SAM): tests/tools/sam/requirements.txt
	@$(PYTHON) -m venv .sam
	@.sam/bin/python $(LOCKED) $<
	@.sam/bin/python $(PIP) check
	@touch $@

$(AWS): tests/tools/ministack/requirements.txt
	@$(PYTHON) -m venv .ministack
	@.ministack/bin/python $(LOCKED) $<
	@.ministack/bin/python $(PIP) check
	@touch $@

$(DOCS): docs/requirements.txt
	@$(PYTHON) -m venv .docs
	@.docs/bin/python $(LOCKED) $<
	@.docs/bin/python $(PIP) check
	@touch $@
