# `make demo` and `make test` each set everything up from nothing.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo_output

.PHONY: help demo test lint setup clean

help:
	@echo "make demo   fuse the sample MR and PET: NIfTI, DICOM, preview, in $(DEMO)/"
	@echo "make test   run the tests"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make clean  remove the virtual environment and the demo's output"

# The stamps are younger than what they were made from, so a changed dependency installs again.
$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	./scripts/system-packages
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@

setup: $(VENV)/.dev

demo: $(VENV)/.base
	@rm -rf $(DEMO)
	@mkdir $(DEMO)
	$(BIN)/refinefuse sample-data $(DEMO)/sample --dicom
	$(BIN)/refinefuse fuse $(DEMO)/sample/MR $(DEMO)/sample/PT -o $(DEMO)/fused --format nifti,dicom --preview --report
	@echo
	@echo "The fused sample (MR + PET), simulated from a template:"
	@find $(DEMO)/fused -maxdepth 2 ! -name '*.dcm' ! -path $(DEMO)/fused | sort
	@echo "Look at $(DEMO)/fused/preview.png first."

test: $(VENV)/.dev
	./scripts/with-display $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(DEMO)
