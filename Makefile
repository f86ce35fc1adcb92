# These targets install what they need: Debian packages for the lab, and a virtual environment.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
# the Debian release of the lab: make demo RELEASE=bookworm
RELEASE ?= trixie
# lab tests to run: make lab-test TESTS=tests/lab/test_1_bad_input.py
TESTS ?= --ignore tests/lab/long tests/lab

# Compiled Python is kept beside the environment, even if the shell disables it: pytest then collects in a third of the time.
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test unit lab-test lab-long check lab deb deb-test bench clean

help: ## Show the targets.
	@echo 'make TARGET [VARIABLE=VALUE]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  %-10s %s\n' "$$target" "$$text"; done
	@echo
	@echo '  RELEASE    Debian release of the lab: trixie (default) or bookworm'
	@echo '  TESTS      lab tests to run, for lab-test: tests/lab/test_1_bad_input.py'
	@echo '  DEB        releases to build packages for: "bookworm trixie" (default)'
	@echo '  BENCH      options for bench: "--size 256M --rounds 1"'

demo: $(VENV)/installed packages ## Migrate an emulated site and cut a server's power; report in build/demo/report.html.
	$(SUDO) $(BIN)/snow lab demo --release $(RELEASE) --folder build/demo

test: unit lab-test ## Run the unit tests and the lab tests.

# The Debian packages that the command $(1) names.
define install
@missing="$$($(1))"; \
if [ -n "$$missing" ]; then \
	echo "installing $$missing"; \
	$(SUDO) apt-get -q update && $(SUDO) env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y install --no-install-recommends $$missing; \
fi
endef

# Packages that start services (sshd, Pacemaker) are unpacked below build/, not installed.
# More processes than processors: half of the tests' time is spent waiting for a disk to sync.
unit: $(VENV)/installed ## Run the unit tests.
	$(call install,$(BIN)/python tests/unit/machine.py --missing)
	@$(BIN)/python tests/unit/machine.py --unpack build/test-tools
	$(BIN)/pytest tests/unit -q -n 5 --dist worksteal

lab-test: $(VENV)/installed packages ## Run lab tests, by default all but the long ones. Needs root.
	$(SUDO) env SNOW_LAB_RELEASE=$(RELEASE) $(BIN)/pytest $(TESTS) -v --timeout 3600 -p no:xdist

lab-long: $(VENV)/installed ## Run all lab tests: also disasters, warm copies, plans, undo, a kill in every step, invalid formats.
	@$(BIN)/python tests/unit/machine.py --unpack build/test-tools
	$(MAKE) lab-test TESTS=tests/lab

check: $(VENV)/installed ## Run ruff, mypy and import-linter.
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lab: $(VENV)/installed packages ## Start the lab, an emulated site to try things on. Needs root.
	$(SUDO) $(BIN)/snow lab up --release $(RELEASE)

DEB ?= bookworm trixie
deb: $(VENV)/installed ## Build the Debian packages, each in a fresh tree of its release, in build/deb.
	$(call install,command -v mmdebstrap >/dev/null || echo mmdebstrap)
	$(SUDO) $(BIN)/python debian/build.py build $(DEB)

deb-test: deb ## Install the Debian packages without a network in a fresh tree, use them, remove them.
	$(SUDO) $(BIN)/python debian/build.py test $(DEB)

BENCH ?=
bench: $(VENV)/installed ## Measure copying images against other programs (docs/performance.md).
	$(call install,$(BIN)/python bench/run.py --missing)
	@$(BIN)/python bench/run.py $(BENCH)

.PHONY: packages
packages: $(VENV)/installed
	$(call install,$(BIN)/python -m snowha.lab.requirements --missing)

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -m venv --help >/dev/null 2>&1 && $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		$(SUDO) apt-get -q update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -y install python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dashboard,lab,dev]'
	touch $@

clean: ## Remove build/ and .venv/.
	rm -rf build $(VENV)
