# The front door: `make` lists the targets.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

# What the lab's targets install (lab/system.py says what for); python3-venv is for the virtual environment.
PACKAGES := curl iproute2 iputils-ping mmdebstrap nftables openssh-client python3-venv strace systemd-container

# Targets are few and build on each other in the order written, so `make -j` may not reorder them.
.NOTPARALLEL:
.PHONY: help setup check test demo drift rebuild outages bench test-sweep test-soak test-attacks test-machines test-pages requirements clean ready packages root
.DEFAULT_GOAL := help

help: ## this list
	@echo "For contributors; operators have ./vpc --help"; sed -n 's/^\([a-z-]*\):[^#]*## /\1 /p' $(MAKEFILE_LIST) | while read -r target what; do \
	  printf '  make %-14s%s\n' "$$target" "$$what"; done

setup: ## make .venv, with what contributors need (for deploys: ./vpc setup); no root
	@PYTHON=$(PYTHON) ./vpc setup --dev

check: setup ## ruff, mypy and the fast tests; needs neither root nor the lab
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -m pytest tests --ignore=tests/scenarios --ignore=tests/machines --ignore=tests/pages --numprocesses=auto

# What a lab leaves on the machine is seen only while no other lab is up; other scenarios wait, and run in three labs.
ALONE := tests/scenarios/test_lab.py
# Scenarios that run on Debian's other release as well, which this machine's own is not.
BOTH := tests/scenarios/test_traffic.py tests/scenarios/test_reboot.py \
  tests/scenarios/test_keeper.py::test_what_was_deployed_comes_back
OTHER_RELEASE := $(shell sed -n -e 's/^VERSION_CODENAME=bookworm$$/trixie/p' \
  -e 's/^VERSION_CODENAME=trixie$$/bookworm/p' /etc/os-release 2>/dev/null)

test: ready check ## all that there is: check, then the scenarios in the lab; root
	$(RUN)/python -m pytest $(ALONE)
	$(RUN)/python -m pytest tests/scenarios --ignore=$(ALONE) --numprocesses=3 --dist=loadfile --no-loadscope-reorder
	$(if $(OTHER_RELEASE),SCENARIO_RELEASE=$(OTHER_RELEASE) $(RUN)/python -m pytest $(BOTH) --numprocesses=2 --dist=loadfile)

test-sweep: ready ## every moment and cause of a deploy's death, and twenty dead NATs in a row; half an hour; root
	SWEEP=full $(RUN)/python -m pytest tests/scenarios/test_sweep.py tests/scenarios/test_detours.py \
	  tests/scenarios/test_firewalld.py tests/scenarios/test_rotation.py \
	  -k 'sweep or kills or uneven or firewalld or loses_its_power'

SECONDS ?= 3600
test-soak: ready ## random faults for an hour (SECONDS=…, SEED=…): all is back, and nothing is left; root
	SOAK=$(SECONDS) SOAK_SEED=$(SEED) $(RUN)/python -m pytest -s tests/scenarios/test_soak.py

test-attacks: PACKAGES += nmap
test-attacks: ready ## all that docs/security.md says is tried, with scans, forgeries, replays, stolen disks; half an hour; root
	ATTACKS=long $(RUN)/python -m pytest tests -m attack --ignore=tests/machines --ignore=tests/pages

test-machines: PACKAGES += e2fsprogs qemu-system-x86 qemu-utils
test-machines: ready ## hosts as virtual machines, with a boot of their own (QUICK=1: one zone, one boot less); root
	QUICK=$(QUICK) $(RUN)/python -m pytest tests/machines

test-pages: PACKAGES += chromium fonts-dejavu-core
test-pages: ready ## the page of `./vpc status --html` in a browser, on a phone and on a desk; root
	$(RUN)/python -m pytest tests/pages

demo: ready ## an office, a VPC and its tunnels on this machine; root
	$(RUN)/python -m lab.demo

outages: ready ## what is lost in which outage, by strategy, measured in the lab (QUICK=1: once, in 6 minutes); root
	$(RUN)/python -m bench.outages $(if $(QUICK),--quick)

bench: ready ## what deploys cost and tunnels carry, beside others that do the same (QUICK=1: once, in 6 minutes); root
	status=0; for what in deploys throughput; do \
	  $(RUN)/python -m bench.$$what $(if $(QUICK),--quick) || status=1; \
	done; exit $$status

# Names of the last release, until the next.
drift:
	@echo "This is a verb now. Type: ./vpc drift" >&2; exit 1

rebuild:
	@echo "This is a verb now. Type: ./vpc rebuild $(if $(ZONE)$(HOST),$(ZONE) $(HOST),ZONE)$(HOST_KEY:%= --host-key %)" >&2; exit 1

# Only the public index, whatever this machine adds to it: the hashes must fit what everybody else downloads.
PIP_COMPILE := env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL -u PIP_INDEX_URL PIP_CONFIG_FILE=/dev/null \
  CUSTOM_COMPILE_COMMAND='make requirements' $(VENV)/pip-tools/bin/pip-compile --quiet --generate-hashes \
  --strip-extras --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(if $(UPGRADE),--upgrade)

requirements: setup ## pin each requirements*.in in its requirements*.txt; UPGRADE=1 takes newer versions
	$(RUN)/python -m venv $(VENV)/pip-tools
	$(VENV)/pip-tools/bin/pip install --quiet pip-tools==7.6.2
	$(PIP_COMPILE) --output-file=requirements.txt requirements.in
	$(PIP_COMPILE) --output-file=requirements-dev.txt requirements-dev.in
	$(PIP_COMPILE) --output-file=bench/deploys/requirements.txt bench/deploys/requirements.in

clean: ## remove .venv and the tools' caches; the lab has `python -m lab down`
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready: root packages setup

root:
	@[ "$$(id -u)" = 0 ] || { echo "The lab boots hosts, which takes root: sudo make $(MAKECMDGOALS)" \
	  "(make check needs no root)." >&2; exit 1; }
	@[ -w /proc/sys/net/ipv4/ip_forward ] || { echo "/proc/sys is read-only here, as in a container, and the lab's hosts" \
	  "have to set sysctls of their own: use a machine, real or virtual, or docker run --privileged." >&2; exit 1; }

packages:
	@command -v dpkg-query >/dev/null || { echo "The lab needs Debian or Ubuntu. Deploys do not: ./vpc setup" >&2; exit 1; }
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query -W -f '$${db:Status-Status}\n' "$$package" 2>/dev/null | grep -qx installed || printf '%s ' "$$package"; \
	  done); \
	  [ -n "$$missing" ] || exit 0; \
	  [ "$$(id -u)" = 0 ] || { echo "Missing; run: sudo apt-get install $$missing" >&2; exit 1; }; \
	  export DEBIAN_FRONTEND=noninteractive; set -x; \
	  apt-get -q update && apt-get -q install --yes --no-install-recommends $$missing
