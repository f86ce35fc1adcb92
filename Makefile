# Everything that this project needs is installed by these targets: Debian packages for the lab, and a virtual environment.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
# a release given on the command line is for the lab: make demo RELEASE=bookworm
RELEASE ?= trixie
# lab tests to run: make lab-test TESTS=tests/lab/test_1_bad_input.py
TESTS ?= --ignore tests/lab/long tests/lab

# What Python compiles is kept beside the environment, also where the shell says not to keep it beside the sources: tests are
# collected in a third of the time.
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test unit lab-test lab-long check lab deb deb-test bench clean

# The whole story on this machine: a single server becomes a cluster, then loses a server. Ends with build/demo/report.html.
demo: $(VENV)/installed packages
	$(SUDO) $(BIN)/snow lab demo --release $(RELEASE) --folder build/demo

# Unit and lab tests.
test: unit lab-test

# The Debian packages that the command $(1) names.
define install
@missing="$$($(1))"; \
if [ -n "$$missing" ]; then \
	echo "installing $$missing"; \
	$(SUDO) apt-get -q update && $(SUDO) env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y install --no-install-recommends $$missing; \
fi
endef

# What only the tests need and what brings services with it (sshd, Pacemaker) is unpacked below build/, not installed.
# more at once than processors: half of their time is spent waiting for a disk to have synced
unit: $(VENV)/installed
	$(call install,$(BIN)/python tests/unit/machine.py --missing)
	@$(BIN)/python tests/unit/machine.py --unpack build/test-tools
	$(BIN)/pytest tests/unit -q -n 5 --dist worksteal

lab-test: $(VENV)/installed packages
	$(SUDO) env SNOW_LAB_RELEASE=$(RELEASE) $(BIN)/pytest $(TESTS) -v --timeout 3600 -p no:xdist

# All lab tests, with those that take too long for each change: disasters, warm copies, plans, undo, a run killed in every step.
lab-long:
	$(MAKE) lab-test TESTS=tests/lab

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A site to play with: afterwards `snow lab status`.
lab: $(VENV)/installed packages
	$(SUDO) $(BIN)/snow lab up --release $(RELEASE)

# The Debian packages for both releases, each built in a fresh tree of it: build/deb/RELEASE. One of them: make deb DEB=trixie
DEB ?= bookworm trixie
deb: $(VENV)/installed
	$(call install,command -v mmdebstrap >/dev/null || echo mmdebstrap)
	$(SUDO) $(BIN)/python debian/build.py build $(DEB)

# The packages installed without a network in a fresh tree, used, and removed.
deb-test: deb
	$(SUDO) $(BIN)/python debian/build.py test $(DEB)

# The figures of docs/performance.md about copying images. A quick look: make bench BENCH="--size 256M --rounds 1"
BENCH ?=
bench: $(VENV)/installed
	$(call install,$(BIN)/python bench/run.py --missing)
	@$(BIN)/python bench/run.py $(BENCH)

.PHONY: packages
packages: $(VENV)/installed
	$(call install,$(BIN)/python -m snowha.lab.requirements --missing)

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -m venv --help >/dev/null 2>&1 && $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		$(SUDO) apt-get -q update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -y install python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[lab,dev]'
	touch $@

clean:
	rm -rf build $(VENV)
