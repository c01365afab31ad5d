PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PEOPLE ?= ../shared/data/people

.PHONY: demo test test-kill bench-protection bench-detector install clean

demo: install  ## Build a small archive of public photos, cloak it, show what came out
	$(BIN)/photoveil demo demo

test: install  ## Linter, type checker and the default test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

test-kill: install  ## Kill a real run at many random points; KILLS=how many
	PHOTOVEIL_KILLS=$(or $(KILLS),20) $(BIN)/pytest tests/test_kill.py -k killed

bench-protection: install  ## Do unseen recognisers find people in written files? PEOPLE=folder with people.csv or a folder a person; ARGS="--mode low --half b"
	$(BIN)/pip install --quiet --editable '.[evaluate]'
	$(BIN)/python -m benchmarks.protection $(PEOPLE) $(ARGS)

bench-detector: install  ## Recall and false alarms of the detector; PEOPLE=folder with people.csv
	$(BIN)/python -m benchmarks.detector --people $(PEOPLE)

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo
