# Two commands for visitors: `make demo` and `make test`. Everything else is for developers.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
DEMO ?= runs/demo
# More for training/reproduce.py, such as DEMO_ARGS="--max-steps 20" for a smoke test.
DEMO_ARGS ?=
# Said in full, accelerate asks for no configuration and gives no advice. On its own it would give
# a process one thread.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
LAUNCH_ARGS ?= --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
	--num_cpu_threads_per_process $(CORES)
# Two workers with one thread each use two cores better than one worker with two.
PYTEST_ARGS ?= -n 2

# The model that comes with the package; each step resumes where it was stopped.
DEFAULT ?= runs/default
DEFAULT_PAIRS ?= 210000
# Share of the spectra that get the catalogue's fits, which take most of the simulation's time.
DEFAULT_FITS ?= 0.1
DEFAULT_SEED ?= 0
DEFAULT_CONFIG ?= best
# More settings. On processors with bfloat16 instructions this is faster:
# DEFAULT_ARGS="--set text.embedder=offline:bfloat16 --set precision=bfloat16"
DEFAULT_ARGS ?=
DEFAULT_RUN = --config $(DEFAULT_CONFIG) --dataset $(DEFAULT)/dataset --output $(DEFAULT) \
	--seed $(DEFAULT_SEED) $(DEFAULT_ARGS)

.PHONY: help setup demo test test-all lint format docs bench clean
.PHONY: default-model default-simulate default-embed default-train default-bundle
help:
	@echo "make demo      set up, describe an example, simulate a small catalogue and train on it"
	@echo "make test      set up and run the tests (5 minutes on two cores)"
	@echo "make test-all  with the slow tests, and those on real spectra"
	@echo "make lint      ruff and mypy"
	@echo "make docs      the documentation in build/site"
	@echo "make default-model  train a model on $(DEFAULT_PAIRS) simulated pairs and bundle it with the package"
	@echo "make bench     speed and memory, side by side with peers where installed (15 minutes)"

setup: $(VENV)/.installed

# torch goes first, at the pinned version, so that no later requirement picks another build.
$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or run make PYTHON=python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar off "$(TORCH)"
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e ".[dev]"
	@touch $@

demo: setup
	@echo "── one simulated spectrum, described by the model that comes with the package"
	@$(BIN)/specclip dataset example --output $(DEMO)/example.pha
	@env -u SPECCLIP_MODEL $(BIN)/specclip describe $(DEMO)/example.pha
	@echo
	@echo "── a model of your own, trained on a small simulated catalogue"
	@$(MAKE) --no-print-directory $(DEMO)/dataset/specclip_dataset.json
	$(BIN)/accelerate launch $(LAUNCH_ARGS) training/reproduce.py --config training/configs/demo.yaml \
		--dataset $(DEMO)/dataset --output $(DEMO) $(DEMO_ARGS)
	@echo
	@echo "Made: $(DEMO)/dataset (simulated pairs), $(DEMO)/model (load it with from_pretrained),"
	@echo "      $(DEMO)/moe (physical variables), $(DEMO)/outliers (outlier detector),"
	@echo "      $(DEMO)/metrics.json and $(DEMO)/report.html (all tables and figures)."
	@echo "Try:  $(BIN)/specclip describe --model $(DEMO) FILE.pha"
	@echo "      $(BIN)/specclip search --model $(DEMO) \"heavily absorbed pulsating ULX\""
	@echo "      $(BIN)/specclip app --model $(DEMO)"
	@echo "      $(BIN)/specclip describe --help"

# A file, so that a demo that was stopped goes on with the sky it had.
$(DEMO)/dataset/specclip_dataset.json: | setup
	@mkdir -p $(DEMO)
	$(BIN)/specclip dataset simulate --config demo --output $(DEMO)/dataset

default-model: default-bundle

default-simulate: $(DEFAULT)/dataset/specclip_dataset.json

$(DEFAULT)/dataset/specclip_dataset.json: | setup
	@mkdir -p $(DEFAULT)
	$(BIN)/specclip dataset simulate --config large --pairs $(DEFAULT_PAIRS) --seed $(DEFAULT_SEED) \
		--set fits=$(DEFAULT_FITS) --output $(DEFAULT)/dataset

# Fills the cache of sentence vectors, which training reads.
default-embed: default-simulate
	$(BIN)/python training/default_model.py embed $(DEFAULT_RUN)

default-train: default-embed
	$(BIN)/accelerate launch $(LAUNCH_ARGS) training/reproduce.py --studies none $(DEFAULT_RUN)

default-bundle: default-train
	$(BIN)/python training/default_model.py bundle $(DEFAULT_RUN)

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

# Where real Chandra spectra lie, for the tests that want them.
SPECCLIP_REAL_DATA ?= $(realpath ../shared/data)
test-all: setup
	SPECCLIP_REAL_DATA=$(SPECCLIP_REAL_DATA) OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Strict: a broken link or reference fails. Nothing is fetched but the packages.
docs: setup
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench: setup
	$(BIN)/python -m benchmarks --json runs/bench.json

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache *.egg-info
