# What is done to nngio, one verb each; every verb sets up what it needs first. `make` alone lists them.
#
#   PYTHON=python3.12     the interpreter that .venv is made with (3.11 or later)
#   RACES="exit close"    which files of tests/stress `make stress` runs, all of them unless set; with test-sid, what runs there
#                         in place of the suite (RACES=all for all)
#   MINUTES=10            how long `make soak` takes, an hour unless set
#   ARGS="-k retry -x"    more arguments for pytest (test, test-wheel, test-sid, sanitize), or for what run and bench start
#
# What is up to date is told by stamps in .venv/stamps. The variables of nng_src/README.md work here too.

PYTHON ?= python3
ARGS   ?=
RACES  ?=
MINUTES ?= 60

VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq

# All that the extension is made from. Its build keeps every part that has not changed (nng_src/README.md).
SOURCES := pyproject.toml setup.py build_ffi.py $(wildcard nng_src/*.py nng_src/*.toml nng_src/patches/*.patch) \
           $(wildcard src/nngio/_ffi/*.py src/nngio/_ffi/decl/*.h src/nngio/_ffi/shim/*)
# And what else goes into a wheel.
SHIPPED := $(SOURCES) MANIFEST.in LICENSE $(shell find src -name '*.py' -o -name '*.pyi')

# The variables that change what is built, noted in a file that changes when they do.
ENVIRONMENT := $(STAMPS)/environment
BUILD_VARIABLES = $(shell env | grep -E '^(NNGIO_((NNG|MBEDTLS)_.*|SYSTEM_NNG|SANITIZE|DEBUG)|CC|CFLAGS|CPPFLAGS|LDFLAGS)=' | sort | cksum)

# A tree of the user's own may change at any time, and the extension may have been removed: the build itself looks then.
OWN_TREE := $(if $(NNGIO_NNG_SOURCE)$(NNGIO_MBEDTLS_SOURCE),FORCE)
REMOVED  := $(if $(wildcard src/nngio/_nng.*.so),,FORCE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test stress soak test-sid test-wheel lint format sanitize docs bench wheel check-wheel clean FORCE

help: ## list the verbs
	@echo "nngio: make VERB"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 15

run: $(STAMPS)/installed ## build, and talk to another process over TCP: nngcat if it is installed
	@$(BIN)/python tools/demo.py $(ARGS)

test: $(STAMPS)/installed $(STAMPS)/test ## run the whole suite
	@PYTHON=$(BIN)/python tools/packages.sh test
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

stress: $(STAMPS)/installed $(STAMPS)/test ## run the long races, by the thousand, that are too long for `make test`
	@PYTHON=$(BIN)/python tools/packages.sh test
	$(BIN)/python -m pytest $(or $(RACES:%=tests/stress/test_%.py),tests/stress) $(ARGS)

soak: $(STAMPS)/installed $(STAMPS)/test ## run everything at once for an hour (MINUTES=10), and see that nothing grows, stalls or gets lost
	$(BIN)/python tools/soak.py --seconds $$(($(MINUTES) * 60)) $(ARGS)

test-sid: ## run it in Debian sid: system NNG 1.12, Python 3.14 (root only, five minutes the first time)
	@tools/sid.sh $(ARGS)

test-wheel: $(STAMPS)/wheel ## run it against the wheel in dist/, on Python 3.11, 3.12 and 3.13
	@PYTHON=$(BIN)/python tools/packages.sh test
	@tools/test_wheel.sh $(ARGS)

lint: $(STAMPS)/build $(STAMPS)/lint ## ruff, mypy and pyright
	@failed=0; for tool in "ruff check" "ruff format --check" mypy pyright; do \
	    echo "$$tool"; $(BIN)/$$tool || failed=1; \
	done; exit $$failed

format: $(STAMPS)/build $(STAMPS)/lint ## let ruff sort imports and format
	$(BIN)/ruff check --select I --fix -q
	$(BIN)/ruff format

sanitize: $(STAMPS)/build $(STAMPS)/test ## run the suite under AddressSanitizer, the C tests under ThreadSanitizer
	@PYTHON=$(BIN)/python tools/packages.sh build test
	@tools/sanitize.sh $(ARGS)

docs: $(STAMPS)/installed $(STAMPS)/docs ## build the documentation into build/docs/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/docs/doctrees docs build/docs/html
	@echo "the documentation is in build/docs/html/index.html"

bench: $(STAMPS)/installed ## measure nngio beside C and other bindings, the short form in under five minutes
	@$(BIN)/python -m benchmarks $(or $(ARGS),--short)

wheel: $(STAMPS)/wheel ## build the wheel into dist/, and let auditwheel make a manylinux wheel of it
	@ls -l dist/*.whl

check-wheel: $(STAMPS)/build $(STAMPS)/wheel-tools $(ENVIRONMENT) ## build sdist and wheel in a clean copy, into dist/, and check them
	@rm -rf dist
	$(BIN)/python tools/check_wheel.py --keep dist
	@touch $(STAMPS)/wheel

clean: ## remove all that was made, but for the downloaded sources in nng_src/
	rm -rf build dist $(VENV) .hypothesis .*_cache src/*.egg-info src/nngio/*.so LICENSE.*.txt
	find . -name __pycache__ -prune -exec rm -rf {} +

# The virtual environment, a group of packages from pyproject.toml at a time.

$(STAMPS)/venv:
	@PYTHON=$(PYTHON) tools/packages.sh build
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "nngio needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/build $(STAMPS)/test $(STAMPS)/lint $(STAMPS)/docs: $(STAMPS)/%: $(STAMPS)/venv pyproject.toml
	@echo "installing what pyproject.toml has in the group $*"
	@$(PIP) install --group $*
	@touch $@

$(STAMPS)/wheel-tools: $(STAMPS)/venv pyproject.toml
	@echo "installing what pyproject.toml has in the group wheel"
	@$(PIP) install --group wheel
	@touch $@

$(ENVIRONMENT): $(STAMPS)/venv FORCE
	@echo '$(BUILD_VARIABLES)' | cmp -s - $@ || echo '$(BUILD_VARIABLES)' > $@

$(STAMPS)/extension: $(STAMPS)/build $(ENVIRONMENT) $(SOURCES) $(OWN_TREE) $(REMOVED)
	@PYTHON=$(BIN)/python tools/packages.sh build
	@echo "building nngio._nng; the first time compiles NNG and mbedTLS, which takes a minute or two"
	@$(BIN)/python setup.py -q build_ext --inplace >/dev/null
	@touch $@

$(STAMPS)/installed: $(STAMPS)/venv pyproject.toml setup.py build_ffi.py LICENSE $(ENVIRONMENT) | $(STAMPS)/extension
	@$(PIP) install --no-build-isolation --editable .
	@touch $@

$(STAMPS)/wheel: $(STAMPS)/build $(STAMPS)/wheel-tools $(ENVIRONMENT) $(SHIPPED) $(OWN_TREE)
	@rm -rf dist build/wheel
	$(BIN)/python -m build --wheel --no-isolation --outdir build/wheel .
	@mkdir -p dist
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair -w dist build/wheel/*.whl
	@touch $@
