# Works from a bare checkout: Python 3.10 or later, make, and PyPI.
#   make demo   train a small model, reported to three trackers without an account
#   make test   run every check, each in an environment of its own
# Another interpreter: make test PYTHON=python3.12
# Several checks at once, each with its output when it ends: make test JOBS=2

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-run
JOBS := 1
SYNC := $(if $(filter-out 1,$(JOBS)),$(if $(filter output-sync,$(.FEATURES)),--output-sync=target))

.DEFAULT_GOAL := help
.PHONY: help demo test checks newest oldest clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing multitrack, torch and three trackers into $(VENV): this takes a minute or two."
	@$(BIN)/python -m pip install -qq --constraint constraints.txt \
		--editable '.[trainer,tensorboard,mlflow,wandb]' scikit-learn
	@touch $@

$(VENV)/nox.stamp: $(BIN)/python constraints.txt
	@$(BIN)/python -m pip install -qq --constraint constraints.txt 'nox[uv]'
	@touch $@

demo: $(VENV)/demo.stamp
	WANDB_MODE=offline $(BIN)/python examples/train_digits.py --output-dir $(DEMO)
	MULTITRACK_DIR=$(DEMO)/multitrack $(BIN)/multitrack show latest
	@echo "The commands to look at it are in $(BIN)."

test: $(VENV)/nox.stamp
	@$(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) $(SYNC) checks newest

checks: $(VENV)/nox.stamp
	@$(BIN)/nox --session checks

newest: $(VENV)/nox.stamp
	@$(BIN)/nox --keywords "backends and $@"

oldest: $(VENV)/nox.stamp
	@$(BIN)/nox --keywords $@

clean:
	rm -rf $(VENV) .nox $(DEMO) build dist site
