# make serve [PORT=8000]   make test   make lint   make clean
# Each sets up .venv with what it needs, once, and then does its one job. Python 3.11 or newer and make are all it takes.

PORT ?= 8000
HOST ?= 127.0.0.1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# The first of these that is new enough and can make virtual environments. `make PYTHON=/path/to/python test` decides otherwise.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(shell $(name) -c '$(USABLE)' 2>/dev/null && echo $(name))))

# Browser tests run where there is a browser, tests on a GPU where there is a GPU.
BROWSER := $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name) 2>/dev/null)))
GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null)
EMPTY :=
LEFT_OUT := $(strip $(if $(BROWSER),,browser) $(if $(GPU),,gpu))
MARKS := $(if $(LEFT_OUT),-m "not ($(subst $(EMPTY) $(EMPTY), or ,$(LEFT_OUT)))")

.PHONY: serve test lint wheel clean
.DEFAULT_GOAL := serve

serve: $(VENV)/.serve
	$(BIN)/streamst serve --host $(HOST) --port $(PORT)

test: $(VENV)/.dev $(VENV)/.pipecat
	@$(if $(BROWSER),,echo "No Chromium here: the browser's tests are left out.")
	$(BIN)/python -m pytest -q $(MARKS)
	$(VENV)/pipecat/bin/python -m pytest -q tests/test_integrations_pipecat.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

wheel: $(VENV)/.dev
	rm -rf build dist
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "StreamST needs Python 3.11 or newer, with venv: none found ($(CANDIDATES))." \
	  "On Debian: apt install python3 python3-venv; or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Setting up $(VENV): some minutes, once."
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Setting up $(VENV) for development: some minutes, once."
	$(PIP) --editable '.[dev]'
	@touch $@

# Pipecat holds packages down that we do not: an environment of its own, which sees the other one behind its own packages.
SITE := import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))
OF_PIPECAT := import sysconfig; print(sysconfig.get_path("purelib"))
$(VENV)/.pipecat: $(VENV)/.dev
	$(BIN)/python -m venv --without-pip $(VENV)/pipecat
	$(BIN)/python -c '$(SITE)' > "$$($(VENV)/pipecat/bin/python -c '$(OF_PIPECAT)')/behind.pth"
	$(BIN)/python -m pip --disable-pip-version-check --python $(VENV)/pipecat/bin/python install --quiet pipecat-ai==1.14.0
	@touch $@
